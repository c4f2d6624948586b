"""Truncation over random texts, budgets and tokenizers: what is promised holds for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pytest_llmeval.prompting.rulers import Tokenizer
from pytest_llmeval.prompting.truncation import (
    MARKER,
    PromptTooLongError,
    Truncation,
    truncate,
    windows,
)
from pytest_llmeval.schema import Span, Strategy

CORPUS = [
    "def has_close_elements(numbers: List[float], threshold: float) -> bool:\n    return False\n" * 4,
    "for index, element in enumerate(numbers):\n        if element > threshold:\n            return True\n",
    "The quick brown fox jumps over the lazy dog. Le renard brun saute, été, naïve, Zürich. 你好世界 🙂\n"
    * 3,
]


class Characters:
    """One character is one token."""

    def count(self, text: str) -> int:
        return len(text)

    def offsets(self, text: str) -> Sequence[Span] | None:
        return [(i, i + 1) for i in range(len(text))]


class Words:
    """A token is a word or a run of white space."""

    def count(self, text: str) -> int:
        return len(re.findall(r"\s+|\S+", text))

    def offsets(self, text: str) -> Sequence[Span] | None:
        return [match.span() for match in re.finditer(r"\s+|\S+", text)]


class BlindWords(Words):
    """The same, but only able to count, as a server is."""

    def offsets(self, text: str) -> Sequence[Span] | None:
        return None


class Merging:
    """Like SentencePiece: pairs of characters merge, so tokens change on both sides of a cut."""

    def _pieces(self, text: str) -> list[Span]:
        spans, position = [], 0
        while position < len(text):
            width = 3 if text[position] == " " else 2 if text[position : position + 2].isalpha() else 1
            spans.append((position, min(len(text), position + width)))
            position += width
        return spans

    def count(self, text: str) -> int:
        return len(self._pieces(text)) + (1 if text[:1].isalpha() else 0)  # a leading "▁" of its own

    def offsets(self, text: str) -> Sequence[Span] | None:
        return self._pieces(text)


class Trained:
    """A byte-level BPE of the tokenizers library, trained here: multi-byte characters split over tokens."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer as Fast
        from tokenizers import decoders, models, pre_tokenizers, trainers

        self._fast = Fast(models.BPE())
        self._fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self._fast.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
        self._fast.train_from_iterator(CORPUS, trainer)

    def count(self, text: str) -> int:
        return len(self._fast.encode(text, add_special_tokens=False).ids)

    def offsets(self, text: str) -> Sequence[Span] | None:
        return list(self._fast.encode(text, add_special_tokens=False).offsets)


class Metaspace(Trained):
    """A Unigram model with "▁" for spaces, as in SentencePiece: a cut changes the pieces around it."""

    def __init__(self) -> None:
        from tokenizers import Tokenizer as Fast
        from tokenizers import models, pre_tokenizers, trainers

        self._fast = Fast(models.Unigram())
        self._fast.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=200, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
        )
        self._fast.train_from_iterator(CORPUS, trainer)


class BlindTrained(Trained):
    def offsets(self, text: str) -> Sequence[Span] | None:
        return None


TOKENIZERS: dict[str, Tokenizer] = {
    "characters": Characters(),
    "words": Words(),
    "blind words": BlindWords(),
    "merging": Merging(),
    "byte-level BPE": Trained(),
    "byte-level BPE, blind": BlindTrained(),
    "unigram": Metaspace(),
}
ONE_PROMPT = [Strategy.HEAD_TAIL, Strategy.HEAD, Strategy.TAIL, Strategy.MIDDLE_LINES]

texts = st.one_of(
    st.text(max_size=600),
    st.text(alphabet="ab \n\té你🙂\u0301\u200d", max_size=600),
    st.lists(
        st.sampled_from(["def f(x):\n", "    return x\n", "word ", "naïve ", "你好", "🙂", "\n"]),
        max_size=200,
    ).map("".join),
)
modest = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def texts_with_spans(draw: st.DrawFn) -> tuple[str, list[Span]]:
    text = draw(texts)
    edges = draw(st.lists(st.integers(0, len(text)), max_size=6))
    return text, [(min(pair), max(pair)) for pair in zip(edges[::2], edges[1::2], strict=False)]


def truncated(
    text: str, tokenizer: Tokenizer, budget: int, strategy: Strategy, protected: list[Span]
) -> Truncation | PromptTooLongError:
    try:
        return truncate(text, tokenizer, budget, strategy=strategy, protected=protected)
    except PromptTooLongError as error:
        return error


def assert_made_of_substrings(result: Truncation, text: str) -> None:
    """The result is the kept substrings in their order, with a marker wherever something is missing."""
    expected, position = "", 0
    for start, end in result.kept:
        expected += (MARKER if start > position else "") + text[start:end]
        position = end
    assert result.text == expected + (MARKER if position < len(text) else "")


@pytest.mark.parametrize("name", TOKENIZERS)
@modest
@given(case=texts_with_spans(), budget=st.integers(1, 400), strategy=st.sampled_from(ONE_PROMPT))
def test_a_result_fits_and_keeps_what_is_protected(
    name: str, case: tuple[str, list[Span]], budget: int, strategy: Strategy
) -> None:
    (text, protected), tokenizer = case, TOKENIZERS[name]
    result = truncated(text, tokenizer, budget, strategy, protected)
    if isinstance(result, PromptTooLongError):
        assert result.needed_tokens > result.budget_tokens == budget
        return
    assert tokenizer.count(result.text) == result.tokens_after <= budget
    assert result.tokens_before == tokenizer.count(text)
    assert_made_of_substrings(result, text)
    for start, end in protected:
        assert start == end or any(first <= start and end <= last for first, last in result.kept)


@pytest.mark.parametrize("name", TOKENIZERS)
@modest
@given(text=texts, budget=st.integers(30, 400))
def test_windows_fit_and_together_hold_the_whole_text(name: str, text: str, budget: int) -> None:
    tokenizer = TOKENIZERS[name]
    try:
        found = list(windows(text, tokenizer, budget))
    except PromptTooLongError:
        assume(False)
    assert all(tokenizer.count(window.text) <= budget for window in found)
    reached = 0
    for window in found:
        assert_made_of_substrings(window, text)
        for start, end in window.kept:
            assert start <= reached
            reached = max(reached, end)
    assert reached == len(text)


@modest
@given(case=texts_with_spans())
def test_a_text_that_fits_is_left_alone(case: tuple[str, list[Span]]) -> None:
    text, protected = case
    result = truncate(text, Words(), Words().count(text), protected=protected)
    assert result.text == text
    assert result.cut == ()
    assert result.tokens_before == result.tokens_after


@modest
@given(case=texts_with_spans(), budget=st.integers(50, 300))
def test_kept_and_cut_spans_are_a_partition_of_the_text(case: tuple[str, list[Span]], budget: int) -> None:
    text, protected = case
    try:
        result = truncate(text, Characters(), budget, protected=protected)
    except PromptTooLongError:
        assume(False)
    spans = sorted((*result.kept, *result.cut))
    assert "".join(text[start:end] for start, end in spans) == text


LINES = "".join(f"line {i} says something\n" for i in range(200))


@pytest.mark.parametrize("tokenizer", [Words(), BlindWords()], ids=["offsets", "counting"])
def test_head_tail_keeps_four_fifths_of_the_budget_at_the_head(tokenizer: Tokenizer) -> None:
    result = truncate(LINES, tokenizer, 500)
    (head_start, head_end), (tail_start, tail_end) = result.kept
    head, tail = tokenizer.count(LINES[head_start:head_end]), tokenizer.count(LINES[tail_start:tail_end])
    assert head / (head + tail) == pytest.approx(0.8, abs=0.02)
    assert result.tokens_after > 480


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("strategy", ONE_PROMPT)
def test_little_of_the_budget_is_wasted(name: str, strategy: Strategy) -> None:
    result = truncate(LINES, TOKENIZERS[name], 600, strategy=strategy)
    assert 0.85 * 600 <= result.tokens_after <= 600


def test_head_and_tail_keep_one_end_and_mark_the_other() -> None:
    head = truncate(LINES, Words(), 100, strategy=Strategy.HEAD)
    tail = truncate(LINES, Words(), 100, strategy=Strategy.TAIL)
    assert head.text.startswith("line 0 ")
    assert head.text.endswith(MARKER)
    assert tail.text.startswith(MARKER)
    assert tail.text.endswith("line 199 says something\n")


def test_middle_lines_keeps_whole_lines_only() -> None:
    result = truncate(LINES, Words(), 200, strategy=Strategy.MIDDLE_LINES)
    kept = result.text.replace(MARKER, "").splitlines(keepends=True)
    assert kept
    assert set(kept) <= set(LINES.splitlines(keepends=True))


def test_middle_lines_still_cuts_a_single_endless_line() -> None:
    result = truncate("word " * 1000, Words(), 100, strategy=Strategy.MIDDLE_LINES)
    assert result.tokens_after <= 100
    assert len(result.kept) == 2


def test_cuts_fall_between_words() -> None:
    for budget in range(100, 200):
        result = truncate("alpha beta gamma delta " * 50, Characters(), budget)
        for word in result.text.replace(MARKER, " ").split():
            assert word in {"alpha", "beta", "gamma", "delta"}


def test_text_without_white_space_is_cut_between_characters_people_see() -> None:
    family = "👩\u200d👩\u200d👧"
    for budget in range(50, 90):
        result = truncate(family * 60, Characters(), budget, strategy=Strategy.HEAD)
        kept = result.text.removesuffix(MARKER)
        assert kept == family * (len(kept) // len(family))
    accented = "e\u0301" * 300
    for strategy in ONE_PROMPT:
        for start, end in truncate(accented, Characters(), 91, strategy=strategy).kept:
            assert start % 2 == 0
            assert end % 2 == 0


def test_error_refuses_to_cut_and_carries_the_numbers() -> None:
    with pytest.raises(PromptTooLongError, match=r"needs 1000 tokens, and .* leaves 10") as caught:
        truncate("x" * 1000, Characters(), 10, strategy=Strategy.ERROR)
    assert (caught.value.needed_tokens, caught.value.budget_tokens) == (1000, 10)


def test_protected_spans_that_do_not_fit_are_an_error_with_the_numbers() -> None:
    with pytest.raises(PromptTooLongError) as caught:
        truncate("x" * 1000, Characters(), 100, protected=[(0, 200)])
    assert caught.value.needed_tokens == 200 + len(MARKER)
    assert caught.value.budget_tokens == 100


def test_an_empty_prompt_is_never_the_result() -> None:
    with pytest.raises(PromptTooLongError):
        truncate("x" * 1000, Characters(), len(MARKER))


def test_a_signature_in_the_middle_survives_every_strategy() -> None:
    signature = "def solve(numbers: list[int]) -> int:"
    text = "noise " * 500 + signature + " noise" * 500
    span = (text.index(signature), text.index(signature) + len(signature))
    for strategy in ONE_PROMPT:
        assert signature in truncate(text, Words(), 80, strategy=strategy, protected=[span]).text
    for window in windows(text, Words(), 200, protected=[span]):
        assert signature in window.text


def test_protected_spans_must_lie_in_the_text() -> None:
    with pytest.raises(ValueError, match="does not lie"):
        truncate("x" * 1000, Characters(), 100, protected=[(900, 1100)])


def test_sliding_window_is_asked_for_by_its_own_function() -> None:
    with pytest.raises(ValueError, match="windows"):
        truncate("x" * 1000, Characters(), 100, strategy=Strategy.SLIDING_WINDOW)


def test_windows_overlap() -> None:
    found = list(windows(LINES, Words(), 200))
    assert len(found) > 2
    for before, after in pairwise(found):
        assert after.kept[0][0] < before.kept[0][1]


def test_windows_without_room_for_text_are_an_error() -> None:
    with pytest.raises(PromptTooLongError):
        list(windows("x" * 1000, Characters(), 100 + len(MARKER), protected=[(0, 100)]))


class Counting(Characters):
    """Notes how much text it was asked to look at."""

    def __init__(self) -> None:
        self.characters = 0
        self.calls = 0

    def count(self, text: str) -> int:
        self.characters += len(text)
        self.calls += 1
        return len(text)

    def offsets(self, text: str) -> Sequence[Span] | None:
        return None


@pytest.mark.parametrize("strategy", ONE_PROMPT)
def test_without_offsets_a_few_countings_of_the_result_suffice(strategy: Strategy) -> None:
    tokenizer = Counting()
    truncate("some words of text\n" * 20_000, tokenizer, 2_000, strategy=strategy)
    assert tokenizer.calls <= 30
    assert tokenizer.characters < 380_000 + 30 * 10_000


def stretches() -> Iterator[str]:
    yield "x" * 200_000
    yield "\u0301" * 20_000
    yield " " * 200_000
    yield "\n" * 200_000


@pytest.mark.parametrize("strategy", ONE_PROMPT)
def test_monotonous_texts_are_cut_as_well(strategy: Strategy) -> None:
    for text in stretches():
        assert truncate(text, Characters(), 1_000, strategy=strategy).tokens_after <= 1_000


@pytest.mark.parametrize("head_share", [0.2, 0.8])
def test_where_no_line_fits_middle_lines_keeps_the_share_of_the_head_that_was_asked_for(head_share):
    text = " ".join(f"word{number:04}" for number in range(400))
    kept = truncate(text, Words(), 100, strategy=Strategy.MIDDLE_LINES, head_share=head_share).kept
    head, tail = (end - start for start, end in kept)
    assert head / (head + tail) == pytest.approx(head_share, abs=0.1)
