"""Whether the place of colours and edges tells images of different labels apart: a quick comparison on a few images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.models._histograms import counts, counts_by_place
from tiltyard.modeling.references.base import one_thread
from tiltyard.modeling.references.linear import fit_linear

MAX_IMAGES = 400
GAIN = 0.03  # of the accuracy, which pays for so many more features
BRIGHTEST = 255.0


def places_matter(column: Image, labels: Sequence[str], read: Callable[[int], bytes]) -> bool:
    """Return whether counts by place predict the labels of a second half better than counts of whole images."""
    chosen = np.random.default_rng(0).permutation(len(labels))[:MAX_IMAGES]
    opened = [(place, pixels) for place in chosen if (pixels := _open(column, read(int(place)))) is not None]
    names = [labels[place] for place, _ in opened]
    classes = sorted(set(names))
    truth = np.array([classes.index(name) for name in names])
    if len(classes) < 2:
        return False
    images = np.stack([pixels for _, pixels in opened]) / np.float32(BRIGHTEST)
    overall = counts(images, np)
    with one_thread():
        without_places, with_places = (
            _accuracy(features, truth)
            for features in (overall, np.concatenate([overall, counts_by_place(images, np)], axis=1))
        )
    return with_places > without_places + GAIN


def _open(column: Image, content: bytes) -> Array | None:
    try:
        return column.open(content)
    except ValueError:
        return None


def _accuracy(features: Array, truth: Array) -> float:
    """Return the share of the second half that a linear model of the first predicts."""
    middle = len(truth) // 2
    scaled = (features - features.mean(axis=0)) / np.maximum(features.std(axis=0), 1e-3)
    weights, bias = fit_linear(scaled[:middle].astype(np.float64), truth[:middle], int(truth.max()) + 1, None)
    return float(np.mean((scaled[middle:] @ weights + bias).argmax(axis=1) == truth[middle:]))
