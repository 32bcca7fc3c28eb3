"""Evaluation of detection and segmentation: what metrics see of outputs, and the baseline of masks."""

from __future__ import annotations

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.segmentation import pixels_by_level
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.preparation.training_rows import sample_rows

BASELINE_ROWS = 2000  # training pictures whose pixels the baseline counts


def condensed(encoder: Encoder, outputs: Array, _: Rows, truth: Array) -> Array:
    """Return the outputs reduced to what metrics need."""
    return encoder.problem.gathered(truth, encoder.problem.condense(encoder, truth, outputs))


def segmentation_baseline(task: Task, encoder: Encoder, test: TestRows, train: tuple[Features, Array]) -> Array:
    """Return the counts of labels by brightness, fitted to training pictures."""
    known = pixels_by_level(*sample_rows(train, BASELINE_ROWS), len(encoder.classes))
    return task.evaluator.baseline(known, {**test.rows, TRUTH: test.truth}, task.gate.metric)
