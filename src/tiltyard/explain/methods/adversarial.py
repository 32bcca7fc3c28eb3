"""Adversarial robustness: the metric under attacks of growing size, and the smallest change that flips a label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.adversarial import AdversarialAttack, perturbation_budget
from tiltyard.explain.math.heatmap import diverging
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import Figure, image_figure, lines

MAX_ROWS = 100
PIXEL_SIZES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0)  # of 255
DEVIATION_SIZES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
MAX_EXAMPLES = 3  # images, before and after
BISECTIONS = 8  # steps of the search for the smallest size
LOST_SHARE = 0.5  # of the model's gain over a constant


class Adversarial(ExplanationMethod):
    """Measure the gate's metric on rows that are attacked by FGSM, by PGD and at random."""

    title: ClassVar = "adversarial examples: how small a change makes the model wrong"
    needs_keras: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require a column that can change by a little."""
        if model.task.modality == "mixed":
            return "words, pixels and numbers cannot be changed by one size; the gate adds noise to each column"
        if model.task.problem == "captioning":
            return f"{model.task.name} predicts texts; the attack is against one label or number"
        if model.task.problem_type.targets == "text" or model.data.encoder.vocabulary_size:
            return f"{model.task.name} reads texts, whose words cannot change by a little"
        if model.task.problem == "multilabel":
            return f"{model.task.name} predicts several labels; the attack is against one"
        if model.task.target.columns:
            return f"{model.task.name} predicts several numbers; the attack is against one"
        movable = perturbation_budget(model.data.encoder).step.any()
        return "" if movable else f"no column of {model.task.name} can change by a little"

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield the metric by size of the attack; for images also examples."""
        features, truth = _sample_validation(model)
        attack, sizes = AdversarialAttack(model.network_view, perturbation_budget(model.data.encoder)), _sizes(model)
        moved = {
            "PGD": [attack.pgd(features, _loss_target(model, truth), size) for size in sizes],
            "FGSM": [attack.fgsm(features, _loss_target(model, truth), size) for size in sizes],
            "random": [attack.random_sign(features, size, model.generator) for size in sizes],
        }
        curves = {name: [_score(model, rows, truth) for rows in attacked] for name, attacked in moved.items()}
        plotted = {name: {"x": sizes, "y": curve, "dashed": name == "random"} for name, curve in curves.items()}
        text = (
            f"{model.task.metric.title} on {len(truth)} validation rows when numbers and pixels change by at most the "
            "size shown: by PGD (several steps), FGSM (one step) or at random. "
            f"{_half_lost(model, sizes, curves['PGD'])}"
        )
        yield lines("Adversarial examples", text, (_unit(model), model.task.metric.title), plotted)
        if model.task.modality == "image" and model.task.classes:
            yield from _examples(model, attack, features, truth)

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield probabilities by size of the attack; for numbers, how far the prediction can be moved."""
        features, sizes = model.encode(row), _sizes(model)
        attack = AdversarialAttack(model.network_view, perturbation_budget(model.data.encoder))
        if model.task.classes:
            yield _of_label(model, attack, features, sizes)
        else:
            yield _of_number(model, attack, features, sizes)


def _sample_validation(model: ExplainedModel) -> tuple[Array, Array]:
    """Return evenly spaced validation rows."""
    features, truth = model.validation
    places = np.unique(np.linspace(0, len(truth) - 1, min(MAX_ROWS, len(truth))).astype(int))
    return features[places], truth[places]


def _sizes(model: ExplainedModel) -> tuple[float, ...]:
    return PIXEL_SIZES if model.task.modality == "image" else DEVIATION_SIZES


def _unit(model: ExplainedModel) -> str:
    return "size of the change, of 255" if model.task.modality == "image" else "size of the change, in deviations"


def _loss_target(model: ExplainedModel, truth: Array) -> Array:
    """Return the truth as the network's loss takes it: label indices, or one number for each row."""
    if model.task.classes:
        return truth.astype(np.int32)
    return np.asarray(truth.reshape(len(truth), -1).mean(axis=1), dtype=np.float32)


def _score(model: ExplainedModel, features: Array, truth: Array) -> float:
    (outputs,) = model.network_view.activations(features, [model.network_view.output])
    return model.task.metric.score(truth, outputs, model.context)


def _half_lost(model: ExplainedModel, sizes: tuple[float, ...], curve: list[float]) -> str:
    """Describe at which size half of the gain over a constant is lost."""
    constant, gain = _constant(model), model.task.metric.gain
    total_gain = gain(curve[0], constant)
    lost = np.maximum.accumulate([gain(curve[0], score) for score in curve])
    if not np.isfinite(lost).all():
        return "The metric is undefined at some sizes."
    if total_gain <= 0:
        return "Without an attack it is no better than the best constant."
    if lost[-1] < LOST_SHARE * total_gain:
        return f"At {sizes[-1]:g} it keeps more than half of its gain over the best constant."
    index = int(np.argmax(lost >= LOST_SHARE * total_gain))
    size = np.interp(LOST_SHARE * total_gain, lost[index - 1 : index + 1], sizes[index - 1 : index + 1])
    return f"Half of its gain over the best constant is lost at {float(size):.2g}."


def _constant(model: ExplainedModel) -> float:
    """Return the score of the best constant, learned from the training rows."""
    learned, (_, truth) = np.asarray(model.data.train[1]), _sample_validation(model)
    if model.task.classes:
        predicted = np.bincount(learned.astype(np.int64), minlength=len(model.task.classes)) / len(learned)
    else:
        predicted = learned.reshape(len(learned), -1).mean(axis=0)
    return model.task.metric.score(truth, np.tile(predicted, (len(truth), 1)), model.context)


def _examples(model: ExplainedModel, attack: AdversarialAttack, features: Array, truth: Array) -> Iterator[Figure]:
    """Yield correctly predicted rows that need the smallest change to be wrong."""
    correct = model.network_view.top_outputs(features) == truth
    smallest_sizes = np.full(len(truth), np.inf)
    smallest_sizes[correct] = _smallest_flip(attack, features[correct], truth[correct].astype(np.int32))
    order = [
        place
        for place in np.argsort(smallest_sizes, kind="stable")[:MAX_EXAMPLES]
        if np.isfinite(smallest_sizes[place])
    ]
    images: dict[str, Array] = {}
    for place in order:
        original, label = features[place : place + 1], truth[place : place + 1].astype(np.int32)
        moved = attack.pgd(original, label, smallest_sizes[place])
        (predicted,) = model.network_view.top_outputs(moved)
        name = f"{model.task.classes[label[0]]} to {model.task.classes[predicted]} by {smallest_sizes[place]:.2g}"
        images |= {f"{name}: before": original[0], f"{name}: after": moved[0]}
        images[f"{name}: difference"] = diverging(moved[0] - original[0])
    if images:
        text = "Correct predictions that the smallest change makes wrong. The difference is stretched; grey is zero."
        yield image_figure("Adversarial images", text, images)


def _smallest_flip(attack: AdversarialAttack, features: Array, predicted: Array) -> Array:
    """Return for each row the smallest size found that flips its label; infinity if the largest does not."""

    def flips(sizes: Array) -> Array:
        shaped = sizes.reshape(-1, *[1] * (features.ndim - 1))
        return np.asarray(attack.view.top_outputs(attack.pgd(features, predicted, shaped)) != predicted)

    largest = PIXEL_SIZES[-1] if features.ndim == 4 else DEVIATION_SIZES[-1]
    low, high = np.zeros(len(features)), np.full(len(features), largest)
    unflipped = ~flips(high)
    for _ in range(BISECTIONS):
        midpoint = (low + high) / 2
        flipped = flips(midpoint)
        low, high = np.where(flipped, low, midpoint), np.where(flipped, midpoint, high)
    return np.where(unflipped, np.inf, high)


def _of_label(model: ExplainedModel, attack: AdversarialAttack, features: Array, sizes: tuple[float, ...]) -> Figure:
    predicted = model.network_view.top_outputs(features)
    copies, labels = np.repeat(features, len(sizes), axis=0), np.repeat(predicted, len(sizes))
    moved = attack.pgd(copies, labels, np.array(sizes).reshape(-1, *[1] * (features.ndim - 1)))
    (scores,) = model.network_view.activations(moved, [model.network_view.scores])
    shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    (smallest_size,) = _smallest_flip(attack, features, predicted)
    name = model.task.classes[predicted[0]]
    other_label = np.delete(shares, predicted[0], axis=1).max(axis=1)
    curves = {
        f"{name}, predicted": {"x": sizes, "y": shares[:, predicted[0]]},
        "most likely other label": {"x": sizes, "y": other_label},
    }
    result = f"no change of up to {sizes[-1]:g} was found to flip it"
    if np.isfinite(smallest_size):
        result = f"a change of at most {smallest_size:.2g} flips it"
    text = f"Probabilities when numbers and pixels change against the predicted label {name}; {result}."
    return lines("Smallest change that flips the label", text, (_unit(model), "probability"), curves)


def _of_number(model: ExplainedModel, attack: AdversarialAttack, features: Array, sizes: tuple[float, ...]) -> Figure:
    copies = np.repeat(features, len(sizes), axis=0)
    reach = np.array(sizes).reshape(-1, *[1] * (features.ndim - 1))
    curves = {}
    for name, direction in {"highest": -1.0, "lowest": 1.0}.items():
        (predicted,) = model.network_view.activations(copies, [model.network_view.scores])
        # Far away on one side: a larger loss then means a move to the other side.
        target = predicted[:, 0] + direction * (1 + np.abs(predicted[:, 0])) * 1e3
        moved = attack.pgd(copies, target.astype(np.float32), reach)
        curves[name] = {"x": sizes, "y": model.network_view.activations(moved, [model.network_view.scores])[0][:, 0]}
    text = "The highest and lowest prediction that a change of numbers and pixels of at most this size can reach."
    return lines("Reach of small changes", text, (_unit(model), "prediction"), curves)
