"""Evaluation of reconstructions: principal components as the baseline, and noisy rows that a model was to clean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows, take_rows
from tiltyard.config.task import Task
from tiltyard.modeling.evaluators.reconstruction import FEATURES, decibels, errors_of_rows
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.metrics.principal_components import PrincipalComponents, sample
from tiltyard.modeling.problems.reconstruction import standardised, width
from tiltyard.preparation.array_file import Features
from tiltyard.preparation.sealed_test import TestRows

NOISY_ROWS = 2000  # test rows with noise


def baseline(task: Task, encoder: Encoder, train: tuple[Features, Array], test: TestRows) -> Array:
    """Return the error of each test row, of principal components fitted to training rows."""
    known = standardised_sample(encoder, train[0])
    rows = {FEATURES: standardised(encoder, encoder.encode(test.rows))}
    return task.evaluator.baseline(known, rows, task.gate.metric)


def standardised_sample(encoder: Encoder, features: Features) -> Array:
    """Return as many standardised training rows as principal components are fitted to."""
    places = sample(len(features), width(encoder))
    return standardised(encoder, features[places] if isinstance(features, np.ndarray) else features.take(places))


def principal_components(task: Task, encoder: Encoder, train: tuple[Features, Array]) -> Callable[[Rows], Array]:
    """Return a function from rows to their reconstructions by principal components fitted to training rows."""
    components = PrincipalComponents.of(standardised_sample(encoder, train[0]), task.model.code_size)
    return lambda rows: components.reconstruct(standardised(encoder, encoder.encode(rows)))


def denoising(task: Task, predictor: Predictor, test: TestRows) -> dict[str, Any]:
    """Return the signal-to-noise ratios of noisy test rows and of what the model makes of them, if it learned that."""
    size = getattr(task.model, "noise", 0.0)
    if not size or task.problem != "reconstruction":
        return {}
    places = np.unique(np.linspace(0, len(test.truth) - 1, min(NOISY_ROWS, len(test.truth))).astype(int))
    clean = predictor.encoder.encode(take_rows(test.rows, places))
    noisy = _noisy(predictor.encoder, clean, size, task)
    outputs = np.concatenate([predictor.run(noisy[start : start + 256]) for start in range(0, len(noisy), 256)])
    encoder = predictor.encoder
    expected = standardised(encoder, clean)
    answered, received = outputs[:, : width(encoder)], standardised(encoder, noisy)
    before, after = (float(decibels(errors_of_rows(expected, rows)).mean()) for rows in (received, answered))
    return {"denoising": {"noise": size, "rows": len(clean), "psnr_of_input": before, "psnr_of_answer": after}}


def _noisy(encoder: Encoder, features: Array, size: float, task: Task) -> Array:
    """Return features with noise, as in training: pixels stay within their range."""
    std = np.array(encoder.scaling()[1], dtype=np.float32)
    noise = np.random.default_rng(task.split.seed).standard_normal(features.shape, dtype=np.float32)
    noisy: Array = features + size * std * noise
    return np.clip(noisy, 0, std.max()) if task.modality == "image" else noisy


def clean_errors(encoder: Encoder, outputs: Array, rows: Rows, _: Array) -> Array:
    """Return the errors of outputs for disturbed rows against the rows as they were."""
    return errors_of_rows(standardised(encoder, encoder.encode(rows)), outputs[:, : width(encoder)])
