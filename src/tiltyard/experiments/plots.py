"""Matplotlib plots of searches, studies and range tests: no display needed, same bytes for the same data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE = "#2563a8", "#d9822b"
MAX_NAME_CHARACTERS = 48  # longer names leave no room for the plot

# distinguishable with colour blindness
COLOURS = (BLUE, ORANGE, "#2a9d6f", "#b23a6b", "#6a4fa3", "#8c6d1f", "#1f9fb5", "#7b8794", "#c0392b", "#3d405b")


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without the software's name, which changes with its version."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # missing glyphs are drawn as boxes
        figure.savefig(path, dpi=144, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


def escape_name(value: object) -> str:
    """Return a name for Matplotlib: `$` starts no formula, a leading `_` does not hide a label, and it is short."""
    printable = "".join(character if character.isprintable() else " " for character in str(value))
    short = printable if len(printable) <= MAX_NAME_CHARACTERS else f"{printable[: MAX_NAME_CHARACTERS - 1]}…"
    return f"{' ' * short.startswith('_')}{short}".replace("$", r"\$")


def learning_rate_plot(rows: Sequence[Mapping[str, float]], suggested: float) -> Figure:
    """Plot the loss by learning rate, and the suggested rate."""
    figure, axes = figure_with_axes(6.4, 3.4, "Learning rate", "Loss, running mean")
    axes.plot([row["rate"] for row in rows], [row["loss"] for row in rows], color=BLUE, linewidth=1.8, label="loss")
    axes.axvline(suggested, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)), label=f"falls fastest: {suggested:g}")
    axes.set_xscale("log")
    legend(axes)
    return figure


def figure_with_axes(width: float, height: float, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Return a figure that belongs to no window and no global state."""
    figure, (axes,) = figure_with_subplots((width, height), (x_label,), (y_label,))
    return figure, axes


def figure_with_subplots(
    size: tuple[float, float], x_labels: Sequence[str], y_labels: Sequence[str]
) -> tuple[Figure, list[Axes]]:
    """Return the same with several axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    all_axes = list(figure.subplots(1, len(x_labels), squeeze=False)[0])
    for axes, x_label, y_label in zip(all_axes, x_labels, y_labels, strict=True):
        axes.set_xlabel(x_label, color=INK)
        axes.set_ylabel(y_label, color=INK)
        axes.tick_params(which="both", colors=INK, length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GRID)
    return figure, all_axes


def legend(axes: Axes) -> None:
    """Place the legend above the axes."""
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=1)
    columns = min(3, max(1, MAX_NAME_CHARACTERS // longest))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, labelcolor=INK, borderaxespad=0.2
    )


def search_history(result: Mapping[str, Any]) -> Figure:
    """Plot each trial's value, the best so far, and the importance of each key."""
    figure, (left, right) = figure_with_subplots((9.6, 3.6), ("Trial", "Importance"), (f"{result['metric']}", ""))
    trials = [row for row in result["trials"] if row["value"] is not None]
    numbers, values = [row["trial"] for row in trials], [row["value"] for row in trials]
    best = (np.maximum if result["higher_is_better"] else np.minimum).accumulate(values)
    left.plot(numbers, values, "o", color=BLUE, markersize=5, alpha=0.7, label="trial")
    left.step(numbers, best, where="post", color=ORANGE, linewidth=1.8, label="best so far")
    for place, row in enumerate(row for row in result["trials"] if row["value"] is None):
        left.axvline(row["trial"], ymax=0.03, color=FAINT, linewidth=1.5, label=None if place else "pruned")
    left.locator_params(axis="x", integer=True)
    legend(left)
    _bars(right, result["importance"])
    return figure


def _bars(axes: Axes, shares: Mapping[str, float]) -> None:
    names = list(shares)[::-1]
    axes.barh(names, [shares[name] for name in names], color=BLUE, height=0.6)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    if not shares:
        axes.text(0.5, 0.5, "too few trials", ha="center", transform=axes.transAxes, color=FAINT)


def variant_values(variants: Sequence[Mapping[str, Any]], metric: str) -> Figure:
    """Plot each variant's mean and interval over seeds, and each seed as a dot; the first variant is on top."""
    names = [escape_name(variant["name"]) for variant in variants][::-1]
    figure, axes = figure_with_axes(7.2, 1.2 + 0.42 * len(names), f"{metric} on validation rows", "")
    for place, variant in enumerate(reversed(variants)):
        axes.plot(variant["values"], [place] * len(variant["values"]), "o", color=FAINT, markersize=4, alpha=0.6)
        if variant["interval"]:
            axes.plot(variant["interval"], [place, place], color=BLUE, linewidth=2.4, solid_capstyle="round")
        if variant["mean"] is not None:
            axes.plot([variant["mean"]], [place], "o", color=BLUE, markersize=7)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(visible=False, axis="y")
    return figure


def loss_curves(variants: Sequence[Mapping[str, Any]]) -> Figure:
    """Plot the validation loss by epoch: the mean over seeds, and the range between them."""
    figure, axes = figure_with_axes(7.2, 4.2, "Epoch", "Loss on validation rows, with penalties")
    drawn = [variant for variant in variants if variant["curves"]]
    for variant, colour in zip(drawn, COLOURS * (1 + len(drawn) // len(COLOURS)), strict=False):
        shortest = min(map(len, variant["curves"]))
        losses = np.array([curve[:shortest] for curve in variant["curves"]])
        epochs = np.arange(1, shortest + 1)
        axes.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=colour, alpha=0.12, linewidth=0)
        axes.plot(epochs, losses.mean(axis=0), color=colour, linewidth=1.8, label=escape_name(variant["name"]))
    if drawn and min(min(map(min, variant["curves"])) for variant in drawn) > 0:
        axes.set_yscale("log")
        for formatted in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatted(lambda loss, _: text if (text := f"{loss:g}").lstrip("0.")[0] in "1235" else "")
    legend(axes)
    return figure
