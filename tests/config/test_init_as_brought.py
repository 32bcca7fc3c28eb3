"""What `tiltyard init` makes of tables as people bring them: few texts among numbers, groups, repeated times, leaks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from workspaces import fetch_raw

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.config.draft import groups
from tiltyard.config.draft.column_profile import profile_column
from tiltyard.config.draft.draft import Drafted, draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.errors import DataError, TaskError
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.series import Series
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

DICE = np.random.default_rng(0)
NUMBERS = [f"{value:.1f}" for value in DICE.normal(30, 9, 100)]


def init(workspace: Workspace, frame: pd.DataFrame, target: str, **options: Any) -> tuple[Drafted, dict[str, Any]]:
    """Draft a task from a table; return what was said and the task file."""
    frame.to_csv(workspace.root / "any.csv", index=False)
    drafted = draft_task(workspace, "any", DraftRequest("any.csv", target, **options), force=True)
    return drafted, yaml.safe_load(workspace.task_file("any").read_text(encoding="utf-8"))


def test_few_texts_among_numbers_are_missing_values() -> None:
    """A limit of a device or a note does not make names of hundreds of numbers; a request may hold it, too."""
    profile = profile_column("ph", [*NUMBERS, "<5", "<5", "see note", "?"])
    assert (profile.kind, profile.reason, profile.na, profile.missing) == ("number", "", ("?",), 4)
    assert profile.column["na"] == ["<5", "see note"]
    assert "<5, see note among numbers, in 2.9% of the rows, means a missing value" in profile.notes
    column = Number.model_validate(profile.column, strict=False)
    assert column.read(["<5", "7.5", "see note"]) == [None, 7.5, None]


@pytest.mark.parametrize(
    "cells",
    [
        [*NUMBERS, *["low", "high"] * 20],
        [*[str(place % 6) for place in range(100)], "crew"],
        [*[str(place) for place in range(100)], *[f"X{place}" for place in range(5)]],
    ],
    ids=["many texts", "few numbers", "codes"],
)
def test_names_and_codes_stay_names(cells: list[str]) -> None:
    """Texts in more than a tenth of the rows, grades with a word among them, and codes with digits are no numbers."""
    assert profile_column("x", cells).kind == "category"


@pytest.mark.parametrize("cells", [["(12)", "5", "(100)", "44"], ["12-", "5", "100-", "44"]])
def test_accountants_write_negative_numbers(cells: list[str]) -> None:
    """Parentheses or a minus behind whole numbers mean negative ones, also without a currency."""
    profile = profile_column("balance", cells * 10)
    assert profile.kind == "number"
    column = Number.model_validate(profile.column, strict=False)
    assert column.read(cells) == [-12, 5, -100, 44]


def visits(patients: int = 30, each: int = 6) -> pd.DataFrame:
    """Generate visits of patients, whose diagnosis is the same in each."""
    level = DICE.normal(size=patients).repeat(each)
    return pd.DataFrame(
        {
            "patient_id": [f"P{place:03}" for place in np.arange(patients).repeat(each)],
            "pulse": (level + DICE.normal(0, 0.5, patients * each)).round(2),
            "diagnosis": np.where(level > 0, "sick", "well"),
        }
    )


def test_rows_of_one_patient_stay_in_one_part(workspace: Workspace) -> None:
    """If rows of a group have the same target, the split keeps them together, and says so."""
    drafted, task = init(workspace, visits(), "diagnosis")
    assert task["split"] == {"kind": "stratified", "group": "patient_id"}
    assert "patient_id" not in task["columns"]
    assert any(note.startswith("patient_id: rows of one patient_id have the same diagnosis") for note in drafted.notes)
    fetch_raw(workspace, "any")
    assert all(prepare.prepare(workspace, loader.load(workspace, "any"))["rows"].values())


def test_groups_with_several_targets_are_offered(workspace: Workspace) -> None:
    """If targets differ within groups, the user decides; a column dropped or of few groups is no group."""
    frame = visits().assign(diagnosis=["sick", "well", "well"] * 60)
    drafted, task = init(workspace, frame, "diagnosis")
    assert task["split"] == {"kind": "stratified"}
    assert any(note.endswith("--group patient_id") for note in drafted.notes)
    drafted, _ = init(workspace, frame, "diagnosis", drop=["patient_id"])
    assert not any("--group" in note for note in drafted.notes)
    few = visits(patients=10, each=20)
    traits = [profile_column(name, few[name]) for name in ("patient_id", "pulse")]
    assert groups.find(traits, few, "diagnosis") == ("", False)


def test_groups_decide_numbers() -> None:
    """A number is decided by a group if it hardly varies within it."""
    frame = visits().assign(height=lambda f: f["patient_id"].str[1:].astype(float) + 150, weight=DICE.normal(size=180))
    traits = [profile_column("patient_id", frame["patient_id"])]
    assert groups.find(traits, frame, "height") == ("patient_id", True)
    assert groups.find(traits, frame, "weight") == ("patient_id", False)


def test_few_repeated_times_become_one_row_each(workspace: Workspace) -> None:
    """A series with a few rows of the same time is forecast, with the mean of each time; other gaps are filled."""
    days = [*pd.date_range("2024-01-01", periods=120).strftime("%Y-%m-%d")]
    sold = [float(place) for place in range(120)]
    frame = pd.DataFrame({"day": [*days[:50], *days[49:]], "sold": [*sold[:50], 50.0, *sold[50:]]}).drop(index=80)
    drafted, task = init(workspace, frame, "sold")
    assert (task["problem"], task["columns"]["sold"]["same_time"]) == ("forecasting", "mean")
    assert "day: 1 rows repeat a time: the mean of their values is learned (same_time: mean)" in drafted.notes
    fetch_raw(workspace, "any")
    loaded = loader.load(workspace, "any")
    facts = plugins.load("modalities", "series")().facts(loaded, workspace.raw("any"))
    assert len(facts) == 120
    assert facts["sold"].iloc[48:51].tolist() == [48, 49.5, 50]
    assert facts.attrs["repairs"] == [
        "1 rows repeat a time: the mean of each time is kept",
        "1 missing time steps filled with the value before",
    ]
    prepare.prepare(workspace, loaded)


def test_the_last_row_of_a_time_may_be_kept(workspace: Workspace) -> None:
    """With `same_time: last`, corrections replace earlier values; without a column of times nothing repeats."""
    days = pd.date_range("2024-01-01", periods=60).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"day": [*days, days[-1]], "sold": [*range(60), 100]})
    init(workspace, frame, "sold")
    path = workspace.task_file("any")
    path.write_text(path.read_text(encoding="utf-8").replace("same_time: mean", "same_time: last"), encoding="utf-8")
    fetch_raw(workspace, "any")
    facts = plugins.load("modalities", "series")().facts(loader.load(workspace, "any"), workspace.raw("any"))
    assert facts["sold"].tolist() == [*range(59), 100]
    with pytest.raises(ValueError, match="order: expected the column of times"):
        Series(type="series", window=3, same_time="mean")


def test_leaks_are_kept_if_there_is_nothing_else(workspace: Workspace) -> None:
    """A single feature that predicts nearly everything is learned, with a warning; beside others it is left out."""
    x = DICE.normal(size=200)
    frame = pd.DataFrame({"x": x, "y": 2 * x + DICE.normal(0, 0.1, 200)})
    drafted, task = init(workspace, frame, "y")
    assert [*task["columns"]] == ["x"]
    assert any("kept, as no other column is left" in note for note in drafted.notes)
    _, task = init(workspace, frame.assign(z=DICE.normal(size=200)), "y")
    assert [*task["columns"]] == ["z"]


def test_targets_that_cannot_be_learned_say_what_to_do(workspace: Workspace) -> None:
    """A target of one value, too few rows, and choices without ratings are refused with a next step."""
    frame = pd.DataFrame({"x": DICE.normal(size=60), "user": range(60), "y": "ok"})
    with pytest.raises(DataError, match="y: expected 2 to 1000 labels; received 1, 'ok' in every row") as caught:
        init(workspace, frame, "y")
    assert "--target" in caught.value.hint
    with pytest.raises(DataError, match="expected 10 rows or more with a known x; received 5") as caught:
        init(workspace, frame[:5], "x")
    assert caught.value.hint.startswith("collect more rows")
    with pytest.raises(TaskError, match="expected a column of ratings") as refused:
        init(workspace, frame, "", problem="recommendation", user="user", item="y")
    assert "--target" in refused.value.hint


def test_few_rows_of_a_series_are_told(workspace: Workspace) -> None:
    """A forecast of ten values is drafted on request, with a note that it can hardly be judged."""
    days = pd.date_range("2024-01-01", periods=12).strftime("%Y-%m-%d")
    drafted, _ = init(workspace, pd.DataFrame({"day": days, "v": DICE.normal(size=12)}), "v", time="day")
    assert any(note.startswith("day: 12 rows are few for a forecast") for note in drafted.notes)


def test_gaps_are_filled_by_the_season_and_not_forecast(workspace: Workspace) -> None:
    """A seasonal series is filled with the value a season before; filled values are no truth in training or tests."""
    sold = np.tile(np.arange(7) + 0.25, 30)
    days = pd.date_range("2024-01-01", periods=len(sold)).strftime("%Y-%m-%d")
    missing = [60, 61, 68, 150]
    drafted, task = init(workspace, pd.DataFrame({"day": days, "sold": sold}).drop(index=missing), "sold")
    assert (task["columns"]["sold"]["gaps"], task["columns"]["sold"]["season"]) == ("season", 7)
    assert "day: gaps are filled with the value a season before (gaps: season)" in drafted.notes
    fetch_raw(workspace, "any")
    loaded = loader.load(workspace, "any")
    series = plugins.load("modalities", "series")
    assert series().facts(loaded, workspace.raw("any"))["sold"].tolist() == sold.tolist()
    rows, truth = series().rows(loaded, workspace.raw("any"))
    window = task["columns"]["sold"]["window"]
    kept = [place for place in range(window, len(sold)) if place not in missing]
    assert truth.tolist() == sold[kept].tolist()
    assert rows["sold"][0].tolist() == sold[:window].tolist()
    with pytest.raises(ValueError, match="season: expected the steps of a season"):
        Series(type="series", window=3, order="day", gaps="season")


def test_a_roll_out_keeps_every_step(workspace: Workspace) -> None:
    """Forecasts that are fed back need all steps, so that none is left out."""
    days = pd.date_range("2024-01-01", periods=210).strftime("%Y-%m-%d")
    init(workspace, pd.DataFrame({"day": days, "sold": np.tile(np.arange(7) + 0.25, 30)}).drop(index=[60, 150]), "sold")
    path = workspace.task_file("any")
    path.write_text(path.read_text(encoding="utf-8") + "evaluate: {rollout: 3}\n", encoding="utf-8")
    fetch_raw(workspace, "any")
    task = loader.load(workspace, "any")
    _, truth = plugins.load("modalities", "series")().rows(task, workspace.raw("any"))
    column = task.columns["sold"]
    assert isinstance(column, Series)
    assert len(truth) == 210 - column.window


def test_outliers_of_the_target_do_not_decide(workspace: Workspace) -> None:
    """With a few values far from all others, the absolute error is learned and judged."""
    x = DICE.normal(size=600)
    frame = pd.DataFrame({"x": x, "z": DICE.normal(size=600), "y": 5 * x + DICE.normal(0, 2, 600)})
    _, task = init(workspace, frame, "y")
    assert (task["gate"]["metric"], "loss" in task["train"]) == ("rmse", False)
    frame.loc[7, "y"] = 1e6
    _, task = init(workspace, frame, "y")
    assert (task["gate"]["metric"], task["train"]["loss"]) == ("mae", "mae")
    assert 0.01 <= task["gate"]["minimum_gain"] <= 0.1
