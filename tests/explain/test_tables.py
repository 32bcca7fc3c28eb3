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
    names = [f"c{i}" for i in range(COLUMNS)]
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


def of_row(method: str, model: ExplainedModel, row: int = 0) -> Figure:
    """Return the only figure about one row."""
    (found,) = plugins.load("explanations", method)().of_row(model, model.row(row))
    figure: Figure = found
    return figure


def predict_row(model: ExplainedModel, row: int) -> float:
    """Return the prediction for a test row."""
    return float(model.predictor.run(model.encode(model.row(row)))[0, 0])


def test_remaining_columns_are_one_bar(wide: ExplainedModel) -> None:
    """The bars add up to the prediction, and the sentence states how many columns there are."""
    figure = of_row("shap", wide)
    contributions = bar_values(figure)
    assert len(contributions) == MAX_BARS + 1
    assert [*contributions][-1] == f"the {COLUMNS - MAX_BARS} others"
    base = float(figure.text.split(" is ")[1].split(";")[0])
    assert base + sum(contributions.values()) == pytest.approx(predict_row(wide, 0), abs=1e-3)
    assert figure.text.endswith(f"Of {COLUMNS} the {MAX_BARS} largest are shown.")


def test_largest_columns_are_shown(wide: ExplainedModel) -> None:
    """All methods leave out small columns, and the sentence states it."""
    shown = [next(iter(plugins.load("explanations", method)().of_model(wide))) for method in ("permutation", "shap")]
    for figure in (*shown, of_row("lime", wide)):
        assert len(bar_values(figure)) == MAX_BARS
        assert f"c{COLUMNS - 1}" in bar_values(figure)
        assert "c0" not in bar_values(figure)
        assert f"Of {COLUMNS} the {MAX_BARS} largest are shown." in figure.text


def test_wide_model_uses_fewer_rows(wide: ExplainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer validation rows are used, but never fewer than five."""
    monkeypatch.setattr("tiltyard.explain.methods.shap.MAX_CELLS", 1)
    overall, points = plugins.load("explanations", "shap")().of_model(wide)
    assert "over 5 validation rows" in overall.text
    assert len(points.data["groups"][0]["x"]) == 5


@pytest.mark.parametrize("row", range(5))
def test_contributions_of_all_column_types_add_up(people: ExplainedModel, row: int) -> None:
    """Each column is one bar with its value, missing values included."""
    figure = of_row("shap", people, row)
    contributions = bar_values(figure)
    assert [name.split(" = ")[0] for name in contributions] == [*people.task.columns]
    base = float(figure.text.split(" is ")[1].split(";")[0])
    assert base + sum(contributions.values()) == pytest.approx(predict_row(people, row), rel=1e-3)


def test_missing_values_are_labelled_missing(people: ExplainedModel) -> None:
    """A missing number is shown as missing, not as NaN."""
    row = int(np.flatnonzero(np.isnan(people.test.rows["age"]))[0])
    assert "age = missing" in bar_values(of_row("shap", people, row))


def test_lime_supports_all_column_types(people: ExplainedModel) -> None:
    """All slopes are finite."""
    slopes = bar_values(of_row("lime", people))
    assert {*slopes} == {*people.task.columns}
    assert all(np.isfinite([*slopes.values()]))


def test_service_explains_all_column_types(space: Workspace, people: ExplainedModel) -> None:
    """Contributions have the names of columns, whatever their features are."""
    model = LoadedModel.load(random_models.write_package(space, people.task))
    app = create_app()
    install(app, [model])
    with TestClient(app) as client:
        body = client.post("/v1/models/people:predict", json={"instances": model.background, "explain": True}).json()
    assert len(body["explanations"]) == len(model.background)
    for number, explanation in zip(body["predictions"], body["explanations"], strict=True):
        assert [*explanation["contributions"]] == [*people.task.columns]
        assert explanation["base"] + sum(explanation["contributions"].values()) == pytest.approx(number, rel=1e-4)
