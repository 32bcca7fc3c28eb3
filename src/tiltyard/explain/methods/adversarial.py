"""Adversarial examples: how small a change, chosen to harm, makes the model wrong; as a figure of robustness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.adversarial import AdversarialAttack, room
from tiltyard.explain.math.heatmap import diverging
from tiltyard.explain.methods.base import Explained, Explanation, Row
from tiltyard.figures import Figure, lines, pictures

ROWS = 100  # that are attacked
PIXELS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 48.0, 64.0)  # sizes of a step, of 255
DEVIATIONS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
SHOWN = 3  # pictures before and after
HALVINGS = 8  # until the smallest step is found
ENOUGH = 0.5  # of what the model is better than a constant by


class Adversarial(Explanation):
    """The gate's metric on rows that are moved against the model, by the fast gradient sign and by projected steps."""

    title: ClassVar = "how small a change makes it wrong"
    inward: ClassVar = True

    def reason(self, model: Explained) -> str:
        """Want something that can be moved by a little."""
        if model.task.kind.targets == "text" or model.parts.encoder.vocabulary_size:
            return f"{model.task.name} reads texts, and no word can be changed by a little"
        return "" if room(model.parts.encoder).unit.any() else f"no column of {model.task.name} can change by a little"

    def of_model(self, model: Explained) -> Iterator[Figure]:
        """The metric by size of step; of pictures some examples, too."""
        features, truth = _known(model)
        attack, sizes = AdversarialAttack(model.inside, room(model.parts.encoder)), _sizes(model)
        moved = {
            "steps": [attack.stepwise(features, _answer(model, truth), size) for size in sizes],
            "one step": [attack.at_once(features, _answer(model, truth), size) for size in sizes],
            "random": [attack.at_random(features, size, model.generator) for size in sizes],
        }
        curves = {name: [_score(model, rows, truth) for rows in some] for name, some in moved.items()}
        drawn = {name: {"x": sizes, "y": curve, "dashed": name == "random"} for name, curve in curves.items()}
        text = (
            f"{model.task.metric.title} on {len(truth)} validation rows when everything measured moves by at most so "
            f"much: against the model in several steps or in one, or at random. {_half(model, sizes, curves['steps'])}"
        )
        yield lines("Adversarial examples", text, (_unit(model), model.task.metric.title), drawn)
        if model.task.form == "image" and model.task.classes:
            yield from _examples(model, attack, features, truth)

    def of_row(self, model: Explained, row: Row) -> Iterator[Figure]:
        """The score of the answer and of the best other label by size; of numbers, how far they can be moved."""
        features, sizes = model.encoded(row), _sizes(model)
        attack = AdversarialAttack(model.inside, room(model.parts.encoder))
        if model.task.classes:
            yield _of_label(model, attack, features, sizes)
        else:
            yield _of_number(model, attack, features, sizes)


def _known(model: Explained) -> tuple[Array, Array]:
    """Return validation rows from all over them."""
    features, truth = model.known
    places = np.unique(np.linspace(0, len(truth) - 1, min(ROWS, len(truth))).astype(int))
    return features[places], truth[places]


def _sizes(model: Explained) -> tuple[float, ...]:
    return PIXELS if model.task.form == "image" else DEVIATIONS


def _unit(model: Explained) -> str:
    return "size of the change, of 255" if model.task.form == "image" else "size of the change, in deviations"


def _answer(model: Explained, truth: Array) -> Array:
    """Return the truth as the network is held against it: a label's place, or one number."""
    if model.task.classes:
        return truth.astype(np.int32)
    return np.asarray(truth.reshape(len(truth), -1).mean(axis=1), dtype=np.float32)


def _score(model: Explained, features: Array, truth: Array) -> float:
    (outputs,) = model.inside.see(features, [model.inside.output])
    return model.task.metric.score(truth, outputs, model.context)


def _half(model: Explained, sizes: tuple[float, ...], curve: list[float]) -> str:
    """Return at which size of the attack half of the gain over a constant is lost."""
    constant, gain = _constant(model), model.task.metric.gain
    whole = gain(curve[0], constant)
    lost = np.maximum.accumulate([gain(curve[0], score) for score in curve])
    if not np.isfinite(lost).all():
        return "The metric is no number for some of them."
    if whole <= 0:
        return "Even unmoved, it is no better than the best constant there."
    if lost[-1] < ENOUGH * whole:
        return f"At {sizes[-1]:g} more than half of its gain over the best constant is left."
    after = int(np.argmax(lost >= ENOUGH * whole))
    size = np.interp(ENOUGH * whole, lost[after - 1 : after + 1], sizes[after - 1 : after + 1])
    return f"Half of its gain over the best constant is lost at {float(size):.2g}."


def _constant(model: Explained) -> float:
    """Score what knows the training answers alone."""
    learned, (_, truth) = np.asarray(model.parts.train[1]), _known(model)
    if model.task.classes:
        answer = np.bincount(learned.astype(np.int64), minlength=len(model.task.classes)) / len(learned)
    else:
        answer = learned.reshape(len(learned), -1).mean(axis=0)
    return model.task.metric.score(truth, np.tile(answer, (len(truth), 1)), model.context)


def _examples(model: Explained, attack: AdversarialAttack, features: Array, truth: Array) -> Iterator[Figure]:
    """Show rows that were right and need the least to be wrong."""
    right = model.inside.answers(features) == truth
    least = np.full(len(truth), np.inf)
    least[right] = _least(attack, features[right], truth[right].astype(np.int32))
    order = [place for place in np.argsort(least, kind="stable")[:SHOWN] if np.isfinite(least[place])]
    shown: dict[str, Array] = {}
    for place in order:
        one, known = features[place : place + 1], truth[place : place + 1].astype(np.int32)
        moved = attack.stepwise(one, known, least[place])
        (answer,) = model.inside.answers(moved)
        name = f"{model.task.classes[known[0]]} to {model.task.classes[answer]} by {least[place]:.2g}"
        shown |= {f"{name}: before": one[0], f"{name}: after": moved[0]}
        shown[f"{name}: difference"] = diverging(moved[0] - one[0])
    if shown:
        text = "Right answers that the least change makes wrong. The difference is stretched: grey is none."
        yield pictures("Pictures that were moved across", text, shown)


def _least(attack: AdversarialAttack, features: Array, answer: Array) -> Array:
    """Return for each row the smallest size found that changes its label; infinity if the largest does not."""

    def changed(sizes: Array) -> Array:
        shaped = sizes.reshape(-1, *[1] * (features.ndim - 1))
        return np.asarray(attack.inside.answers(attack.stepwise(features, answer, shaped)) != answer)

    most = PIXELS[-1] if features.ndim == 4 else DEVIATIONS[-1]
    low, high = np.zeros(len(features)), np.full(len(features), most)
    never = ~changed(high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        wrong = changed(middle)
        low, high = np.where(wrong, low, middle), np.where(wrong, middle, high)
    return np.where(never, np.inf, high)


def _of_label(model: Explained, attack: AdversarialAttack, features: Array, sizes: tuple[float, ...]) -> Figure:
    answer = model.inside.answers(features)
    copies, given = np.repeat(features, len(sizes), axis=0), np.repeat(answer, len(sizes))
    moved = attack.stepwise(copies, given, np.array(sizes).reshape(-1, *[1] * (features.ndim - 1)))
    (scores,) = model.inside.see(moved, [model.inside.scores])
    shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    (least,) = _least(attack, features, answer)
    name = model.task.classes[answer[0]]
    others = np.delete(shares, answer[0], axis=1).max(axis=1)
    curves = {
        f"{name}, the answer": {"x": sizes, "y": shares[:, answer[0]]},
        "likeliest other": {"x": sizes, "y": others},
    }
    found = (
        f"a change of at most {least:.2g}" if np.isfinite(least) else f"no change of up to {sizes[-1]:g} that was found"
    )
    text = f"Probabilities as everything measured moves against the answer {name}: {found} makes it another label."
    return lines("Smallest change of the answer", text, (_unit(model), "probability"), curves)


def _of_number(model: Explained, attack: AdversarialAttack, features: Array, sizes: tuple[float, ...]) -> Figure:
    copies = np.repeat(features, len(sizes), axis=0)
    reach = np.array(sizes).reshape(-1, *[1] * (features.ndim - 1))
    curves = {}
    for name, far in {"highest": -1.0, "lowest": 1.0}.items():
        (answer,) = model.inside.see(copies, [model.inside.scores])
        away = answer[:, 0] + far * (1 + np.abs(answer[:, 0])) * 1e3  # to miss it more is to go the other way
        moved = attack.stepwise(copies, away.astype(np.float32), reach)
        curves[name] = {"x": sizes, "y": model.inside.see(moved, [model.inside.scores])[0][:, 0]}
    text = "How high and how low the answer can be made by moving everything measured by at most so much."
    return lines("Reach of small changes", text, (_unit(model), "answer"), curves)
