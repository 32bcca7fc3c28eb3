"""Parts of a page as HTML: tables, texts and images; plots are JSON, which scripts in the page draw."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tiltyard.figures import Figure
from tiltyard.files import Json

VERDICT_CLASSES = {
    "PROMOTE": "good",
    "HOLD": "warn",
    "REJECT": "bad",
    "ROLLBACK": "warn",
    "APPROVE": "good",
    "CHALLENGE": "warn",
}
WIDE_CELL_CHARACTERS = 80  # longer text gets a wide column
NAME_CHARACTERS = 20  # longer text gets a column in which it has few lines
IMAGES_IN_HALF_WIDTH, MAX_LARGE_IMAGES = 3, 6  # more images take the whole width; still more are shown small


@dataclass(frozen=True)
class Section:
    """A section of a page: a heading and escaped HTML."""

    title: str
    content: str


def render_figures(figures: Iterable[Figure]) -> str:
    """Return figures as HTML in a grid, or an empty string if there are none."""
    content = "".join(_render_figure(figure) for figure in figures)
    return f'<div class="figures">{content}</div>' if content else ""


def render_table(records: Sequence[Mapping[str, Any]], name: str = "") -> str:
    """Return records that share their keys as an HTML table, or an empty string if there are none."""
    if not records:
        return ""
    columns = [*records[0]]
    right = {column for column in columns if all(isinstance(record[column], int | float | None) for record in records)}
    head = "".join(
        f'<th scope="col"{_class_of_number(column in right)}>{escape(column.replace("_", " "))}</th>'
        for column in columns
    )
    body = "".join(
        "<tr>" + "".join(_cell(record[column], right=column in right) for column in columns) + "</tr>\n"
        for record in records
    )
    identifier = f' id="{escape(name)}"' if name else ""
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="Table"><table{identifier}>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def render_facts(facts: Mapping[str, Any]) -> str:
    """Return names and values in one line; empty values are left out."""
    parts = (f"<span>{escape(name)} <code>{escape(str(value))}</code></span>" for name, value in facts.items() if value)
    return f'<p class="soft facts">{"".join(parts)}</p>'


def render_badge(verdict: str | None) -> str:
    """Return a verdict as a coloured badge."""
    return f'<span class="badge {VERDICT_CLASSES.get(verdict or "", "soft")}">{escape(verdict or "none yet")}</span>'


def format_number(value: float | None) -> str:
    """Format a number with four significant digits, a large one as an integer, None as a dash."""
    if value is None:
        return "\N{EN DASH}"
    value += 0.0  # no negative zero
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


@dataclass(frozen=True)
class Cell:
    """A table cell with HTML content, and the value by which it is sorted."""

    html: str
    value: str = ""


def sparkline(values: Sequence[float | None], marks: Sequence[str] = (), *, lower: bool = False) -> Cell:
    """Return a small line plot; `marks` are verdicts that become dots, `lower` draws lower values higher up."""
    values = [value if value is not None and math.isfinite(value) else None for value in values]
    numbers = [value for value in values if value is not None]
    if not numbers:
        return Cell("")
    minimum, maximum = min(numbers), max(numbers)
    across = 100 / max(len(values) - 1, 1)
    sign = -1 if lower else 1
    points = [
        (
            across * index if len(values) > 1 else 50.0,
            14.0 if maximum == minimum else 14 - sign * 11 * (2 * _relative_position(value, minimum, maximum) - 1),
        )
        for index, value in enumerate(values)
        if value is not None
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    known_marks = [mark for mark, value in zip(marks, values, strict=False) if value is not None]
    dots = "".join(
        f'<circle class="{escape(mark)}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        for (x, y), mark in zip(points, known_marks, strict=False)
    )
    label = f"{len(numbers)} values from {format_number(numbers[0])} to {format_number(numbers[-1])}"
    content = f'<polyline points="{line}"/>{dots}'
    return Cell(
        f'<svg class="spark" role="img" aria-label="{label}" viewBox="0 0 100 28">{content}</svg>', str(numbers[-1])
    )


def _relative_position(value: float, minimum: float, maximum: float) -> float:
    """Return where a value lies between two others, from 0 to 1, even if their difference overflows."""
    if math.isinf(maximum - minimum):
        value, minimum, maximum = value / 2, minimum / 2, maximum / 2
    return (value - minimum) / (maximum - minimum)


def _render_figure(figure: Figure) -> str:
    """Return tables, images and words as HTML, and the data of other figures as JSON for the scripts."""
    text = f"<figcaption>{escape(figure.text)}</figcaption>" if figure.text else ""
    caption = f"<h3>{escape(figure.title)}</h3>{text}"
    if figure.kind in _STATIC_KINDS:
        attribute = (
            "" if figure.kind == "images" and len(figure.data["images"]) <= IMAGES_IN_HALF_WIDTH else ' class="whole"'
        )
        return f"<figure{attribute}>{caption}{_STATIC_KINDS[figure.kind](figure.data)}</figure>"
    data = json.dumps(figure.data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    label = escape(f"{figure.title}: {figure.text}" if figure.text else figure.title)
    role = "group" if figure.kind == "network" else "img"  # a wide diagram scrolls
    plot = f'<div class="plot" role="{role}" aria-label="{label}"></div>'
    wide = ' class="whole"' if _is_wide(figure) else ""
    script = f'<script type="application/json">{data}</script>'
    return f'<figure{wide} data-kind="{escape(figure.kind)}">{caption}{plot}{script}</figure>'


def _is_wide(figure: Figure) -> bool:
    """Return whether a plot takes the whole width of the page."""
    if figure.kind == "matrix":
        return len(figure.data["columns"]) > 12
    return figure.kind == "network" or bool(figure.data.get("ranges") or figure.data.get("wide"))


def _render_table_figure(data: Json) -> str:
    return render_table([dict(zip(data["columns"], row, strict=True)) for row in data["rows"]])


def _render_images(data: Json) -> str:
    figures = (
        f'<figure><img alt="" src="{_safe_image_source(image["src"])}">'
        f"<figcaption>{escape(image['name'])}</figcaption></figure>"
        for image in data["images"]
    )
    many = " wide" if data.get("wide") else " many" if len(data["images"]) > MAX_LARGE_IMAGES else ""
    return f'<div class="images{many}">{"".join(figures)}</div>'


def _render_words(data: Json) -> str:
    """Return words shaded by weight; words with a negative weight are underlined."""
    maximum = max((abs(word["weight"]) for word in data["words"]), default=0) or 1
    spans = []
    for word in data["words"]:
        share, is_negative = abs(word["weight"]) / maximum, word["weight"] < 0 and abs(word["weight"]) > maximum / 10
        style = f"background: rgb(var(--wash) / {0.55 * share:.2f})" if word["weight"] > 0 else ""
        kind = ' class="less"' if is_negative else ""
        spans.append(f'<span{kind} style="{style}" title="{word["weight"]:.3g}">{escape(word["word"])}</span>')
    return f'<p class="words">{" ".join(spans)}</p>'


_STATIC_KINDS: dict[str, Callable[[Json], str]] = {
    "table": _render_table_figure,
    "images": _render_images,
    "words": _render_words,
}


def _safe_image_source(source: str) -> str:
    """Return the address of an image that is part of the page, else an empty string."""
    return escape(source) if source.startswith("data:image/png;base64,") else ""


def _cell(value: Any, *, right: bool) -> str:
    if isinstance(value, Cell):
        return f'<td data-value="{escape(value.value)}">{value.html}</td>'
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:,}" if isinstance(value, int) else format_number(value)
        return f'<td{_class_of_number(right)} data-value="{value}">{text}</td>'
    if value is None:
        return f'<td{_class_of_number(right)} data-value="">\N{EN DASH}</td>'
    if isinstance(value, list):
        curve = sparkline(value)
        return f'<td data-value="{curve.value}">{curve.html}</td>'
    text = str(value)
    if text.startswith("data:image/"):
        return f'<td><img alt="" src="{_safe_image_source(text)}"></td>'
    wide = (
        ' class="wide"' if len(text) > WIDE_CELL_CHARACTERS else ' class="named"' if len(text) > NAME_CHARACTERS else ""
    )
    return f"<td{wide}>{escape(text)}</td>"


def _class_of_number(right: bool) -> str:
    return ' class="n"' if right else ""


def date_cell(time: str) -> Cell:
    """Return a cell with the date; the tooltip shows the time."""
    return Cell(f'<time datetime="{escape(time)}" title="{escape(time)}">{escape(time[:10])}</time>', time)
