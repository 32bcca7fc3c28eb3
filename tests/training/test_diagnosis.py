"""The diagnosis: a verdict from curves and baseline with its numbers, and problems found in gradient statistics."""

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


def _snapshot(epoch: int = 1, **changes: Any) -> dict[str, Any]:
    healthy: dict[str, Any] = {"dense": 0.2, "output": 0.1}
    return {"epoch": epoch, "gradients": healthy, "weights": healthy, "dead": {"dense": 0.1}, **changes}


@pytest.mark.parametrize(
    ("losses", "curve", "verdict", "message"),
    [
        (Losses(0.95, 0.98, 1, 1), FLAT, "under-fit", "0.95, that of the best constant 1: 5% less"),
        (Losses(0.3, 0.4, 1, 1), [1 - 0.06 * n for n in range(10)], "under-fit", "still learning after 10 epochs"),
        (Losses(0.1, 0.8, 1, 1), FLAT, "over-fit", "by 90% on training rows and by 20% on validation rows"),
        (Losses(0.1, 1.5, 1, 1), FLAT, "over-fit", "by -50% on validation rows"),
        (Losses(0.3, 0.4, 1, 1), FLAT, "good fit", "by 70% .* and by 60% on validation rows"),
        (Losses(0.3, 0.4, 1, 1), [1, 0.4, 0.9], "good fit", "after epoch 2, whose weights were kept, .* 0.4 to 0.9"),
    ],
)
def test_verdict_contains_its_numbers(losses: Losses, curve: list[float], verdict: str, message: str) -> None:
    """Nothing learned, still learning, overfitted, or none of these."""
    found = diagnosis.diagnose(losses, _record(curve), [])
    assert found["verdict"] == verdict
    assert re.search(message, found["reason"]), found["reason"]


def test_run_stopped_by_patience_is_not_still_learning() -> None:
    """Only a run that reached the maximum number of epochs may still be learning."""
    falling = [1 - 0.06 * n for n in range(10)]
    assert diagnosis.verdict(Losses(0.3, 0.4, 1, 1), _record(falling, early=True))[0] == "good fit"


@pytest.mark.parametrize(
    ("snapshot", "message"),
    [
        (
            _snapshot(gradients={"dense": 1e-7, "dense_1": 1e-4, "output": 0.1}),
            "vanishing gradients: that of dense is 1e-06",
        ),
        (_snapshot(gradients={"dense": 4e5, "output": 0.1}), "exploding gradients: that of dense .* 4e.05 at epoch 1"),
        (_snapshot(weights={"dense": None, "output": 0.1}), "NaN or infinite values: the weights of dense at epoch 1"),
        (_snapshot(dead={"dense": 0.9}), "dead units: 90% of the units of dense"),
    ],
)
def test_each_problem_is_reported_with_layer_and_numbers(snapshot: dict[str, Any], message: str) -> None:
    """Each problem is reported with name, layer and numbers; a healthy network has none."""
    (found,) = diagnosis.findings([snapshot])
    assert re.search(message, found), found
    assert diagnosis.findings([_snapshot(0), _snapshot(1)]) == []


def test_one_snapshot_does_not_prove_vanishing_gradients() -> None:
    """A fully trained network occasionally has small gradients."""
    faint = _snapshot(2, gradients={"dense": 1e-9, "output": 1e-3})
    assert diagnosis.findings([_snapshot(0), _snapshot(1), faint]) == []


def test_small_gradients_of_embeddings_are_no_problem() -> None:
    """Most words occur in none of the sampled rows, so the mean gradient of an embedding is small."""
    assert diagnosis.findings([_snapshot(gradients={"embedding": 1e-6, "lstm": 0.1, "output": 0.1})]) == []


def test_error_of_a_diverged_run_names_exploding_gradients() -> None:
    """The error names exploding gradients, and the hint the learning rate."""
    train = Train.model_validate({"epochs": 3, "optimizer": "sgd", "learning_rate": 5})
    error = diagnosis.diverged(train, 2, [_snapshot(gradients={"dense": 4e5, "output": 0.1})])
    assert "diverged in epoch 2: expected a finite loss; received NaN or infinity; exploding gradients" in error.message
    assert error.hint == "lower train.learning_rate (now 5) or set train.clip_norm"
