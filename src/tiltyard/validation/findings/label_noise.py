"""Labels that may be wrong."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array, take
from tiltyard.errors import DataError
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, Severity, listed, share

ROWS = 3_000  # looked at, so that it takes a second or two
CLASSES = 20
WIDTH = 500  # features
NEIGHBOURS = 7
DOUBTED = 0.05  # chance of the given label out of fold, below which a row is doubted
TOLD = 3  # doubted rows: one or two are nothing unusual
MANY = 0.03  # of the rows


class LabelNoise(Finding):
    """A hint and no proof: the rows around a doubted one, and a model that has not seen it, agree on another label."""

    code: ClassVar = "label_noise"
    title: ClassVar = "labels that may be wrong"

    def look(self, subject: CheckedData) -> Iterator[Found]:
        """Ask the nearest neighbours, and a logistic regression out of fold, whether both object to the label."""
        if subject.truth is None or not 2 <= len(subject.task.classes) <= CLASSES:
            return
        places = subject.readable[:: max(1, -(-len(subject.readable) // ROWS))]
        labels = np.unique(subject.truth[places], return_inverse=True)[1]
        features = _features(subject, places)
        if features is None or features.shape[1] > WIDTH or np.bincount(labels).min() < MIN_ROWS:
            return
        doubted = _doubted(features, labels)
        if len(doubted) >= TOLD:
            text = f"{share(len(doubted), len(places))} rows looked at seem to have another label: rows "
            text += listed(subject.named(places[doubted]))
            hint = "look at these rows; mend those that are wrong"
            severity: Severity = "warning" if len(doubted) > MANY * len(places) else "note"
            yield self.found(severity, subject.task.target.column, f"{text}; expected fewer than {TOLD}", hint)


def _features(subject: CheckedData, places: Array) -> Array | None:
    """Encode as training does, then bring features to one scale; only tables are encoded as quantities."""
    if subject.task.form != "table" or subject.truth is None:
        return None
    rows = take(subject.parsed, places)
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

    near = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(features).kneighbors(features, return_distance=False)
    around = labels[near[:, 1:]]
    agreed = (around == around[:, :1]).all(axis=1) & (around[:, 0] != labels)
    if not agreed.any():
        return np.empty(0, dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has not converged doubts well enough
        chances = cross_val_predict(LogisticRegression(max_iter=200), features, labels, cv=5, method="predict_proba")
    given = chances[np.arange(len(labels)), labels]
    return np.flatnonzero(agreed & (given < DOUBTED))
