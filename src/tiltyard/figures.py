"""Figures as data: curves, bars, tables and pictures that a page draws and programs can read.

Each function makes one kind of it; `text` says what is seen and how to read it, in a sentence or two.
"""

from __future__ import annotations

import base64
import io
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.files import Json

Kind = Literal["lines", "points", "bars", "matrix", "table", "pictures", "words"]
Told = TypeVar("Told", float, tuple[float, float, float])

MAX_POINTS = 1500  # points that can be told apart on a page
MAX_BARS = 30  # bars under which one still finds what one looks for
DIGITS = 6  # of a number that is only looked at
BINS = 30  # of a histogram
MIN_DRAWN = 1e-300  # an axis has no round marks for numbers nearer to zero


@dataclass(frozen=True)
class Figure:
    """A title, a sentence, and what is drawn."""

    title: str
    text: str
    kind: Kind
    data: Json


def lines(title: str, text: str, axes: tuple[str, str], curves: Mapping[str, Mapping[str, Any]], **more: Any) -> Figure:
    """Return curves by name, each with `x` and `y`, and `dashed` if it is only there to compare with.

    More: `band` with `x`, `low` and `high`; `marks`, each with `x` and `name`; `log` or `log_x` for an axis of powers.
    """
    drawn = [{"name": name, **{key: _plain(one) for key, one in curve.items()}} for name, curve in curves.items()]
    band = {key: _plain(one) for key, one in more.pop("band", {}).items()}
    return Figure(
        title, text, "lines", {"x": axes[0], "y": axes[1], "lines": drawn, **({"band": band} if band else {}), **more}
    )


def points(
    title: str, text: str, axes: tuple[str, str], groups: Mapping[str, tuple[Array, Array]], **more: Any
) -> Figure:
    """Return points by the name of their group, as two arrays; of very many only some, evenly chosen.

    More: `level` or `diagonal`, a line to compare with.
    """
    most = max(MAX_POINTS // max(len(groups), 1), 2)
    drawn = [{"name": name, "x": _some(x, most), "y": _some(y, most)} for name, (x, y) in groups.items()]
    return Figure(title, text, "points", {"x": axes[0], "y": axes[1], "groups": drawn, **more})


def histogram(title: str, text: str, values: Mapping[str, Array]) -> Figure:
    """Return how often which value occurs, several kinds over each other; the last one dashed."""
    edges = _edges(np.concatenate([*values.values()]).astype(np.float64))
    drawn = {}
    for place, (name, some) in enumerate(values.items(), 1):
        counts, _ = np.histogram(some, edges)
        last = len(values) > 1 and place == len(values)
        drawn[name] = {"x": np.repeat(edges, 2)[1:-1], "y": np.repeat(counts, 2), "filled": not last, "dashed": last}
    return lines(title, text, (title, "Test rows"), drawn, zero=True)


def _edges(values: Array) -> Array:
    """Return the edges of equal bins from the least value to the largest; around one value alone, or nearly so."""
    low, high = float(values.min()), float(values.max())
    least = BINS * 2 * math.ulp(max(abs(low), abs(high)))  # narrower bins have no width in a float
    if high - low < least:
        reach, most = max(0.5, least), sys.float_info.max
        low, high = max(low - reach, -most), min(high + reach, most)
    if math.isinf(high - low):
        return np.linspace(low / 4, high / 4, BINS + 1) * 4
    return np.linspace(low, high, BINS + 1)


def bars(title: str, text: str, axis: str, values: Mapping[str, float | tuple[float, float, float]]) -> Figure:
    """Return a bar a name, from zero to its value; or its value with both ends of an interval."""
    drawn = []
    for name, value in values.items():
        middle, *ends = value if isinstance(value, tuple) else (value,)
        interval = {"low": float(ends[0]), "high": float(ends[1])} if ends else {}
        drawn.append({"name": name, "value": float(middle), **interval})
    return Figure(title, text, "bars", {"x": axis, "bars": drawn})


def largest_bars(values: Mapping[str, Told]) -> tuple[dict[str, Told], str]:
    """Keep the bars that can be read on a page, the longest first; and say how many there were, if not all are kept."""
    order = sorted(values, key=lambda name: -abs(_middle(values[name])))
    kept = {name: values[name] for name in order[:MAX_BARS]}
    return kept, "" if len(kept) == len(values) else f" Of {len(values)} the {MAX_BARS} largest are shown."


def _middle(value: Any) -> float:
    return float(value[0] if isinstance(value, tuple) else value)


def matrix(
    title: str, text: str, axes: tuple[str, str], names: tuple[Sequence[str], Sequence[str]], values: Array, **more: Any
) -> Figure:
    """Return a number for each pair of names, rows first; `axes` says what runs down and what runs across.

    More: `by_row`, if a shade is to be a share of its row.
    """
    down, across = names
    data = {"down": axes[0], "across": axes[1], "rows": [*down], "columns": [*across], "values": _plain(values)}
    return Figure(title, text, "matrix", {**data, **more})


def table(title: str, text: str, records: Sequence[Mapping[str, Any]]) -> Figure:
    """Return records that share their keys; a cell may be None, and one that begins with data:image/ is a picture."""
    columns = [*records[0]] if records else []
    return Figure(
        title, text, "table", {"columns": columns, "rows": [[one[key] for key in columns] for one in records]}
    )


def pictures(title: str, text: str, shown: Mapping[str, Array]) -> Figure:
    """Return pictures by their captions: (height, width) or (height, width, 3), from 0 to 255."""
    return Figure(
        title, text, "pictures", {"pictures": [{"name": name, "src": png(one)} for name, one in shown.items()]}
    )


def words(title: str, text: str, told: Sequence[tuple[str, float]]) -> Figure:
    """Return words in their order, each with a weight that may be negative, and that is shown as a shade."""
    return Figure(title, text, "words", {"words": [{"word": word, "weight": float(weight)} for word, weight in told]})


def png(picture: Array) -> str:
    """Spell a picture as an address that holds it whole."""
    from PIL import Image

    values = np.clip(np.rint(np.asarray(picture, dtype=np.float64)), 0, 255).astype(np.uint8)
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _some(values: Array, most: int) -> list[Any]:
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))
    found: list[Any] = _plain(np.asarray(values)[places])
    return found


def _plain(values: Any) -> Any:
    """Turn arrays into lists, without digits that nobody can see; what is no finite number is None."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [_plain(one) for one in values]
    if isinstance(values, float):
        found = float(f"{values:.{DIGITS}g}")
        return (found if abs(found) > MIN_DRAWN else 0.0) if math.isfinite(found) else None
    return values
