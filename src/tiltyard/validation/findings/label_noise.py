"""Label noise: labels that may be wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array, take_rows
from tiltyard.errors import DataError
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, Severity, join_first, share

MAX_ROWS = 3_000  # so that it takes a second or two
MAX_CLASSES = 20
MAX_FEATURES = 500
NEIGHBOURS = 7
MIN_PROBABILITY = 0.05  # out-of-fold probability of the label, below which it is doubted
MIN_DOUBTED = 3  # one or two doubted rows are normal
NOTE_SHARE = 0.005  # of the rows; fewer are normal where classes overlap
WARNING_SHARE = 0.03  # of the rows


class LabelNoise(Finding):
    """A label is doubted, not proven wrong, if the nearest rows and an out-of-fold model agree on another one."""

    code: ClassVar = "label_noise"
    title: ClassVar = "labels that may be wrong"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Compare labels with those of nearest neighbours and with an out-of-fold logistic regression."""
        if subject.truth is None or not 2 <= len(subject.task.classes) <= MAX_CLASSES:
            return
        places = subject.readable[:: max(1, -(-len(subject.readable) // MAX_ROWS))]
        labels = np.unique(subject.truth[places], return_inverse=True)[1]
        features = _features(subject, places)
        if features is None or features.shape[1] > MAX_FEATURES or np.bincount(labels).min() < MIN_ROWS:
            return
        doubted = _doubted(features, labels)
        if len(doubted) >= MIN_DOUBTED and len(doubted) > NOTE_SHARE * len(places):
            text = f"{share(len(doubted), len(places))} examined rows seem to have another label: rows "
            text += join_first(subject.row_numbers(places[doubted]))
            hint = "look at these rows; correct those that are wrong"
            severity: Severity = "warning" if len(doubted) > WARNING_SHARE * len(places) else "note"
            yield self.found(severity, subject.task.target.column, f"{text}; expected at most {NOTE_SHARE:.1%}", hint)


def _features(subject: CheckedData, places: Array) -> Array | None:
    """Return the standardised features of training; None unless the data are a table."""
    if subject.task.modality != "table" or subject.truth is None:
        return None
    rows = take_rows(subject.parsed, places)
    codes = np.unique(subject.truth[places], return_inverse=True)[1]
    try:
        encoder = subject.task.encoder().fit(subject.task.target, rows, codes)
    except DataError:
        return None
    mean, std = encoder.scaling()
    return np.asarray(np.clip((encoder.encode(rows) - np.array(mean)) / np.array(std), -10, 10))


def _doubted(features: Array, labels: Array) -> Array:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(features).kneighbors(features, return_distance=False)
    neighbour_labels = labels[neighbours[:, 1:]]
    agreed = (neighbour_labels == neighbour_labels[:, :1]).all(axis=1) & (neighbour_labels[:, 0] != labels)
    if not agreed.any():
        return np.empty(0, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is not needed here
        probabilities = cross_val_predict(
            LogisticRegression(max_iter=200), features, labels, cv=5, method="predict_proba"
        )
    label_probabilities = probabilities[np.arange(len(labels)), labels]
    return np.flatnonzero(agreed & (label_probabilities < MIN_PROBABILITY))
