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
from workspaces import edit_task, new_workspace, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError, RequestError, TaskError
from tiltyard.evaluation import evaluate
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare, sealed_test
from tiltyard.preparation.modalities.series import Series
from tiltyard.report.report import task_page
from tiltyard.training.train import residual_quantiles
from tiltyard.validation import validate
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
    named = {"serve": {"example": {key: [1, 2, 3, 4, 5, 6] for key in columns}}} if len(columns) > 1 else {}
    content = {**CONTENT, "columns": {name: {**common, **extra} for name, extra in columns.items()}, **named, **more}
    files.write_text(space.task_file("shop"), yaml.safe_dump(content, sort_keys=False))
    space.raw("shop").mkdir(parents=True)
    with (space.raw("shop") / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return space, loader.load(space, "shop")


def part(rows: dict[str, Array], truth: Array) -> sealed_test.TestRows:
    """Take rows for a test part."""
    return sealed_test.TestRows(rows, truth, np.arange(len(truth)))


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
    modality = Series()
    rows, truth = modality.rows(task, space.raw("shop"))
    assert rows["sold"].shape == (2 * (120 - 6), 6)
    assert (np.ptp(rows["sold"], axis=1) == 5).all()
    assert np.array_equal(truth, rows["sold"][:, -1] + 1)
    assert np.array_equal(truth % 1000, np.repeat(np.arange(6, 120), 2))
    assert set(zip(rows["price"][:, 0], truth // 1000, strict=True)) == {(10, 0), (20, 1)}
    assert modality.overlap(task) == 12
    assert all(outcome.success for outcome in validate.validate(space, task).outcomes)


def test_an_instance_of_several_series_is_an_object(tmp_path: Path) -> None:
    """Each series is named; what training encoded is what serving encodes."""
    group = {"group": "shop"}
    space, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    prepare.prepare(space, task)
    encoder = Encoder.load(space.out("shop", "prepare") / "encoder.json")
    features, _ = array_file.read_part(space.out("shop", "prepare") / "train.npz")
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
    test = part(rows, truth)
    assert np.array_equal(task.evaluator.baseline(truth, evaluate.past(task, test), "rmse")[:, 0], rows["sold"][:, 0])
    (space.root / "other").mkdir()
    _, plain = _task(space.root / "other", _grown(), {"sold": {}})
    assert np.array_equal(
        plain.evaluator.baseline(truth, evaluate.past(plain, test), "rmse")[:, 0], rows["sold"][:, -1]
    )


@pytest.mark.catalogue
def test_a_trend_is_followed_out_of_its_range(tmp_path: Path) -> None:
    """Learning changes of logarithms, the model meets growth and season in months that lie above all it has seen."""
    columns = {"sold": {"window": 12, "log": True, "relative": True, "season": 12}}
    train = {"epochs": 200, "batch_size": 8, "learning_rate": 0.01}
    more = {"target": {"column": "sold", "log": True}, "train": train, "serve": {"example": list(range(12))}}
    space, task = _task(tmp_path, _grown(), columns, **more)
    prepare.prepare(space, task)
    train_tasks(space, "shop")
    test = sealed_test.read_test(space, task.name, task.columns)
    answers = Predictor.load(space.out("shop", "train")).outputs(test.rows)[:, 0]
    naive = task.evaluator.baseline(test.truth, evaluate.past(task, test), "rmse")[:, 0]
    assert np.abs(answers / test.truth - 1).mean() < 0.03
    assert np.abs(answers - test.truth).mean() < np.abs(naive - test.truth).mean() / 2


def test_several_steps_are_forecast_at_once(tmp_path: Path) -> None:
    """Rows keep only windows that all steps follow; the baseline repeats the season; nothing leaks over a border."""
    space, task = _task(tmp_path, _grown(), {"sold": {"season": 6}}, target={"column": "sold", "horizon": 8})
    rows, truth = Series().rows(task, space.raw("shop"))
    sold = np.array([float(row[1]) for row in _grown()[1:]])
    assert truth.shape == (120 - 6 - 8 + 1, 8)
    assert np.array_equal(truth[3], sold[9:17])
    assert np.array_equal(rows["sold"][3], sold[3:9])
    naive = task.evaluator.baseline(truth, evaluate.past(task, part(rows, truth)), "rmse")
    assert np.array_equal(naive[3], [*sold[3:9], *sold[3:5]])
    facts = prepare.prepare(space, task)
    train = len(array_file.read_part(space.out("shop", "prepare") / "train.npz")[1])
    first = int(sealed_test.read_test(space, task.name, task.columns).number[0])
    last = train - 1 + facts["rows"]["validation"] + 13  # 6 + 8 - 1 rows that share values are left out
    assert first == last + 1 + 13


@pytest.mark.slow
def test_forecasts_come_with_ends_that_most_values_lie_between(tmp_path: Path) -> None:
    """Uniform noise of known width: four in five values do, the ends differ by about as much of it."""
    noise = np.random.default_rng(3).random(1500)
    rows = [["month", "sold"], *([str(place), f"{value:.6f}"] for place, value in enumerate(noise))]
    target = {"column": "sold", "horizon": 3, "interval": 0.8}
    space, task = _task(tmp_path, rows, {"sold": {}}, target=target, serve={"example": [0.5] * 6})
    prepare.prepare(space, task)
    train_tasks(space, "shop")
    report = evaluate.evaluate(space, task)
    assert [step["step"] for step in report["by_step"]] == [1, 2, 3]
    test, worst = sealed_test.read_test(space, task.name, task.columns), report["worst"][0]
    assert test.truth[test.number.tolist().index(worst["row"]), worst["step"] - 1] == worst["actual"]
    assert all(0.72 < step["between_ends"] < 0.88 for step in report["by_step"])
    predictor = Predictor.load(space.out("shop", "train"))
    answer = predictor.predict([[0.5] * 6])[0]
    assert answer.keys() == {"forecast", "low", "high"}
    assert all(0.6 < high - low < 1.0 for low, high in zip(answer["low"], answer["high"], strict=True))
    assert "By step ahead" in task_page(space, task)


def test_ends_keep_their_promise_for_any_number_of_rows() -> None:
    """A new row lies between them at least as often as was asked for, on the mean over many draws."""
    chance = np.random.default_rng(0)
    for rows in (19, 50, 200):
        inside = []
        for _ in range(300):
            low, high = residual_quantiles(chance.standard_normal((rows, 1)), 0.9)
            fresh = chance.standard_normal(200)
            inside.append(np.mean((low <= fresh) & (fresh <= high)))
        assert 0.89 < np.mean(inside) < 0.935


def test_a_horizon_is_for_series_alone(tmp_path: Path) -> None:
    """As are ends."""
    space = new_workspace(tmp_path)
    for name, value in (("horizon", 3), ("interval", 0.8)):
        edit_task(space, "diabetes", {f"target.{name}": value})
        with pytest.raises(TaskError, match=f"target.{name}: expected only for a series"):
            loader.load(space, "diabetes")
        edit_task(space, "diabetes", {f"target.{name}": None})


def test_rows_may_follow_each_other_without_a_time(tmp_path: Path) -> None:
    """The order of the file is that of time, and nothing is asked of steps; groups would need more."""
    rows = [["sold"], *([f"{place % 7}"] for place in range(60))]
    space, task = _task(tmp_path, rows, {"sold": {"order": None}})
    assert all(outcome.success for outcome in validate.validate(space, task).outcomes)
    windows, truth = Series().rows(task, space.raw("shop"))
    assert windows["sold"][0].tolist() == [0, 1, 2, 3, 4, 5]
    assert truth[:3].tolist() == [6, 0, 1]
    (tmp_path / "other").mkdir()
    with pytest.raises(TaskError, match="order: expected the column of times, by which groups are aligned"):
        _task(tmp_path / "other", rows, {"sold": {"order": None, "group": "shop"}})


def test_a_rise_is_a_label(tmp_path: Path) -> None:
    """Of the value so many steps ahead over the last one seen."""
    rows = [["month", "sold"], *([month, f"{place % 7}"] for place, month in enumerate(MONTHS))]
    target = {"column": "sold", "horizon": 2, "rise": True, "classes": ["no", "yes"]}
    more: dict[str, Any] = {"target": target, "problem": "classification", "gate": {"metric": "roc_auc"}}
    space, task = _task(tmp_path, rows, {"sold": {"relative": True, "log": True}}, **more)
    _, truth = Series().rows(task, space.raw("shop"))
    sold = [place % 7 for place in range(120)]
    assert truth.tolist() == [int(sold[end + 1] > sold[end - 1]) for end in range(6, 119)]
    prepare.prepare(space, task)
    encoder = Encoder.load(space.out("shop", "prepare") / "encoder.json")
    assert encoder.decode(np.array([[0.25, 0.75]]))[0]["label"] == "yes"
    edit_task(space, "shop", {"problem": "forecasting", "target.classes": None, "gate.metric": "rmse"})
    with pytest.raises(TaskError, match=r"target\.rise: expected for classification with two classes"):
        loader.load(space, "shop")
