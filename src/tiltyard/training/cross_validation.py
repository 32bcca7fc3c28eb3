"""Cross-validation: train one model per fold and predict its held-out rows; test rows are not used."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.modeling.inference.held_out import HeldOut
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import blend
from tiltyard.training.fit import RunPaths, fit
from tiltyard.training.fit_members import fit_members
from tiltyard.training.row_ranks import rank

if TYPE_CHECKING:
    import keras

Fold = tuple[Array, ...]


def cross_validate(task: Task, parts: TrainingRows, paths: RunPaths) -> list[HeldOut]:
    """Train once per fold, and return the outputs for the held-out rows."""
    from tiltyard.training import network

    results = []
    for number, (fold_rows, (features, truth)) in enumerate(fold_parts(task, parts), start=1):
        body = _fit(_without_statistics(task), fold_rows, paths.inside(f"fold-{number}"))
        outputs = network.outputs(network.build_inference(task.model, body, parts.encoder), features)
        results.append(HeldOut(truth, outputs, fold_rows.train[1]))
    return results


def fold_parts(task: Task, parts: TrainingRows) -> Iterator[tuple[TrainingRows, tuple[Array, Array]]]:
    """Yield for each of `train.folds` the rows to train on and to stop by, and those that are held out."""
    features, truth = _all_rows(parts)
    for number, (train, stop, held_out) in enumerate(_folds(task, features, truth), start=1):
        fold_rows = dataclasses.replace(
            parts,
            train=(features[train], truth[train]),
            validation=(features[stop], truth[stop]),
            digest=f"{parts.digest} fold {number} of {task.train.folds}",
        )
        yield fold_rows, (features[held_out], truth[held_out])


def _fit(task: Task, rows: TrainingRows, paths: RunPaths) -> keras.Model:
    """Fit the model of a fold as that of the whole task: a network, or all members of an ensemble, and references."""
    several = task.train.members > 1 or task.ensemble
    body = fit_members(task, rows, paths).body if several else fit(task, rows, paths).body
    return blend.blend(task, rows, body, {}).body if task.model.blend_references else body


def _without_statistics(task: Task) -> Task:
    """Return the task for a fold, whose model is discarded: nothing is recorded of its weights."""
    return task.model_copy(update={"train": task.train.model_copy(update={"watch": False, "tensorboard": []})})


def _all_rows(parts: TrainingRows) -> tuple[Array, Array]:
    """Return training and validation rows together; raise if they do not fit into memory."""
    (train_features, train_truth), (validation_features, validation_truth) = parts.train, parts.validation
    if not isinstance(train_features, np.ndarray) or not isinstance(validation_features, np.ndarray):
        raise DataError(
            "train.folds: expected rows that fit into memory",
            hint="remove train.folds: with so many rows, a single validation part is precise enough",
        )
    return np.concatenate([train_features, validation_features]), np.concatenate([train_truth, validation_truth])


def _folds(task: Task, features: Array, truth: Array) -> Iterator[Fold]:
    """Yield training, early-stopping and held-out rows of each fold."""
    count, share = task.train.folds or 2, task.split.validation / (1 - task.split.test)
    if task.split.kind == "chronological":
        overlap = plugins.load("modalities", task.modality)().overlap(task)
        folds = _in_time(len(truth), count, share, overlap)
    else:
        strata = truth if task.classes and task.split.kind != "random" else np.zeros(len(truth), dtype=np.int64)
        folds = _k_folds(rank(features, strata, task.split.seed), count, max(2, round(1 / share)))
    for fold in folds:
        if not all(map(len, fold)):
            raise DataError(f"train.folds: expected rows for every part of {count} folds; received {len(truth)} rows")
        yield fold


def _k_folds(number: Array, count: int, stop: int) -> Iterator[Fold]:
    """Yield the row indices of each fold: training, early stopping (one row in `stop`), held out."""
    fold_of_row, is_stop = number % count, (number // count + 1) % stop == 0
    for fold in range(count):
        yield tuple(
            np.flatnonzero(rows)
            for rows in ((fold_of_row != fold) & ~is_stop, (fold_of_row != fold) & is_stop, fold_of_row == fold)
        )


def _in_time(rows: int, count: int, share: float, overlap: int) -> Iterator[Fold]:
    """Yield the row indices of each fold: a held-out block, and the rows before it without the overlap."""
    edges = np.linspace(0, rows, count + 2).astype(int)[1:]
    for start, end in itertools.pairwise(edges):
        usable_end = start - overlap
        stop_start = round(usable_end * (1 - share))
        yield np.arange(stop_start - overlap), np.arange(stop_start, usable_end), np.arange(start, end)
