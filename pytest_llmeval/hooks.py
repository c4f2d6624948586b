"""pytest hooks and fixtures, a few lines each; registered only in runs that use us."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmeval import collection, extensions, gating, interrupts, options, workers
from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.items import outcomes, patience
from pytest_llmeval.items.benchmarking import QuietTable
from pytest_llmeval.items.judged import JudgedRecord
from pytest_llmeval.parsing import one_parse_at_a_time
from pytest_llmeval.pipeline.batch import Batch
from pytest_llmeval.report import terminal
from pytest_llmeval.report.html import HtmlHooks, PageTrouble, choose_html_path, withdraw_html
from pytest_llmeval.run import Run
from pytest_llmeval.schema import Problem
from pytest_llmeval.selection import Selection
from pytest_llmeval.workers.runs import run_for
from pytest_llmeval.workers.scheduling import make_scheduler

if TYPE_CHECKING:
    from pytest_llmeval.serving.bench import Bench

RUN = pytest.StashKey[Run]()
DESELECTED = pytest.StashKey[set[str]]()
MODELS = pytest.StashKey[list[str]]()


# ------------------------------------------------------------------------------------------- session life


def pytest_configure(config: pytest.Config) -> None:
    try:
        engines = extensions.engines(config.hook.pytest_llmeval_engines())
        problem_sets = extensions.problem_sets(config.hook.pytest_llmeval_problem_sets())
        run = run_for(config, Selection.from_options(options.read(config), engines, problem_sets))
        config.stash[DESELECTED] = collection.take_deselected_models(config, run)
        config.stash[MODELS] = collection.chosen_models(run)
        choose_html_path(config, run)
        gating.install(config, run)
    except LLMEvalError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[RUN] = run
    collection.add_own_files(config, run)
    collection.register_markers(config, run)


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    run = config.stash[RUN]
    register = config.pluginmanager.register
    run.notify = terminal.LiveLine(config)
    register(run.notify, "llmeval_live_line")
    register(terminal.LastWords(run), "llmeval_last_words")
    patience.have_patience(config)
    register(workers.ControllerHooks(run), "llmeval_workers")
    register(collection.CollectionHooks(run, config.stash[DESELECTED]), "llmeval_collection")
    if config.pluginmanager.hasplugin("html") and config.option.htmlpath:
        register(HtmlHooks(run, Path(config.option.htmlpath)), "llmeval_html")
        register(PageTrouble(run.unwritten, Path(config.option.htmlpath)), "llmeval_html_trouble")
    if config.pluginmanager.hasplugin("benchmark"):
        register(QuietTable(), "llmeval_benchmark")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    return collection.own_module(parent, file_path, parent.config.stash[RUN])


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    try:
        collection.parametrize(metafunc, metafunc.config.stash[RUN], metafunc.config.stash[MODELS])
    except LLMEvalError as error:
        raise pytest.Collector.CollectError(str(error)) from error


@pytest.hookimpl(tryfirst=True)  # before the terminal tells what will run
def pytest_collection_finish(session: pytest.Session) -> None:
    if session.testsfailed and not session.config.option.continue_on_collection_errors:
        session.config.stash[RUN].give_up()
    withdraw_html(session.config, session.config.stash[RUN])


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    run = config.stash[RUN]
    if run.is_empty_shard:
        return [terminal.empty_shard_line(run)]
    if not run.plan or options.only_shows(config):
        return []
    try:
        with interrupts.sigterm_is_ctrl_c():  # the sandbox, a cluster and the first engine start here
            lines = [*terminal.plan_lines(run), *terminal.resume_lines(run), *terminal.sandbox_lines(run)]
    except LLMEvalError as error:
        raise pytest.UsageError(str(error)) from error
    return [] if config.option.no_header or config.option.verbose < 0 else lines


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    with interrupts.sigterm_is_ctrl_c():
        try:
            with one_parse_at_a_time():
                return (yield)
        finally:
            if workers.is_controller(session.config):
                _end_workers(session)


def _end_workers(session: pytest.Session) -> None:
    run = session.config.stash[RUN]
    # A second Ctrl-C is the workers', too: what they still write is waited for.
    with interrupts.hurried(run.hurry):
        workers.end_workers(session.config)
    if not run.used:
        withdraw_html(session.config, run)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    models: list[str] = config.stash[MODELS]
    return make_scheduler(config, log, models)


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before pytest-html and others read what the run left
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    run = session.config.stash[RUN]
    with interrupts.hurried(run.hurry):
        _finish(session, run)
        return (yield)


def _finish(session: pytest.Session, run: Run) -> None:
    run.close()
    if workers.is_worker(session.config):
        workers.report_unwritten(session.config, run.unwritten)
        return
    terminal.write_files(run, session.config)
    if run.is_empty_shard and session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK  # nothing is wrong: the other shards have it all
    if run.unwritten and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminal.write_summary(terminalreporter, config.stash[RUN])


def pytest_unconfigure(config: pytest.Config) -> None:
    if run := config.stash.get(RUN, None):
        run.close()


# ------------------------------------------------------------------------------------------------- items


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if options.only_shows(item.config):  # --setup-plan
        return
    item.config.stash[RUN].begin(item.nodeid)
    if (absence := collection.absence(item)) is not None:
        outcomes.stand_in_for(absence, item.config.stash[RUN].options.strict)
    if (model := collection.model_of(item)) is not None:
        outcomes.refuse_what_cannot_run(item.config.stash[RUN], model, item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with outcomes.skips_what_cannot_be_measured():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    outcomes.show_fault(report, item, call, item.config.stash[RUN])
    outcomes.describe(report, item, call, item.config.stash[RUN].options.wrong)
    return report


# ---------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> Iterator[Batch]:
    """The model of this item, loaded once for all suites; everything planned for it is submitted already."""
    run, model = request.config.stash[RUN], outcomes.parameter_of(request)
    with patience.waiting(request.config):
        batch = outcomes.open_or_fail(run, model)
    yield batch
    with patience.waiting(request.config):
        outcomes.close_or_fail(run, model)


@pytest.fixture
def serving(request: pytest.FixtureRequest, engine: Batch) -> Bench:
    """The model of this item to be measured, alone on the machine as far as this run goes."""
    with patience.waiting(request.config):
        return outcomes.bench_or_skip(request.config.stash[RUN], engine, request.node)


@pytest.fixture
def problem(request: pytest.FixtureRequest) -> Problem:
    """The problem of this item."""
    outcomes.parameter_of(request)
    found = collection.problem_of(request.node, request.config.stash[RUN])
    assert found is not None
    return found


@pytest.fixture
def record(request: pytest.FixtureRequest, engine: Batch, problem: Problem) -> JudgedRecord:
    """What the model answered to the problem and how it was judged; waits for it, so a fault is an ERROR."""
    with patience.waiting(request.config):
        return outcomes.wait_or_fail(request.config.stash[RUN], engine, problem, request.node)
