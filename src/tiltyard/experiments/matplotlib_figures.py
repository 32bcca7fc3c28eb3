"""Matplotlib plots of searches, studies and range tests: no display needed, same bytes for the same data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE = "#2563a8", "#d9822b"
MAX_NAME_CHARACTERS = 48  # longer names leave no room for the plot


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
