"""Series: months, groups, additional series, trends and seasons, intervals, and invalid settings."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from workspaces import edit_task, new_workspace, train_tasks

from tiltyard import files
from tiltyard.arrays import Array, decoded
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.errors import DataError, RequestError, TaskError
from tiltyard.evaluation import evaluate
from tiltyard.modeling.columns import _streamed_scale
from tiltyard.modeling.columns.base import scale
from tiltyard.modeling.evaluators.forecasting import training_context
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import array_file, prepare, sealed_test
from tiltyard.preparation.modalities import series as series_modality
from tiltyard.preparation.modalities.series import Series
from tiltyard.report.report import task_page
from tiltyard.training.finish import residual_quantiles
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

Rows = list[list[Any]]
CONTENT: dict[str, Any] = {
    "title": "Passengers by month",
    "problem": "forecasting",
    "source": {"kind": "sine"},  # not used: the raw file is written here
    "rows": [20, 4000],
    "columns": {"sold": {"type": "series", "window": 6, "order": "month"}},
    "target": {"column": "sold"},
    "split": {"kind": "chronological"},
    "model": {"family": "mlp", "units": [16]},
    "train": {"epochs": 3, "batch_size": 8},
    "gate": {"metric": "rmse"},
    "serve": {"example": [1, 2, 3, 4, 5, 6]},
}
MONTHS = [f"{1990 + i // 12}-{i % 12 + 1:02d}" for i in range(120)]


def _task(root: Path, rows: Rows, columns: dict[str, dict[str, Any]], **more: Any) -> tuple[Workspace, Task]:
    """Write a task and its raw table; the given settings are added to each column."""
    workspace = new_workspace(root)
    common = CONTENT["columns"]["sold"]
    named = {"serve": {"example": {key: [1, 2, 3, 4, 5, 6] for key in columns}}} if len(columns) > 1 else {}
    content = {**CONTENT, "columns": {name: {**common, **extra} for name, extra in columns.items()}, **named, **more}
    files.write_text(workspace.task_file("shop"), yaml.safe_dump(content, sort_keys=False))
    workspace.raw("shop").mkdir(parents=True)
    with (workspace.raw("shop") / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return workspace, loader.load(workspace, "shop")


def as_test_rows(rows: dict[str, Array], truth: Array) -> sealed_test.TestRows:
    """Return rows as test rows."""
    return sealed_test.TestRows(rows, truth, np.arange(len(truth)))


def _growing_sales() -> Rows:
    """Return sales that grow by a tenth per season, with a monthly cycle."""
    sold = [100 * 1.1 ** (i / 12) * (1 + 0.3 * math.sin(i * math.pi / 6)) for i in range(120)]
    return [["month", "sold"], *([month, f"{value:.3f}"] for month, value in zip(MONTHS, sold, strict=True))]


def _shops() -> Rows:
    """Return alternating rows of two shops, with a price in addition to the sales."""
    rows: Rows = [["month", "shop", "sold", "price"]]
    for i, month in enumerate(MONTHS):
        rows += [[month, "north", i, 10], [month, "south", 1000 + i, 20]]
    return rows


def test_months_are_equal_steps(tmp_path: Path) -> None:
    """Months count as equal steps although their lengths differ."""
    workspace, task = _task(tmp_path, _growing_sales(), {"sold": {}})
    assert all(outcome.success for outcome in validate.validate(workspace, task).outcomes)


@pytest.mark.parametrize(
    ("insert_fault", "gaps"),
    [(lambda rows: rows.pop(50), [49]), (lambda rows: rows.insert(50, rows[50]), [50])],
)
def test_gap_and_repeat_are_reported(tmp_path: Path, insert_fault: Callable[[Rows], Any], gaps: list[int]) -> None:
    """The error names the row after the gap."""
    rows = _growing_sales()
    insert_fault(rows)
    workspace, task = _task(tmp_path, rows, {"sold": {}})
    with pytest.raises(DataError, match=rf"gap: expect_column_values_to_be_in_set .*: 1 row: {gaps[0]} \("):
        validate.validate(workspace, task)


def test_newest_first_is_rejected(tmp_path: Path) -> None:
    """Descending times are rejected even if gaps are allowed."""
    rows = _growing_sales()
    workspace, task = _task(tmp_path, [rows[0], *rows[:0:-1]], {"sold": {"steps": "rising"}})
    with pytest.raises(DataError, match=r"gap: expect_column_values_to_be_between .*: 119 rows, the first 10: 1 \(-1"):
        validate.validate(workspace, task)


def test_rising_steps_allow_gaps(tmp_path: Path) -> None:
    """Weekends are not gaps if steps only need to rise."""
    days = [f"2024-01-{day:02d}" for day in range(1, 32) if (day - 1) % 7 < 5]
    rows: Rows = [["month", "sold"], *([day, i] for i, day in enumerate(days))]
    workspace, task = _task(tmp_path, rows, {"sold": {"steps": "rising"}})
    assert all(outcome.success for outcome in validate.validate(workspace, task).outcomes)


def test_windows_stay_within_their_group(tmp_path: Path) -> None:
    """No window has values of two shops; rows are sorted by time, and enough rows are omitted between parts."""
    group = {"group": "shop"}
    workspace, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    modality = Series()
    rows, truth = modality.rows(task, workspace.raw("shop"))
    assert rows["sold"].shape == (2 * (120 - 6), 6)
    assert (np.ptp(rows["sold"], axis=1) == 5).all()
    assert np.array_equal(truth, rows["sold"][:, -1] + 1)
    assert np.array_equal(truth % 1000, np.repeat(np.arange(6, 120), 2))
    assert set(zip(rows["price"][:, 0], truth // 1000, strict=True)) == {(10, 0), (20, 1)}
    assert modality.overlap(task) == 12
    assert all(outcome.success for outcome in validate.validate(workspace, task).outcomes)


def test_rows_out_of_order_are_sorted(tmp_path: Path) -> None:
    """With `sort`, shuffled rows of two shops give the windows of sorted ones, and pass validation."""
    settings, rows = {"group": "shop", "sort": True}, _shops()
    shuffled = [rows[0], *(rows[1 + place] for place in np.random.default_rng(0).permutation(len(rows) - 1).tolist())]
    expected, truth = Series().rows(*_opened(*_task(tmp_path / "sorted", rows, {"sold": settings, "price": settings})))
    workspace, task = _task(tmp_path / "shuffled", shuffled, {"sold": settings, "price": settings})
    received, received_truth = Series().rows(task, workspace.raw("shop"))
    assert all(np.array_equal(received[name], cells) for name, cells in expected.items())
    assert np.array_equal(received_truth, truth)
    assert all(outcome.success for outcome in validate.validate(workspace, task).outcomes)


def _opened(workspace: Workspace, task: Task) -> tuple[Task, Path]:
    return task, workspace.raw("shop")


@pytest.mark.parametrize("target", [{}, {"horizon": 3}, {"rise": True}])
def test_rows_do_not_depend_on_the_size_of_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: dict[str, Any]
) -> None:
    """Rows of shops that alternate in the file, in chunks of one to all, are those of each shop alone."""
    group = {"group": "shop"}
    workspace, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    task = task.model_copy(update={"target": task.target.model_copy(update=target)})
    rows, truth = Series().rows(task, workspace.raw("shop"))
    for values in (1, 50, 6 * 120):
        monkeypatch.setattr(series_modality, "CHUNK_VALUES", values)
        chunks = [*Series().chunks(task, workspace.raw("shop"))]
        assert len(chunks) == -(-len(truth) // max(1, values // 6))
        for name, cells in rows.items():
            assert np.array_equal(np.concatenate([decoded(part[name]) for part, _ in chunks]), cells)
        assert np.array_equal(np.concatenate([part for _, part in chunks]), truth)
    if target.get("rise"):
        assert truth.all()  # both shops sell more each month, and their rows alternate


@given(
    values=arrays(np.float64, st.tuples(st.integers(1, 900), st.integers(1, 4)), elements=st.floats(-1e9, 1e9)),
    cuts=st.lists(st.integers(0, 900), max_size=3),
)
def test_scale_of_parts_has_the_bits_of_the_whole(values: Array, cuts: list[int]) -> None:
    """The version of a model does not depend on how its rows are read."""
    parts = np.split(values, sorted(min(cut, len(values)) for cut in cuts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_streamed_scale, "PIECE", 256)
        assert _streamed_scale.scale_of_parts(parts) == scale(values)


def test_naive_error_of_several_series_is_that_of_each(tmp_path: Path) -> None:
    """Rows of shops alternate; MASE compares with steps within a shop, which are 1, not with those between shops."""
    group = {"group": "shop"}
    workspace, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    prepare.prepare(workspace, task)
    prepared = workspace.out("shop", "prepare")
    truth = array_file.read_truth(prepared / "train.npz")
    assert task.evaluator.context(truth)["naive_mae"] > 900
    assert training_context(task.evaluator, prepared, truth) == {"naive_mae": 1.0}


def test_instance_of_several_series_is_an_object(tmp_path: Path) -> None:
    """Each series has a name; serving encodes like training."""
    group = {"group": "shop"}
    workspace, task = _task(tmp_path, _shops(), {"sold": group, "price": group})
    prepare.prepare(workspace, task)
    encoder = Encoder.load(workspace.out("shop", "prepare") / "encoder.json")
    features, _ = array_file.read_part(workspace.out("shop", "prepare") / "train.npz")
    instance = {"sold": [0, 1, 2, 3, 4, 5], "price": [10] * 6}
    assert np.array_equal(encoder.encode(encoder.parse([instance])), features[:1])
    assert features.shape[1:] == (6, 2)
    with pytest.raises(RequestError, match="expected sold, price"):
        encoder.parse([{"sold": [0, 1, 2, 3, 4, 5]}])


@pytest.mark.parametrize(
    ("columns", "more", "message"),
    [
        ({"sold": {}, "price": {"window": 7}}, {}, "expected the same window, order, group and steps"),
        ({"price": {}}, {}, "target.column: expected one of the series price; received sold"),
        ({"sold": {"season": 7}}, {}, "season: expected at most 6"),
        ({"sold": {"log": True, "relative": True}}, {}, "target.log: expected the same as log of its column"),
    ],
)
def test_incompatible_series_are_rejected(
    tmp_path: Path, columns: dict[str, dict[str, Any]], more: dict[str, Any], message: str
) -> None:
    """The task file is rejected before anything runs."""
    with pytest.raises(TaskError, match=message):
        _task(tmp_path, _growing_sales(), columns, **more)


def test_seasonal_baseline(tmp_path: Path) -> None:
    """With a season of 6 the baseline predicts the oldest value of a window of 6, without a season the newest."""
    workspace, task = _task(tmp_path, _growing_sales(), {"sold": {"season": 6}})
    rows, truth = Series().rows(task, workspace.raw("shop"))
    test = as_test_rows(rows, truth)
    assert np.array_equal(task.evaluator.baseline(truth, evaluate.past(task, test), "rmse")[:, 0], rows["sold"][:, 0])
    (workspace.root / "other").mkdir()
    _, plain = _task(workspace.root / "other", _growing_sales(), {"sold": {}})
    assert np.array_equal(
        plain.evaluator.baseline(truth, evaluate.past(plain, test), "rmse")[:, 0], rows["sold"][:, -1]
    )


@pytest.mark.catalogue
def test_trend_is_extrapolated_beyond_the_training_range(tmp_path: Path) -> None:
    """With log differences, the model predicts growth and season for months above all training values."""
    columns = {"sold": {"window": 12, "log": True, "relative": True, "season": 12}}
    train = {"epochs": 200, "batch_size": 8, "learning_rate": 0.01}
    more = {"target": {"column": "sold", "log": True}, "train": train, "serve": {"example": list(range(12))}}
    workspace, task = _task(tmp_path, _growing_sales(), columns, **more)
    prepare.prepare(workspace, task)
    train_tasks(workspace, "shop")
    test = sealed_test.read_test(workspace, task.name, task.columns)
    predictions = Predictor.load(workspace.out("shop", "train")).outputs(test.rows)[:, 0]
    naive = task.evaluator.baseline(test.truth, evaluate.past(task, test), "rmse")[:, 0]
    assert np.abs(predictions / test.truth - 1).mean() < 0.03
    assert np.abs(predictions - test.truth).mean() < np.abs(naive - test.truth).mean() / 2


def test_several_steps_are_forecast_at_once(tmp_path: Path) -> None:
    """Windows need all following steps; the baseline repeats the season; parts share no values."""
    workspace, task = _task(
        tmp_path, _growing_sales(), {"sold": {"season": 6}}, target={"column": "sold", "horizon": 8}
    )
    rows, truth = Series().rows(task, workspace.raw("shop"))
    sold = np.array([float(row[1]) for row in _growing_sales()[1:]])
    assert truth.shape == (120 - 6 - 8 + 1, 8)
    assert np.array_equal(truth[3], sold[9:17])
    assert np.array_equal(rows["sold"][3], sold[3:9])
    naive = task.evaluator.baseline(truth, evaluate.past(task, as_test_rows(rows, truth)), "rmse")
    assert np.array_equal(naive[3], [*sold[3:9], *sold[3:5]])
    facts = prepare.prepare(workspace, task)
    train = len(array_file.read_part(workspace.out("shop", "prepare") / "train.npz")[1])
    first = int(sealed_test.read_test(workspace, task.name, task.columns).number[0])
    last = train - 1 + facts["rows"]["validation"] + 13  # 6 + 8 - 1 rows that share values are omitted
    assert first == last + 1 + 13


@pytest.mark.slow
def test_forecast_intervals_have_the_requested_coverage(tmp_path: Path) -> None:
    """For uniform noise, four in five values are inside, and the interval is about 0.8 wide."""
    noise = np.random.default_rng(3).random(1500)
    rows = [["month", "sold"], *([str(i), f"{value:.6f}"] for i, value in enumerate(noise))]
    target = {"column": "sold", "horizon": 3, "interval": 0.8}
    workspace, task = _task(tmp_path, rows, {"sold": {}}, target=target, serve={"example": [0.5] * 6})
    prepare.prepare(workspace, task)
    train_tasks(workspace, "shop")
    report = evaluate.evaluate(workspace, task)
    assert [step["step"] for step in report["by_step"]] == [1, 2, 3]
    test, worst = sealed_test.read_test(workspace, task.name, task.columns), report["worst"][0]
    assert test.truth[test.number.tolist().index(worst["row"]), worst["step"] - 1] == worst["actual"]
    assert all(0.72 < step["coverage"] < 0.88 for step in report["by_step"])
    predictor = Predictor.load(workspace.out("shop", "train"))
    prediction = predictor.predict([[0.5] * 6])[0]
    assert prediction.keys() == {"forecast", "low", "high"}
    assert all(0.6 < high - low < 1.0 for low, high in zip(prediction["low"], prediction["high"], strict=True))
    assert "By forecast step" in task_page(workspace, task)


def test_interval_coverage_holds_for_any_number_of_rows() -> None:
    """On average over many samples, a new row is inside at least as often as requested."""
    chance = np.random.default_rng(0)
    for rows in (19, 50, 200):
        inside = []
        for _ in range(300):
            low, high = residual_quantiles(chance.standard_normal((rows, 1)), 0.9)
            fresh = chance.standard_normal(200)
            inside.append(np.mean((low <= fresh) & (fresh <= high)))
        assert 0.89 < np.mean(inside) < 0.935


def test_horizon_and_interval_are_only_for_series(tmp_path: Path) -> None:
    """Other tasks are rejected with a message."""
    workspace = new_workspace(tmp_path)
    for name, value in (("horizon", 3), ("interval", 0.8)):
        edit_task(workspace, "diabetes", {f"target.{name}": value})
        with pytest.raises(TaskError, match=f"target.{name}: expected only for a series"):
            loader.load(workspace, "diabetes")
        edit_task(workspace, "diabetes", {f"target.{name}": None})


def test_series_without_a_time_column(tmp_path: Path) -> None:
    """The order of the file is used, and steps are not checked; groups need a time column."""
    rows = [["sold"], *([f"{i % 7}"] for i in range(60))]
    workspace, task = _task(tmp_path, rows, {"sold": {"order": None}})
    assert all(outcome.success for outcome in validate.validate(workspace, task).outcomes)
    windows, truth = Series().rows(task, workspace.raw("shop"))
    assert windows["sold"][0].tolist() == [0, 1, 2, 3, 4, 5]
    assert truth[:3].tolist() == [6, 0, 1]
    (tmp_path / "other").mkdir()
    with pytest.raises(TaskError, match="order: expected the column of times, by which groups are aligned"):
        _task(tmp_path / "other", rows, {"sold": {"order": None, "group": "shop"}})


def test_rise_is_a_label(tmp_path: Path) -> None:
    """The label says whether the value some steps ahead is above the last one of the window."""
    rows = [["month", "sold"], *([month, f"{i % 7}"] for i, month in enumerate(MONTHS))]
    target = {"column": "sold", "horizon": 2, "rise": True, "classes": ["no", "yes"]}
    more: dict[str, Any] = {"target": target, "problem": "classification", "gate": {"metric": "roc_auc"}}
    workspace, task = _task(tmp_path, rows, {"sold": {"relative": True, "log": True}}, **more)
    _, truth = Series().rows(task, workspace.raw("shop"))
    sold = [i % 7 for i in range(120)]
    assert truth.tolist() == [int(sold[end + 1] > sold[end - 1]) for end in range(6, 119)]
    prepare.prepare(workspace, task)
    encoder = Encoder.load(workspace.out("shop", "prepare") / "encoder.json")
    assert encoder.decode(np.array([[0.25, 0.75]]))[0]["label"] == "yes"
    edit_task(workspace, "shop", {"problem": "forecasting", "target.classes": None, "gate.metric": "rmse"})
    with pytest.raises(TaskError, match=r"target\.rise: expected for classification with two classes"):
        loader.load(workspace, "shop")
