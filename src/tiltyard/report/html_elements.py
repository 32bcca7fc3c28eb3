"""HTML pages of the report: each is a single file that needs no other file and no network.

Tables, texts and images are HTML; scripts in the page draw plots from JSON in the page.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from tiltyard.figures import Figure
from tiltyard.files import Json

STATIC_FOLDER = Path(__file__).parent / "static"
SCRIPTS = ("draw.js", "data.js", "boxes.js", "plots.js", "tables.js")
# The browser must load nothing from elsewhere, and run no scripts but those of the page, by their hashes.
SECURITY_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}; base-uri 'none'; form-action 'none'"
)
VERDICT_CLASSES = {
    "PROMOTE": "good",
    "HOLD": "warn",
    "REJECT": "bad",
    "ROLLBACK": "warn",
    "APPROVE": "good",
    "CHALLENGE": "warn",
}
WIDE_CELL_CHARACTERS = 80  # longer text gets a wide column
IMAGES_IN_HALF_WIDTH, MAX_LARGE_IMAGES = 3, 6  # more images take the whole width; still more are shown small


@dataclass(frozen=True)
class Section:
    """A section of a page: a heading and escaped HTML."""

    title: str
    content: str


@dataclass(frozen=True)
class Page:
    """A page: title, head, sections and a link to the overview."""

    title: str
    head: str
    sections: list[Section] = field(default_factory=list)
    up: str = ""  # address of the overview

    def html(self) -> str:
        """Return the page as HTML."""
        sections = [section for section in self.sections if section.content]
        links = "".join(f'<li><a href="#{_anchor(part)}">{escape(part.title)}</a></li>' for part in sections)
        nav = f'<nav class="side" aria-label="Sections"><ul>{links}</ul></nav>' if len(sections) > 1 else ""
        body = "\n".join(
            f'<section id="{_anchor(part)}"><h2>{escape(part.title)}</h2>\n{part.content}</section>'
            for part in sections
        )
        up = f'<p class="soft"><a href="{escape(self.up)}">All tasks</a></p>' if self.up else ""
        main = f'<main id="main">{body}</main>'
        sides = f'<div class="sides">{nav}{main}</div>' if nav else main
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_security_policy()}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title>\n<style>{_static_text('site.css')}</style></head>\n"
            f'<body><a class="skip" href="#main">Skip to the content</a><div class="frame">'
            f"<header>{up}{self.head}</header>\n{sides}"
            f"<noscript><p>Plots need JavaScript, which is switched off.</p></noscript></div>\n"
            f"{''.join(f'<script>{_static_text(name)}</script>' for name in SCRIPTS)}</body></html>\n"
        )


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
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table{identifier}>'
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
    caption = f"<h3>{escape(figure.title)}</h3><figcaption>{escape(figure.text)}</figcaption>"
    if figure.kind in _STATIC_KINDS:
        attribute = (
            "" if figure.kind == "images" and len(figure.data["images"]) <= IMAGES_IN_HALF_WIDTH else ' class="whole"'
        )
        return f"<figure{attribute}>{caption}{_STATIC_KINDS[figure.kind](figure.data)}</figure>"
    data = json.dumps(figure.data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    plot = f'<div class="plot" role="img" aria-label="{escape(figure.title)}: {escape(figure.text)}"></div>'
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
    wide = ' class="wide"' if len(text) > WIDE_CELL_CHARACTERS else ""
    return f"<td{wide}>{escape(text)}</td>"


def _class_of_number(right: bool) -> str:
    return ' class="n"' if right else ""


def _anchor(section: Section) -> str:
    return "".join(character if character.isalnum() else "-" for character in section.title.lower())


@cache
def _security_policy() -> str:
    """Return the content security policy, with the hashes of the scripts."""
    hashes = (base64.b64encode(hashlib.sha256(_static_text(name).encode()).digest()).decode() for name in SCRIPTS)
    return SECURITY_POLICY.format(" ".join(f"'sha256-{digest}'" for digest in hashes))


@cache
def _static_text(name: str) -> str:
    return (STATIC_FOLDER / name).read_text(encoding="utf-8")


def date_cell(time: str) -> Cell:
    """Return a cell with the date; the tooltip shows the time."""
    return Cell(f'<time datetime="{escape(time)}" title="{escape(time)}">{escape(time[:10])}</time>', time)
