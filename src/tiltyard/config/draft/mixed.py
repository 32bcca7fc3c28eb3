"""Draft a task whose rows hold free texts beside other columns: which texts are kept, and the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft import many_names, texts
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.modeling.columns._label_cells import labels_of
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.problems.regression import Regression
from tiltyard.modeling.references.base import Subject, one_thread
from tiltyard.modeling.references.linear import fit_linear
from tiltyard.modeling.references.text_ngrams import TextNgrams

if TYPE_CHECKING:
    import pandas as pd

FREE_TEXT = "free text"  # begins the reason to leave a text out
MAX_TEXTS = 3  # columns of texts that are read: each has many weights
MAX_ROWS = 5000  # by which texts are judged
WORDS = 60  # of a text that are read for that
MIN_ROWS = 100  # of fewer, no half could tell


def with_texts(
    traits: list[ColumnProfile], rows: pd.DataFrame, target: str, problem: str, separator: str | None
) -> list[ColumnProfile]:
    """Keep the columns of free text that tell something of the target, if there are other columns to learn from."""
    found = [profile for profile in traits if _is_text(profile)]
    if len(found) == 1 and all(profile.reason for profile in traits):
        return traits  # it is a task with this column alone
    some = rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=0)
    targets = _targets(some[target].tolist(), problem, separator) if found else []
    kept: list[str] = []
    for profile in found:
        if len(kept) < MAX_TEXTS and informative(some[profile.name].tolist(), targets):
            kept.append(profile.name)
    return [_decided(profile, rows, profile.name in kept) if _is_text(profile) else profile for profile in traits]


def _is_text(profile: ColumnProfile) -> bool:
    return profile.kind == "text" and profile.reason.startswith(FREE_TEXT)


def _decided(profile: ColumnProfile, rows: pd.DataFrame, kept: bool) -> ColumnProfile:
    """Return the profile of a text that is kept as n-grams, or with the reason why not."""
    if not kept:
        return replace(profile, reason=f"{FREE_TEXT} that tells nothing of the target by itself")
    settings = texts.settings([str(cell) for cell in rows[profile.name].dropna()])
    return replace(profile, reason="", column={**profile.column, **settings})


def _targets(truth: list[object], problem: str, separator: str | None) -> list[Array]:
    """Return ranks of numbers, or a flag for each frequent label."""
    if problem != "multilabel":
        return many_names.targets(truth, labels=problem == "classification")
    sets = [labels_of(cell, separator) for cell in truth]
    counts = Counter(label for labels in sets for label in labels)
    frequent = [label for label, _ in counts.most_common(many_names.MAX_LABELS)]
    return [np.array([label in labels for labels in sets], dtype=np.float64) for label in frequent]


def informative(cells: Sequence[object], targets: list[Array]) -> bool:
    """Return whether a linear model of the words in one half of the rows tells the targets of the other half."""
    column = Text(by="ngrams", length=WORDS, missing="empty")
    values = column.parse(column.read(cells), "text")
    half = np.random.default_rng(0).permutation(len(values)) % 2 == 0
    if len(values) < MIN_ROWS:
        return False
    deviations = np.zeros(len(targets))
    with one_thread():
        for known in (half, ~half):
            deviations += _deviations(column, values, targets, known) / np.sqrt(2)
    limit = many_names.MIN_DEVIATIONS + many_names.SEVERAL * (len(targets) > 1)
    return float(deviations.max(initial=0.0)) > limit


def _deviations(column: Text, values: Array, targets: list[Array], known: Array) -> Array:
    """Return the correlation of each target with its prediction by other rows, in standard deviations of chance."""
    fitted = column.fit(values[known])
    scaled = {"mean": 0.0, "std": 1.0}
    encoder = Encoder("", Regression(), {"text": column}, {"text": fitted}, scaled, [], True, 1)
    matrix = TextNgrams(Subject("text", encoder)).derived(column.encode(values, fitted))
    result = np.zeros(len(targets))
    for place, target in enumerate(targets):
        weights, bias = fit_linear(matrix[known], target[known, None] - target[known].mean(), 1, None)
        predicted, wanted = (matrix[~known] @ weights + bias)[:, 0], target[~known]
        if predicted.std() and wanted.std():
            result[place] = np.corrcoef(predicted, wanted)[0, 1] * np.sqrt(len(wanted))
    return result


def sections(rows: int, features: list[ColumnProfile]) -> dict[str, Any]:
    """Return the sections `model` and `train` of a task file."""
    table = {"table": {"family": "mlp", "units": [64]}} if any(one.kind != "text" for one in features) else {}
    model = {
        "family": "mixed",
        "text": {"family": "bow", "embedding": 16, "units": [], "dropout": 0.2},
        **table,
        "units": [64],
        "dropout": 0.1,
        "blend_references": True,
    }
    train = {"epochs": 60, "batch_size": texts.batch(rows), "learning_rate": 0.003, "patience": 8}
    return {"model": model, "train": {**train, "schedule": "plateau"}}
