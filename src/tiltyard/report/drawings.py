"""Small drawings beside numbers as SVG in the page: values with intervals, and checks against their limits.

They need no script, and their labels say the same in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tiltyard.report.html_elements import Cell, format_number

WIDTH, ROW, MARGIN = 200.0, 14.0, 6.0
Ends = Sequence[float] | None


@dataclass(frozen=True)
class Value:
    """A value with its name, interval, and the class that colours it."""

    name: str
    value: float | None
    ends: Ends = None
    style: str = ""

    @property
    def text(self) -> str:
        """The value in words."""
        interval = f" ({format_number(self.ends[0])} to {format_number(self.ends[1])})" if self.ends else ""
        return f"{self.name} {format_number(self.value)}{interval}"


def limit_drawing(observed: float | None, limit: float | None, ends: Ends, *, passed: bool) -> Cell:
    """Draw what a check observed, its interval and its limit; the side that passes is shaded."""
    values = finite([observed, limit, *(ends or ())])
    if observed is None or limit is None or len(values) < 2 + len(ends or ()):
        return Cell("")
    place = _scale(values)
    right = (observed >= limit) == passed
    start, width = (place(limit), WIDTH - place(limit)) if right else (0.0, place(limit))
    parts = [
        f'<rect class="passes" x="{start:.1f}" y="2" width="{width:.1f}" height="16"/>',
        f'<line class="limit" x1="{place(limit):.1f}" x2="{place(limit):.1f}" y1="0" y2="20"/>',
        *_mark(observed, ends, 10, place, "good" if passed else "bad"),
    ]
    text = f"{Value('observed', observed, ends).text}; limit {format_number(limit)}"
    return Cell(_svg(parts, 20, text), str(observed))


def interval_drawing(values: Sequence[Value], ends: Ends = None) -> str:
    """Draw values with their intervals on one scale, a row each; nothing if there are none.

    `ends` are values that the scale has at least, so that several drawings can be compared.
    """
    shown = [value for value in values if value.value is not None and math.isfinite(value.value)]
    numbers = finite([*(number for value in shown for number in (value.value, *(value.ends or ()))), *(ends or ())])
    if not shown:
        return ""
    place = _scale(numbers)
    parts = [
        part
        for row, value in enumerate(shown)
        if value.value is not None
        for part in _mark(value.value, _finite_ends(value.ends), ROW * row + ROW / 2, place, value.style)
    ]
    tracks = [f'<line class="track" x1="0" x2="{WIDTH:g}" y1="{y}" y2="{y}"/>' for y in _middles(len(shown))]
    return _svg([*tracks, *parts], ROW * len(shown), "; ".join(value.text for value in shown))


def _middles(rows: int) -> list[float]:
    return [ROW * row + ROW / 2 for row in range(rows)]


def finite(values: Sequence[float | None]) -> list[float]:
    """Return the values that can be drawn."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]


def _finite_ends(ends: Ends) -> Ends:
    return ends if ends and len(finite(ends)) == len(ends) else None


def _mark(value: float, ends: Ends, middle: float, place: _Scale, style: str) -> list[str]:
    line = [f'<line x1="{place(ends[0]):.1f}" x2="{place(ends[1]):.1f}" y1="{middle}" y2="{middle}"/>'] if ends else []
    return [f'<g class="{style}">', *line, f'<circle cx="{place(value):.1f}" cy="{middle}" r="4"/></g>']


@dataclass(frozen=True)
class _Scale:
    """The place of a value in a drawing; halves keep differences finite."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        share = (value / 2 - self.low / 2) / (self.high / 2 - self.low / 2) if self.high / 2 > self.low / 2 else 0.5
        return MARGIN + (WIDTH - 2 * MARGIN) * min(max(share, 0.0), 1.0)


def _scale(values: Sequence[float]) -> _Scale:
    return _Scale(min(values), max(values))


def _svg(parts: Sequence[str], height: float, label: str) -> str:
    return (
        f'<svg class="drawn" role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH:g} {height:g}" '
        f'width="{WIDTH:g}" height="{height:g}"><title>{escape(label)}</title>{"".join(parts)}</svg>'
    )
