"""Entry point: declares our options, refuses a clash, and wakes the rest only where a run uses it."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution, version

import pytest

from pytest_llmeval import options

OTHER_DISTRIBUTION = "pytest-llmeval"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_llmeval import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    refuse_other_distribution()
    options.declare(parser)


@pytest.hookimpl(tryfirst=True)  # before pytest-html looks at its path
def pytest_configure(config: pytest.Config) -> None:
    if options.is_active(config):
        refuse_old_neighbours()
        from pytest_llmeval import hooks

        config.pluginmanager.register(hooks, "llmeval_hooks")


def refuse_old_neighbours(version_of: Callable[[str], str] = version) -> None:
    """pip would not have installed us beside them, but other tools may.

    Raises:
        pytest.UsageError: pytest or pytest-benchmark is older than what works.
    """
    for package, (wanted, otherwise) in options.OLDEST.items():
        try:
            found = version_of(package)
        except PackageNotFoundError:
            continue
        if options.is_too_old(package, found):
            raise pytest.UsageError(
                f"pytest-llmeval-bench needs {package} {wanted} or newer, and this is {found}, with which "
                f"{otherwise}: pip install '{package}>={wanted}'"
            )


def refuse_other_distribution() -> None:
    """Two distributions own the import package `pytest_llmeval`; files of both in one folder half-work.

    Raises:
        pytest.UsageError: the other one is installed beside ours.
    """
    try:
        other = distribution(OTHER_DISTRIBUTION)
    except PackageNotFoundError:
        return
    raise pytest.UsageError(
        f"pytest-llmeval-bench cannot run beside {OTHER_DISTRIBUTION} {other.version}: both install the "
        f"import package pytest_llmeval and overwrite each other's files. Uninstall both, then install the "
        f"one you want: pip uninstall -y {OTHER_DISTRIBUTION} pytest-llmeval-bench"
    )
