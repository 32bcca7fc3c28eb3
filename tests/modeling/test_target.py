"""Targets: labels by threshold, logarithms, and invalid settings of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import generated_tasks
import numpy as np
import pytest
from pydantic import ValidationError
from workspaces import edit_task, fetch_raw, new_workspace, train_tasks

from tiltyard.config import loader
from tiltyard.errors import DataError, TaskError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.problems.base import Target
from tiltyard.preparation import prepare, sealed_test
from tiltyard.preparation.modalities.base import parse_target
from tiltyard.validation import validate
from tiltyard.workspace import Workspace


def _with_target(workspace: Workspace, **target: Any) -> Any:
    """Return diabetes with changes of the target section; with a threshold it is a classification."""
    changes: dict[str, Any] = {f"target.{key}": value for key, value in target.items()}
    if "threshold" in target:
        changes |= {"problem": "classification", "gate.metric": "accuracy"}
    edit_task(workspace, "diabetes", {**changes, "gate.behaviours": None})
    return loader.load(workspace, "diabetes")


def test_threshold_gives_two_classes(workspace: Workspace) -> None:
    """Values from the threshold upwards are the second class; validation still checks the numbers."""
    task = _with_target(workspace, threshold=140, classes=["slow", "fast"])
    assert parse_target(task, [139.9, 140, 141]).tolist() == [0, 1, 1]
    fetch_raw(workspace, "diabetes")
    assert all(outcome.success for outcome in validate.validate(workspace, task).outcomes)
    prepare.prepare(workspace, task)
    assert set(sealed_test.read_test(workspace, task.name, task.columns).truth.tolist()) == {0, 1}


def test_missing_target_is_rejected(workspace: Workspace) -> None:
    """A missing value has no class, and cannot be used as a number."""
    for target in ({}, {"threshold": 140, "classes": ["slow", "fast"]}):
        with pytest.raises(DataError, match="expected a number in every row; row 1 holds nan"):
            parse_target(_with_target(workspace, **target), [1.0, None])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"threshold": 140, "classes": ["a", "b", "c"]}, "target.threshold: expected two classes"),
        ({"threshold": 140, "classes": ["a", "b"], "log": True}, "target.log: expected only for numbers"),
    ],
)
def test_invalid_target_settings_are_rejected(workspace: Workspace, target: dict[str, Any], message: str) -> None:
    """The task file is rejected before anything runs."""
    with pytest.raises(TaskError, match=message):
        _with_target(workspace, **target)


def test_logarithm_of_invalid_targets_is_rejected(workspace: Workspace) -> None:
    """The message has the number."""
    with pytest.raises(DataError, match="expected numbers above -1; received -2 in progression"):
        parse_target(_with_target(workspace, log=True), [1.0, -2.0])


@pytest.mark.catalogue
def test_logarithmic_target_predicts_in_the_original_unit(tmp_path: Path) -> None:
    """Relative errors are much smaller for an exponential target, and predictions stay near the training range."""
    errors, workspace = {}, new_workspace(tmp_path)
    for log in (False, True):
        task = generated_tasks.prepare_exponential(workspace, log=log)
        test = sealed_test.read_test(workspace, task.name, task.columns)
        train_tasks(workspace, "growth")
        predictor = Predictor.load(workspace.out("growth", "train"))
        predictions = predictor.outputs(test.rows)[:, 0]
        errors[log] = float(np.mean(np.abs(predictions / test.truth - 1)))
    assert errors[True] < errors[False] / 2
    assert errors[True] < 0.2
    assert predictor.outputs({"age": np.array([1e6])})[0, 0] < 1e5


@pytest.mark.parametrize("share", [0, 1])
def test_a_prediction_interval_holds_a_share_of_values(share: float) -> None:
    """The share is between 0 and 1, neither of which can be predicted."""
    with pytest.raises(ValidationError, match="interval"):
        Target(column="sold", interval=share)


@pytest.mark.parametrize("computed", [{"threshold": 1.0}, {"rise": True}])
def test_labels_that_are_computed_are_not_in_the_data(computed: Any) -> None:
    """Classes of a threshold or of a rise name the classes, not values of the column."""
    classes = ["no", "yes"]
    assert Target(column="sold", classes=classes).labels == classes
    assert Target(column="sold", classes=classes, **computed).labels == []
