"""--llmeval-resume: what an earlier run answered is not asked again, and nothing is mixed silently."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FLAKY = """
from pathlib import Path
from pytest_llmeval.errors import EngineFault
from pytest_llmeval.testing import FakeEngine

class Flaky(FakeEngine):
    '''Dies after as many answers as the file `dies_after` says; writes down what it is asked.'''
    def load(self, progress):
        with open("asked", "a") as asked:
            asked.write("loaded\\n")
        return super().load(progress)

    def submit(self, request):
        with open("asked", "a") as asked:
            asked.write(request.request_id + "\\n")
        if Path("dies_after").exists():
            self._settings["dies_after"] = int(Path("dies_after").read_text())
        return super().submit(request)
"""
ENTRY = '[models.flaky]\nmodel = "fake"\nkind = "flaky:Flaky"\nengine = { solves = 4 }\n'
SIX = ("--llmeval-limit=6", "--llmeval-models=flaky", "--llmeval-probe=off", "--llmeval-sandbox-workers=1")


class Resumed:
    """A project whose model dies when it is told to."""

    def __init__(self, run, folder: Path) -> None:
        self._run, self.folder = run, folder

    def __call__(self, *args: str, registry: str = ENTRY, dies_after: int | None = None, options=SIX):
        (self.folder / "asked").write_text("")
        (self.folder / "dies_after").unlink(missing_ok=True)
        if dies_after is not None:
            (self.folder / "dies_after").write_text(str(dies_after))
        return self._run(*options, *args, registry=registry)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked").read_text().split()

    @property
    def latest(self) -> Path:
        return (self.folder / "reports/latest").resolve()

    def document(self, name: str) -> dict:
        return json.loads((self.latest / name).read_text())

    @property
    def figures(self) -> dict:
        return self.document("summary.json")["models"]["flaky"]["figures"]


@pytest.fixture
def flaky(project, pytester) -> Resumed:
    pytester.makepyfile(flaky=FLAKY)
    pytester.syspathinsert()
    return Resumed(project, pytester.path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_answered_is_not_asked_again(flaky, records):
    flaky(dies_after=3).assert_outcomes(passed=3, errors=3)
    first, before = flaky.latest, contents(flaky.latest)
    result = flaky("--llmeval-resume")
    result.assert_outcomes(passed=4, failed=2)
    result.stdout.fnmatch_lines(
        [
            f"resume: flaky: 3 of 6 answers from {first.name}",
            "*3 of 6 answers are an earlier run's and enter no*",
        ]
    )
    assert flaky.asked == ["loaded", *(f"humaneval:HumanEval/{n}:0" for n in (3, 4, 5))]
    assert flaky.latest != first
    assert contents(first) == before, "the earlier run is left as it was"
    sources = {record.task_id: record.samples[0].reused_from for record in records()}
    assert sources == {f"HumanEval/{n}": first.name if n < 3 else None for n in range(6)}
    assert flaky.document("manifest.json")["reused"]["flaky"] == {
        "answers": 3, "judged_again": 0, "generated": 3,
    }  # fmt: skip
    assert "3 of 6 answers are an earlier run" in (flaky.latest / "report.html").read_text()


def test_reused_answers_enter_no_speed_figure(flaky):
    flaky(dies_after=3)
    flaky("--llmeval-resume", "--benchmark-json=b.json")
    assert flaky.figures["reused"] == 3
    assert flaky.figures["in_batch"]["requests"] == 3
    benchmarks = json.loads((flaky.folder / "b.json").read_text())["benchmarks"]
    assert [b["name"].split("/")[1] for b in benchmarks] == ["3]", "4]", "5]"]


def test_where_nothing_is_missing_no_engine_is_made(flaky, records):
    flaky().assert_outcomes(passed=4, failed=2)
    log = flaky.latest / "engine/flaky.log"
    assert log.exists()
    flaky("--llmeval-resume=" + flaky.latest.name).assert_outcomes(passed=4, failed=2)
    assert flaky.asked == []
    assert not (flaky.latest / "engine/flaky.log").exists()
    assert flaky.figures["judged"] == 6
    assert flaky.figures["batch_tok_s"] is None
    assert flaky.figures["single_stream"]["response_s"] is None
    assert flaky.document("manifest.json")["reused"]["flaky"]["judged_again"] == 0


def test_where_settings_differ_the_difference_is_named_and_nothing_is_mixed(flaky, records):
    flaky()
    result = flaky("--llmeval-resume", registry=ENTRY.replace("solves = 4", "solves = 5, flag = true"))
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "resume: flaky: 0 of 6 answers from *",
            "resume: flaky: asked again, because engine.solves: 4 → 5; engine.flag: not set → true",
        ]
    )
    assert len(flaky.asked) == 7
    assert {record.samples[0].reused_from for record in records()} == {None}


def test_changed_sampling_is_named_too(flaky):
    flaky()
    result = flaky("--llmeval-resume", registry=ENTRY + "sampling = { temperature = 0.5, max_tokens = 9 }\n")
    result.stdout.fnmatch_lines(["*because sampling.temperature: 0.0 → 0.5; sampling.max_tokens: 1024 → 9;*"])


def test_a_changed_limit_only_judges_again(flaky):
    flaky()
    flaky("--llmeval-resume", "--llmeval-sandbox-limit=wall_s=9").assert_outcomes(passed=4, failed=2)
    assert flaky.asked == []
    reused = flaky.document("manifest.json")["reused"]["flaky"]
    assert reused == {"answers": 6, "judged_again": 6, "generated": 0}


def test_a_verdict_that_was_the_sandboxs_fault_is_sought_again(flaky):
    flaky()
    results = flaky.latest / "results.jsonl"
    told = results.read_text()  # in the order of judging
    results.write_text(told.replace('"outcome": "passed"', '"outcome": "sandbox_error"', 1))
    flaky("--llmeval-resume").assert_outcomes(passed=4, failed=2)
    assert flaky.document("manifest.json")["reused"]["flaky"]["judged_again"] == 1
    assert flaky.asked == []


def test_a_run_that_resumed_can_be_resumed_with_all_it_stood_on(flaky):
    flaky(dies_after=2)
    flaky("--llmeval-resume", dies_after=2).assert_outcomes(passed=4, errors=2)
    flaky("--llmeval-resume").assert_outcomes(passed=4, failed=2)
    assert [one.split("/")[1] for one in flaky.asked[1:]] == ["4:0", "5:0"]


def test_lines_that_a_kill_cut_short_are_not_there(flaky):
    flaky()
    for name in ("results.jsonl", "generations.jsonl"):  # judged in another order than answered, perhaps
        path = flaky.latest / name
        *others, last = sorted(path.read_bytes().splitlines(), key=lambda line: b"HumanEval/3" in line)
        path.write_bytes(b"\n".join([*others, last[:-30]]))
    flaky("--llmeval-resume").assert_outcomes(passed=4, failed=2)
    assert flaky.asked == ["loaded", "humaneval:HumanEval/3:0"]


def test_answers_that_nobody_judged_are_judged(flaky):
    flaky()
    (flaky.latest / "results.jsonl").write_bytes(b"")
    flaky("--llmeval-resume").assert_outcomes(passed=4, failed=2)
    assert flaky.asked == []


def test_last_failed_asks_nothing_again_but_what_is_missing(flaky):
    flaky("-p", "cacheprovider", dies_after=5).assert_outcomes(passed=4, failed=1, errors=1)
    flaky("-p", "cacheprovider", "--lf", "--llmeval-resume").assert_outcomes(failed=2)
    assert flaky.asked == ["loaded", "humaneval:HumanEval/5:0"]


def test_a_selection_takes_what_it_needs(flaky):
    flaky()
    path = f"reports/{flaky.latest.name}/"  # as a shell completes it
    flaky("-k", "HumanEval/1", f"--llmeval-resume={path}").assert_outcomes(passed=1, deselected=5)
    assert flaky.asked == []


@pytest.mark.parametrize("name", ["20010101_000000", "test_humaneval.py", "../elsewhere"])
def test_a_run_that_is_not_there_is_a_usage_error(flaky, name):
    result = flaky("--llmeval-resume", name)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--llmeval-resume {name}: *reports holds no such run. Name one of its*"])


def test_a_line_that_is_no_record_is_an_error_that_names_it(flaky):
    flaky()
    with (flaky.latest / "results.jsonl").open("a") as file:
        file.write("{}\n")
    result = flaky("--llmeval-resume")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*results.jsonl, line 7 is not a Record*"])
