"""Pages of the report: each is one HTML file that needs nothing beside it, neither files nor network.

Tables, texts and pictures stand in the page as they are; plots are drawn by its script from data inside it.
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

HERE = Path(__file__).parent / "static"
SCRIPTS = ("draw.js", "plots.js", "tables.js")
# The browser is told to ask nobody for anything, and to run no script but the page's own, known by their hashes.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}; base-uri 'none'; form-action 'none'"
)
COLOURS = {
    "PROMOTE": "good",
    "HOLD": "warn",
    "REJECT": "bad",
    "ROLLBACK": "warn",
    "APPROVE": "good",
    "CHALLENGE": "warn",
}
LONG = 80  # characters of a cell that wants room
ABREAST, MANY = 3, 6  # pictures that fit into half the width, and those that are shown small


@dataclass(frozen=True)
class Section:
    """A part of a page: a heading, and HTML that is safe."""

    title: str
    content: str


@dataclass(frozen=True)
class Page:
    """A page: its title, what stands above all sections, and these."""

    title: str
    head: str
    sections: list[Section] = field(default_factory=list)
    up: str = ""  # the page above this one

    def html(self) -> str:
        """Put everything together."""
        shown = [section for section in self.sections if section.content]
        links = "".join(f'<li><a href="#{_anchor(one)}">{escape(one.title)}</a></li>' for one in shown)
        nav = f'<nav class="side" aria-label="Sections"><ul>{links}</ul></nav>' if len(shown) > 1 else ""
        body = "\n".join(
            f'<section id="{_anchor(one)}"><h2>{escape(one.title)}</h2>\n{one.content}</section>' for one in shown
        )
        up = f'<p class="soft"><a href="{escape(self.up)}">All tasks</a></p>' if self.up else ""
        main = f'<main id="main">{body}</main>'
        sides = f'<div class="sides">{nav}{main}</div>' if nav else main
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title>\n<style>{_read('site.css')}</style></head>\n"
            f'<body><a class="skip" href="#main">Skip to the content</a><div class="frame">'
            f"<header>{up}{self.head}</header>\n{sides}"
            f"<noscript><p>Plots are drawn by script, and scripts are off.</p></noscript></div>\n"
            f"{''.join(f'<script>{_read(name)}</script>' for name in SCRIPTS)}</body></html>\n"
        )


def shown(exhibits: Iterable[Figure]) -> str:
    """Lay exhibits out beside each other."""
    drawn = "".join(_figure(one) for one in exhibits)
    return f'<div class="figures">{drawn}</div>' if drawn else ""


def table(records: Sequence[Mapping[str, Any]], name: str = "") -> str:
    """Draw up records that share their keys; nothing if there are none. Numbers stand right."""
    if not records:
        return ""
    columns = [*records[0]]
    right = {one for one in columns if all(isinstance(record[one], int | float | None) for record in records)}
    head = "".join(f'<th scope="col"{_right(one in right)}>{escape(one.replace("_", " "))}</th>' for one in columns)
    body = "".join(
        "<tr>" + "".join(_cell(record[one], right=one in right) for one in columns) + "</tr>\n" for record in records
    )
    named = f' id="{escape(name)}"' if name else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table{named}>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def facts(told: Mapping[str, Any]) -> str:
    """Return a few facts in a line; empty ones are left out."""
    parts = (f"<span>{escape(name)} <code>{escape(str(one))}</code></span>" for name, one in told.items() if one)
    return f'<p class="soft facts">{"".join(parts)}</p>'


def badge(verdict: str | None) -> str:
    """Show a verdict in its colour."""
    return f'<span class="badge {COLOURS.get(verdict or "", "soft")}">{escape(verdict or "none yet")}</span>'


def number(value: float | None) -> str:
    """Write a figure with four digits, or without a fraction if it is large; a dash if it is undefined."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"


@dataclass(frozen=True)
class Cell:
    """A cell that is more than a text: safe HTML, and what it is sorted by."""

    html: str
    value: str = ""


def spark(values: Sequence[float | None], marks: Sequence[str] = (), *, lower: bool = False) -> Cell:
    """Draw a small curve; of each value a mark may be dotted in its colour; lower values may be the upper ones."""
    values = [value if value is not None and math.isfinite(value) else None for value in values]
    known = [value for value in values if value is not None]
    if not known:
        return Cell("")
    least, most = min(known), max(known)
    across = 100 / max(len(values) - 1, 1)
    sign = -1 if lower else 1
    places = [
        (
            across * place if len(values) > 1 else 50.0,
            14.0 if most == least else 14 - sign * 11 * (2 * _share(value, least, most) - 1),
        )
        for place, value in enumerate(values)
        if value is not None
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    told = [mark for mark, value in zip(marks, values, strict=False) if value is not None]
    dots = "".join(
        f'<circle class="{escape(mark)}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
        for (x, y), mark in zip(places, told, strict=False)
    )
    label = f"{len(known)} values from {number(known[0])} to {number(known[-1])}"
    picture = f'<polyline points="{line}"/>{dots}'
    return Cell(
        f'<svg class="spark" role="img" aria-label="{label}" viewBox="0 0 100 28">{picture}</svg>', str(known[-1])
    )


def _share(value: float, least: float, most: float) -> float:
    """Return where a value lies between two others, from 0 to 1; halves, as a difference may be too large a float."""
    if math.isinf(most - least):
        value, least, most = value / 2, least / 2, most / 2
    return (value - least) / (most - least)


def _figure(one: Figure) -> str:
    """Return what is drawn by script as data, and the rest as it is."""
    caption = f"<h3>{escape(one.title)}</h3><figcaption>{escape(one.text)}</figcaption>"
    if one.kind in _PLAIN:
        whole = "" if one.kind == "pictures" and len(one.data["pictures"]) <= ABREAST else ' class="whole"'
        return f"<figure{whole}>{caption}{_PLAIN[one.kind](one.data)}</figure>"
    told = json.dumps(one.data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    plot = f'<div class="plot" role="img" aria-label="{escape(one.title)}: {escape(one.text)}"></div>'
    wide = ' class="whole"' if one.kind == "matrix" and len(one.data["columns"]) > 12 else ""
    script = f'<script type="application/json">{told}</script>'
    return f'<figure{wide} data-kind="{escape(one.kind)}">{caption}{plot}{script}</figure>'


def _table(data: Json) -> str:
    return table([dict(zip(data["columns"], row, strict=True)) for row in data["rows"]])


def _pictures(data: Json) -> str:
    drawn = (
        f'<figure><img alt="" src="{_safe(one["src"])}"><figcaption>{escape(one["name"])}</figcaption></figure>'
        for one in data["pictures"]
    )
    many = " many" if len(data["pictures"]) > MANY else ""
    return f'<div class="pictures{many}">{"".join(drawn)}</div>'


def _words(data: Json) -> str:
    """Shade words by their weights; those that speak against the answer are underlined, too."""
    most = max((abs(one["weight"]) for one in data["words"]), default=0) or 1
    drawn = []
    for one in data["words"]:
        share, less = abs(one["weight"]) / most, one["weight"] < 0 and abs(one["weight"]) > most / 10
        style = f"background: rgb(var(--wash) / {0.55 * share:.2f})" if one["weight"] > 0 else ""
        kind = ' class="less"' if less else ""
        drawn.append(f'<span{kind} style="{style}" title="{one["weight"]:.3g}">{escape(one["word"])}</span>')
    return f'<p class="words">{" ".join(drawn)}</p>'


_PLAIN: dict[str, Callable[[Json], str]] = {"table": _table, "pictures": _pictures, "words": _words}


def _safe(source: str) -> str:
    """Let no address into a page but that of a picture which is inside it."""
    return escape(source) if source.startswith("data:image/png;base64,") else ""


def _cell(value: Any, *, right: bool) -> str:
    if isinstance(value, Cell):
        return f'<td data-value="{escape(value.value)}">{value.html}</td>'
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:,}" if isinstance(value, int) else number(value)
        return f'<td{_right(right)} data-value="{value}">{text}</td>'
    if value is None:
        return f'<td{_right(right)} data-value="">\N{EN DASH}</td>'
    if isinstance(value, list):
        drawn = spark(value)
        return f'<td data-value="{drawn.value}">{drawn.html}</td>'
    text = str(value)
    if text.startswith("data:image/"):
        return f'<td><img alt="" src="{_safe(text)}"></td>'
    wide = ' class="wide"' if len(text) > LONG else ""
    return f"<td{wide}>{escape(text)}</td>"


def _right(right: bool) -> str:
    return ' class="n"' if right else ""


def _anchor(section: Section) -> str:
    return "".join(one if one.isalnum() else "-" for one in section.title.lower())


@cache
def _policy() -> str:
    """Name the scripts of a page by their hashes."""
    hashes = (base64.b64encode(hashlib.sha256(_read(name).encode()).digest()).decode() for name in SCRIPTS)
    return POLICY.format(" ".join(f"'sha256-{one}'" for one in hashes))


@cache
def _read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
