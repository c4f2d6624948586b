"""Answers to the windows of one prompt become one answer, by a rule that sees programs only."""

from __future__ import annotations

from pytest_llmeval.prompting.windows import Windows, choose, settle
from pytest_llmeval.schema import Completion, Cut, Program, Strategy, Timing


def program(source):
    return Program(source, "fence")


def answer(text, index, tokens=10, e2e_s=1.0):
    cut = Cut(Strategy.SLIDING_WINDOW, 500, 100, ((index, index + 1),), window=index, windows=3)
    return Completion(
        text,
        "stop",
        100,
        tokens,
        0,
        cut,
        Timing(concurrency=2 + index, ttft_s=0.1, decode_s=0.5, e2e_s=e2e_s),
    )


def whole(*answers):
    windows = Windows(len(answers))
    *early, last = [windows.add(i, one) for i, one in reversed(list(enumerate(answers)))]
    assert early == [None] * len(early)
    return last


def test_the_program_of_most_windows_counts_and_of_equals_the_earliest():
    one, two = program("def f(): return 1\n"), program("def f(): return 2")
    assert choose([None, one, two, program("def f(): return 2\n")]) == 2
    assert choose([None, one, two]) == 1
    assert choose([None, None]) is None
    assert choose([]) is None


def test_a_single_window_is_the_answer_itself():
    assert whole(answer("x", 0)) == answer("x", 0)
    assert settle(answer("x", 0), lambda _: None) == answer("x", 0)


def test_the_answer_that_counts_carries_the_tokens_of_all_and_the_time_of_the_longest():
    answers = (answer("a", 0, tokens=5, e2e_s=3.0), answer("b", 1), answer("b", 2))
    chosen = settle(whole(*answers), lambda one: program(one.text))
    assert (chosen.text, chosen.cut.window, chosen.windows) == ("b", 1, answers)
    assert (chosen.prompt_tokens, chosen.completion_tokens, chosen.cached_tokens) == (300, 25, 0)
    assert chosen.timing == Timing(concurrency=4, e2e_s=3.0)


def test_without_any_program_the_first_window_stands_for_all():
    assert settle(whole(answer("a", 0), answer("b", 1)), lambda _: None).text == "a"


def test_what_was_not_measured_for_one_window_is_not_known_for_all():
    untold = Completion("b", "stop", None, 3, None, None, None)
    joined = whole(answer("a", 0), untold)
    assert (joined.prompt_tokens, joined.completion_tokens, joined.timing) == (None, 13, None)
