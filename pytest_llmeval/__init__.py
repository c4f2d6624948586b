"""pytest_llmeval: every model × problem is a test item, judged in a sandbox, timed at the engine."""

from importlib.metadata import PackageNotFoundError, version

__all__ = ["__version__"]

DISTRIBUTION = "pytest-llmeval-bench"

try:
    __version__ = version(DISTRIBUTION)
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"
