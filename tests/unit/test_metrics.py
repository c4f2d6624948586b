"""Figures against values computed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_llmeval.metrics.intervals import wilson
from pytest_llmeval.metrics.summary import figures_by_set, figures_of, summarise
from pytest_llmeval.schema import (
    Completion,
    Outcome,
    PassRule,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Timing,
    Verdict,
)


def record(
    *outcomes: Outcome,
    tokens: int = 11,
    ttft_s: float = 0.5,
    decode_s: float = 2.0,
    program: Program | None = None,
) -> Record:
    timing = Timing(concurrency=4, ttft_s=ttft_s, decode_s=decode_s, e2e_s=ttft_s + decode_s)
    samples = tuple(
        Sample(i, Completion("", "stop", 5, tokens, timing=timing), program, Verdict(outcome))
        for i, outcome in enumerate(outcomes)
    )
    return Record("m", "humaneval", "t", Prompt(PromptStyle.COMPLETION, ""), samples)


def test_wilson_agrees_with_the_published_example():
    # Newcombe 1998, table I: 81 of 263 → 0.2553 to 0.3662; 0 of 20 → 0 to 0.1611.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) is None


def test_pass_at_1_is_the_mean_share_of_passing_samples():
    figures = figures_of([record(Outcome.PASSED, Outcome.PASSED), record(Outcome.PASSED, Outcome.TIMEOUT)])
    assert figures.pass_at_1 == pytest.approx(0.75)
    assert figures.outcomes == {"passed": 3, "timeout": 1}


def test_a_fault_is_counted_and_does_not_count_as_wrong():
    figures = figures_of([record(Outcome.PASSED), record(Outcome.SANDBOX_ERROR)])
    assert (figures.pass_at_1, figures.judged, figures.faults) == (1.0, 1, 1)


def test_tokens_that_were_counted_for_some_answers_only_are_no_batch_speed():
    """A server tells them with the last event of a stream, and not every stream is read to its end."""
    uncounted = record(Outcome.PASSED)
    [sample] = uncounted.samples
    uncounted = replace(
        uncounted,
        samples=(replace(sample, completion=replace(sample.completion, completion_tokens=None)),),
    )
    figures = summarise((), [record(Outcome.PASSED), uncounted], batch_s=4.0)
    assert (figures.output_tokens, figures.batch_tok_s) == (None, None)
    assert figures.in_batch.response_s == pytest.approx(2.5), "times are known all the same"


def test_speeds_are_per_request_and_per_batch():
    figures = summarise((), [record(Outcome.PASSED), record(Outcome.PASSED)], batch_s=4.0)
    assert figures.in_batch.response_s == pytest.approx(2.5)
    assert figures.in_batch.output_tok_s == pytest.approx(10 / 2.0)  # after the first token
    assert figures.batch_tok_s == pytest.approx(22 / 4.0)
    assert figures.in_batch.concurrency == 4
    assert figures.single_stream.response_s is None


def test_single_stream_figures_are_the_probes_alone():
    probe = [Completion("", timing=Timing(concurrency=1, e2e_s=e2e_s)) for e2e_s in (1.0, 3.0)]
    figures = summarise((), [record(Outcome.PASSED)], batch_s=4.0, probe=probe)
    assert (figures.single_stream.response_s, figures.single_stream.requests) == (2.0, 2)
    assert figures.single_stream.concurrency == 1


def test_one_token_has_no_speed_and_nothing_is_not_zero():
    assert summarise((), [record(Outcome.PASSED, tokens=1)]).in_batch.output_tok_s is None
    empty = summarise((), [])
    assert (figures_of([]).pass_at_1, empty.in_batch.response_s, empty.batch_tok_s) == (None, None, None)


def test_a_program_that_needed_a_repair_counts_as_failed_in_the_strict_figure():
    mended, clean = Program("", "rule", ("dedent",)), Program("", "rule")
    figures = figures_of([record(Outcome.PASSED, program=mended), record(Outcome.PASSED, program=clean)])
    assert (figures.pass_at_1, figures.pass_at_1_unrepaired) == (1.0, 0.5)


def test_problem_sets_are_never_pooled():
    easy = [replace(record(Outcome.PASSED), task_id=str(n)) for n in range(2)]
    hard = replace(record(Outcome.TIMEOUT), problem_set="mbpp")
    sets = figures_by_set([*easy, hard], {"mbpp": 3, "humaneval": 2})
    assert list(sets) == ["mbpp", "humaneval"], "in the order of the plan"
    assert {name: (one.pass_at_1, one.judged, one.selected) for name, one in sets.items()} == {
        "humaneval": (1.0, 2, 2),
        "mbpp": (0.0, 1, 3),
    }


def test_rates_are_shares_of_judged_samples():
    outcomes = (Outcome.NO_CODE, Outcome.TRUNCATED, Outcome.TRUNCATED, Outcome.PASSED, Outcome.SANDBOX_ERROR)
    figures = figures_of([record(*outcomes)])
    assert (figures.no_code, figures.truncated, figures.samples) == (0.25, 0.5, 4)
    assert figures.pass_at_1 == 0.25  # a sample that could not be judged is not wrong


@pytest.mark.parametrize(
    ("rule", "correct", "holds"),
    [("any", 0, False), ("any", 1, True), ("all", 3, False), ("all", 4, True), ("majority", 2, False)],
)
def test_an_item_passes_by_the_rule(rule, correct, holds):
    outcomes = [Outcome.PASSED] * correct + [Outcome.TIMEOUT] * (4 - correct)
    assert record(*outcomes).passes(PassRule(rule)) is holds
    assert figures_of([record(*outcomes)], rule=PassRule(rule)).solved == int(holds)


def test_no_rule_passes_an_item_without_a_judged_sample():
    assert not any(record(Outcome.SANDBOX_ERROR).passes(rule) for rule in PassRule)


def test_what_an_engine_answered_after_it_died_enters_no_figure_of_speed():
    disturbed = Completion(
        "", None, 5, 9, timing=Timing(1, ttft_s=60.0, decode_s=1.0, e2e_s=61.0, disturbed="why")
    )
    probe = [Completion("", timing=Timing(concurrency=1, e2e_s=2.0)), disturbed]
    whole = record(Outcome.PASSED)
    again = Record(
        "m", "humaneval", "u", whole.prompt, (Sample(0, disturbed, None, Verdict(Outcome.PASSED)),)
    )
    figures = summarise([figures_of([whole, again])], [whole, again], batch_s=80.0, probe=probe)
    assert figures.single_stream.response_s == 2.0
    assert figures.in_batch.response_s == pytest.approx(2.5)
    assert figures.batch_tok_s is None, "the batch's wall time holds the restart"
    assert figures.disturbed
    assert figures.solved == 2


def test_reused_samples_enter_no_figure_of_speed():
    fresh = record(Outcome.PASSED)
    old = replace(record(Outcome.PASSED, decode_s=50.0).samples[0], index=1, reused_from="20260101_000000")
    figures = summarise((), [replace(fresh, samples=(*fresh.samples, old))], batch_s=1.0)
    assert figures.in_batch.response_s == pytest.approx(2.5)
    assert (figures.batch_tok_s, figures.output_tokens) == (11.0, 11)
