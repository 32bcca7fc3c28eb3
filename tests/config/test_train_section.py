"""The `train:` section: defaults, and invalid settings."""

from __future__ import annotations

from typing import Any

import pytest
from workspaces import edit_task

from tiltyard.config import loader
from tiltyard.config.train_section import DEFAULT_RATES, Train
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("iris", {"schedule": "cosin"}, "train.schedule.*expected.*'cosine'"),
    ("iris", {"schedule": {"kind": "step", "factr": 0.1}}, "unknown key 'factr' .did you mean 'factor'"),
    ("iris", {"schedule": {"kind": "plateau", "warmup": 3}}, "train.schedule.warmup: expected 0"),
    (
        "iris",
        {"schedule": {"kind": "cosine", "warmup": 200}},
        "schedule.warmup: expected below 200 epochs; received 200",
    ),
    ("iris", {"clip_norm": 1, "clip_value": 1}, "expected one kind of clipping; received clip_norm and clip_value"),
    ("iris", {"momentum": 0.5}, "momentum: expected for momentum, nesterov, rmsprop; received with adam"),
    ("iris", {"stop_at": {}}, "stop_at: expected either accuracy or loss"),
    ("iris", {"blend": "weighted"}, "train.blend: expected mean for one model; received weighted"),
    ("iris", {"member_rows": "folds"}, "train.member_rows: expected all for one model; received folds"),
    ("iris", {"class_weights": {"setoza": 2}}, "class_weights: expected labels among setosa, .*; received setoza"),
    ("iris", {"class_weights": {"setosa": 0}}, "class_weights: expected weights above 0; received 0"),
    ("diabetes", {"class_weights": "balanced"}, "class_weights: expected none, since there are no classes"),
    ("diabetes", {"stop_at": {"accuracy": 0.9}}, "train.stop_at: expected the loss, since there are no classes"),
    ("diabetes", {"monitor": "val_accuracy"}, "train.monitor: expected the loss, since there are no classes"),
    ("diabetes", {"augment": {"mixup": 0.2}}, "train.augment.mixup: expected only for classification"),
    ("iris", {"augment": {"noise": 0.2}}, "train.augment: expected only for images, except mixup"),
    ("digits", {"augment": {"hue": 0.2}}, "expected saturation and hue for 3 channels; received 1"),
    ("digits", {"augment": {"channel_shift": 0.2}}, r"expected channel_shift for 3 channels \(brightness for one\)"),
    ("iris", {"augment": {"blur": 1.0}}, "expected only for images, except mixup; received table columns"),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED)
def test_invalid_train_settings_are_rejected(
    workspace: Workspace, name: str, changes: dict[str, Any], message: str
) -> None:
    """Each error names the key, the expected and the received value."""
    edit_task(workspace, name, {f"train.{key}": value for key, value in changes.items()})
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, name)


def test_folds_are_rejected_with_groups_and_times(workspace: Workspace) -> None:
    """Folds are refused with groups and times, which are not known after prepare."""
    edit_task(workspace, "diabetes", {"train.folds": 3, "split.group": "patient"})
    with pytest.raises(TaskError, match=r"train\.folds: expected a split that uses .*; received one by patient"):
        loader.load(workspace, "diabetes")


def test_schedule_name_alone_uses_default_settings() -> None:
    """A name alone equals a schedule with default settings."""
    short = Train.model_validate({"epochs": 3, "schedule": "step"})
    assert short == Train.model_validate({"epochs": 3, "schedule": {"kind": "step", "factor": 0.5, "every": 10}})


def test_each_optimizer_has_a_default_rate() -> None:
    """Each optimizer has its own default rate, such as 1 for Adadelta."""
    assert {
        name: Train.model_validate({"epochs": 1, "optimizer": name}).rate for name in DEFAULT_RATES
    } == DEFAULT_RATES
    assert DEFAULT_RATES["adadelta"] == 1
    assert Train.model_validate({"epochs": 1, "optimizer": "adadelta", "learning_rate": 0.5}).rate == 0.5


def test_second_phase_inherits_unset_values() -> None:
    """A second phase inherits unset values, but a new optimizer has its own rate."""
    first = {"epochs": 3, "optimizer": "sgd", "learning_rate": 0.5, "batch_size": 8}
    first_phase, two = Train.model_validate({**first, "then": {"epochs": 9, "patience": 2}}).phases
    assert (first_phase.epochs, first_phase.patience, two.epochs, two.patience) == (3, None, 9, 2)
    assert (two.rate, two.batch_size, two.then) == (0.5, 8, None)
    assert Train.model_validate({**first, "then": {"epochs": 9, "optimizer": "adadelta"}}).phases[1].rate == 1
