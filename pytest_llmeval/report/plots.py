"""The report's plots: quality against speed, response times, pass@k. Each also says in words what it shows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

from pytest_llmeval.metrics.pass_at_k import pass_at_k
from pytest_llmeval.report import svg
from pytest_llmeval.report.leaderboard import named
from pytest_llmeval.report.lengths import thousands
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.runs.results import Line
from pytest_llmeval.schema import Completion

ROW_PX = 60


@dataclass(frozen=True)
class Plot:
    """One figure: a heading, the drawing, and the same in words."""

    title: str
    drawing: str
    words: str


def plots(run: LoadedRun) -> list[Plot]:
    """Those plots for which the run has measurements."""
    made = (quality_against_speed(run.lines), response_times(run), pass_at_k_curves(run))
    return [plot for plot in made if plot is not None]


def quality_against_speed(lines: Sequence[Line]) -> Plot | None:
    """pass@1 with its interval over single-stream output speed; None where no model has both."""
    rows = [
        (
            index,
            named(line, lines),
            line.model.summary.single_stream.output_tok_s,
            line.figures.pass_at_1,
            line.figures.pass_at_1_interval,
        )
        for index, line in enumerate(lines)
    ]
    points = [(i, name, x, y, ci) for i, name, x, y, ci in rows if x is not None and y is not None and ci]
    if not points:
        return None
    chart = svg.Chart(
        svg.from_zero("output speed of one stream, tok/s", max(x for _, _, x, _, _ in points)),
        svg.Axis("pass@1", 0.0, 1.0, written=svg.percent),
    )
    words = []
    for index, name, x, y, (low, high) in points:
        told = f"{name}: {100 * y:.1f} % ({100 * low:.1f} to {100 * high:.1f}) at {x:.0f} tok/s"
        chart.bar(x, low, x, high, index)
        chart.mark(x, y, index, told)
        chart.text(x, y, name)
        words.append(told)
    title = "Quality against speed: up and to the right is better; bars are 95 % intervals"
    return Plot(title, chart.svg(title, "; ".join(words)), "; ".join(words))


def response_times(run: LoadedRun) -> Plot | None:
    """Per model: the middle half, the 5th to 95th percentile and the median of the batch, and the probe's points."""
    rows = [
        (m.spec.name, _batch_seconds(run, m.spec.name), _probe_seconds(run, m.spec.name)) for m in run.models
    ]
    rows = [(name, batch, probe) for name, batch, probe in rows if len(batch) > 1 or probe]
    if not rows:
        return None
    highest = max(max([*(_spread(batch)[-1:] if len(batch) > 1 else []), *probe]) for _, batch, probe in rows)
    chart = svg.Chart(
        svg.from_zero("seconds from request to the last token", highest),
        svg.Axis("", 0.0, float(len(rows))),
        height=svg.TOP + svg.BOTTOM + ROW_PX * len(rows),
        y_labels=[name for name, _, _ in rows],
    )
    words = [_draw_row(chart, len(rows) - n - 0.5, n, *row) for n, row in enumerate(rows)]
    title = (
        "Response times. Box: the middle half of the batch, line: its 5th to 95th percentile, bold: its median; "
        "waiting for others is part of it. Points above: requests sent one at a time"
    )
    return Plot(title, chart.svg(title, "; ".join(words)), "; ".join(words))


def _draw_row(
    chart: svg.Chart, y: float, series: int, name: str, batch: Sequence[float], probe: Sequence[float]
) -> str:
    told = [name]
    chart.text(0, y + 0.32, name, dx=4)
    if len(batch) > 1:
        low, first, median, third, high = _spread(batch)
        chart.bar(low, y - 0.22, high, y - 0.22, series)
        chart.box(first, third, y - 0.22, 7, series)
        chart.box(median, median, y - 0.22, 10, series)
        told.append(f"batch median {median:.2f} s, 5th to 95th percentile {low:.2f} to {high:.2f} s")
    for seconds in probe:
        chart.mark(seconds, y + 0.1, series, small=True)
    if probe:
        told.append(f"{len(probe)} single requests {min(probe):.2f} to {max(probe):.2f} s")
    return ": ".join([told[0], ", ".join(told[1:])])


def _spread(seconds: Sequence[float]) -> tuple[float, float, float, float, float]:
    cuts = quantiles(seconds, n=20, method="inclusive")
    return cuts[0], cuts[4], cuts[9], cuts[14], cuts[18]


def _batch_seconds(run: LoadedRun, model: str) -> Sequence[float]:
    samples = (sample for record in run.of(model) for sample in record.samples)
    return _response_seconds(sample.completion for sample in samples if sample.reused_from is None)


def _probe_seconds(run: LoadedRun, model: str) -> Sequence[float]:
    return _response_seconds(run.probes.get(model, ()))


def _response_seconds(answers: Iterable[Completion]) -> Sequence[float]:
    """Numbers alone: of hundreds of thousands of answers, no other is in memory meanwhile."""
    timings = (answer.timing for answer in answers)
    return array("d", (t.e2e_s for t in timings if t and t.e2e_s is not None and not t.disturbed))


def pass_at_k_curves(run: LoadedRun) -> Plot | None:
    """pass@k over k, as far as every problem of a model has k samples; None where none has more than one."""
    counts = {
        named(line, run.lines): [
            (r.judged, r.correct) for r in run.of(line.name, line.problem_set) if not r.is_fault
        ]
        for line in run.lines
    }
    depth = {name: min((n for n, _ in pairs), default=0) for name, pairs in counts.items()}
    deepest = max(depth.values(), default=0)
    if deepest < 2:
        return None
    chart = svg.Chart(
        svg.Axis("k answers", 1.0, float(deepest), log=True),
        svg.Axis("pass@k", 0.0, 1.0, written=svg.percent),
    )
    words = [
        _draw_curve(chart, index, name, counts[name], depth[name])
        for index, name in enumerate(counts)
        if depth[name] > 1
    ]
    chart.legend([(index, name) for index, name in enumerate(counts) if depth[name] > 1])
    title = "pass@k: would one of k answers be right? Bars are 95 % intervals"
    return Plot(title, chart.svg(title, "; ".join(words)), "; ".join(words))


def by_prompt_length(run: LoadedRun) -> Plot | None:
    """Right answers over the length of the prompt; None where no model has prompts of two lengths."""
    counts = {named(line, run.lines): _counts_by_length(run, line) for line in run.lines}
    counts = {name: found for name, found in counts.items() if len(found) > 1}
    if not counts:
        return None
    lengths = [tokens for found in counts.values() for tokens in found]
    chart = svg.Chart(
        svg.Axis("tokens of the prompt", min(lengths) / 1.3, max(lengths) * 1.3, log=True, written=thousands),
        svg.Axis("pass@1", 0.0, 1.0, written=svg.percent),
    )
    words = [_draw_lengths(chart, index, name, counts[name]) for index, name in enumerate(counts)]
    chart.legend(list(enumerate(counts)), on_the_left=True)
    title = (
        "Accuracy by prompt length, the problem's places taken together. Bars are 95 % intervals over problems and "
        "places"
    )
    return Plot(title, chart.svg(title, "; ".join(words)), "; ".join(words))


def _counts_by_length(run: LoadedRun, line: Line) -> dict[int, list[tuple[int, int]]]:
    """Length → (answers judged, answers right) of each problem in a prompt of that length."""
    counts: dict[int, list[tuple[int, int]]] = {}
    for record in run.of(line.name, line.problem_set):
        if record.padding is not None and not record.is_fault:
            counts.setdefault(record.padding.tokens, []).append((record.judged, record.correct))
    return dict(sorted(counts.items()))


def _draw_lengths(
    chart: svg.Chart, series: int, name: str, counts: Mapping[int, Sequence[tuple[int, int]]]
) -> str:
    found = [(tokens, one) for tokens, own in counts.items() if (one := pass_at_k(own, 1)) is not None]
    chart.line([(tokens, one.value) for tokens, one in found], series, shift_px=5 * series)
    told = []
    for tokens, one in found:
        low, high = one.interval
        said = f"{thousands(tokens)} {100 * one.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        chart.bar(tokens, low, tokens, high, series, shift_px=5 * series)
        chart.mark(tokens, one.value, series, f"{name}: {said}", shift_px=5 * series)
        told.append(said)
    return f"{name}: {', '.join(told)}"


def _draw_curve(
    chart: svg.Chart, index: int, name: str, counts: Sequence[tuple[int, int]], depth: int
) -> str:
    ks = sorted(
        {*range(1, min(depth, 10) + 1), *(k for k in (20, 30, 50, 70, 100, 150, 200) if k < depth), depth}
    )
    found = [(k, estimate) for k in ks if (estimate := pass_at_k(counts, k)) is not None]
    chart.line([(k, estimate.value) for k, estimate in found], index, shift_px=3 * index)
    told = []
    for k, estimate in found:
        if k in (1, 5, 10, 100, depth):
            low, high = estimate.interval
            said = f"pass@{k} {100 * estimate.value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
            chart.bar(k, low, k, high, index, shift_px=3 * index)
            chart.mark(k, estimate.value, index, f"{name}: {said}", small=True, shift_px=3 * index)
            told.append(said)
    return f"{name}: {', '.join(told)}"
