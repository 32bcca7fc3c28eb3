"""Collapse and one-sided games, found in the history of a training: what was seen, and what to change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from tiltyard.errors import TrainingError

EPOCHS, STEPS = 5, 500  # how long a symptom must last; epochs of few steps count less
LEAST_VARIETY = 0.1  # of samples, as a share of that of validation rows
LEAST_CLASSES = 0.5  # share of the classes that samples must show
HIGHEST_ACCURACY = 0.99  # of a discriminator from which a generator can still learn

History = Mapping[str, Sequence[float]]


def window(steps: int) -> int:
    """Return for how many epochs of so many steps a symptom must last."""
    return max(EPOCHS, math.ceil(STEPS / steps))


def find_failure(history: History, classes: int, steps: int) -> TrainingError | None:
    """Return the error for the last epochs of a history; None if there is nothing, or too little to see."""
    last = window(steps)
    if len(history["val_loss"]) < last:
        return None
    recent = {name: [*values[-last:]] for name, values in history.items()}
    epochs = f"epochs {len(history['val_loss']) - last + 1} to {len(history['val_loss'])}"
    return _one_sided(history, recent, epochs) or _collapsed(recent, classes, epochs)


def _collapsed(recent: dict[str, list[float]], classes: int, epochs: str) -> TrainingError | None:
    if (most := max(recent["variety"])) < LEAST_VARIETY:
        seen = f"a variety of samples of at least {LEAST_VARIETY:.0%} of that of real rows; received {most:.1%} or less"
    elif (most := max(recent["classes"])) < LEAST_CLASSES * classes:
        seen = f"samples of at least {LEAST_CLASSES * classes:g} of {classes} classes; received {most:g} or fewer"
    else:
        return None
    return TrainingError(
        f"the generator collapsed: expected {seen} in all of {epochs}",
        hint="set model.gradient_penalty: 1, lower train.learning_rate, or raise model.discriminator_rate if below 1",
    )


def _one_sided(history: History, recent: dict[str, list[float]], epochs: str) -> TrainingError | None:
    """Return an error if the discriminator is always right, and samples are all alike or do not get better."""
    earlier = history["val_loss"][: -len(recent["val_loss"])]
    better = not earlier or min(recent["val_loss"]) < min(earlier)
    if better and max(recent["variety"]) >= LEAST_VARIETY:
        return None
    if (right := fmean(recent["discriminator_accuracy"])) < HIGHEST_ACCURACY:
        return None
    return TrainingError(
        f"the discriminator won: expected it to be right for less than {HIGHEST_ACCURACY:.0%} of the pictures; "
        f"received {right:.1%} on average of {epochs}, in which samples were all alike or got no better",
        hint="lower model.discriminator_rate, or raise model.dropout or model.smoothing",
    )
