"""Several numbers through init, validation, preparation and the service: predictions, truths, records and files."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import random_models
from boxes import NAMES, boxes
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import fetch_raw, new_workspace

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.errors import DataError, TaskError
from tiltyard.monitoring.live_comparison import agreement
from tiltyard.monitoring.live_quality import load_live_quality, truths_of
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.predict_file import predict_file
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.validation.check import check
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

ROWS = [{"side": 3.5, "load": 40}, {"side": 1, "load": -20.5}]
PREDICT, FEEDBACK = "/v1/models/boxes:predict", "/v1/models/boxes:feedback"


@dataclass(frozen=True)
class Project:
    """A project with a champion that has random weights, and the app that serves it."""

    workspace: Workspace
    task: Task
    model: LoadedModel
    app: Starlette
    checked: Any


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Draft, validate and prepare the boxes, some of which lack a target, and serve a model."""
    workspace, table = new_workspace(tmp_path_factory.mktemp("boxes")), boxes()
    table.loc[[3, 7], "cost"] = None
    table.loc[[7, 9], "area"] = None
    table.to_csv(workspace.root / "boxes.csv", index=False)
    draft_task(workspace, "boxes", DraftRequest("boxes.csv", "area", more_targets=("cost", "label")))
    fetch_raw(workspace, "boxes")
    task = loader.load(workspace, "boxes")
    assert not validate(workspace, task).failed("warning")
    prepare.prepare(workspace, task)
    folder = random_models.write_champion(workspace, random_models.write_evaluated(workspace, "boxes"))
    model, app = LoadedModel.load(folder), create_app()
    app.state.recorder = Recorder(workspace.records, 1.0)
    install(app, [model])
    return Project(workspace, task, model, app, check(workspace, task))


def ask(project: Project, path: str, body: Any, status: int = 200) -> Any:
    """Send a body; return the content of the response."""
    with TestClient(project.app) as client:
        response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def test_draft_has_settings_for_each_target(project: Project) -> None:
    """Bounds for each, a logarithm for the skewed one, and the figure that has no unit."""
    target = project.task.target
    assert target.names == NAMES
    assert [part.log for part in target.parts] == [False, True, False]
    assert all(part.bounds for part in target.parts)
    assert project.task.gate.metric == "scaled_mae"
    assert [*project.task.columns] == ["side", "load"]


@pytest.mark.parametrize(
    ("more", "options", "message"),
    [
        (("area",), {}, "expected different columns; received area, area"),
        (
            ("cost",),
            {"problem": "classification"},
            "several numbers for a regression; received --problem classification",
        ),
        (("kind",), {}, "kind: expected numbers for a regression"),
        (("costs",), {}, "expected the columns costs"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(
    workspace: Workspace, more: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    """With what was expected, before anything is written."""
    boxes(40).assign(kind="a").to_csv(workspace.root / "boxes.csv", index=False)
    with pytest.raises((TaskError, DataError), match=message):
        draft_task(workspace, "boxes", DraftRequest("boxes.csv", "area", more_targets=more, **options))
    assert not workspace.task_file("boxes").exists()


def test_rows_without_one_of_the_targets_are_left_out(project: Project) -> None:
    """Three of 300 rows lack at least one, and the sealed rows have a truth for each target."""
    test = read_test(project.workspace, "boxes", project.task.columns)
    split = json.loads((project.workspace.out("boxes", "prepare") / "split.json").read_text())
    assert sum(split["rows"].values()) == 297
    assert split["notes"] == ["3 of 300 rows have no target: left out"]
    assert test.truth.shape == (split["rows"]["test"], 3)


def test_check_names_the_target(project: Project) -> None:
    """Each target is checked by itself: missing values here."""
    found = {(finding.code, finding.column) for finding in project.checked.findings}
    assert {("target", "area"), ("target", "cost")} <= found
    assert ("target", "label") not in found


def test_predictions_are_named(project: Project) -> None:
    """JSON by row and by column, the compiled request, and tensors have the same numbers, and the schema fits."""
    predictions = ask(project, PREDICT, {"instances": ROWS})["predictions"]
    assert [[*prediction] for prediction in predictions] == [NAMES, NAMES]
    for prediction in predictions:
        jsonschema.validate(prediction, project.model.schema["prediction"])
    for other in project.model.predict_each_way(ROWS):
        assert other == predictions
    by_column = ask(project, PREDICT, {"inputs": {name: [row[name] for row in ROWS] for name in ROWS[0]}})
    assert by_column["outputs"] == {name: [prediction[name] for prediction in predictions] for name in NAMES}
    inputs = [{"name": name, "shape": [2], "datatype": "FP64", "data": [row[name] for row in ROWS]} for name in ROWS[0]]
    tensors = ask(project, "/v2/models/boxes/infer", {"inputs": inputs})["outputs"]
    assert {tensor["name"]: tensor["data"] for tensor in tensors} == by_column["outputs"]
    assert {(tensor["datatype"], *tensor["shape"]) for tensor in tensors} == {("FP64", 2)}


def test_csv_request_has_the_same_predictions(project: Project) -> None:
    """Rows sent as CSV."""
    with TestClient(project.app) as client:
        response = client.post(PREDICT, content="side,load\n3.5,40\n1,-20.5\n", headers={"content-type": "text/csv"})
    assert response.json()["predictions"] == project.model.predict(ROWS)


def test_explanations_name_the_first_target(project: Project) -> None:
    """Base and contributions add up to its prediction."""
    content = ask(project, PREDICT, {"instances": ROWS, "explain": True})
    for prediction, explanation in zip(content["predictions"], content["explanations"], strict=True):
        assert explanation["of"] == "area"
        total = explanation["base"] + sum(explanation["contributions"].values())
        assert total == pytest.approx(prediction["area"], rel=1e-4)


def test_openapi_describes_predictions_and_truths(project: Project) -> None:
    """Responses match the document, and its example of feedback is accepted."""
    with TestClient(project.app) as client:
        document = client.get("/v1/openapi.json").json()
        response = client.post(PREDICT, json={"instances": ROWS})
    described = document["paths"][PREDICT]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**document, **described}).validate(response.json())
    body = document["paths"][FEEDBACK]["post"]["requestBody"]["content"]["application/json"]
    validator = jsonschema.Draft202012Validator({**document, **body["schema"]})
    validator.validate(body["example"])
    (item,) = body["example"]["feedback"]
    assert [*item["truth"]] == NAMES
    for truth in (3.5, [1, 2, 3], {"area": 1}, {**item["truth"], "more": 1}):
        assert not validator.is_valid({"feedback": [{**item, "truth": truth}]})


def test_truths_are_objects_and_give_live_quality(project: Project) -> None:
    """All numbers by name, in any order; with enough of them the gate's metric has a value."""
    with TestClient(project.app) as client:
        response = client.post(PREDICT, json={"instances": ROWS * 12})
        item = {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]}
        truths = [
            {**item, "instance": place, "truth": {"label": -0.001, "cost": 90 + place, "area": 12.5}}
            for place in range(24)
        ]
        assert client.post(FEEDBACK, json={"feedback": truths}).status_code == 200
        for wrong, message in (
            (3.5, "an object with a number for each of area"),
            ({"area": 1}, "for each of area, cost"),
        ):
            refused = client.post(FEEDBACK, json={"feedback": [{**item, "truth": wrong}]})
            assert refused.status_code == 400
            assert message in refused.json()["error"]["message"]
        words = {"area": "a", "cost": 1, "label": 1}
        refused = client.post(FEEDBACK, json={"feedback": [{**item, "truth": words}]})
        assert refused.json()["error"]["field"] == "feedback[0].truth.area"
    project.app.state.recorder.sender.finish()
    quality, version = load_live_quality(project.workspace, project.task), project.model.version
    truth = truths_of(project.task, quality.with_truth(version))
    assert truth[0].tolist() == [12.5, 90, -0.001]
    measured = quality.quality(version)
    assert measured is not None
    assert 0 < measured["low"] <= measured["value"] <= measured["high"]
    same = agreement(quality, version, version)
    assert same is not None
    assert same["apart"] == 0


def test_a_file_gets_a_column_for_each_target(project: Project) -> None:
    """Of a file of rows, in the order of the targets."""
    source, target = project.workspace.root / "new.csv", project.workspace.root / "scored.csv"
    pd.DataFrame(ROWS).to_csv(source, index=False)
    predict_file(project.workspace, project.task, source, target)
    with target.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert [*rows[0]] == ["side", "load", "prediction_area", "prediction_cost", "prediction_label"]
    expected: Array = np.array([[*prediction.values()] for prediction in project.model.predict(ROWS)])
    assert np.allclose([[float(row[f"prediction_{name}"]) for name in NAMES] for row in rows], expected)


def test_card_names_each_target(project: Project) -> None:
    """The card as JSON lists the targets for the page of the service, and its text says what is predicted."""
    assert [part["column"] for part in project.model.schema["card"]["targets"]] == NAMES
    assert "the numbers" in project.model.card
