"""Plots of the rows that were learned from: class counts, box plots of number columns, and pictures with labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.figures import Figure, boxes, captioned_images, counts
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.array_file import Features, open_part
from tiltyard.preparation.training_rows import sample_rows

MAX_ROWS = 5000  # training rows from which boxes are computed
MAX_CLASSES = 30  # in the plot of counts
MAX_BOX_CLASSES = 8  # in a box plot
MAX_COLUMNS, MAX_BOXES = 6, 24  # plots by class, and boxes of a plot of all columns
PICTURES, MAX_SIDE = 25, 64  # pictures, and the pixels of a side
OTHERS = "other labels"


@dataclass(frozen=True)
class LearnedRows:
    """The training rows of a task as they were prepared, and the truth of all parts."""

    task: Task
    prepared: Path
    test_truth: Array

    def figures(self) -> list[Figure]:
        """Return the plots that fit the task."""
        return [*self.class_counts(), *self.box_plots(), *self.pictures()]

    def class_counts(self) -> list[Figure]:
        """Return how many rows of each part have each label; of many labels, the most frequent ones."""
        labels = self.task.labels
        if not labels or self.task.problem_type.targets == "mask":
            return []
        parts = {"training": self._train[1], "validation": self._validation_truth, "test": self.test_truth}
        numbers = {name: _label_counts(truth, len(labels)) for name, truth in parts.items()}
        total = np.sum([*numbers.values()], axis=0)
        shown = np.sort(np.argsort(-total, kind="stable")[:MAX_CLASSES]) if len(labels) > MAX_CLASSES else None
        names = labels if shown is None else [*(labels[place] for place in shown), OTHERS]
        counted = "Objects" if self.task.problem_type.targets == "objects" else "Rows"
        text = f"{counted} with each label, by part of the split." + (
            "" if shown is None else f" The {MAX_CLASSES} most frequent of {len(labels):,} labels are shown."
        )
        if shown is not None:
            numbers = {name: np.append(all_[shown], all_.sum() - all_[shown].sum()) for name, all_ in numbers.items()}
        return [counts("Labels", text, counted, names, {name: values.tolist() for name, values in numbers.items()})]

    def box_plots(self) -> list[Figure]:
        """Return a box plot of each number column by label, or one of all columns where rows have no single label."""
        numbers = self.numbers
        if not numbers:
            return []
        count = f"{len(self._sample[1]):,} training rows"
        how = "Box: the middle half, with the median; whiskers: at most 1.5 boxes long."
        if self.task.classes:
            return self._boxes_by_class(f"{count}. {how}")
        shown = dict([*numbers.items()][:MAX_BOXES])
        more = f" The first {MAX_BOXES} of {len(numbers)} columns." if len(numbers) > MAX_BOXES else ""
        return [boxes("Number columns", f"{count}, each column on its own scale. {how}{more}", "", shown, own=True)]

    def _boxes_by_class(self, text: str) -> list[Figure]:
        """Return the columns whose means differ most between labels."""
        numbers, truth, labels = self.numbers, self._sample[1].astype(np.int64), self.task.classes
        frequent = np.sort(np.argsort(-_label_counts(truth, len(labels)), kind="stable")[:MAX_BOX_CLASSES])
        order = sorted(numbers, key=lambda name: -_separation(numbers[name], truth))[:MAX_COLUMNS]
        if len(numbers) > MAX_COLUMNS:
            text += f" The {MAX_COLUMNS} of {len(numbers)} columns that differ most between labels."
        if len(labels) > MAX_BOX_CLASSES:
            text += f" The {MAX_BOX_CLASSES} most frequent labels."
        return [
            boxes(f"{name} by label", text, name, {labels[place]: numbers[name][truth == place] for place in frequent})
            for name in numbers
            if name in order
        ]

    def pictures(self) -> list[Figure]:
        """Return training pictures with their labels, if they have any."""
        if self.task.modality != "image":
            return []
        features, truth = sample_rows(self._train, PICTURES)
        text = f"{len(truth)} of {len(self._train[1]):,} training pictures, evenly spaced"
        named = "labels" if self.task.labels else "captions" if self.task.problem == "captioning" else ""
        text += f", with their {named}." if named else "."
        shown = [(self._caption(value), smaller(picture)) for value, picture in zip(truth, features, strict=True)]
        return [captioned_images("Training pictures", text, shown)]

    def _caption(self, value: Array) -> str:
        """Return the label, the labels or the number of a row; empty for a row without a target."""
        if not self.task.target.names:
            return ""
        if self.task.problem_type.targets in ("objects", "mask"):
            codes = np.unique(value) if value.dtype.kind == "u" else np.sort(value[value[:, 0] >= 0, 0])
            return ", ".join(self.task.labels[int(code)] for code in codes) or "no object"
        if np.ndim(value):
            return ", ".join(label for label, holds in zip(self.task.labels, value, strict=True) if holds) or "no label"
        if isinstance(value, str):
            return str(value)
        if self.task.problem == "anomaly":
            return "normal"
        labels = self.task.target.labels
        return labels[int(value)] if labels else f"{value:.4g}"

    @cached_property
    def _train(self) -> tuple[Features, Array]:
        return open_part(self.prepared / "train.npz")

    @cached_property
    def _validation_truth(self) -> Array:
        return open_part(self.prepared / "validation.npz")[1]

    @cached_property
    def _sample(self) -> tuple[Array, Array]:
        return sample_rows(self._train, MAX_ROWS)

    @cached_property
    def numbers(self) -> Mapping[str, Array]:
        """The number columns of some training rows, in their own units, with NaN for missing values."""
        if self.task.modality != "table":
            return {}
        encoder, features = Encoder.load(self.prepared / "encoder.json"), self._sample[0]
        return {
            name: _decoded(column, features[:, encoder.spans[name]])
            for name, column in encoder.columns.items()
            if isinstance(column, Number)
        }


def _label_counts(truth: Array, labels: int) -> Array:
    """Return how many rows have each label; a row may have several."""
    if truth.ndim == 3:  # objects: label and box of each
        names = truth[..., 0].astype(np.int64)
        return np.bincount(names[names >= 0], minlength=labels)[:labels]
    if truth.ndim == 2:
        of_sets: Array = truth.sum(axis=0).astype(np.int64)
        return of_sets[:labels]
    return np.bincount(truth.astype(np.int64), minlength=labels)[:labels]


def _decoded(column: Number, features: Array) -> Array:
    """Return the values of a column from its features; clipped ones stay clipped."""
    values = features[:, 0].astype(np.float64)
    values = np.expm1(values) if column.log else values
    return np.where(features[:, 1] > 0, np.nan, values) if column.missing == "median" else values


def _separation(values: Array, truth: Array) -> float:
    """Return the share of the variance that lies between the labels."""
    present = np.isfinite(values)
    values, truth = values[present], truth[present]
    if len(values) < 2 or not values.std() > 0:
        return 0.0
    scaled = (values - values.mean()) / values.std()
    sizes = np.bincount(truth)
    means = np.bincount(truth, scaled) / np.maximum(sizes, 1)
    return float((sizes * means**2).sum() / len(values))


def smaller(picture: Array) -> Array:
    """Return a picture whose longer side is small enough for a grid; small ones are unchanged."""
    height, width = picture.shape[:2]
    if max(height, width) <= MAX_SIDE:
        return picture
    from PIL import Image

    share = MAX_SIDE / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    pixels = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return np.asarray(image.resize(size, Image.Resampling.BOX))
