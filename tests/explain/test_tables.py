"""Explanations of wide tables, and of tables with all column types and missing values."""

from __future__ import annotations

import csv
import random
from typing import Any

import generated_tasks
import numpy as np
import pytest
import random_models
import yaml
from known_models import bar_values, linear_model
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard import files, plugins
from tiltyard.config import loader
from tiltyard.explain.explain import load_model
from tiltyard.explain.methods.base import ExplainedModel
from tiltyard.figures import MAX_BARS, Figure
from tiltyard.preparation.prepare import prepare
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

COLUMNS = 40


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project without outputs."""
    return new_workspace(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def wide(space: Workspace) -> ExplainedModel:
    """A linear model of forty columns with increasing weights."""
    chance = random.Random(0)  # noqa: S311 - no secret
    names = [f"c{place}" for place in range(COLUMNS)]
    content: dict[str, Any] = {
        **generated_tasks.TABLE,
        "title": "Wide",
        "columns": {name: {"type": "number"} for name in names},
    }
    content |= {"target": {"column": "answer"}, "serve": {"example": dict.fromkeys(names, 0.0)}, "rows": [100, 200]}
    files.write_text(space.task_file("wide"), yaml.safe_dump(content, sort_keys=False))
    space.raw("wide").mkdir(parents=True)
    with (space.raw("wide") / "table.csv").open("w", newline="", encoding="utf-8") as file:
        rows = [[f"{chance.gauss(0, 1):.4f}" for _ in range(COLUMNS + 1)] for _ in range(150)]
        csv.writer(file).writerows([[*names, "answer"], *rows])
    task = loader.load(space, "wide")
    prepare(space, task)
    return linear_model(space, task, np.arange(COLUMNS)[:, None] / COLUMNS)


@pytest.fixture(scope="module")
def people(space: Workspace) -> ExplainedModel:
    """A model with random weights for numbers, categories, a boolean and a date, some of them missing."""
    generated_tasks.prepare_table(space)
    return load_model(space, random_models.write_evaluated(space, "people"))


def of_row(way: str, model: ExplainedModel, place: int = 0) -> Figure:
    """Return the only figure about one row."""
    (found,) = plugins.load("explanations", way)().of_row(model, model.row(place))
    exhibit: Figure = found
    return exhibit


def answered(model: ExplainedModel, place: int) -> float:
    """Return the prediction for a test row."""
    return float(model.predictor.run(model.encode(model.row(place)))[0, 0])


def test_of_many_columns_the_others_are_one_bar(wide: ExplainedModel) -> None:
    """The bars add up to the prediction, and the sentence states how many columns there are."""
    exhibit = of_row("shap", wide)
    found = bar_values(exhibit)
    assert len(found) == MAX_BARS + 1
    assert [*found][-1] == f"the {COLUMNS - MAX_BARS} others"
    base = float(exhibit.text.split(" is ")[1].split(";")[0])
    assert base + sum(found.values()) == pytest.approx(answered(wide, 0), abs=1e-3)
    assert exhibit.text.endswith(f"Of {COLUMNS} the {MAX_BARS} largest are shown.")


def test_of_many_columns_the_largest_are_shown(wide: ExplainedModel) -> None:
    """All methods leave out small columns, and the sentence states it."""
    shown = [next(iter(plugins.load("explanations", way)().of_model(wide))) for way in ("permutation", "shap")]
    for exhibit in (*shown, of_row("lime", wide)):
        assert len(bar_values(exhibit)) == MAX_BARS
        assert f"c{COLUMNS - 1}" in bar_values(exhibit)
        assert "c0" not in bar_values(exhibit)
        assert f"Of {COLUMNS} the {MAX_BARS} largest are shown." in exhibit.text


def test_a_model_of_very_many_columns_is_asked_less(wide: ExplainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer validation rows are used, but never fewer than five."""
    monkeypatch.setattr("tiltyard.explain.methods.shap.MAX_CELLS", 1)
    whole, points = plugins.load("explanations", "shap")().of_model(wide)
    assert "over 5 validation rows" in whole.text
    assert len(points.data["groups"][0]["x"]) == 5


@pytest.mark.parametrize("place", range(5))
def test_columns_of_every_type_add_up(people: ExplainedModel, place: int) -> None:
    """Each column is one bar with its value, missing values included."""
    exhibit = of_row("shap", people, place)
    found = bar_values(exhibit)
    assert [name.split(" = ")[0] for name in found] == [*people.task.columns]
    base = float(exhibit.text.split(" is ")[1].split(";")[0])
    assert base + sum(found.values()) == pytest.approx(answered(people, place), rel=1e-3)


def test_missing_values_are_called_so(people: ExplainedModel) -> None:
    """A missing number is shown as missing, not as NaN."""
    place = int(np.flatnonzero(np.isnan(people.test.rows["age"]))[0])
    assert "age = missing" in bar_values(of_row("shap", people, place))


def test_a_line_close_to_a_row_takes_columns_of_every_type(people: ExplainedModel) -> None:
    """All slopes are finite."""
    found = bar_values(of_row("lime", people))
    assert {*found} == {*people.task.columns}
    assert all(np.isfinite([*found.values()]))


def test_the_service_explains_columns_of_every_type(space: Workspace, people: ExplainedModel) -> None:
    """Contributions have the names of columns, whatever features they become."""
    model = LoadedModel.load(random_models.write_package(space, people.task))
    app = create_app()
    install(app, [model])
    with TestClient(app) as client:
        body = client.post("/v1/models/people:predict", json={"instances": model.background, "explain": True}).json()
    assert len(body["explanations"]) == len(model.background)
    for number, one in zip(body["predictions"], body["explanations"], strict=True):
        assert [*one["contributions"]] == [*people.task.columns]
        assert one["base"] + sum(one["contributions"].values()) == pytest.approx(number, rel=1e-4)
