"""Blend a network with the references of its task: one graph, and weights by the loss on validation rows."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.models.base import NETWORK
from tiltyard.modeling.references import base
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import ensemble
from tiltyard.training.objective import Objective
from tiltyard.training.reference import MAX_VALIDATION, Trained, build_reference

if TYPE_CHECKING:
    import keras

DRAWS = 100  # resamples of the validation rows
STEPS = 10  # within a resample, weights are multiples of a tenth
SMALLEST = 0.05  # a part of less weight costs time and improves little: it is left out

LossOfRows = Callable[[Array], Array]  # the loss of each row, of outputs


@dataclass(frozen=True)
class Blend:
    """A trained network and the references fitted to its rows, with their weights and losses on validation rows."""

    task: Task
    parts: TrainingRows
    models: list[keras.Model]  # the network, then the references
    fitted: list[base.FittedReference]
    weights: list[float]
    losses: list[float]  # of each part, and of the mean

    def trained(self, record: dict[str, Any]) -> Trained:
        """Return one model; `record` is that of the network, to which this adds."""
        rows = min(MAX_VALIDATION, len(self.parts.validation[1]))
        names = [NETWORK, *(reference.name for reference in self.fitted)]
        listed = [
            {"model": name, "weight": weight, "loss": loss}
            for name, weight, loss in zip(names, self.weights, self.losses, strict=False)
        ]
        blended = {
            "validation_rows": rows,
            "loss": self.losses[-1],
            "parts": listed,
            "summary": _sentence(listed, rows),
        }
        body = combine(self.models, self.weights)
        return Trained(body, {**record, "parameters": body.count_params(), "blend": blended})

    def refitted(self) -> Blend:
        """Return the same with references fitted again, to training and validation rows, if their kind is."""
        fitted, models = [*self.fitted], [*self.models]
        for place, (reference, weight) in enumerate(zip(self.fitted, self.weights[1:], strict=True)):
            if weight and reference.model.refits:
                fitted[place] = base.refitted(reference, self.parts.train, self.parts.validation)
                models[place + 1] = build_reference(fitted[place], self.parts, self.task.output)
        return replace(self, fitted=fitted, models=models)


def blend(task: Task, parts: TrainingRows, body: keras.Model, record: dict[str, Any]) -> Trained:
    """Return the weighted mean of a trained network and of the references fitted to its rows, and the record of it.

    Equal rows give equal weights, so that a training that was killed ends with the same model.
    """
    from tiltyard.training import network

    subject = task.reference_subject(parts.encoder)
    fitted = [*base.candidates(subject, parts.train, task.model.unsuited_references)]
    models = [body, *(build_reference(reference, parts, task.output) for reference in fitted)]
    features, truth = parts.validation[0][:MAX_VALIDATION], parts.validation[1][:MAX_VALIDATION]
    outputs = np.stack([network.outputs(model, features) for model in models])
    losses = loss_of_rows(Objective.of(task, parts.encoder), truth)
    overlap = parts.train[0].shape[1] if task.modality == "series" else 1
    weights = learn_weights(outputs, losses, len(truth) / overlap)
    mean = np.tensordot(weights, outputs, 1)
    figures = [float(f"{losses(part).mean():.6g}") for part in (*outputs, mean)]
    blended = Blend(task, parts, models, fitted, weights, figures)
    return replace(blended.trained(record), refit=lambda: blended.refitted().trained(record))


def loss_of_rows(objective: Objective, truth: Array) -> LossOfRows:
    """Return the function that computes the loss of each row, weighted as training rows are."""
    objective = objective.of_outputs
    targets = objective.core_targets(truth)
    weights = objective.weights(truth, targets)
    function = objective.of_core_targets

    def losses(outputs: Array) -> Array:
        values = function(targets.reshape(len(targets), -1), outputs.astype(np.float32))
        return np.asarray(values, dtype=np.float64) * weights

    return losses


def learn_weights(outputs: Array, losses: LossOfRows, independent: float) -> list[float]:
    """Return a weight for each part, positive or 0, with a sum of 1; `outputs` are (parts, rows, units).

    They are the mean of the best weights of many resamples of the rows. If the rows do not tell the parts apart, the
    best weights differ from resample to resample, and their mean is in the middle. The same rows have chosen the epoch
    of the network, the first part, and see less of its loss than new rows do, by more if `independent` rows are few.
    Of a series, these are the windows that do not overlap.
    """
    grid = _grid(len(outputs))
    table = np.stack([losses(np.tensordot(weights, outputs, 1)) for weights in grid])  # (weights, rows)
    rows = table.shape[1]
    table *= 1 + grid[:, :1] / np.sqrt(max(1.0, independent))
    counts = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), DRAWS)
    mean = grid[(table @ counts.T).argmin(axis=0)].mean(axis=0)
    kept = np.where(mean < SMALLEST, 0.0, mean)
    return [round(float(weight), 4) for weight in kept / kept.sum()]


def _grid(parts: int) -> Array:
    """Return all weights that are multiples of 1 / STEPS and have a sum of 1."""
    counts = itertools.product(range(STEPS + 1), repeat=parts - 1)
    return np.array([[STEPS - sum(rest), *rest] for rest in counts if sum(rest) <= STEPS]) / STEPS


def combine(models: list[keras.Model], weights: list[float]) -> keras.Model:
    """Return one model, without the parts whose weight is 0; the first model is the network."""
    kept = [place for place, weight in enumerate(weights) if weight]
    if len(kept) == 1:
        return models[kept[0]]
    names = [f"reference_{place}" if place else NETWORK for place in kept]
    return ensemble.join([models[place] for place in kept], [weights[place] for place in kept], names)


def _sentence(listed: list[dict[str, Any]], rows: int) -> str:
    """Return in words what the model is made of."""
    if len(listed) == 1:
        return f"the {NETWORK} alone, since no reference takes such features"
    made = ", ".join(f"{part['weight']:.2f} {part['model']}" for part in listed if part["weight"])
    return f"{made}; weights by the loss on {rows:,} validation rows"
