"""Roll-outs: each forecast is an input of the next, and errors are measured by step."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from workspaces import edit_task, new_workspace

from tiltyard.arrays import Array, Rows
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TaskError
from tiltyard.evaluation import rollout
from tiltyard.modeling.columns.series import Series
from tiltyard.preparation.sealed_test import TestRows


def _predictor(horizon: int = 1, step: float = 1.0, *, interval: bool = False) -> Any:
    """Return a model that adds a step to the last value, and goes on so for its horizon."""

    def outputs(rows: Rows) -> Array:
        value = rows["x"][:, -1:] + step * np.arange(1, horizon + 1)
        return np.stack([value, value - 9, value + 9], axis=1) if interval else value

    return SimpleNamespace(encoder=SimpleNamespace(columns={"x": Series(window=3)}), outputs=outputs)


@pytest.mark.parametrize(("horizon", "interval"), [(1, False), (2, False), (3, True), (9, False)])
def test_forecasts_are_fed_back(horizon: int, interval: bool) -> None:
    """A model that adds 1 gives 4, 5, 6, ... after 1, 2, 3, whatever its horizon."""
    predictor = _predictor(horizon, interval=interval)
    rolled = rollout.roll_out(predictor, Series(window=3), np.array([[1.0, 2, 3], [5, 5, 5]]), 5)
    assert rolled.tolist() == [[4, 5, 6, 7, 8], [6, 7, 8, 9, 10]]


def test_forecasts_stay_within_the_bounds_of_the_column() -> None:
    """What a request could not hold is not fed back; an exploding model gives finite errors."""
    column = Series(window=3, bounds=(0, 6))
    assert rollout.roll_out(_predictor(), column, np.array([[1.0, 2, 3]]), 5).tolist() == [[4, 5, 6, 6, 6]]
    far = rollout.roll_out(_predictor(step=1e38), Series(window=3), np.array([[1.0, 2, 3]]), 9)
    assert np.isfinite(far).all()


def _task(root: Path, steps: int, changes: dict[str, Any] | None = None) -> Task:
    workspace = new_workspace(root)
    edit_task(workspace, "sine", {"evaluate": {"rollout": steps}, **(changes or {})})
    return loader.load(workspace, "sine")


def _test_rows(values: Array, horizon: int = 1) -> TestRows:
    """Return the windows of 3 values of a series."""
    places = np.arange(3, len(values) + 1 - horizon)[:, None]
    truth = values[places + np.arange(horizon)]
    windows = values[places + np.arange(-3, 0)]
    return TestRows({"x": windows}, truth[:, 0] if horizon == 1 else truth, places[:, 0])


@pytest.mark.parametrize("horizon", [1, 2])
def test_errors_are_those_of_the_actual_values(horizon: int, tmp_path: Path) -> None:
    """On a ramp the model that adds 1 is exact at each step, and the last value is wrong by the number of steps."""
    task = _task(tmp_path, 4).model_copy(update={"columns": {"x": Series(window=3)}})
    task = task.model_copy(update={"target": task.target.model_copy(update={"column": "x", "horizon": horizon})})
    facts, plots = rollout.evaluate_rollout(task, _predictor(horizon), _test_rows(np.arange(60.0), horizon))
    assert facts["starts"] == 60 - 3 - 4 + 1
    assert [record["rmse"] for record in facts["by_step"]] == [0, 0, 0, 0]
    assert [record["baseline"] for record in facts["by_step"]] == pytest.approx([1, 2, 3, 4])
    assert all(record["gain_low"] > 0 for record in facts["by_step"])
    assert plots["rollout"]["step"] == [1, 2, 3, 4]
    paths = plots["rollout_paths"]
    assert paths["actual"] == paths["forecast"]
    assert len({*paths["row"]}) == rollout.MAX_PATHS


def test_few_values_have_no_interval(tmp_path: Path) -> None:
    """Roll-outs that all overlap are one observation."""
    task = _task(tmp_path, 4).model_copy(update={"columns": {"x": Series(window=3)}})
    task = task.model_copy(update={"target": task.target.model_copy(update={"column": "x"})})
    facts, _ = rollout.evaluate_rollout(task, _predictor(), _test_rows(np.arange(8.0)))
    assert (facts["starts"], facts["by_step"][0]["rmse_low"], facts["by_step"][0]["rmse_high"]) == (2, None, None)
    with pytest.raises(DataError, match="expected at most 3 steps, the values of the test part; received 4"):
        rollout.evaluate_rollout(task, _predictor(), _test_rows(np.arange(6.0)))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("diabetes", {"evaluate.rollout": 5}, "evaluate.rollout: expected only for forecasting; received it for regress"),
    ("iris", {"evaluate.walk_forward": {"every": 2}}, "evaluate.walk_forward: expected only for forecasting"),
    ("sine", {"evaluate.rollout": 1}, "evaluate.rollout: expected greater than or equal to 2; received 1"),
    ("sine", {"evaluate.walk_forward": {"evry": 1}}, "unknown key 'evry'.*did you mean 'every'"),
    ("sine", {"evaluate.walk_forward": {}, "train.members": 2}, "expected one network.*; received train.members"),
    ("sine", {"evaluate.walk_forward": {}, "train.then": {"epochs": 2}}, "received train.then"),
    ("sine", {"evaluate.walk_forward": {}, "model": {"family": "linear"}}, "received model.family linear"),
    (
        "sine",
        {"evaluate.rollout": 5, "columns.value.group": "step"},
        "evaluate.rollout: expected one series; received several, by columns.group",
    ),
    (
        "sine",
        {"evaluate.rollout": 5, "columns.other": {"type": "series", "window": 32, "order": "step"}},
        "evaluate.rollout: expected the forecast series alone",
    ),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED)
def test_what_cannot_be_evaluated_is_refused(name: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    """The message names the key, what was expected and what was received."""
    workspace = new_workspace(tmp_path)
    edit_task(workspace, name, changes)
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, name)


def test_an_unset_section_is_not_written(tmp_path: Path) -> None:
    """The parameters of earlier verdicts and the dependencies of stages stay the same."""
    task = loader.load(new_workspace(tmp_path), "sine")
    assert "evaluate" not in task.model_dump(mode="json")
