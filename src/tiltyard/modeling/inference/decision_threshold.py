"""Decision thresholds: from which probability on a label is predicted. Chosen on validation rows, saved with the model.

Without `train.threshold`, only a rare one of two labels has one, since it would hardly ever be the more probable label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from tiltyard.arrays import Array
from tiltyard.modeling.problems.base import Threshold
from tiltyard.modeling.problems.classification import probabilities
from tiltyard.modeling.problems.multilabel import THRESHOLD
from tiltyard.settings import Settings

RARE = 0.1  # share of the training rows below which the most probable label is hardly ever the rare one
BELOW = 1e-6  # under the lowest probability, if every row is predicted as the rare label
FEWEST = 3  # validation rows with the label, and without it
OPTIONS = {  # the options of each criterion
    "f1": (),
    "recall": ("at_least",),
    "precision": ("at_least",),
    "cost": ("false_positive", "false_negative"),
    "value": ("value",),
}


class DecisionThreshold(Settings):
    """How the threshold of the second of two labels, or of each of several labels of a row, is chosen."""

    by: Literal["f1", "recall", "precision", "cost", "value"] = Field(
        description="The largest F1, a wanted recall or precision, the lowest cost, all on validation rows; or a value."
    )
    at_least: float | None = Field(None, gt=0, le=1, description="The recall or precision that is wanted.")
    false_positive: float | None = Field(None, ge=0, description="The cost of a row that is wrongly given the label.")
    false_negative: float | None = Field(None, ge=0, description="The cost of a row that is wrongly not given it.")
    value: float | None = Field(None, gt=0, lt=1, description="The threshold itself, for `by: value`.")

    @model_validator(mode="after")
    def _options_of_criterion(self) -> DecisionThreshold:
        given = tuple(name for name in type(self).model_fields if name != "by" and getattr(self, name) is not None)
        if given != OPTIONS[self.by]:
            expected = " and ".join(OPTIONS[self.by]) or "no further option"
            raise ValueError(f"expected {expected} for by: {self.by}; received {' and '.join(given) or 'none'}")
        return self


@dataclass(frozen=True)
class Cuts:
    """All ways to divide rows by their score: where, and how many rows with the label and in all are at or above."""

    threshold: Array
    hits: Array
    predicted: Array
    members: int

    @classmethod
    def of(cls, is_member: Array, score: Array) -> Cuts:
        """Return the cuts between different scores, from the highest; the first has no rows, the last has all."""
        order = np.argsort(-score, kind="stable")
        ordered = score[order].astype(np.float64)
        last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of each group of equal scores
        below = np.append(ordered[last[:-1] + 1], ordered[-1] - BELOW)
        return cls(
            np.append(ordered[0] + BELOW, (ordered[last] + below) / 2),
            np.append(0, np.cumsum(is_member[order])[last]),
            np.append(0, last + 1),
            int(is_member.sum()),
        )

    def best(self, setting: DecisionThreshold) -> int:
        """Return the index of the cut that a criterion chooses; of equals the one with the fewest rows above it."""
        if setting.by == "recall":
            return int(np.argmax(self.hits >= (setting.at_least or 0) * self.members))
        if setting.by == "precision":
            return self._most_hits(setting.at_least or 0)
        if setting.by == "cost":
            alarms, missed = self.predicted - self.hits, self.members - self.hits
            return int(((setting.false_positive or 0) * alarms + (setting.false_negative or 0) * missed).argmin())
        return int((2 * self.hits / (self.predicted + self.members)).argmax())

    def _most_hits(self, wanted: float) -> int:
        """Return the cut with the largest recall at a precision; if none has it, that with the highest precision."""
        precision = self.hits / np.maximum(self.predicted, 1)
        allowed = precision >= min(wanted, float(precision.max()))
        return int(np.where(allowed, self.hits, -1).argmax())


def rare_label(truth: Array, classes: int) -> int | None:
    """Return the index of the rare label of training rows; None unless there are two and one is rare."""
    if classes != 2:
        return None  # the truth may be numbers, texts or forecasts of several steps
    counts = np.bincount(truth.astype(np.int64), minlength=2)
    return int(counts.argmin()) if 0 < counts.min() < RARE * len(truth) else None


def choose(truth: Array, shares: Array, rare: int) -> float | None:
    """Return the probability of the second label from which it is predicted, with the largest F1 of the rare label.

    `truth` and `shares`, the probabilities of both labels, are of validation rows. None if these are too few.
    """
    members = truth == rare
    if members.sum() < FEWEST:
        return None
    cuts = Cuts.of(members, shares[:, rare])
    threshold = float(cuts.threshold[cuts.best(DecisionThreshold(by="f1"))])
    return threshold if rare == 1 else 1 - threshold


def decide(
    setting: DecisionThreshold | None, classes: int, train: Array, truth: Array, outputs: Array
) -> Threshold | None:
    """Return the threshold of a model by its outputs for validation rows; None if it needs none or rows are too few.

    `train` is the truth of the training rows, by which a label is rare. `classes` is 0 unless a row has exactly one.
    """
    if setting is None:
        rare = rare_label(train, classes)
        return None if rare is None else choose(truth, probabilities(outputs), rare)
    if truth.dtype.kind != "b":
        return _of_label(setting, truth == 1, probabilities(outputs)[:, 1])
    chosen = (_of_label(setting, flags, score) for flags, score in zip(truth.T, outputs.T, strict=True))
    return [THRESHOLD if threshold is None else threshold for threshold in chosen]


def _of_label(setting: DecisionThreshold, is_member: Array, score: Array) -> float | None:
    """Return the threshold of one label; None if too few rows have it, or have it not."""
    if setting.value is not None:
        return setting.value
    if min(is_member.sum(), (~is_member).sum()) < FEWEST:
        return None
    cuts = Cuts.of(is_member, score)
    return float(cuts.threshold[cuts.best(setting)])


def described(threshold: Threshold, labels: Sequence[str], truth: Array, outputs: Array) -> list[dict[str, Any]]:
    """Return each threshold with its rates on validation rows, for the record of the training."""
    if truth.dtype.kind == "b":
        columns = [*zip(labels, truth.T, outputs.T, strict=True)]
    else:
        columns = [(labels[1], truth == 1, probabilities(outputs)[:, 1])]
    thresholds = threshold if isinstance(threshold, list) else [threshold]
    return [_record(*column, value) for column, value in zip(columns, thresholds, strict=True)]


def _record(label: str, is_member: Array, score: Array, threshold: float) -> dict[str, Any]:
    predicted = score.astype(np.float64) >= threshold
    hits, members, given = (int(rows.sum()) for rows in (predicted & is_member, is_member, predicted))
    parts = {"recall": (hits, members), "false_positive_rate": (given - hits, len(score) - members)}
    parts["precision"] = (hits, given)
    rates = {name: part / whole if whole else None for name, (part, whole) in parts.items()}
    return {"label": label, "threshold": threshold, "validation_rows": members, **rates}
