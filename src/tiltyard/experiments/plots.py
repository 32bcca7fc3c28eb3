"""Plots of searches and studies: trials, values by variant, loss curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.experiments.matplotlib_figures import (
    BLUE,
    FAINT,
    ORANGE,
    escape_name,
    figure_with_axes,
    figure_with_subplots,
    legend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# distinguishable with colour blindness
COLOURS = (BLUE, ORANGE, "#2a9d6f", "#b23a6b", "#6a4fa3", "#8c6d1f", "#1f9fb5", "#7b8794", "#c0392b", "#3d405b")


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
