"""Small static charts: an SVG document from numbers, without a plotting library.

A dozen shapes are all that a report needs; drawn by hand they cost no dependency, no font and no image data,
take their colours from the page's style sheet (dark mode, print) and stay text that a screen reader can read.
Series differ in shape and dash besides colour.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pytest_llmeval.report.text import html

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 44
SERIES = 8  # colours in the style sheet; the shapes have another period, so that 40 series differ
SHAPES = 5
CHARACTER_PX = 6.6  # of 12 px text, a little more than its mean
DASHES = ("", "6 3", "2 3", "8 3 2 3", "1 2")


@dataclass(frozen=True)
class Axis:
    """One axis: its label, where its values begin and end, and how they are written."""

    label: str
    low: float
    high: float
    log: bool = False
    written: Callable[[float], str] = lambda value: f"{value:g}"

    def share(self, value: float) -> float:
        """Where a value stands: 0 at the beginning, 1 at the end."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values to write at the axis."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            values = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        else:
            step = _round_step((self.high - self.low) / 5)
            first = math.ceil(self.low / step - 1e-9)
            values = [step * n for n in range(first, math.floor(self.high / step + 1e-9) + 1)]
        return [value for value in values if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]


def from_zero(
    label: str, highest: float, written: Callable[[float], str] = lambda value: f"{value:g}"
) -> Axis:
    """An axis from 0 to a round value above `highest`."""
    step = _round_step(highest / 5) if highest > 0 else 0.2
    return Axis(
        label, 0.0, step * math.ceil(highest / step * 1.02 + 1e-9) if highest > 0 else 1.0, written=written
    )


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


@dataclass
class Chart:
    """A plot area with two axes; shapes are added by name and drawn in that order."""

    x: Axis
    y: Axis
    height: int = HEIGHT
    y_labels: Sequence[str] = ()  # names in rows instead of a scale
    shapes: list[str] = field(default_factory=list)
    words: list[tuple[float, float, float]] = field(default_factory=list)
    """Left, top and width of what was written."""

    def px(self, value: float) -> float:
        return LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)

    def py(self, value: float) -> float:
        return self.height - BOTTOM - self.y.share(value) * (self.height - TOP - BOTTOM)

    def add(self, shape: str) -> None:
        self.shapes.append(shape)

    def line(self, points: Sequence[tuple[float, float]], series: int, shift_px: float = 0.0) -> None:
        path = " ".join(f"{self.px(x) + shift_px:.1f},{self.py(y):.1f}" for x, y in points)
        dash = DASHES[series % len(DASHES)]
        self.add(f'<polyline class="line s{series % SERIES}" stroke-dasharray="{dash}" points="{path}"/>')

    def bar(self, x1: float, y1: float, x2: float, y2: float, series: int, shift_px: float = 0.0) -> None:
        """A thin straight line, for intervals and whiskers; `shift_px` to the right, where several meet."""
        xs = [self.px(x) + shift_px for x in (x1, x2)]
        ends = f'x1="{xs[0]:.1f}" y1="{self.py(y1):.1f}" x2="{xs[1]:.1f}" y2="{self.py(y2):.1f}"'
        self.add(f'<line class="bar s{series % SERIES}" {ends}/>')

    def box(self, x1: float, x2: float, y: float, half_px: float, series: int) -> None:
        left, width = self.px(x1), max(1.0, self.px(x2) - self.px(x1))
        place = (
            f'x="{left:.1f}" y="{self.py(y) - half_px:.1f}" width="{width:.1f}" height="{2 * half_px:.1f}"'
        )
        self.add(f'<rect class="box s{series % SERIES}" {place}/>')

    def mark(
        self, x: float, y: float, series: int, told: str = "", small: bool = False, shift_px: float = 0.0
    ) -> None:
        """A point whose shape tells the series; `told` is what a pointer and a screen reader get."""
        title = f"<title>{html(told)}</title>" if told else ""
        shape = _mark(self.px(x) + shift_px, self.py(y), series % SHAPES, 2.5 if small else 5.0)
        self.add(f'<g class="mark s{series % SERIES}">{shape}{title}</g>')

    def text(self, x: float, y: float, words: str, dx: float = 8) -> None:
        """Words beside a point: to its left where the right edge is near, higher or lower where others stand."""
        wide, room = CHARACTER_PX * len(words), WIDTH - RIGHT
        to_the_left = self.px(x) + dx + wide > room
        left = self.px(x) - dx - wide if to_the_left else self.px(x) + dx
        tops = (self.py(y) + 4 + step for step in (0, -12, 12, -24, 24, -36, 36, -48, 48))
        top = next((t for t in tops if self._is_free(left, t, wide)), self.py(y) + 4)
        self.words.append((left, top, wide))
        anchor, at = ("end", left + wide) if to_the_left else ("start", left)
        self.add(f'<text x="{at:.1f}" y="{top:.1f}" text-anchor="{anchor}">{html(words)}</text>')

    def _is_free(self, left: float, top: float, wide: float) -> bool:
        return all(abs(top - t) >= 12 or left > le + w or le > left + wide for le, t, w in self.words)

    def legend(self, names: Sequence[tuple[int, str]], on_the_left: bool = False) -> None:
        """Samples of lines with their names, in the lower right corner, or left where lines fall to the right."""
        wide = CHARACTER_PX * max((len(name) for _, name in names), default=0)
        left = LEFT + 10 if on_the_left else WIDTH - RIGHT - wide - 40
        for row, (series, name) in enumerate(reversed(names)):
            y = self.height - BOTTOM - 12 - 16 * row
            dash = DASHES[series % len(DASHES)]
            self.add(
                f'<path class="line s{series % SERIES}" stroke-dasharray="{dash}" d="M{left:.0f} {y - 4}h26"/>'
                f'<g class="mark s{series % SERIES}">{_mark(left + 13, y - 4, series % SHAPES, 2.5)}</g>'
                f'<text x="{left + 34:.0f}" y="{y}">{html(name)}</text>'
            )

    def svg(self, title: str, description: str) -> str:
        """The document; `description` says in words what it shows."""
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {self.height}" role="img" xmlns="http://www.w3.org/2000/svg">'
            f"<title>{html(title)}</title><desc>{html(description)}</desc>"
            f"{self._grid()}{''.join(self.shapes)}</svg>"
        )

    def _grid(self) -> str:
        bottom, right = self.height - BOTTOM, WIDTH - RIGHT
        parts = [f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{right}"/>']
        for value in self.x.ticks():
            x = self.px(value)
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{bottom}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{self.x.written(value)}</text>'
            )
        for value, words in self._rows():
            y = self.py(value)
            parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{html(words)}</text>')
        middle = (LEFT + right) / 2
        parts.append(
            f'<text x="{middle}" y="{self.height - 8}" text-anchor="middle">{html(self.x.label)}</text>'
        )
        return "".join(parts) + self._y_label()

    def _rows(self) -> list[tuple[float, str]]:
        if self.y_labels:
            return []
        return [(value, self.y.written(value)) for value in self.y.ticks()]

    def _y_label(self) -> str:
        middle = self.height / 2
        return (
            f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
            f"{html(self.y.label)}</text>"
        )


def _mark(x: float, y: float, shape: int, r: float) -> str:
    if shape == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    if shape == 1:
        return f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"/>'
    corners = {
        2: ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
        3: ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
        4: ((0, 1.2), (1.1, -0.8), (-1.1, -0.8)),
    }[shape]
    return f'<polygon points="{" ".join(f"{x + r * dx:.1f},{y + r * dy:.1f}" for dx, dy in corners)}"/>'


def _round_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough * (1 - 1e-9))
