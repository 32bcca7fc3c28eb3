"""Reconstruction: a row beside what an autoencoder returns, and the mean activation of its codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, bars, image_figure, largest_bars, lines
from tiltyard.modeling.problems.reconstruction import Reconstruction as ReconstructionProblem
from tiltyard.modeling.problems.reconstruction import restored, standardised, width

SHOWN = 8  # validation images, evenly spaced


class Reconstruction(ExplanationMethod):
    """Show images, reconstructions and differences; of a table, the error of each column."""

    title: ClassVar = "reconstruction: rows and what the model returns"
    explains_rows: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a model that reconstructs rows."""
        return "" if model.task.problem_type.reconstructs else f"{model.task.name} does not reconstruct rows"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield some validation images with their reconstructions, and the mean of each number of the code."""
        features, _ = model.validation
        outputs = model.predictor.run(features)
        if model.task.modality == "image":
            places = np.unique(np.linspace(0, len(features) - 1, SHOWN).astype(int))
            shown: dict[str, Array] = {}
            for place in places:
                image, again = _images(model, features[place], outputs[place])
                shown |= {f"row {place}": image, f"reconstruction {place}": again}
            yield image_figure("Reconstructions", "Validation images, each before its reconstruction.", shown)
        code = outputs[:, width(model.data.encoder) : -1].astype(np.float64)
        if not code.shape[1]:  # a model that finds anomalies returns no code
            return
        means = {f"number {place + 1}": float(value) for place, value in enumerate(code.mean(axis=0))}
        values, omitted = largest_bars(means)
        text = f"The mean of each number of the code over {len(code)} validation rows.{omitted}"
        yield bars("Mean code", text, "mean", values)

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield the row with its reconstruction: images, or the error of each column."""
        features = model.encode(row)
        outputs = model.predictor.run(features)
        if model.task.modality == "image":
            image, again = _images(model, features[0], outputs[0])
            text = "Image, reconstruction, and the absolute difference, stretched to white."
            difference = np.abs(image - again)
            stretched = 255 * difference / max(float(difference.max()), 1e-9)
            yield image_figure(
                "Reconstruction", text, {"image": image, "reconstruction": again, "difference": stretched}
            )
        elif model.task.modality == "series":
            yield from _steps(model, row, features, outputs)
        else:
            yield _columns(model, row, features, outputs)


def _images(model: ExplainedModel, features: Array, outputs: Array) -> tuple[Array, Array]:
    encoder = model.predictor.encoder
    rebuilt = _problem(model).rebuilt(features[None], outputs[None])
    ((values,),) = restored(encoder, rebuilt).values()
    again = np.array(values, dtype=np.float64)
    return features.reshape(again.shape).astype(np.float64), again


def _columns(model: ExplainedModel, row: Row, features: Array, outputs: Array) -> Figure:
    """Return the squared error of each column, which add up to the error of the row times its features."""
    encoder = model.predictor.encoder
    rebuilt = _problem(model).rebuilt(features, outputs)
    squares = np.square(standardised(encoder, features) - rebuilt)[0]
    again, errors = restored(encoder, rebuilt), {}
    for name, span in encoder.spans.items():
        value, reconstructed = encoder.columns[name].to_json(row.values[name])[0], again[name][0]
        errors[f"{name}: {_text(value)}, {_text(reconstructed)}"] = float(squares[span].sum())
    values, omitted = largest_bars(errors)
    text = f"The squared error of each column in standard deviations; its value and its reconstruction.{omitted}"
    return bars("Reconstruction by column", text, "squared error", values)


def _problem(model: ExplainedModel) -> ReconstructionProblem:
    problem = model.predictor.encoder.problem
    assert isinstance(problem, ReconstructionProblem)  # noqa: S101 - for the type checker: others are not supported
    return problem


def _steps(model: ExplainedModel, row: Row, features: Array, outputs: Array) -> Iterator[Figure]:
    """Yield each series of a window with its reconstruction."""
    again = restored(model.predictor.encoder, _problem(model).rebuilt(features, outputs))
    for name, values in row.values.items():
        steps = [*range(1 - values.shape[1], 1)]
        curves = {"value": {"x": steps, "y": values[0]}, "reconstruction": {"x": steps, "y": again[name][0]}}
        curves["reconstruction"]["dashed"] = True
        yield lines(f"Reconstruction of {name}", "The window and what the model returns.", ("Step", name), curves)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "missing" if value is None else str(value)
