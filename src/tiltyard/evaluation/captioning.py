"""Evaluation of captions: the caption of the nearest training picture as a rival, and captions by how new they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.evaluation.reference import Reference
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics.bootstrap import Bootstrap
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.captioning import judged
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.sealed_test import TestRows

MAX_KNOWN = 20_000  # training pictures that are compared, evenly spaced
MAX_VALUES = 1 << 13  # of a picture; larger ones are shrunk
BLOCK = 512  # pictures at a time
EDGE = ""  # before the first and after the last word


def nearest_picture(task: Task, encoder: Encoder, train: tuple[Features, Array], test: TestRows) -> Reference:
    """Return the measures of the caption of the training picture with the least squared difference of pixels."""
    places = np.unique(np.linspace(0, len(train[1]) - 1, min(MAX_KNOWN, len(train[1]))).astype(int))
    known = train[0][places] if isinstance(train[0], np.ndarray) else train[0].take(places)
    found = nearest(_shrunk(known), _shrunk(encoder.encode(test.rows)))
    texts = [str(text) for text in train[1][places][found]]
    title = "the caption of the nearest training picture, by pixels"
    return Reference(title, judged(texts, test.truth, task.target.by), f"{len(places):,} training pictures")


def nearest(known: Array, rows: Array) -> Array:
    """Return the index of the known row that is nearest to each row, by Euclidean distance."""
    squares = np.square(known, dtype=np.float64).sum(axis=1)
    blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    return np.concatenate([(squares - 2.0 * (block @ known.T)).argmin(axis=1) for block in blocks])


def _shrunk(pictures: Array) -> Array:
    """Return pictures as rows of bounded length, from -0.5 to 0.5: the mean of square patches."""
    rows, height, width, channels = pictures.shape
    side = 1
    while (height // side) * (width // side) * channels > MAX_VALUES:
        side += 1
    cut = pictures[:, : height // side * side, : width // side * side]
    patches = cut.reshape(rows, height // side, side, width // side, side, channels)
    means = patches.mean(axis=(2, 4), dtype=np.float32) / 255 - 0.5
    return np.asarray(means.reshape(rows, -1), dtype=np.float32)


def further(
    task: Task, encoder: Encoder, train: tuple[Features, Array], test: TestRows, predictions: Predictions
) -> dict[str, Any]:
    """Return the metrics of the nearest picture, and those of the model by how new captions are; nothing elsewhere."""
    if task.problem != "captioning":
        return {}
    rival = nearest_picture(task, encoder, train, test)
    scores = task.evaluator.scores(test.truth, rival.outputs, {})
    return {"nearest": scores, "by_novelty": by_novelty(task, predictions, train[1], rival.outputs)}


def by_novelty(task: Task, predictions: Predictions, known: Array, reference: Array) -> list[dict[str, Any]]:
    """Return the metrics of captions that training has shown, of new ones, and of those with a new pair of words.

    A new pair of words tests whether the model combines what it learned apart (systematic generalisation).
    """
    evaluator, records = task.evaluator, []
    metric = evaluator.metrics[task.gate.metric]
    for name, places in _groups(predictions.truth, known):
        truth, outputs = predictions.truth[places], predictions.outputs[places]
        bootstrap = Bootstrap(len(places), task.split.seed, task.gate.confidence)
        ends = bootstrap.intervals(lambda at, t=truth, o=outputs: {"value": metric.score(t[at], o[at], {})})  # type: ignore[misc]
        low, high = metric.bounded(ends["value"]) or (None, None)
        records.append(
            {
                "captions": name,
                "rows": len(places),
                **evaluator.scores(truth, outputs, {}),
                f"{task.gate.metric}, from": low,
                f"{task.gate.metric}, to": high,
                f"{task.gate.metric} of the nearest picture": metric.score(truth, reference[places], {}),
            }
        )
    return records


def _groups(truth: Array, known: Array) -> Iterator[tuple[str, Array]]:
    """Yield the groups that have rows."""
    captions = {*known.tolist()}
    pairs = {pair for caption in captions for pair in _pairs(caption)}
    is_known = np.array([caption in captions for caption in truth.tolist()], dtype=bool)
    is_new_pair = np.array([not pairs.issuperset(_pairs(caption)) for caption in truth.tolist()], dtype=bool)
    groups = {
        "without a new pair of words": ~is_new_pair,
        "as a training caption": is_known,
        "new, without a new pair of words": ~is_known & ~is_new_pair,
        "with a pair of words that no training caption has": is_new_pair,
    }
    yield from ((name, np.flatnonzero(holds)) for name, holds in groups.items() if holds.any())


def _pairs(caption: str) -> list[tuple[str, str]]:
    """Return neighbouring words, with the edges of the caption."""
    return [*pairwise([EDGE, *caption.split(), EDGE])]
