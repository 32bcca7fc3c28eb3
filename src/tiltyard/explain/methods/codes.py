"""Codes of a generative model: what each number changes, and where rows lie, by PCA and t-SNE."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.methods.activations import MIN_ROWS, neighbours, principal
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, captioned_images, image_figure, points
from tiltyard.modeling.inference import codes
from tiltyard.modeling.problems.sampling import Facts, parts

STEPS = {"normal": np.linspace(-3, 3, 9), "uniform": np.linspace(0, 1, 9)}  # values of a number of the code
SHOWN = 8  # numbers of the code
SAMPLES = 25


class Codes(ExplanationMethod):
    """Show samples, traversals of the code, and the codes of rows."""

    title: ClassVar = "codes: samples, traversals, and where rows lie"
    explains_samples: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a generative model."""
        return "" if model.task.problem_type.generates else f"{model.task.name} draws no samples"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield samples, traversals, and codes of validation rows in two dimensions."""
        facts, classes = Facts.of(model.predictor.encoder), model.predictor.encoder.target.get("labels", [])
        labels = np.arange(SAMPLES) % len(classes) if facts.conditional else None
        drawn = _pictures(model, codes.draw(facts.prior, facts.code, model.task.train.seed, SAMPLES), labels)
        names = [""] * SAMPLES if labels is None else [classes[label] for label in labels]
        text = f"{SAMPLES} samples from the prior{', one class after the other' if facts.conditional else ''}."
        yield captioned_images("Samples", text, [*zip(names, drawn, strict=True)])
        means = _means(model) if facts.encodes else None
        yield from _traversals(model, facts, means)
        if means is not None and len(means) >= MIN_ROWS:
            yield from _maps(model, means)

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield the row with what the model returns from its code."""
        if not Facts.of(model.predictor.encoder).encodes:
            return
        features = model.encode(row)
        again = parts(model.predictor.encoder, model.predictor.run(features))[0]
        text = "The row, and what the decoder returns from the mean of its code."
        yield image_figure("Reconstruction", text, {"row": features[0], "reconstruction": _shaped(model, again)[0]})


def _means(model: ExplainedModel) -> Array:
    """Return the mean of the code of each validation row."""
    return parts(model.predictor.encoder, model.predictor.run(model.validation[0]))[1]


def _traversals(model: ExplainedModel, facts: Facts, means: Array | None) -> Iterator[Figure]:
    """Yield what the decoder returns when one number of a code changes and all others stay as they are."""
    centre = np.full(facts.code, 0.0 if facts.prior == "normal" else 0.5, dtype=np.float32)
    order = np.arange(facts.code) if means is None else np.argsort(-means.var(axis=0), kind="stable")
    values, label = STEPS[facts.prior], np.zeros(1, dtype=np.int64) if facts.conditional else None
    shown = list[tuple[str, Array]]()
    for number in order[:SHOWN]:
        changed = np.tile(centre, (len(values), 1))
        changed[:, number] = values
        pictures = _pictures(model, changed, None if label is None else np.repeat(label, len(values)))
        shown += [(f"{number + 1}: {value:g}", picture) for value, picture in zip(values, pictures, strict=True)]
    why = "" if means is None else "; those that vary most between validation rows come first"
    text = f"One number of the code changes, in {len(values)} steps; all others are {centre[0]:g}{why}."
    yield captioned_images("Traversals of the code", text, shown)


def _maps(model: ExplainedModel, means: Array) -> Iterator[Figure]:
    """Yield the codes of validation rows in two dimensions, by label if there are labels."""
    flat, shares = principal(means)
    names, truth = model.predictor.encoder.target.get("labels", []), model.validation[1]
    groups = {name: truth == place for place, name in enumerate(names)} or {"": np.ones(len(means), dtype=bool)}
    text = f"The codes of {len(means)} validation rows; both axes explain {shares.sum():.0%} of their variance."
    axes = ("first direction", "second direction")
    yield points("Codes by PCA", text, axes, {name: (flat[rows, 0], flat[rows, 1]) for name, rows in groups.items()})
    near = neighbours(means, model.task.train.seed)
    text = "The same codes by t-SNE: near neighbours stay near; directions and distances between groups mean nothing."
    yield points(
        "Codes by t-SNE", text, ("", ""), {name: (near[rows, 0], near[rows, 1]) for name, rows in groups.items()}
    )


def _pictures(model: ExplainedModel, drawn: Array, labels: Array | None) -> Array:
    """Return the pictures of codes, with pixels from 0 to 255."""
    classes = len(model.predictor.encoder.target.get("labels", ()))
    return _shaped(model, model.predictor.decode_codes(codes.with_flags(drawn, labels, classes)))


def _shaped(model: ExplainedModel, pixels: Array) -> Array:
    return 255 * np.clip(pixels, 0, 1).reshape(-1, *model.validation[0].shape[1:])
