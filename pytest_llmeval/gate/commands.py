"""Commands of the gate: make a baseline, calibrate it, ask what it could see, judge a run that is over."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.gate import power
from pytest_llmeval.gate.baseline import Baseline, join, load_baseline, write_baseline
from pytest_llmeval.gate.figures import RunFigures, Tallies, Tally
from pytest_llmeval.gate.findings import FINDINGS
from pytest_llmeval.gate.judge import Gate, Scope, failing, what_changed
from pytest_llmeval.gate.measures import MEASURES
from pytest_llmeval.gate.reading import read_run
from pytest_llmeval.gate.record import findings_document
from pytest_llmeval.gate.relative import LEAST_RUNS
from pytest_llmeval.gate.rules import load_policy
from pytest_llmeval.gate.text import gate_lines
from pytest_llmeval.printable import printed
from pytest_llmeval.registry import load_registry
from pytest_llmeval.store import document

CALIBRATION_REPORTS = "reports/calibration"
TESTS_FAILED = 1


def _parser(command: str, says: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=f"python -m pytest_llmeval {command}", description=says)


def _say(line: str) -> None:
    """Names, and reasons in an engine's own words, come from what runs left: nothing in them takes effect."""
    sys.stdout.write(f"{printed(line)}\n")


# ------------------------------------------------------------------------------------------------- baseline


def baseline(arguments: Sequence[str]) -> int:
    """Write a run, and the calibration runs that repeat it, as one compact file to commit."""
    parser = _parser(
        "baseline", "Make a compact baseline of a run; commit it and give it to --llmeval-baseline."
    )
    parser.add_argument(
        "run", type=Path, help="the run's folder (its passes are compared), or an older baseline"
    )
    parser.add_argument(
        "calibration",
        type=Path,
        nargs="*",
        help="folders of runs that repeat it: how speeds vary from run to run",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the baseline")
    given = parser.parse_args(arguments)
    first = load_baseline(given.run)
    made = join([*first.runs, *map(read_run, given.calibration)], str(given.output))
    write_baseline(made, given.output)
    for line in _described(made):
        _say(line)
    return 0


def _described(made: Baseline) -> Iterator[str]:
    yield f"{made.source}: {made.describe()}"
    for name, figures in made.first.models.items():
        measured = [measure for measure in MEASURES if made.measured(name, measure)]
        runs = min((len(made.measured(name, measure)) for measure in measured), default=0)
        speed = f"{', '.join(measured)} of {runs} run{'s' if runs != 1 else ''}" if measured else "no speeds"
        wanting = (
            f" ({LEAST_RUNS - runs} more are needed to judge them)" if measured and runs < LEAST_RUNS else ""
        )
        yield f"  {name}: {len(figures.tallies)} problems; {speed}{wanting}"


# ------------------------------------------------------------------------------------------------ calibrate


def calibrate(arguments: Sequence[str]) -> int:
    """Run the same selection several times, engines loaded anew each time, and write a baseline of all runs."""
    parser = _parser(
        "calibrate",
        "Repeat a selection of pytest's several times and make a baseline of the runs: what stands behind -- goes "
        "to pytest, as in: calibrate -o baseline.json -- suites -m coding",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the baseline")
    parser.add_argument("--runs", type=int, default=LEAST_RUNS, help=f"how many (default: {LEAST_RUNS})")
    parser.add_argument("--add", action="store_true", help="add the runs to those that FILE holds already")
    parser.add_argument(
        "--reports", type=Path, default=Path(CALIBRATION_REPORTS), metavar="DIR",
        help=f"where the runs are written (default: {CALIBRATION_REPORTS})",
    )  # fmt: skip
    ours, for_pytest = _split(arguments)
    given = parser.parse_args(ours)
    if given.runs < 1:
        raise ConfigurationError(f"--runs {given.runs}: must be at least 1")
    runs = list(load_baseline(given.output).runs) if given.add else []
    for number in range(1, given.runs + 1):
        _say(f"calibration run {number} of {given.runs}")
        runs.append(_one_run(for_pytest, given.reports))
        write_baseline(join(runs, str(given.output)), given.output)  # what was measured is kept if one fails
    for line in _described(join(runs, str(given.output))):
        _say(line)
    return 0


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before and behind `--`."""
    given = list(arguments)
    at = given.index("--") if "--" in given else len(given)
    return given[:at], given[at + 1 :]


def _one_run(arguments: Sequence[str], reports: Path) -> RunFigures:
    """One run of pytest in a process of its own; wrong answers are no failures of a calibration.

    Raises:
        ConfigurationError: pytest failed, or ran no model.
    """
    latest = reports / "latest"
    before = latest.resolve() if latest.exists() else None
    command = [sys.executable, "-m", "pytest", *arguments]
    ours = [f"--llmeval-reports={reports.absolute()}", "--llmeval-wrong=xfail", "--llmeval-gate=off"]
    sys.stdout.flush()
    code = subprocess.run([*command, *ours], check=False).returncode
    if code != 0:
        raise ConfigurationError(
            f"a calibration run ended with exit code {code}: {' '.join(command)}. It must run without faults; "
            f"see its output above"
        )
    if not latest.exists() or latest.resolve() == before:
        raise ConfigurationError(f"{' '.join(command)} ran no model: name a suite behind --")
    return read_run(latest.resolve())


# ---------------------------------------------------------------------------------------------------- power


def power_of(arguments: Sequence[str]) -> int:
    """Say how large a drop a comparison with this baseline would catch, and what it would take."""
    given = _power_parser().parse_args(arguments)
    _check_shares(given)
    against = load_baseline(given.baseline)
    sets = {name: _by_set(figures.tallies) for name, figures in against.first.models.items()}
    models = given.models or len(sets)
    counts = [len(by_set) for by_set in sets.values()]
    tests = given.models * max(counts) if given.models else sum(counts)
    # Accuracy has half of α, see findings.conclude; its tests share that.
    level = given.alpha / (2 * max(1, tests))
    several = f" ({tests} tests, one for each problem set)" if tests > models else ""
    _say(
        f"a drop of {given.detect:g} points, one-sided α {given.alpha:g}; corrected for {models} "
        f"model{'s' if models > 1 else ''}{several} and the other rules it is {level:.3g}"
    )
    for model, by_set in sets.items():
        for problem_set, tallies in by_set.items():
            name = f"{model}, {problem_set}" if len(by_set) > 1 else model
            for line in _power_lines(name, tallies, given, level):
                _say(line)
        if not by_set:
            _say(f"{model}: no problem was judged")
    return 0


def _by_set(tallies: Tallies) -> dict[str, list[Tally]]:
    """Each problem set is judged by itself."""
    found: dict[str, list[Tally]] = {}
    for task, tally in tallies.items():
        found.setdefault(task.problem_set, []).append(tally)
    return found


def _power_parser() -> argparse.ArgumentParser:
    parser = _parser(
        "power", "How likely is a drop to be found, and how many problems or samples would find it?"
    )
    parser.add_argument(
        "--baseline", type=Path, required=True, metavar="PATH", help="a run's folder or a baseline file"
    )
    parser.add_argument("--detect", type=float, required=True, metavar="POINTS", help="the drop, in points")
    parser.add_argument("--chance", type=float, default=80.0, metavar="PERCENT", help="wanted (default: 80)")
    parser.add_argument("--alpha", type=float, default=0.05, help="chance of any false alarm (default: 0.05)")
    parser.add_argument(
        "--models", type=int, metavar="N", help="judged together (default: those of the baseline)"
    )
    parser.add_argument(
        "--discordant", type=float, default=15.0, metavar="PERCENT",
        help="how many problems change sides between two equal runs, for models with one sample a problem, whose "
        "baseline cannot tell (default: 15)",
    )  # fmt: skip
    return parser


def _check_shares(given: argparse.Namespace) -> None:
    for name, value in (
        ("--detect", given.detect),
        ("--chance", given.chance),
        ("--discordant", given.discordant),
    ):
        if not 0 < value < 100:
            raise ConfigurationError(f"{name} {value:g}: must be between 0 and 100")
    if not 0 < given.alpha < 0.5 or (given.models is not None and given.models < 1):
        raise ConfigurationError("--alpha must be between 0 and 0.5, --models at least 1")


def _power_lines(
    name: str, tallies: Sequence[Tally], given: argparse.Namespace, level: float
) -> Iterator[str]:
    problems, samples = len(tallies), min(tally.n for tally in tallies)
    measured = power.discordance(tallies) if samples > 1 else None
    discordant = given.discordant / 100 if measured is None else measured
    drop, wanted = given.detect / 100, given.chance / 100
    alone, shared = (power.chance(problems, samples, drop, discordant, a) for a in (given.alpha, level))
    origin = "assumed" if measured is None else "measured"
    yield (
        f"{name}: {problems} problems × {samples} sample{'s' if samples > 1 else ''}, {100 * discordant:.1f} % of "
        f"pairs of answers differ ({origin}): found with {100 * alone:.0f} %, {100 * shared:.0f} % after correction"
    )
    more_samples = power.samples_needed(problems, drop, discordant, level, wanted)
    more_problems = power.problems_needed(samples, drop, discordant, level, wanted)
    yield (
        f"  for {given.chance:g} % after correction: {more_samples or 'more than 1000'} samples a problem, or about "
        f"{more_problems or 'more than 100000'} problems with {samples}"
    )


# ----------------------------------------------------------------------------------------------------- gate


def gate(arguments: Sequence[str]) -> int:
    """Judge a run that is over, without pytest: 0 where nothing fails, 1 where something does."""
    parser = _parser("gate", "Judge a run that is over against a baseline, by the rules of a models.toml.")
    parser.add_argument("run", type=Path, help="the folder of the run to judge")
    add_judging_arguments(parser)
    given = parser.parse_args(arguments)
    return judge_folder(given.run, given)


def add_judging_arguments(parser: argparse.ArgumentParser) -> None:
    """What `judge_folder` goes by."""
    parser.add_argument("--baseline", type=Path, metavar="PATH", help="a run's folder or a baseline file")
    parser.add_argument(
        "--registry", type=Path, metavar="PATH", help="whose [gate] holds (default: models.toml)"
    )
    parser.add_argument(
        "--rule", action="append", default=[], metavar="RULE", help="as --llmeval-gate takes it"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="every Finding on a line of its own")


def judge_folder(folder: Path, given: argparse.Namespace, keep: bool = False) -> int:
    """Judge the run in `folder` and say what was found: 0 where nothing fails, 1 where something does.

    `keep`: leave findings.json in the folder, for the page and the other reports.
    """
    run = _with_models(read_run(folder), folder)
    held = _gate_of(run, given)
    # What the registry knew when the run was made is not on record: a model that is not in the run is missing.
    planned = {name: figures.tallies for name, figures in run.models.items()}
    findings = held.judge(run, Scope(tuple(run.models), planned))
    changes = what_changed(held, run)
    if keep:
        _keep(folder / FINDINGS, document(findings_document(held, findings, changes)))
    for line, _ in gate_lines(held, findings, changes, given.verbose):
        _say(line)
    return TESTS_FAILED if failing(findings, held.policy) else 0


def _gate_of(run: RunFigures, given: argparse.Namespace) -> Gate:
    """The rules of this folder, and the baseline that was named."""
    against = load_baseline(given.baseline) if given.baseline else None
    usual = Path("models.toml") if Path("models.toml").is_file() else None
    registry = given.registry or usual
    registered = load_registry(registry) if registry else ()
    known = [*run.models, *(against.first.models if against else ()), *registered]
    return Gate(load_policy(registry, Path("pyproject.toml"), given.rule, known), against)


def _with_models(run: RunFigures, where: Path) -> RunFigures:
    """The run; to say nothing of an empty one, and so to pass it, would be a lie.

    Raises:
        ConfigurationError: it holds no model.
    """
    if not run.models:
        raise ConfigurationError(f"{where} holds no model: there is nothing to judge")
    return run


def _keep(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="ascii")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error
