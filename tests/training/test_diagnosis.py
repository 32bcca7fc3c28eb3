"""The diagnosis: a verdict from curves and baseline, with its numbers, and what the vital signs mean."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tiltyard.config.train_section import Train
from tiltyard.training import diagnosis
from tiltyard.training.diagnosis import Losses

FLAT = [1.0, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]


def _record(curve: list[float], *, early: bool = False) -> dict[str, Any]:
    best = int(np.argmin(curve)) + 1
    return {"epochs": len(curve), "best_epoch": best, "stopped_early": early, "history": {"val_loss": curve}}


def _look(epoch: int = 1, **changes: Any) -> dict[str, Any]:
    healthy: dict[str, Any] = {"dense": 0.2, "output": 0.1}
    return {"epoch": epoch, "gradients": healthy, "weights": healthy, "dead": {"dense": 0.1}, **changes}


@pytest.mark.parametrize(
    ("losses", "curve", "word", "said"),
    [
        (Losses(0.95, 0.98, 1, 1), FLAT, "under-fit", "0.95, that of the best constant 1: 5% less"),
        (Losses(0.3, 0.4, 1, 1), [1 - 0.06 * n for n in range(10)], "under-fit", "still learning after 10 epochs"),
        (Losses(0.1, 0.8, 1, 1), FLAT, "over-fit", "by 90% on training rows and by 20% on validation rows"),
        (Losses(0.1, 1.5, 1, 1), FLAT, "over-fit", "by -50% on validation rows"),
        (Losses(0.3, 0.4, 1, 1), FLAT, "good fit", "by 70% .* and by 60% on validation rows"),
        (Losses(0.3, 0.4, 1, 1), [1, 0.4, 0.9], "good fit", "after epoch 2, whose weights were kept, .* 0.4 to 0.9"),
    ],
)
def test_the_verdict_names_its_numbers(losses: Losses, curve: list[float], word: str, said: str) -> None:
    """Nothing learned, still learning, lost on validation rows, or none of these."""
    found = diagnosis.diagnose(losses, _record(curve), [])
    assert found["verdict"] == word
    assert re.search(said, found["reason"]), found["reason"]


def test_a_run_that_patience_ended_was_not_still_learning() -> None:
    """Only a run that ran out of epochs can want more of them."""
    falling = [1 - 0.06 * n for n in range(10)]
    assert diagnosis.verdict(Losses(0.3, 0.4, 1, 1), _record(falling, early=True))[0] == "good fit"


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (
            _look(gradients={"dense": 1e-7, "dense_1": 1e-4, "output": 0.1}),
            "vanishing gradients: that of dense is 1e-06",
        ),
        (_look(gradients={"dense": 4e5, "output": 0.1}), "exploding gradients: that of dense .* 4e.05 at epoch 1"),
        (_look(weights={"dense": None, "output": 0.1}), "NaN or infinite values: the weights of dense at epoch 1"),
        (_look(dead={"dense": 0.9}), "dead units: 90% of the units of dense"),
    ],
)
def test_what_is_ill_is_named(look: dict[str, Any], said: str) -> None:
    """Each illness by its name, layer and numbers; a healthy network has none."""
    (found,) = diagnosis.findings([look])
    assert re.search(said, found), found
    assert diagnosis.findings([_look(0), _look(1)]) == []


def test_one_look_among_several_does_not_make_gradients_vanish() -> None:
    """A network that has learned all there is has small gradients now and then."""
    faint = _look(2, gradients={"dense": 1e-9, "output": 1e-3})
    assert diagnosis.findings([_look(0), _look(1), faint]) == []


def test_embeddings_are_not_held_against_the_last_layer() -> None:
    """Most words are in none of the rows looked at, so that the gradient of an embedding is small in the mean."""
    assert diagnosis.findings([_look(gradients={"embedding": 1e-6, "lstm": 0.1, "output": 0.1})]) == []


def test_a_diverged_run_says_what_was_seen_before() -> None:
    """The error names exploding gradients, and the rate that was used."""
    train = Train.model_validate({"epochs": 3, "optimizer": "sgd", "learning_rate": 5})
    error = diagnosis.diverged(train, 2, [_look(gradients={"dense": 4e5, "output": 0.1})])
    assert "diverged in epoch 2: expected a finite loss; received NaN or infinity; exploding gradients" in error.message
    assert error.hint == "lower train.learning_rate (now 5) or set train.clip_norm"
