"""Series: months, groups, further series beside the target's, trends and seasons, and what is refused of them."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from making import new_workspace, train_tasks

from tiltyard import evaluate, files, prepare, task_file, validate
from tiltyard.encoder import Encoder
from tiltyard.errors import DataError, RequestError, TaskError
from tiltyard.forms.series import Series
from tiltyard.predictor import Predictor
from tiltyard.task import Task
from tiltyard.workspace import Workspace

Rows = list[list[Any]]
CONTENT: dict[str, Any] = {
    "title": "Passengers by month",
    "problem": "forecasting",
    "source": {"kind": "sine"},  # never asked: the raw file is written here
    "rows": [20, 4000],
    "columns": {"sold": {"type": "series", "window": 6, "order": "month"}},
    "target": {"column": "sold"},
    "split": {"kind": "chronological"},
    "model": {"family": "mlp", "units": [16]},
    "train": {"epochs": 3, "batch_size": 8},
    "gate": {"metric": "rmse"},
    "serve": {"example": [1, 2, 3, 4, 5, 6]},
}
MONTHS = [f"{1990 + place // 12}-{place % 12 + 1:02d}" for place in range(120)]


def _task(root: Path, rows: Rows, columns: dict[str, dict[str, Any]], **more: Any) -> tuple[Workspace, Task]:
    """Write a task and its raw table; settings are added to each column."""
    space = new_workspace(root)
    common = CONTENT["columns"]["sold"]
    content = {**CONTENT, "columns": {name: {**common, **extra} for name, extra in columns.items()}, **more}
    files.write_text(space.task_file("shop"), yaml.safe_dump(content, sort_keys=False))
    space.raw("shop").mkdir(parents=True)
    with (space.raw("shop") / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return space, task_file.load(space, "shop")


def _grown() -> Rows:
    """Sales that grow by a tenth a season and swing by the month."""
    sold = [100 * 1.1 ** (place / 12) * (1 + 0.3 * math.sin(place * math.pi / 6)) for place in range(120)]
    return [["month", "sold"], *([month, f"{value:.3f}"] for month, value in zip(MONTHS, sold, strict=True))]


def _shops() -> Rows:
    """Two shops, their rows in turns, and the price beside what was sold."""
    rows: Rows = [["month", "shop", "sold", "price"]]
    for place, month in enumerate(MONTHS):
        rows += [[month, "north", place, 10], [month, "south", 1000 + place, 20]]
    return rows


def test_months_are_equal_steps(tmp_path: Path) -> None:
    """Though they differ in days."""
    space, task = _task(tmp_path, _grown(), {"sold": {}})
    assert all(outcome.success for outcome in validate.validate(space, task).outcomes)


@pytest.mark.parametrize(
    ("spoil", "gaps"),
    [(lambda rows: rows.pop(50), [49]), (lambda rows: rows.insert(50, rows[50]), [50])],
)
def test_a_gap_and_a_repeat_are_found(tmp_path: Path, spoil: Callable[[Rows], Any], gaps: list[int]) -> None:
    """By the row that follows."""
    rows = _grown()
    spoil(rows)
    space, task = _task(tmp_path, rows, {"sold": {}})
    with pytest.raises(DataError, match=rf"gap: expect_column_values_to_be_in_set .*: 1 row: {gaps[0]} \("):
        validate.validate(space, task)


def test_newest_first_is_refused(tmp_path: Path) -> None:
    """What rises by equal steps the wrong way round does not rise, even where gaps are allowed."""
    rows = _grown()
    space, task = _task(tmp_path, [rows[0], *rows[:0:-1]], {"sold": {"steps": "rising"}})
    with pytest.raises(DataError, match=r"gap: expect_column_values_to_be_between .*: 119 rows, the first 10: 1 \(-1"):
        validate.validate(space, task)


def test_working_days_rise(tmp_path: Path) -> None:
    """Weekends are no gaps where steps need only rise."""
    days = [f"2024-01-{day:02d}" for day in range(1, 32) if (day - 1) % 7 < 5]
    rows: Rows = [["month", "sold"], *([day, place] for place, day in enumerate(days))]
    space, task = _task(tmp_path, rows, {"sold": {"steps": "rising"}})
    assert all(outcome.success for outcome in validate.validate(space, task).outcomes)


def test_windows_stay_within_their_group(tmp_path: Path) -> None:
    """No window holds values of two shops; rows are in the order of time, and borders leave out enough of them."""
    group = {"group": "shop"}
    space, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    form = Series()
    rows, truth = form.rows(task, space.raw("shop"))
    assert rows["sold"].shape == (2 * (120 - 6), 6)
    assert (np.ptp(rows["sold"], axis=1) == 5).all()
    assert np.array_equal(truth, rows["sold"][:, -1] + 1)
    assert np.array_equal(truth % 1000, np.repeat(np.arange(6, 120), 2))
    assert set(zip(rows["price"][:, 0], truth // 1000, strict=True)) == {(10, 0), (20, 1)}
    assert form.reach(task) == 12
    assert all(outcome.success for outcome in validate.validate(space, task).outcomes)


def test_an_instance_of_several_series_is_an_object(tmp_path: Path) -> None:
    """Each series is named; what training encoded is what serving encodes."""
    group = {"group": "shop"}
    space, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    prepare.prepare(space, task)
    encoder = Encoder.load(space.out("shop", "prepare") / "encoder.json")
    features, _ = prepare.read_part(space.out("shop", "prepare") / "train.npz")
    instance = {"sold": [0, 1, 2, 3, 4, 5], "price": [10] * 6}
    assert np.array_equal(encoder.encode(encoder.parse([instance])), features[:1])
    assert features.shape[1:] == (6, 2)
    with pytest.raises(RequestError, match="expected sold, price"):
        encoder.parse([{"sold": [0, 1, 2, 3, 4, 5]}])


@pytest.mark.parametrize(
    ("columns", "more", "said"),
    [
        ({"sold": {}, "price": {"window": 7}}, {}, "expected the same window, order, group and steps"),
        ({"price": {}}, {}, "target.column: expected one of the series price; received sold"),
        ({"sold": {"season": 7}}, {}, "season: expected at most 6"),
        ({"sold": {"log": True, "relative": True}}, {}, "target.log: expected the same as log of its column"),
    ],
)
def test_series_that_cannot_go_together_are_refused(
    tmp_path: Path, columns: dict[str, dict[str, Any]], more: dict[str, Any], said: str
) -> None:
    """Before anything runs."""
    with pytest.raises(TaskError, match=said):
        _task(tmp_path, _grown(), columns, **more)


def test_the_baseline_may_look_a_season_back(tmp_path: Path) -> None:
    """With a season of 6 the baseline answers the oldest value of a window of 6, without one the newest."""
    space, task = _task(tmp_path, _grown(), {"sold": {"season": 6}})
    rows, truth = Series().rows(task, space.raw("shop"))
    assert np.array_equal(task.kind.baseline(truth, evaluate.past(task, rows), "rmse")[:, 0], rows["sold"][:, 0])
    (space.root / "other").mkdir()
    _, plain = _task(space.root / "other", _grown(), {"sold": {}})
    assert np.array_equal(plain.kind.baseline(truth, evaluate.past(plain, rows), "rmse")[:, 0], rows["sold"][:, -1])


@pytest.mark.slow
def test_a_trend_is_followed_out_of_its_range(tmp_path: Path) -> None:
    """Learning changes of logarithms, the model meets growth and season in months that lie above all it has seen."""
    columns = {"sold": {"window": 12, "log": True, "relative": True, "season": 12}}
    train = {"epochs": 200, "batch_size": 8, "learning_rate": 0.01}
    more = {"target": {"column": "sold", "log": True}, "train": train, "serve": {"example": list(range(12))}}
    space, task = _task(tmp_path, _grown(), columns, **more)
    prepare.prepare(space, task)
    train_tasks(space, "shop")
    test = prepare.read_test(space, task)
    answers = Predictor.load(space.out("shop", "train")).outputs(test.rows)[:, 0]
    naive = task.kind.baseline(test.truth, evaluate.past(task, test.rows), "rmse")[:, 0]
    assert np.abs(answers / test.truth - 1).mean() < 0.03
    assert np.abs(answers - test.truth).mean() < np.abs(naive - test.truth).mean() / 2
