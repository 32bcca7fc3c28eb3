"""How a classifier decides: a slider for the threshold, gain and lift, distributions of scores, and reliability."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np

from tiltyard import figures
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.figures import Figure
from tiltyard.modeling.metrics import curves
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.classification import labels, probabilities

MAX_STEPS = 200  # of the slider, and points of a curve
MAX_CURVES = 6  # classes with a curve of their own: the rarest


def decision_figures(task: Task, predictions: Predictions) -> list[Figure]:
    """Return the figures; none for other problems, or if a probability is not finite."""
    if not task.classes or not np.isfinite(predictions.outputs).all() or not len(predictions.truth):
        return []
    shares, truth = probabilities(predictions.outputs).astype(np.float64), predictions.truth.astype(np.int64)
    slider = [threshold_figure(task.classes, shares[:, 1], truth == 1, predictions.threshold)] if _two(task) else []
    return [*slider, *_gain_and_lift(task, shares, truth), _scores(task, shares, truth, predictions)]


def _two(task: Task) -> bool:
    return len(task.classes) == 2


def threshold_figure(classes: list[str], score: Array, is_member: Array, own: object) -> Figure:
    """Return precision, recall and cost by threshold, with the counts for the slider that moves all of them."""
    threshold = float(own) if isinstance(own, float | int) else 0.5
    steps = np.unique([*np.linspace(0.0, max(float(score.max()), threshold), MAX_STEPS + 1), threshold])
    found, alarms = (_from(np.sort(score[rows]), steps) for rows in (is_member, ~is_member))
    positives, negatives = int(is_member.sum()), int((~is_member).sum())
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = found / (found + alarms), found / positives
    cost = (alarms + positives - found).astype(np.float64)
    lines = {
        "precision": {"x": steps, "y": precision},
        "recall": {"x": steps, "y": recall},
        "cost": {"x": steps, "y": cost / max(float(cost.max()), 1.0), "dashed": True},
    }
    slider = {
        "thresholds": [float(f"{step:.6g}") for step in steps],
        "found": found.tolist(),
        "alarms": alarms.tolist(),
        "positives": positives,
        "negatives": negatives,
        "negative": classes[0],
        "positive": classes[1],
        "own": threshold,
    }
    text = (
        "Sealed test rows. The cost is drawn as a share of the highest. A threshold that is chosen here has seen the "
        "test rows: choose the model's with train.threshold, on validation rows."
    )
    axes = ("Threshold", "Share")
    return figures.lines("Threshold", text, axes, lines, slider=slider, wide=True)


def _from(ordered: Array, steps: Array) -> Array:
    """Return how many scores are not below each step."""
    return len(ordered) - np.searchsorted(ordered, steps, side="left")


def _gain_and_lift(task: Task, shares: Array, truth: Array) -> Iterator[Figure]:
    """Yield which share of a class is among the rows with its highest probabilities, and how much denser it is."""
    counts = np.bincount(truth, minlength=len(task.classes))
    asked = [1] if _two(task) else np.argsort(counts, kind="stable").tolist()
    usable = [place for place in asked if 0 < counts[place] < len(truth)]
    which = f" The {MAX_CURVES} rarest of {len(usable)} classes are shown." if len(usable) > MAX_CURVES else ""
    gain, lift = {}, {}
    for place in usable[:MAX_CURVES]:
        name, found = task.classes[place], np.cumsum((truth == place)[np.argsort(-shares[:, place], kind="stable")])
        kept = curves.thin(found, MAX_STEPS)
        part = (kept + 1) / len(truth)
        gain[name] = {"x": [0.0, *part], "y": [0.0, *(found[kept] / counts[place])]}
        lift[name] = {"x": part, "y": found[kept] / (kept + 1) / (counts[place] / len(truth))}
    if gain:
        chance = {"x": [0, 1], "dashed": True}
        axis = "Share of the rows, highest probability first"
        yield figures.lines(
            "Gain by rows",
            f"Which share of a class is found among the rows with its highest probabilities.{which}",
            (axis, "Share of the class that is found"),
            {**gain, "by chance": {**chance, "y": [0, 1]}},
            square=True,
        )
        yield figures.lines(
            "Lift",
            f"How many times more frequent a class is among these rows than among all.{which}",
            (axis, "Lift"),
            {**lift, "by chance": {**chance, "y": [1, 1]}},
        )


def _scores(task: Task, shares: Array, truth: Array, predictions: Predictions) -> Figure:
    """Return the distribution of the probability: of the second of two classes, or of the predicted one."""
    if _two(task):
        groups = {f"actual {name}": shares[truth == place, 1] for place, name in enumerate(task.classes)}
        text = f"Probability of {task.classes[1]}, by the actual class. The less they overlap, the better."
    else:
        right = labels(predictions.outputs, predictions.threshold) == truth
        groups = {"right": shares.max(axis=1)[right], "wrong": shares.max(axis=1)[~right]}
        text = "Probability of the predicted class, where it is right and where it is wrong."
    return figures.histogram("Distribution of probabilities", text, groups)


def with_intervals(figure: Figure, confidence: float) -> Figure:
    """Add Wilson intervals to the points of a curve of shares whose numbers of rows are known."""
    if figure.kind != "lines" or not any("rows" in line for line in figure.data["lines"]):
        return figure
    lines = [_with_ends(line, confidence) if "rows" in line else line for line in figure.data["lines"]]
    share = f"{confidence:.0%}"
    text = f"{figure.text} Vertical lines are {share} intervals: of few rows they are long."
    return dataclasses.replace(figure, text=text, data={**figure.data, "lines": lines})


def _with_ends(line: dict[str, object], confidence: float) -> dict[str, object]:
    shares, rows = line["y"], line["rows"]
    if not isinstance(shares, list) or not isinstance(rows, list):
        return line
    ends = [
        wilson(share, count, confidence) if share is not None else (None, None)
        for share, count in zip(shares, rows, strict=True)
    ]
    return {**line, "low": [low for low, _ in ends], "high": [high for _, high in ends]}


def wilson(share: float, rows: int, confidence: float) -> tuple[float, float]:
    """Return the Wilson score interval of a share of some rows."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    if rows < 1:
        return 0.0, 1.0
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * math.sqrt(max(share * (1 - share), 0.0) / rows + z * z / (4 * rows * rows))
    return max(0.0, middle - half), min(1.0, middle + half)
