"""An item's story: what was sent, what came back, how it was judged."""

from __future__ import annotations

from dataclasses import replace

from pytest_llmeval.report.items import SHOWN_CHARS, item_html
from pytest_llmeval.schema import (
    Completion,
    Cut,
    Outcome,
    PassRule,
    Program,
    Prompt,
    PromptStyle,
    Record,
    Sample,
    Strategy,
    Timing,
    Verdict,
)


def record(text: str = "return 1", cut: Cut | None = None, n: int = 1) -> Record:
    completion = Completion(text, "stop", 9, 3, cut=cut)
    program = Program("def f():\n    return 1\n", "fence", ("dedent",))
    wrong = Verdict(Outcome.WRONG_ANSWER, "assert f(1) == 2: got 1", "said <b>", 0.01)
    samples = [Sample(i, completion, program, wrong) for i in range(n)]
    return Record("m", "set", "t/0", Prompt(PromptStyle.CHAT, "0123456789", "be brief"), tuple(samples))


def story(made: Record) -> str:
    return item_html(made, PassRule.ANY, "predictions/x.json")


def test_it_holds_the_failing_assertion_the_answer_the_program_and_what_it_printed():
    told = story(record())
    for part in ("assert f(1) == 2: got 1", "return 1", "repaired: dedent", "said &lt;b&gt;", "be brief"):
        assert part in told
    assert "<span class=k>def</span>" in told
    assert "times not measured" in told


def test_times_say_how_many_requests_were_under_way():
    def timed(concurrency: int) -> str:
        made = record()
        completion = replace(made.samples[0].completion, timing=Timing(concurrency, e2e_s=1.0))
        return story(replace(made, samples=(replace(made.samples[0], completion=completion),)))

    assert "in all 1.000 s alone;" in timed(1)
    assert "in all 1.000 s with 4 requests together;" in timed(4)


def test_of_a_cut_prompt_it_shows_what_was_sent_and_how_much_was_not():
    told = story(record(cut=Cut(Strategy.HEAD_TAIL, 10, 6, ((0, 4), (8, 10)))))
    assert "<pre>0123<mark>[4 characters were not sent]</mark>89</pre>" in told
    assert "head_tail: 10 → 6 tokens of the text" in told


def test_of_a_very_long_answer_it_shows_both_ends():
    told = story(record("a" * SHOWN_CHARS + "b" * SHOWN_CHARS))
    assert f"[{SHOWN_CHARS} characters are in the prediction file only]" in told
    assert len(told) < 2 * SHOWN_CHARS


def test_where_there_is_no_prediction_file_it_names_the_file_that_has_all():
    told = item_html(record("a" * 3 * SHOWN_CHARS, n=30), PassRule.ANY, "")
    assert f"[{2 * SHOWN_CHARS} characters are in results.jsonl only]" in told
    assert "10 more samples are in results.jsonl" in told
    assert "prediction file" not in told


def test_failures_come_first_and_of_very_many_samples_the_rest_is_counted():
    many = record(n=150)
    right = replace(many.samples[0], verdict=Verdict(Outcome.PASSED))
    told = story(replace(many, samples=(right, *many.samples[1:])))
    assert "130 more samples are in the prediction file" in told
    assert told.index("Sample 1: wrong_answer") < told.index("Sample 0: passed")


def test_a_reused_sample_says_so():
    reused = replace(record().samples[0], reused_from="20260101_000000")
    assert "generated in run 20260101_000000" in story(replace(record(), samples=(reused,)))
