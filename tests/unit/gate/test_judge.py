"""Which model is held against what, and what every rule concludes; figures are made up, nothing runs."""

from __future__ import annotations

import random

import pytest

from pytest_llmeval.gate.baseline import Baseline
from pytest_llmeval.gate.figures import ModelFigures, RunFigures, Tally, Task
from pytest_llmeval.gate.findings import Conclusion
from pytest_llmeval.gate.judge import Gate, Scope, failing, what_changed
from pytest_llmeval.gate.rules import Policy

TIMES = [2.0, 2.02, 1.98, 2.01, 1.99]


def figures(solved: int = 150, n: int = 1, problem_set: str = "humaneval", **more) -> ModelFigures:
    tallies = {
        Task(problem_set, f"T/{i}"): Tally(n, n * (i < solved), tokens=50.0 + i % 7) for i in range(164)
    }
    return ModelFigures(tallies=tallies, selected=164, **{"conditions": {"device": "H100"}, **more})


def verdict(now: ModelFigures, *before: ModelFigures, rules: dict | None = None, **scope):
    runs = [RunFigures(f"run {i}", "", {"m": one}) for i, one in enumerate(before)]
    gate = Gate(Policy.model_validate(rules or {}), Baseline("b.json", runs) if runs else None)
    found = gate.judge(RunFigures("now", "", {"m": now}), Scope(("m",), {"m": now.tallies}, **scope))
    return {finding.rule: finding for finding in found}


def timed(seconds: float, **more) -> ModelFigures:
    return figures(measures={"response_time": seconds}, **more)


# ----------------------------------------------------------------------------------------------------- speed


def test_a_speed_within_what_runs_vary_by_is_unchanged():
    finding = verdict(timed(2.03), *map(timed, TIMES))["response_time"]
    assert finding.conclusion is Conclusion.UNCHANGED
    assert "2 s → 2.03 s (+1.5 %), runs vary by 0.8 % (5 runs)" in finding.says


def test_speeds_of_a_gpus_batch_are_written_in_digits():
    fast = [figures(measures={"batch_speed": 23_456.7 + n}) for n in range(5)]
    finding = verdict(figures(measures={"batch_speed": 999.94}), *fast, rules={"batch_speed": {"min": 500}})
    assert "wall time 23459 tok/s → 999.9 tok/s (-95.7 %)" in finding["batch_speed"].says
    broken = verdict(figures(measures={"batch_speed": 11_999.6}), rules={"batch_speed": {"min": 20_000}})
    assert broken["batch_speed"].says.endswith("is 12000 tok/s, below its limit of 20000 tok/s")


def test_a_slowdown_beyond_noise_and_threshold_is_a_regression():
    assert verdict(timed(2.4), *map(timed, TIMES))["response_time"].conclusion is Conclusion.REGRESSED
    assert verdict(timed(1.6), *map(timed, TIMES))["response_time"].conclusion is Conclusion.IMPROVED


def test_a_slowdown_beyond_noise_but_below_the_threshold_does_not_fail():
    tight = [2.0, 2.001, 1.999, 2.0005, 1.9995]
    finding = verdict(timed(2.06), *map(timed, tight))["response_time"]  # 3 %, dozens of standard errors
    assert finding.figures["p_worse_adjusted"] < 1e-3
    assert finding.conclusion is Conclusion.UNCHANGED


def test_a_slowdown_that_runs_as_noisy_could_show_is_inconclusive_and_says_how_many_runs_would_decide():
    noisy = [2.0, 2.1, 1.9, 2.05, 1.95]
    finding = verdict(timed(2.35), *map(timed, noisy))["response_time"]
    assert finding.conclusion is Conclusion.INCONCLUSIVE
    assert "about 2 more calibration runs (now 5) would decide" in finding.says
    hopeless = verdict(timed(2.08), *map(timed, noisy))["response_time"]
    assert "no number of calibration runs would decide" in hopeless.says


def test_fewer_than_five_runs_are_inconclusive_unless_a_limit_holds():
    few = verdict(timed(9.0), *map(timed, TIMES[:3]))["response_time"]
    assert few.conclusion is Conclusion.INCONCLUSIVE
    assert few.says.endswith("2 more calibration runs of the baseline would tell what is noise")
    limit = {"response_time": {"max": 10.0}}
    held = verdict(timed(9.0), *map(timed, TIMES[:3]), rules=limit)["response_time"]
    assert (held.conclusion, held.says.rpartition(" is ")[2]) == (
        Conclusion.UNCHANGED,
        "9 s, within its limit of 10 s",
    )
    broken = verdict(timed(11.0), rules=limit)["response_time"]
    assert broken.conclusion is Conclusion.REGRESSED


def test_speeds_under_other_conditions_are_not_comparable_and_say_why():
    finding = verdict(timed(9.0, conditions={"device": "H200"}), *map(timed, TIMES))["response_time"]
    assert finding.conclusion is Conclusion.NOT_COMPARABLE
    assert finding.says.endswith("device: H100 → H200")


def test_a_model_that_was_only_measured_has_no_answers_to_miss():
    planned = {"m": ()}
    gate = Gate(Policy(), Baseline("b.json", [RunFigures("run", "", {"m": figures()})]))
    run = RunFigures("now", "", {"m": ModelFigures({}, 0)})
    found = gate.judge(run, Scope(("m",), planned))
    assert [(one.rule, one.conclusion, one.says) for one in found] == [
        ("accuracy", Conclusion.NOT_JUDGED, "asked no problem, only measured")
    ]


def test_what_was_not_measured_is_not_judged():
    assert verdict(timed(2.0), *map(timed, TIMES))["energy"].conclusion is Conclusion.NOT_JUDGED
    assert (
        "not measured in the baseline"
        in verdict(figures(measures={"energy": 1.0}), *map(timed, TIMES))["energy"].says
    )


# -------------------------------------------------------------------------------------------------- answers


def test_lengths_regress_by_more_than_the_threshold_only():
    def long(factor: float) -> ModelFigures:
        rng = random.Random(1)
        tallies = {
            Task("s", f"T/{i}"): Tally(1, 1, tokens=100 * factor * rng.uniform(0.9, 1.1)) for i in range(100)
        }
        return ModelFigures(tallies, 100)

    assert verdict(long(1.3), long(1.0))["output_length"].conclusion is Conclusion.REGRESSED
    assert verdict(long(1.05), long(1.0))["output_length"].conclusion is Conclusion.UNCHANGED
    assert verdict(long(0.7), long(1.0))["output_length"].conclusion is Conclusion.IMPROVED


def test_a_limit_of_lengths_holds_without_anything_to_compare_with():
    """`output_length.max` switched the gate on, and then nothing was judged: the gate passed."""
    found = verdict(figures(), rules={"output_length": {"max": 40}})["output_length"]
    assert found.conclusion is Conclusion.REGRESSED
    assert found.says == "output tokens per answer is 52.96 tokens, above its limit of 40 tokens"
    held = verdict(figures(), rules={"output_length": {"max": 60}})["output_length"]
    assert held.conclusion is Conclusion.UNCHANGED


def test_more_answers_without_code_are_a_regression():
    def silent(share: int) -> ModelFigures:
        tallies = {Task("s", f"T/{i}"): Tally(1, 0, no_code=int(i < share)) for i in range(164)}
        return ModelFigures(tallies, 164)

    found = verdict(silent(20), silent(2))
    assert found["no_code"].conclusion is Conclusion.REGRESSED
    assert found["no_code"].says.startswith("answers without code 1.2 % → 12.2 % (+11.0 points")
    assert found["no_code"].details[0].startswith("more often: T/2, T/3")


def test_several_samples_are_compared_within_problems():
    before = figures(150, n=10)
    worse = {task: tally._replace(passed=max(0, tally.passed - 1)) for task, tally in before.tallies.items()}
    found = verdict(ModelFigures(worse, 164), before)["accuracy"]
    assert found.conclusion is Conclusion.REGRESSED
    assert "T/0 (10/10 → 9/10)" in found.details[0]
    assert found.details[0].endswith("and 130 more")


@pytest.mark.parametrize("confidence", [0.95, 0.999999])
def test_lengths_of_two_problems_that_changed_wildly_have_a_bound_that_can_be_read(confidence):
    def lengths(*tokens: float) -> ModelFigures:
        return ModelFigures({Task("s", f"T/{i}"): Tally(1, 1, tokens=n) for i, n in enumerate(tokens)}, 2)

    found = verdict(lengths(1, 1000), lengths(1000, 1), rules={"confidence": confidence})["output_length"]
    assert found.says.startswith(
        "output tokens per answer +0.0 % on 2 problems (between -100.0 and more than +9900 %)"
    )


def test_a_few_problems_are_told_how_many_would_decide():
    """That nothing changed on them is far from any margin, and so many more of the like would show it."""

    def alike(problems: int, n: int = 1):
        tallies = {Task("s", f"T/{i}"): Tally(n, n, tokens=50) for i in range(problems)}
        return verdict(*[ModelFigures(tallies, problems)] * 2)["accuracy"]

    assert alike(20).says.endswith(
        "; about 6 samples a problem (now 1) in both runs, or 88 problems (now 20), would decide"
    )
    assert "or 88 problems (now 3), would decide" in alike(3).says
    for undecided, decided in ((alike(87), alike(88)), (alike(20, 5), alike(20, 6))):
        assert undecided.conclusion is Conclusion.INCONCLUSIVE
        assert decided.conclusion is Conclusion.UNCHANGED


def test_a_proven_loss_counts_unless_it_is_below_the_threshold_asked_for():
    def slightly(passed: int) -> ModelFigures:
        return ModelFigures({Task("s", f"T/{i}"): Tally(100, passed) for i in range(100)}, 100)

    assert verdict(slightly(78), slightly(80))["accuracy"].conclusion is Conclusion.REGRESSED
    rules = {"accuracy": {"threshold": 2.5}}
    assert verdict(slightly(78), slightly(80), rules=rules)["accuracy"].conclusion is Conclusion.UNCHANGED


def test_a_loss_of_exactly_the_threshold_counts():
    before = {Task("s", f"T/{i}"): Tally(10, 10) for i in range(20)}
    after = {task: tally._replace(passed=9) for task, tally in before.items()}
    rules = {"accuracy": {"threshold": 10}}
    found = verdict(ModelFigures(after, 20), ModelFigures(before, 20), rules=rules)["accuracy"]
    assert found.says.startswith("pass@1 100.0 % → 90.0 % (-10.0 points")
    assert found.conclusion is Conclusion.REGRESSED


def test_a_share_of_exactly_the_floor_holds_it():
    tenth = ModelFigures({Task("s", f"T/{i}"): Tally(10, 1) for i in range(20)}, 20)
    found = verdict(tenth, rules={"floors": ["pass@1 >= 0.1"]})["pass@1>=0.1"]
    assert found.says == "pass@1 is 10.0 % on 20 problems, at or above its floor of 10 %"


def test_a_floor_that_is_given_twice_is_one_finding():
    gate = Gate(Policy.model_validate({"floors": ["pass@1 >= 0.8", "pass@1>=0.80", "pass@5 >= 0.8"]}))
    found = gate.judge(RunFigures("now", "", {"m": figures()}), Scope(("m",), {"m": figures().tallies}))
    assert [one.rule for one in found] == ["pass@1>=0.8", "pass@5>=0.8", "faults"]


def test_each_problem_set_of_a_model_is_judged_by_itself():
    def both(solved: int) -> ModelFigures:
        tallies = {**figures(150).tallies, **figures(solved, problem_set="mbpp").tallies}
        return ModelFigures(tallies, 328)

    found = verdict(both(100), both(150))
    assert found["accuracy[humaneval]"].conclusion is Conclusion.UNCHANGED
    assert found["accuracy[mbpp]"].conclusion is Conclusion.REGRESSED
    left_out = verdict(figures(150), both(150))
    assert left_out["accuracy[mbpp]"].says == "deselected: no item of mbpp ran"


def test_floors_name_what_is_missing_to_judge_them():
    rules = {"floors": ["pass@1 >= 0.9", "pass@10 >= 0.5"]}
    found = verdict(figures(140), rules=rules)
    assert found["pass@1>=0.9"].conclusion is Conclusion.REGRESSED
    assert found["pass@10>=0.5"].says == "pass@10 needs 10 samples a problem; one has 1"


def test_faults_may_be_tolerated_to_a_share():
    some = figures(150, faults=4)
    assert verdict(some)["faults"].conclusion is Conclusion.REGRESSED
    assert verdict(some, rules={"faults": {"max": 3}})["faults"].conclusion is Conclusion.UNCHANGED


# ------------------------------------------------------------------------------------------------- one family


def test_what_is_significant_alone_is_not_among_many():
    """Five lost, none won: p = 1/32 alone. Beside three more tests accuracy is left with half of α: 1/40."""
    alone = {"no_code": False, "truncated": False, "output_length": False}
    assert verdict(figures(145), figures(150), rules=alone)["accuracy"].conclusion is Conclusion.REGRESSED
    assert verdict(figures(145), figures(150))["accuracy"].conclusion is Conclusion.INCONCLUSIVE


def test_a_biased_selection_silences_every_rule_on_answers():
    found = verdict(figures(100), figures(150), biased="--lf", rules={"floors": ["pass@1 >= 0.9"]})
    silent = {rule for rule, finding in found.items() if finding.says == "--lf"}
    assert silent == {"accuracy", "no_code", "truncated", "output_length", "pass@1>=0.9"}
    assert not failing(found.values(), Policy())


def test_what_changed_is_listed_by_key():
    gate = Gate(
        Policy(), Baseline("b", [RunFigures("", "", {"m": figures(settings={"version.vllm": "0.31"})})])
    )
    now = RunFigures("", "", {"m": figures(settings={"version.vllm": "0.32", "engine.dtype": "fp8"})})
    assert what_changed(gate, now) == {"m": ["version.vllm: 0.31 → 0.32", "engine.dtype: none → fp8"]}


def test_of_a_model_that_was_not_loaded_no_choice_of_its_engine_changed():
    """A resumed run that asks nothing anew loads nothing."""
    loaded = figures(settings={"version.vllm": "0.31", "engine chose.dtype": "bfloat16"})
    resumed = figures(settings={"version.vllm": "0.32"})
    for before, now in ((loaded, resumed), (resumed, loaded)):
        gate = Gate(Policy(), Baseline("b", [RunFigures("", "", {"m": before})]))
        [told] = what_changed(gate, RunFigures("", "", {"m": now}))["m"]
        assert told.startswith("version.vllm: ")
    other = figures(settings={"version.vllm": "0.31", "engine chose.dtype": "float16"})
    gate = Gate(Policy(), Baseline("b", [RunFigures("", "", {"m": loaded})]))
    assert what_changed(gate, RunFigures("", "", {"m": other})) == {
        "m": ["engine chose.dtype: bfloat16 → float16"]
    }


def test_an_entry_held_against_another_uses_its_calibration_runs():
    policy = Policy.model_validate({"compare": {"awq": "m"}})
    baseline = Baseline("b", [RunFigures("", "", {"m": timed(seconds)}) for seconds in TIMES])
    run = RunFigures("", "", {"m": timed(2.0), "awq": timed(2.5)})
    scope = Scope(("m", "awq"), {name: model.tallies for name, model in run.models.items()})
    found = {f.id: f.conclusion for f in Gate(policy, baseline).judge(run, scope)}
    assert found["gate::awq::response_time"] is Conclusion.REGRESSED
    assert found["gate::awq::accuracy"] is Conclusion.UNCHANGED


@pytest.mark.parametrize(("choice", "count"), [("warn", 0), ("pass", 0), ("fail", 1)])
def test_what_inconclusive_does_is_the_users_choice(choice, count):
    found = verdict(figures(148), figures(150), rules={"no_code": False, "truncated": False})
    assert found["accuracy"].conclusion is Conclusion.INCONCLUSIVE
    assert len(failing(found.values(), Policy(inconclusive=choice))) == count


def test_only_wrong_answers_that_a_finding_covers_are_left_to_it():
    known, new = Task("humaneval", "T/0"), Task("mbpp", "M/0")
    baseline = Baseline("b", [RunFigures("", "", {"m": figures()})])
    planned = {"m": {known, new}, "awq": {known}}
    scope = Scope(("m", "awq"), planned)
    gate = Gate(Policy.model_validate({"compare": {"awq": "m"}}), baseline)
    assert gate.judges("m", known, scope)
    assert not gate.judges("m", new, scope)  # nothing to compare it with
    assert gate.judges("awq", known, scope)
    assert not gate.judges("m", known, Scope((), planned, biased="--lf"))
    for entry in ("gate::m::accuracy", "gate::m::accuracy[humaneval]"):
        assert not gate.judges("m", known, Scope((), planned, deselected=frozenset({entry})))
    floors = Gate(Policy.model_validate({"floors": ["pass@1 >= 0.5"]}), baseline)
    assert floors.judges("m", new, scope)


def test_changed_prompts_are_named_among_what_changed():
    def asked(prompt: str) -> ModelFigures:
        return ModelFigures({Task("s", "T/0"): Tally(1, 1, prompt=prompt)}, 1)

    gate = Gate(Policy(), Baseline("b", [RunFigures("", "", {"m": asked("a")})]))
    assert what_changed(gate, RunFigures("", "", {"m": asked("b")})) == {"m": ["the prompts of 1 problem"]}
