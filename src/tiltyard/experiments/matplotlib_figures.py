"""Pictures of searches, studies and range tests: drawn without a display, the same bytes for the same numbers."""

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
LONGEST = 48  # characters of a name; longer ones leave no room for what is drawn


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; without the name of the software, which changes with its version."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in a script that the font lacks is drawn as boxes
        figure.savefig(path, dpi=144, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


def name(value: object) -> str:
    """Return a name as Matplotlib shows it: `$` begins no formula, and a `_` in front does not hide a label."""
    flat = "".join(one if one.isprintable() else " " for one in str(value))
    short = flat if len(flat) <= LONGEST else f"{flat[: LONGEST - 1]}…"
    return f"{' ' * short.startswith('_')}{short}".replace("$", r"\$")


def rates(rows: Sequence[Mapping[str, float]], suggested: float) -> Figure:
    """Draw the loss over the learning rate, and the rate at which it falls fastest."""
    figure, axes = sheet(6.4, 3.4, "Learning rate", "Loss, running mean")
    axes.plot([row["rate"] for row in rows], [row["loss"] for row in rows], color=BLUE, linewidth=1.8, label="loss")
    axes.axvline(suggested, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)), label=f"falls fastest: {suggested:g}")
    axes.set_xscale("log")
    legend(axes)
    return figure


def sheet(width: float, height: float, across: str, up: str) -> tuple[Figure, Axes]:
    """Return a figure that belongs to no window and to no global state."""
    figure, (axes,) = sheets((width, height), (across,), (up,))
    return figure, axes


def sheets(size: tuple[float, float], across: Sequence[str], up: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return the same with several pictures beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    several = list(figure.subplots(1, len(across), squeeze=False)[0])
    for axes, below, beside in zip(several, across, up, strict=True):
        axes.set_xlabel(below, color=INK)
        axes.set_ylabel(beside, color=INK)
        axes.tick_params(which="both", colors=INK, length=0)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(GRID)
    return figure, several


def legend(axes: Axes) -> None:
    """Put the legend above the data, where it hides nothing."""
    longest = max(map(len, axes.get_legend_handles_labels()[1]), default=1)
    columns = min(3, max(1, LONGEST // longest))
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, frameon=False, labelcolor=INK, borderaxespad=0.2
    )
