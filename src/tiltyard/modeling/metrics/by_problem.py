"""The metrics of each problem: title, score, whether higher is better, and what a value means.

They stand apart from the problems, so that another title or metric evaluates again and trains nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.metrics import scores
from tiltyard.modeling.metrics.base import Context, Metric
from tiltyard.modeling.metrics.classification import matrix, probabilities


def _of_matrix(score: Callable[[Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, _: score(matrix(truth, outputs))


def _of_shares(score: Callable[[Array, Array], float]) -> Callable[[Array, Array, Context], float]:
    return lambda truth, outputs, _: score(truth, probabilities(outputs))


def ahead(outputs: Array) -> Array:
    """Return the forecasts alone: (rows, steps)."""
    return outputs[:, 0] if outputs.ndim == 3 else outputs


def _of_all(score: Callable[[Array, Array], float]) -> Callable[[Array, Array, Context], float]:
    """Measure all steps alike."""
    return lambda truth, outputs, _: score(truth.ravel(), ahead(outputs).ravel())


def _mase(truth: Array, outputs: Array, context: Context) -> float:
    return scores.mae(truth.ravel(), ahead(outputs).ravel()) / context["naive_mae"]


def _bits(_: Array, judged: Array, __: Context) -> float:
    return float(judged[:, 0].sum() / judged[:, 2].sum() / np.log(2))


def _perplexity(_: Array, judged: Array, __: Context) -> float:
    return float(np.exp(judged[:, 0].sum() / judged[:, 2].sum()))


def _hits(_: Array, judged: Array, __: Context) -> float:
    return float(judged[:, 1].sum() / judged[:, 2].sum())


def _exact(_: Array, judged: Array, __: Context) -> float:
    return float(judged["exact"].mean())


def _edits(_: Array, judged: Array, __: Context) -> float:
    return float(judged["edits"].sum() / max(judged["length"].sum(), 1.0))


CLASSIFICATION: dict[str, Metric] = {
    "accuracy": Metric(
        "Accuracy",
        _of_matrix(scores.accuracy),
        higher_is_better=True,
        meaning="how often the likeliest label is the right one",
    ),
    "balanced_accuracy": Metric(
        "Balanced accuracy (mean recall over the classes)",
        _of_matrix(scores.balanced_accuracy),
        higher_is_better=True,
        meaning="how often a row of a class is found, all classes counting alike",
    ),
    "macro_f1": Metric(
        "Macro F1 (mean over the classes)",
        _of_matrix(scores.macro_f1),
        higher_is_better=True,
        meaning="how well labels are found without false alarms, all classes counting alike",
    ),
    "log_loss": Metric(
        "Log loss",
        _of_shares(scores.log_loss),
        higher_is_better=False,
        meaning="how surprising the right labels are to the model; 0 if it was sure of each",
    ),
    "brier": Metric(
        "Brier score",
        _of_shares(scores.brier),
        higher_is_better=False,
        meaning="how far the probabilities lie from what came, squared; 0 if each was sure and right",
    ),
    "calibration_error": Metric(
        "Expected calibration error",
        _of_shares(scores.ece),
        higher_is_better=False,
        meaning="how far being sure lies from being right, among answers that are as sure",
    ),
    "roc_auc": Metric(
        "ROC AUC (mean over the classes)",
        _of_shares(scores.roc_auc),
        higher_is_better=True,
        meaning="how often a row of a class is held likelier to be of it than one that is not",
    ),
}

REGRESSION: dict[str, Metric] = {
    "rmse": Metric(
        "Root mean squared error (RMSE)",
        lambda t, o, _: scores.rmse(t, o[:, 0]),
        higher_is_better=False,
        meaning="by how much answers miss, large misses weighing more",
    ),
    "mae": Metric(
        "Mean absolute error (MAE)",
        lambda t, o, _: scores.mae(t, o[:, 0]),
        higher_is_better=False,
        meaning="by how much answers miss on average",
    ),
    "r2": Metric(
        "R² (variance explained)",
        lambda t, o, _: scores.r2(t, o[:, 0]),
        higher_is_better=True,
        meaning="the share of what makes rows differ that the answers account for",
    ),
}

FORECASTING: dict[str, Metric] = {
    "rmse": dataclasses.replace(REGRESSION["rmse"], score=_of_all(scores.rmse)),
    "mae": dataclasses.replace(REGRESSION["mae"], score=_of_all(scores.mae)),
    "mase": Metric(
        "MASE (error over that of the naive forecast in training)",
        _mase,
        higher_is_better=False,
        meaning="the mean miss over that of answering with the last value; below 1 is better than that",
    ),
}

GENERATION: dict[str, Metric] = {
    "perplexity": Metric(
        "Perplexity per character",
        _perplexity,
        higher_is_better=False,
        meaning="between how many characters, equally likely, the model is in doubt",
    ),
    "bits": Metric(
        "Bits per character",
        _bits,
        higher_is_better=False,
        meaning="how surprising each next character is to the model",
    ),
    "accuracy": Metric(
        "Accuracy (next character)",
        _hits,
        higher_is_better=True,
        meaning="how often the likeliest next character is the right one",
    ),
}

TRANSLATION: dict[str, Metric] = {
    "exact": Metric(
        "Exact match (whole answers)",
        _exact,
        higher_is_better=True,
        meaning="how often the whole answer is right, to the letter",
    ),
    "error_rate": Metric(
        "Token error rate (edits per step of the truth)",
        _edits,
        higher_is_better=False,
        meaning="how many edits make the answers right, for each step of the right ones",
    ),
}
