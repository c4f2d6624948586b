"""What became of one item, in full: prompt, and per sample answer, program, failure, output, timings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from pytest_llmeval.items.judged import explain
from pytest_llmeval.report import highlight
from pytest_llmeval.report.prompts import cut_line
from pytest_llmeval.report.readings import Window, told
from pytest_llmeval.report.text import html
from pytest_llmeval.schema import Cut, Outcome, PassRule, Program, Record, Sample, Timing

HIGHLIGHTED = 2  # programs per item; colours cost a millisecond each
SHOWN_CHARS = 20_000  # of any one text
LISTED = 20
"""Samples shown in full, a quarter of them right ones where there are; the prediction file has all."""
Show = Callable[[str], str]
"""How a text is shown, and where all of it is."""


def item_html(record: Record, rule: PassRule, prediction: str, window: Window | None = None) -> str:
    """Everything about one item.

    `prediction` is the address of its file, empty where there is none; `window` is what telemetry saw meanwhile.
    """
    chosen = _chosen(record.samples)
    several = record.n > 1  # the failure of the only one stands above
    where = "the prediction file" if prediction else "results.jsonl"
    show = partial(_shown, where=where)
    stories = "".join(
        _sample(sample, number < HIGHLIGHTED, several, show) for number, sample in enumerate(chosen)
    )
    more = record.n - len(chosen)
    left = f"<p>{more} more samples are in {where}.</p>" if more else ""
    link = f"<p><a href='{html(prediction)}'>prediction file</a></p>" if prediction else ""
    return (
        f"<p class='verdict{'' if record.passes(rule) else ' failure'}'>{html(explain(record, rule))}</p>"
        f"{link}{_telemetry(record, window)}{_prompt(record, show)}{stories}{left}"
    )


def _telemetry(record: Record, window: Window | None) -> str:
    """What the devices did meanwhile, and how far that is the item's own doing."""
    if window is None:
        return ""
    timings = [sample.completion.timing for sample in record.samples]
    together = max((timing.concurrency for timing in timings if timing), default=1)
    count = f"{together - 1} other request{'s were' if together > 2 else ' was'}"
    others = f" (up to {count} under way: this is not what it cost)" if together > 1 else ""
    whose = "this answer was" if record.n == 1 else "these answers were"
    return f"<p class=facts>While {whose} drawn{others}: {html(told(window))}</p>"


def _chosen(samples: Sequence[Sample]) -> list[Sample]:
    """Failures first, because they are what people look for."""
    wrong = [sample for sample in samples if not sample.verdict.passed]
    right = [sample for sample in samples if sample.verdict.passed]
    wrong = wrong[: max(LISTED * 3 // 4, LISTED - len(right))]
    return [*wrong, *right[: LISTED - len(wrong)]]


def _prompt(record: Record, show: Show) -> str:
    prompt = record.prompt
    cut = next((sample.completion.cut for sample in record.samples if sample.completion.cut), None)
    title = f"Prompt ({prompt.style})"
    system = _block("System prompt", prompt.system, show) if prompt.system else ""
    prefill = (
        _block("Beginning of the answer, as given", prompt.assistant_prefill, show)
        if prompt.assistant_prefill
        else ""
    )
    if cut is None:
        return f"{system}{_block(title, prompt.text, show)}{prefill}"
    return f"{system}<h5>{html(title)}, {html(cut_line(cut))}</h5><pre>{_sent(prompt.text, cut, show)}</pre>{prefill}"


def _sent(text: str, cut: Cut, show: Show) -> str:
    """The spans that were sent, and between them how much was not."""
    parts, position = [], 0
    for start, end in (*cut.kept, (len(text), len(text))):
        if start > position:
            parts.append(f"<mark>[{start - position} characters were not sent]</mark>")
        parts.append(show(text[start:end]))
        position = end
    return "".join(parts)


def _sample(sample: Sample, coloured: bool, with_failure: bool, show: Show) -> str:
    verdict, completion, program = sample.verdict, sample.completion, sample.program
    facts = [
        f"{_count(completion.completion_tokens)} tokens, ended by {completion.finish_reason or 'nothing known'}",
        *_timings(completion.timing),
        f"judged in {_seconds(verdict.wall_s)}",
        *(["is the canonical solution"] if sample.exact_match else []),
        *(
            [f"generated in run {sample.reused_from}: its times are not this run's"]
            if sample.reused_from
            else []
        ),
    ]
    state = "pass" if verdict.passed else "fault" if verdict.outcome.is_fault else "fail"
    failure = (
        ""
        if verdict.passed or not with_failure
        else f"<pre class=failure>{html(_failure(verdict.outcome, verdict.detail))}</pre>"
    )
    return (
        f"<section class='sample {state}'><h5>Sample {sample.index}: {html(verdict.outcome)}</h5>"
        f"{failure}<p class=facts>{html('; '.join(facts))}</p>"
        f"{_block('Answer', completion.text, show)}{_program(program, coloured, show)}"
        f"{_block('Output of the program', verdict.output, show) if verdict.output else ''}</section>"
    )


def _failure(outcome: Outcome, detail: str) -> str:
    return f"{outcome}: {detail}" if detail else str(outcome)


def _program(program: Program | None, coloured: bool, show: Show) -> str:
    if program is None:
        return "<h5>Program</h5><p>No program was found in the answer.</p>"
    repairs = f"; repaired: {', '.join(program.repairs)}" if program.repairs else ""
    short = len(program.source) <= highlight.MAX_CHARS
    shown = highlight.python(program.source) if coloured and short else show(program.source)
    return f"<h5>Program ({html(program.rule + repairs)})</h5><pre class=code>{shown}</pre>"


def _timings(timing: Timing | None) -> Sequence[str]:
    if timing is None:
        return ["times not measured"]
    spans = {
        "queued": timing.queue_s,
        "first token after": timing.ttft_s,
        "then": timing.decode_s,
        "in all": timing.e2e_s,
    }
    told = [f"{name} {_seconds(value)}" for name, value in spans.items() if value is not None]
    disturbed = [f"not a figure of speed: {timing.disturbed}"] if timing.disturbed else []
    beside = "alone" if timing.concurrency == 1 else f"with {timing.concurrency} requests together"
    return [f"{', '.join(told)} {beside}", *disturbed]


def _seconds(value: float | None) -> str:
    return "a time not measured" if value is None else f"{value:.3f} s"


def _count(value: int | None) -> str:
    return "unknown many" if value is None else str(value)


def _block(title: str, text: str, show: Show) -> str:
    return f"<h5>{html(title)}</h5><pre>{show(text)}</pre>"


def _shown(text: str, where: str) -> str:
    """A text, of a very long one the beginning and the end."""
    left_out = len(text) - SHOWN_CHARS
    if left_out <= 0:
        return html(text)
    half = SHOWN_CHARS // 2
    gap = f"<mark>[{left_out} characters are in {where} only]</mark>"
    return f"{html(text[:half])}{gap}{html(text[-half:])}"
