"""Figures as data: plots, tables and images, which the report draws and other programs can read as JSON.

Each function returns one kind of figure; `text` explains in a sentence or two what it shows and how to read it.
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

Kind = Literal["lines", "points", "bars", "boxes", "counts", "regions", "matrix", "network", "table", "images", "words"]
BarValue = TypeVar("BarValue", float, tuple[float, float, float])

MAX_POINTS = 1500  # in a scatter plot: more cannot be distinguished
MAX_BARS = 30  # in a bar chart: more are hard to read
DIGITS = 6  # significant digits of a number in a plot
BINS = 30  # of a histogram
MAX_OUTLIERS = 12  # drawn beyond a whisker of a box plot
WHISKER = 1.5  # length of a whisker at most, in interquartile ranges
MIN_DRAWN = 1e-300  # smaller numbers are drawn as 0, since axes have no ticks for them


@dataclass(frozen=True)
class Figure:
    """A figure: its title, a text that explains it, its kind, and its data."""

    title: str
    text: str
    kind: Kind
    data: Json


def lines(title: str, text: str, axes: tuple[str, str], curves: Mapping[str, Mapping[str, Any]], **more: Any) -> Figure:
    """Return a line plot of curves by name, each with `x` and `y`; `dashed` marks a reference curve.

    Options: `band` with `x`, `low` and `high`; `marks`, each with `x` and `name`; `log` or `log_x` for a logarithmic
    axis; `ranges`, each with `name`, `from` and `to`, of which the reader chooses one to see.
    """
    drawn = [
        {"name": name, **{key: _rounded(values) for key, values in curve.items()}} for name, curve in curves.items()
    ]
    band = {key: _rounded(values) for key, values in more.pop("band", {}).items()}
    return Figure(
        title, text, "lines", {"x": axes[0], "y": axes[1], "lines": drawn, **({"band": band} if band else {}), **more}
    )


def points(
    title: str, text: str, axes: tuple[str, str], groups: Mapping[str, tuple[Array, Array]], **more: Any
) -> Figure:
    """Return a scatter plot of groups by name, two arrays each; of very many points, an even sample.

    Options: `level` or `diagonal`, a reference line; `curve` with `x` and `y`, a fitted line.
    """
    if curve := more.pop("curve", None):
        more["curve"] = {key: _rounded(values) for key, values in curve.items()}
    max_points = max(MAX_POINTS // max(len(groups), 1), 2)
    drawn = [
        {"name": name, "x": _sample(x, max_points), "y": _sample(y, max_points)} for name, (x, y) in groups.items()
    ]
    return Figure(title, text, "points", {"x": axes[0], "y": axes[1], "groups": drawn, **more})


def regions(scatter: Figure, grid: tuple[Array, Array], colours: Array, shares: Array) -> Figure:
    """Return a scatter plot above a plane of coloured cells.

    `grid` has the middle of each column and of each row of cells. `colours` and `shares` (rows, columns) have the
    number of the group of points whose colour a cell has, and how strong it is, from 0 to 1.
    """
    across, up = (_rounded(axis.astype(np.float64)) for axis in grid)
    cells = {"colours": colours.tolist(), "shares": np.round(shares.astype(np.float64), 2).tolist()}
    return Figure(scatter.title, scatter.text, "regions", {**scatter.data, "across": across, "up": up, **cells})


def histogram(title: str, text: str, values: Mapping[str, Array]) -> Figure:
    """Return histograms of several sets of values over each other; the last one is dashed."""
    edges = _edges(np.concatenate([*values.values()]).astype(np.float64))
    drawn = {}
    for place, (name, group_values) in enumerate(values.items(), 1):
        counts, _ = np.histogram(group_values, edges)
        last = len(values) > 1 and place == len(values)
        drawn[name] = {"x": np.repeat(edges, 2)[1:-1], "y": np.repeat(counts, 2), "filled": not last, "dashed": last}
    return lines(title, text, (title, "Test rows"), drawn, zero=True)


def _edges(values: Array) -> Array:
    """Return the edges of equal bins from minimum to maximum; around the value if all are nearly equal."""
    low, high = float(values.min()), float(values.max())
    min_range = BINS * 2 * math.ulp(max(abs(low), abs(high)))  # narrower bins have no width in a float
    if high - low < min_range:
        margin, largest = max(0.5, min_range), sys.float_info.max
        low, high = max(low - margin, -largest), min(high + margin, largest)
    if math.isinf(high - low):
        return np.linspace(low / 4, high / 4, BINS + 1) * 4
    return np.linspace(low, high, BINS + 1)


def bars(title: str, text: str, axis: str, values: Mapping[str, float | tuple[float, float, float]]) -> Figure:
    """Return a bar chart: a bar for each name, or a value with the bounds of its interval."""
    drawn = []
    for name, value in values.items():
        center, *bounds = value if isinstance(value, tuple) else (value,)
        interval = {"low": float(bounds[0]), "high": float(bounds[1])} if bounds else {}
        drawn.append({"name": name, "value": float(center), **interval})
    return Figure(title, text, "bars", {"x": axis, "bars": drawn})


def boxes(title: str, text: str, axis: str, groups: Mapping[str, Array], **more: Any) -> Figure:
    """Return box plots by name; values that are not finite are counted as missing, groups without values left out.

    Option: `own`, to draw each box on a scale of its own.
    """
    drawn = [_box(name, np.asarray(values, dtype=np.float64)) for name, values in groups.items()]
    return Figure(title, text, "boxes", {"x": axis, "boxes": [box for box in drawn if box], **more})


def _box(name: str, values: Array) -> Json:
    """Return quartiles, whiskers and some of the values beyond them; nothing if there are no finite values."""
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        return {}
    quartiles = np.quantile(finite, [0.25, 0.5, 0.75])
    reach = WHISKER * (quartiles[2] - quartiles[0])
    inside = (finite >= quartiles[0] - reach) & (finite <= quartiles[2] + reach)
    beyond = finite[~inside]
    ends = finite[inside] if inside.any() else quartiles
    return {
        "name": name,
        "low": _rounded(float(ends[0])),
        "quartiles": _rounded(quartiles),
        "high": _rounded(float(ends[-1])),
        "outliers": _sample(beyond, 2 * MAX_OUTLIERS) if len(beyond) else [],
        "beyond": len(beyond),
        "rows": len(finite),
        "missing": len(values) - len(finite),
    }


def counts(title: str, text: str, axis: str, names: Sequence[str], groups: Mapping[str, Sequence[int]]) -> Figure:
    """Return bars for each name, one for each group: a number for each name."""
    drawn = [{"name": name, "values": [int(value) for value in values]} for name, values in groups.items()]
    return Figure(title, text, "counts", {"x": axis, "names": [*names], "groups": drawn})


def largest_bars(values: Mapping[str, BarValue]) -> tuple[dict[str, BarValue], str]:
    """Return the largest bars, sorted, and a sentence with the number of all bars if some are left out."""
    order = sorted(values, key=lambda name: -abs(_middle(values[name])))
    largest = {name: values[name] for name in order[:MAX_BARS]}
    return largest, "" if len(largest) == len(values) else f" Of {len(values)} the {MAX_BARS} largest are shown."


def _middle(value: Any) -> float:
    return float(value[0] if isinstance(value, tuple) else value)


def matrix(
    title: str, text: str, axes: tuple[str, str], names: tuple[Sequence[str], Sequence[str]], values: Array, **more: Any
) -> Figure:
    """Return a matrix: a number for each pair of names, rows first; `axes` are the titles of rows and columns.

    Option: `by_row`, to shade a cell by its share of the row.
    """
    down, across = names
    data = {"down": axes[0], "across": axes[1], "rows": [*down], "columns": [*across], "values": _rounded(values)}
    return Figure(title, text, "matrix", {**data, **more})


def network(title: str, text: str, data: Json) -> Figure:
    """Return the diagram of a network: `boxes` in rows and columns, and `lines` through such places."""
    return Figure(title, text, "network", data)


def table(title: str, text: str, records: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a table of records with the same keys; a cell may be None, or an image that begins with data:image/."""
    columns = [*records[0]] if records else []
    return Figure(
        title, text, "table", {"columns": columns, "rows": [[record[key] for key in columns] for record in records]}
    )


def image_figure(title: str, text: str, shown: Mapping[str, Array]) -> Figure:
    """Return images by caption: (height, width) or (height, width, 3), with values from 0 to 255."""
    return captioned_images(title, text, [*shown.items()])


def captioned_images(title: str, text: str, shown: Sequence[tuple[str, Array]], **more: Any) -> Figure:
    """Return images with captions, of which several may be the same.

    Option: `wide`, to draw each in the size of two.
    """
    images = [{"name": name, "src": png(image)} for name, image in shown]
    return Figure(title, text, "images", {"images": images, **more})


def word_figure(title: str, text: str, weights: Sequence[tuple[str, float]]) -> Figure:
    """Return words in order, each with a weight, which may be negative and is shown as a shade."""
    return Figure(
        title, text, "words", {"words": [{"word": word, "weight": float(weight)} for word, weight in weights]}
    )


def png(image: Array) -> str:
    """Return an image as a data URL of a PNG file."""
    from PIL import Image

    values = np.clip(np.rint(np.asarray(image, dtype=np.float64)), 0, 255).astype(np.uint8)
    values = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _sample(values: Array, max_values: int) -> list[Any]:
    places = np.unique(np.linspace(0, len(values) - 1, min(max_values, len(values))).astype(int))
    sample: list[Any] = _rounded(np.asarray(values)[places])
    return sample


def _rounded(values: Any) -> Any:
    """Convert arrays to lists with few significant digits; NaN and infinities become None."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [_rounded(value) for value in values]
    if isinstance(values, float):
        rounded = float(f"{values:.{DIGITS}g}")
        return (rounded if abs(rounded) > MIN_DRAWN else 0.0) if math.isfinite(rounded) else None
    return values
