"""Several answers to a problem: where the sampling comes from, what passes, what is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CHANCE = '''
from dataclasses import replace
from pytest_llmeval.testing import FakeEngine

class Chance(FakeEngine):
    """Right in every answer whose index is below `right`; remembers how it was asked."""

    def submit(self, request):
        with open("asked", "a") as file:
            s = request.sampling
            print(request.task_id, request.sample_index, s.n, s.temperature, s.top_p, s.max_tokens, s.stop, file=file)
        return super().submit(request)

    def _completion(self, request):
        answer = super()._completion(request)
        right = request.sample_index < self._settings.get("right", 99)
        return answer if right else replace(answer, text="    return None\\n")
'''
REGISTRY = """
[models.chance]
model = "fake"
kind = "chance:Chance"
engine = { right = 2 }
sampling = { n = 3, temperature = 0.5, top_p = 0.9, stop = ["x"] }
"""
SUITE = """
import pytest

@pytest.mark.problems("humaneval", n=5, temperature=0.8, stop=("y",))
def test_functional_correctness(record, benchmark):
    record.report_timing(benchmark)
    assert record.passed, record.explain()
"""


@pytest.fixture
def ask(project, pytester):
    """Runs the model `chance` on the first problem."""
    pytester.makepyfile(chance=CHANCE)
    pytester.syspathinsert()

    def run(*arguments: str):
        common = ("--llmeval-limit=1", "--llmeval-models=chance", "--llmeval-probe=off")
        return project(*common, *arguments, registry=REGISTRY)

    return run


def asked() -> list[str]:
    lines = Path("asked").read_text().splitlines()
    Path("asked").unlink()
    return [line.partition(" ")[2] for line in lines]


def figures() -> dict:
    summary = json.loads(Path("reports/latest/summary.json").read_text())
    return summary["models"]["chance"]["problem_sets"]["humaneval"]


def test_the_command_line_wins_over_the_suite_and_the_suite_over_the_registry(ask, pytester):
    ask().assert_outcomes(passed=1)
    assert asked() == [f"{i} 3 0.5 0.9 1024 ('x',)" for i in range(3)]
    pytester.makepyfile(test_humaneval=SUITE)
    ask().assert_outcomes(passed=1)
    assert asked() == [f"{i} 5 0.8 0.9 1024 ('y',)" for i in range(5)]
    ask("--llmeval-n=2", "--llmeval-sampling=temperature = 1", "--llmeval-sampling=max_tokens=7")
    assert asked() == [f"{i} 2 1 0.9 7 ('y',)" for i in range(2)]
    manifest = json.loads(Path("reports/latest/manifest.json").read_text())
    [row] = manifest["asked"]["chance"]
    assert (row["problem_set"], row["problems"], row["sampling"]["max_tokens"]) == ("humaneval", 1, 7)


@pytest.mark.parametrize(
    ("rule", "n", "passes"),
    [("any", 5, True), ("all", 2, True), ("all", 3, False), ("majority", 3, True), ("majority", 4, False)],
)
def test_an_item_passes_by_the_rule(ask, rule, n, passes):
    result = ask(f"--llmeval-pass={rule}", f"--llmeval-n={n}")
    result.assert_outcomes(passed=int(passes), failed=int(not passes))
    manifest = json.loads(Path("reports/latest/manifest.json").read_text())
    assert manifest["item_passes"] == rule
    assert figures()["solved"] == int(passes)
    result.stdout.fnmatch_lines([f"an item passes when *(--llmeval-pass {rule})*"])
    if not passes:
        needed = {"all": "all are", "majority": "more than half are"}[rule]
        line = f"*2 of {n} samples passed ({needed} needed); first failure: wrong_answer: *"
        result.stdout.fnmatch_lines([line])


def test_pass_at_k_is_reported_as_far_as_the_samples_go(ask):
    result = ask("--llmeval-n=10")
    found = figures()
    assert found["pass_at_1"] == pytest.approx(0.2)
    assert {k: round(e["value"], 6) for k, e in found["pass_at_k"].items()} == {
        "1": 0.2,
        "5": round(1 - 56 / 252, 6),
        "10": 1.0,
    }
    result.stdout.fnmatch_lines(["model *pass@5 (95 %)*", "chance * 77.8 % (*", "model *pass@10 (95 %)*"])


def test_pytest_benchmark_gets_a_round_per_sample(ask):
    ask("--llmeval-n=4", "--benchmark-json=b.json")
    [benchmark] = json.loads(Path("b.json").read_text())["benchmarks"]
    assert benchmark["stats"]["rounds"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--llmeval-n=0"], "*n: input should be greater than or equal to 1 (got 0)*"),
        (["--llmeval-sampling=temprature=1"], "*temprature: unknown key; did you mean 'temperature'[?]*"),
        (["--llmeval-sampling=temperature=-1", "--llmeval-sampling=top_p=2"], "*temperature: *; top_p: *"),
        (["--llmeval-sampling=temperature=inf"], "*temperature: *finite*"),
        (["--llmeval-sampling=temperature"], "*must be KEY=VALUE as in models.toml*"),
        (["--llmeval-samples=x.jsonl", "--llmeval-n=2"], "*leave out --llmeval-n*"),
    ],
)
def test_an_option_that_makes_no_sense_is_a_usage_error(ask, arguments, message):
    result = ask(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_marker_that_makes_no_sense_is_an_error_that_names_the_test(ask, pytester):
    pytester.makepyfile(test_humaneval=SUITE.replace("n=5", "n_samples=5"))
    result = ask()
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["*test_functional_correctness, @pytest.mark.problems: n_samples: unknown key*"]
    )


def test_two_suites_that_draw_differently_are_refused_and_named(ask, pytester):
    pytester.makepyfile(test_sampled=SUITE)
    result = ask()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*test_humaneval.py::*(n=3, temperature=0.5, stop=*) and test_sampled.py::*(n=5, temperature=0.8,*"]
    )
    ask("test_sampled.py").assert_outcomes(passed=1)
    ask("--llmeval-n=2", "--llmeval-sampling=temperature=1", "--llmeval-sampling=stop=[]").assert_outcomes(
        passed=2
    )


def test_several_greedy_answers_are_pointed_out(ask):
    ask("--llmeval-sampling=temperature=0").stdout.fnmatch_lines(["*n > 1 at temperature 0 *: chance"])


def test_exact_match_is_told_in_the_prediction(ask, records):
    ask("--llmeval-n=3")
    assert [sample.exact_match for sample in records()[0].samples] == [True, True, False]
    assert figures()["exact_match"] == pytest.approx(2 / 3)
