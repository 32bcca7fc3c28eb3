"""Pictures for reports: drawn without a display, light and plain, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.column import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, ORANGE = "#2563a8", "#d9822b"
SHOWN = 200  # points of a series that can still be told apart


def save(figure: Figure, path: Path) -> None:
    """Write a PNG; without the name of the software, which changes with its version."""
    figure.savefig(path, dpi=144, bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


def confusion(matrix: Array, classes: Sequence[str]) -> Figure:
    """Draw counts; the shade is the share of the true class, so that rare classes show as well as frequent ones."""
    side = max(3.6, 0.52 * len(classes) + 1.8)
    figure, axes = sheet(side, side, "Predicted", "Actual")
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(matrix):
        colour = "white" if shares[row, column] > 0.55 else INK if number else "#b8c0c8"
        axes.text(column, row, f"{number}", ha="center", va="center", color=colour, fontsize=10)
    long = max(map(len, classes)) > 3 and len(classes) > 3
    axes.set_xticks(range(len(classes)), classes, rotation=40 if long else 0, ha="right" if long else "center")
    axes.set_yticks(range(len(classes)), classes)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return figure


def residuals(truth: Array, value: Array, target: str) -> Figure:
    """Draw prediction minus truth over the prediction: a shape in the cloud is something the model has not learned."""
    figure, axes = sheet(6.4, 3.8, f"Predicted {target}", "Predicted minus actual")
    axes.axhline(0, color=INK, linewidth=1)
    axes.scatter(value, value - truth, s=18, color=BLUE, alpha=0.65, edgecolors="none")
    return figure


Ends = tuple[Array, Array]  # lower and upper


def forecast(truth: Array, value: Array, baseline: Array, target: str, ends: Ends | None = None) -> Figure:
    """Draw the end of the series beside the forecast, between its ends if it has some, and the baseline's."""
    steps = np.arange(len(truth))[-SHOWN:]
    figure, axes = sheet(7.2, 3.8, "Test row", target)
    if ends:
        axes.fill_between(steps, ends[0][-SHOWN:], ends[1][-SHOWN:], color=BLUE, alpha=0.15, linewidth=0)
    axes.plot(steps, truth[-SHOWN:], color=FAINT, linewidth=1, label="actual")
    axes.plot(steps, baseline[-SHOWN:], color=ORANGE, linewidth=0.8, alpha=0.5, label="baseline")
    axes.plot(steps, value[-SHOWN:], color=BLUE, linewidth=1.8, label="forecast")
    legend(axes)
    return figure


def steps(model: Sequence[float], baseline: Sequence[float]) -> Figure:
    """Draw the error by how far ahead the forecast looks."""
    figure, axes = sheet(6.4, 3.4, "Steps ahead", "Root mean squared error")
    places = range(1, len(model) + 1)
    axes.plot(places, baseline, color=ORANGE, linewidth=1.8, marker="o", markersize=4, label="baseline")
    axes.plot(places, model, color=BLUE, linewidth=1.8, marker="o", markersize=4, label="forecast")
    axes.set_ylim(bottom=0)
    axes.locator_params(axis="x", integer=True)
    legend(axes)
    return figure


def histograms(values: Mapping[str, Array], title: str) -> Figure:
    """Draw how often which value occurs, two kinds over each other."""
    figure, axes = sheet(6.4, 3.4, title, "Test rows")
    edges = np.histogram_bin_edges(np.concatenate([*values.values()]), 30).tolist()
    for (name, some), colour in zip(values.items(), (BLUE, ORANGE), strict=False):
        axes.hist(some, edges, color=colour, alpha=0.55, label=name)
    legend(axes)
    return figure


def learning(history: Mapping[str, Sequence[float]], best_epoch: int) -> Figure:
    """Draw the loss by epoch on training and validation rows, and the epoch whose weights were kept."""
    figure, axes = sheet(6.4, 3.4, "Epoch", "Loss")
    names = {"loss": ("training", BLUE), "val_loss": ("validation", ORANGE)}
    for name, (label, colour) in names.items():
        values = history.get(name, ())
        axes.plot(range(1, len(values) + 1), values, color=colour, linewidth=1.8, label=label)
    axes.axvline(best_epoch, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), label=f"kept: epoch {best_epoch}")
    if min((value for name in names for value in history.get(name, ())), default=0) > 0:
        axes.set_yscale("log")
    legend(axes)
    return figure


def rates(rows: Sequence[Mapping[str, float]], suggested: float) -> Figure:
    """Draw the loss over the learning rate, and the rate at which it falls fastest."""
    figure, axes = sheet(6.4, 3.4, "Learning rate", "Loss, running mean")
    axes.plot([row["rate"] for row in rows], [row["loss"] for row in rows], color=BLUE, linewidth=1.8, label="loss")
    axes.axvline(suggested, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)), label=f"falls fastest: {suggested:g}")
    axes.set_xscale("log")
    legend(axes)
    return figure


def gradients(looks: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the size of each layer's gradient at each look, the first layer darkest; looks come ever more rarely."""
    figure, axes = sheet(6.4, 3.4, "Epoch", "Gradient (root mean square)")
    names = list(looks[0]["gradients"])
    for place, name in enumerate(names):
        values = [look["gradients"][name] or np.nan for look in looks]
        colour = _lighter(BLUE, 0.75 * place / max(len(names) - 1, 1))
        label = name if place in (0, len(names) - 1) else None
        axes.plot(range(len(looks)), values, color=colour, linewidth=1.8, label=label)
    axes.set_xticks(range(len(looks)), [str(look["epoch"]) for look in looks])
    axes.set_yscale("log")
    legend(axes)
    return figure


def _lighter(colour: str, share: float) -> tuple[float, ...]:
    """Move a colour towards white."""
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return tuple(channel + share * (1 - channel) for channel in channels)


def sheet(width: float, height: float, across: str, up: str) -> tuple[Figure, Axes]:
    """Give a figure that belongs to no window and to no global state."""
    figure, (axes,) = sheets((width, height), (across,), (up,))
    return figure, axes


def sheets(size: tuple[float, float], across: Sequence[str], up: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Give the same with several pictures beside each other."""
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
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, labelcolor=INK, borderaxespad=0.2)
