"""Attributions: the contribution of each column to a prediction, for requests with `explain`.

They are Shapley values with the golden rows of the package as background, so the service needs no training data.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import RequestError
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.shapley import coalition_count, mix_rows, shapley
from tiltyard.modeling import deadline
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.json_body import EXPLAIN

MAX_INSTANCES = 64  # instances of a request
MAX_MODEL_VALUES = 1 << 26  # input values of all model calls for a request: many columns allow fewer instances
PAIRS = 4  # of column orders sampled for each golden row


def check(model: LoadedModel, instances: object) -> None:
    """Raise RequestError if the predictions cannot be explained, or there are too many instances."""
    if text := unsupported_reason(model):
        raise RequestError("not_explained", text, EXPLAIN)
    if isinstance(instances, list) and len(instances) > (limit := max_instances(model)):
        text = f"expected at most {limit} instances with {EXPLAIN}; received {len(instances)}"
        raise RequestError("too_many", text, "instances", status=413)


def unsupported_reason(model: LoadedModel) -> str:
    """Return why a model's predictions cannot be explained; an empty text if they can."""
    encoder = model.predictor.encoder
    if encoder.problem.targets == "text":
        return f"expected a model that predicts labels or numbers; {model.task} generates text"
    if encoder.bare or any(column.type == "series" for column in encoder.columns.values()):
        return f"expected a model of a table; an instance of {model.task} has no columns"
    if not model.background:
        return f"expected a package with golden rows; {model.version} has none"
    return ""


def max_instances(model: LoadedModel) -> int:
    """Return the maximum number of instances in a request with `explain`."""
    spans = [*model.predictor.encoder.spans.values()]
    cells = coalition_count(len(spans), PAIRS) * len(model.background) * int(spans[-1].stop)
    return max(1, min(MAX_INSTANCES, MAX_MODEL_VALUES // cells))


def attributions(model: LoadedModel, instances: object, predictions: list[Any]) -> list[dict[str, Any]]:
    """Return for each instance the base value and the contribution of each column."""
    encoder = model.predictor.encoder
    background, rows = (encoder.encode(encoder.parse(batch)) for batch in (model.background, instances))
    labels = [_explained_label(prediction, encoder.classes) for prediction in predictions]
    labels_and_rows = deadline.stepwise([*zip(labels, rows, strict=True)])
    explanations = [
        _explain_row(ExplainedOutput(model.predictor, label), row, background) for label, row in labels_and_rows
    ]
    for index, explanation in enumerate(explanations):
        if not all(map(math.isfinite, explanation["contributions"].values())):
            raise RequestError("out_of_bounds", "the values are too large for the model", f"instances[{index}]")
    return explanations


def _explained_label(prediction: Any, classes: list[str]) -> int | None:
    """Return the index of the label or cluster that is explained; of several labels, the most probable one."""
    if isinstance(prediction, dict) and "cluster" in prediction:
        return int(prediction["cluster"])
    if not classes:
        return None
    probabilities = prediction["probabilities"]
    label = prediction["label"] if "label" in prediction else max(probabilities, key=probabilities.__getitem__)
    return classes.index(label)


def _explain_row(output: ExplainedOutput, row: Array, background: Array) -> dict[str, Any]:
    spans = output.predictor.encoder.spans
    games = [
        partial(_coalition_values, output, row, background_row, [*spans.values()]) for background_row in background
    ]
    contributions, base = shapley(games, len(spans), PAIRS, np.random.default_rng(0))  # deterministic
    return {"base": base, "of": output.name, "contributions": dict(zip(spans, contributions.tolist(), strict=True))}


def _coalition_values(
    output: ExplainedOutput, row: Array, background_row: Array, spans: list[slice], coalitions: Array
) -> Array:
    return output(mix_rows(row, background_row, spans, coalitions))
