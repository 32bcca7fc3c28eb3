"""Rows with several labels through init, validation, preparation and the service: predictions, truths and records."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import random_models
from asgi_server import serve_app
from browser import open_browser
from movies import GENRES, movies
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import fetch_raw, new_workspace

from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.gate.duel_setup import champion_outputs, served_rows
from tiltyard.monitoring import records
from tiltyard.monitoring.live_comparison import agreement
from tiltyard.monitoring.live_quality import load_live_quality, outputs_of, truths_of
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.predict_file import predict_file
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

ROWS = [{"budget": 30.5, "minutes": 92, "studio": "Kestrel"}, {"budget": 60, "minutes": 130, "studio": "Northside"}]
PREDICT, FEEDBACK = "/v1/models/movies:predict", "/v1/models/movies:feedback"


@dataclass(frozen=True)
class Project:
    """A project with a champion that has random weights, and the app that serves it."""

    workspace: Workspace
    task: Task
    model: LoadedModel
    app: Starlette


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Draft, validate and prepare the films, and serve a model."""
    workspace = new_workspace(tmp_path_factory.mktemp("movies"))
    movies().to_csv(workspace.root / "movies.csv", index=False)
    draft_task(workspace, "movies", DraftRequest("movies.csv", "genres", drop=("title",)))
    fetch_raw(workspace, "movies")
    task = loader.load(workspace, "movies")
    validate(workspace, task)
    prepare.prepare(workspace, task)
    folder = random_models.write_champion(workspace, random_models.write_evaluated(workspace, "movies"))
    model, app = LoadedModel.load(folder), create_app()
    app.state.recorder = Recorder(workspace.records, 1.0)
    install(app, [model])
    return Project(workspace, task, model, app)


def ask(project: Project, path: str, body: Any, status: int = 200) -> Any:
    """Send a body; return the content of the response."""
    with TestClient(project.app) as client:
        response = client.post(path, json=body)
    assert response.status_code == status, response.text
    return response.json()


def test_predictions_are_the_labels_above_the_threshold(project: Project) -> None:
    """Each prediction has the labels with a probability of at least 50 %, in the order of the classes."""
    predictions = ask(project, PREDICT, {"instances": ROWS})["predictions"]
    for prediction in predictions:
        assert [*prediction["probabilities"]] == GENRES
        shares = prediction["probabilities"].items()
        assert prediction["labels"] == [name for name, share in shares if share >= 0.5]
        jsonschema.validate(prediction, project.model.schema["prediction"])
    by_column = ask(project, PREDICT, {"inputs": {name: [row[name] for row in ROWS] for name in ROWS[0]}})
    assert by_column["outputs"] == {
        name: [prediction[name] for prediction in predictions] for name in ("labels", "probabilities")
    }


def test_explanations_are_about_the_most_probable_label(project: Project) -> None:
    """Base and contributions add up to the probability of the label that is named."""
    content = ask(project, PREDICT, {"instances": ROWS, "explain": True})
    for prediction, explanation in zip(content["predictions"], content["explanations"], strict=True):
        probabilities = prediction["probabilities"]
        assert explanation["of"] == max(probabilities, key=probabilities.__getitem__)
        total = explanation["base"] + sum(explanation["contributions"].values())
        assert total == pytest.approx(probabilities[explanation["of"]], rel=1e-4)


def test_open_inference_protocol_has_flags(project: Project) -> None:
    """The tensor `labels` has a flag for each label, and `probabilities` the numbers of V1."""
    inputs = [
        {"name": "budget", "shape": [1], "datatype": "FP64", "data": [30.5]},
        {"name": "minutes", "shape": [1], "datatype": "FP64", "data": [92]},
        {"name": "studio", "shape": [1], "datatype": "BYTES", "data": ["Kestrel"]},
    ]
    labels, probabilities = ask(project, "/v2/models/movies/infer", {"inputs": inputs})["outputs"]
    (expected,) = ask(project, PREDICT, {"instances": ROWS[:1]})["predictions"]
    assert (labels["name"], labels["datatype"], labels["shape"]) == ("labels", "BOOL", [1, 5])
    assert [name for name, flag in zip(GENRES, labels["data"], strict=True) if flag] == expected["labels"]
    assert probabilities["data"] == [*expected["probabilities"].values()]


def test_openapi_describes_predictions_and_truths(project: Project) -> None:
    """Responses and the example of feedback match the document."""
    with TestClient(project.app) as client:
        document = client.get("/v1/openapi.json").json()
        response = client.post(PREDICT, json={"instances": ROWS})
    described = document["paths"][PREDICT]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.Draft202012Validator({**document, **described}).validate(response.json())
    body = document["paths"][FEEDBACK]["post"]["requestBody"]["content"]["application/json"]
    validator = jsonschema.Draft202012Validator({**document, **body["schema"]})
    validator.validate(body["example"])
    (item,) = body["example"]["feedback"]
    assert item["truth"] == ["Action"]
    spelled: list[tuple[Any, bool]] = [([], True), ("Action|War", True), (["Wstern"], False), (3, False)]
    for truth, valid in spelled:
        assert validator.is_valid({"feedback": [{**item, "truth": truth}]}) is valid


def test_truths_are_lists_or_cells(project: Project) -> None:
    """Both spellings are stored alike, in the order of the classes; unknown labels and other types are refused."""
    with TestClient(project.app) as client:
        response = client.post(PREDICT, json={"instances": ROWS})
        item = {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]}
        for place, truth in enumerate((["War", "Comedy"], " Comedy |War")):
            sent = client.post(FEEDBACK, json={"feedback": [{**item, "instance": place, "truth": truth}]})
            assert sent.status_code == 200, sent.text
        wrong: dict[Any, str] = {"Wstern": "expected some of Action, Comedy", 3: "expected a list of labels"}
        for value, message in wrong.items():
            refused = client.post(FEEDBACK, json={"feedback": [{**item, "truth": value}]})
            assert refused.status_code == 400
            assert message in refused.json()["error"]["message"]
    project.app.state.recorder.sender.finish()
    quality = load_live_quality(project.workspace, project.task)
    rows = quality.with_truth(project.model.version)
    assert [json.loads(text) for text in rows["truth"]] == [["Comedy", "War"]] * 2
    assert truths_of(project.task, rows).tolist() == [[False, True, False, False, True]] * 2
    assert outputs_of(project.task, rows).shape == (2, 5)
    assert agreement(quality, project.model.version, project.model.version) == {
        "answers": len(quality.predictions),
        "equal": 1.0,
    }
    table = records.read(project.workspace, project.task, "answers", ["record.prediction"])
    assert all(set(cell.split("|")) <= {*GENRES, ""} for cell in table["record.prediction"].to_pylist())


def test_live_quality_is_the_metric_of_the_gate(project: Project) -> None:
    """With enough truths, the metric of recorded predictions has a value and an interval."""
    with TestClient(project.app) as client:
        response = client.post(PREDICT, json={"instances": ROWS * 12})
        item = {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]}
        truths = [{**item, "instance": place, "truth": GENRES[place % 5]} for place in range(24)]
        assert client.post(FEEDBACK, json={"feedback": truths}).status_code == 200
    project.app.state.recorder.sender.finish()
    measured = load_live_quality(project.workspace, project.task).quality(project.model.version)
    assert measured is not None
    assert 0 < measured["low"] <= measured["value"] <= measured["high"] <= 1


def test_a_file_gets_labels_as_in_the_data(project: Project) -> None:
    """A predicted file has the labels in one cell, with the separator of the data, and a column for each label."""
    source, target = project.workspace.root / "new.csv", project.workspace.root / "scored.csv"
    pd.DataFrame(ROWS).to_csv(source, index=False)
    predict_file(project.workspace, project.task, source, target)
    with target.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    for row, prediction in zip(rows, project.model.predict(ROWS), strict=True):
        assert row["prediction"] == "|".join(prediction["labels"])
        shares = [float(row[f"probability_{name}"]) for name in GENRES]
        assert np.allclose(shares, [*prediction["probabilities"].values()])


def test_a_new_label_does_not_stop_the_comparison(project: Project) -> None:
    """A champion that does not know a label serves the rows without it, and gives it a probability of 0."""
    test = read_test(project.workspace, "movies", project.task.columns)
    labels = ["Sport", *GENRES]
    flags = np.concatenate([np.arange(len(test.truth))[:, None] % 4 == 0, test.truth], axis=1)
    wider = type(test)(test.rows, flags, test.number)
    served = served_rows(project.model.predictor, labels, wider)
    assert np.array_equal(served, ~flags[:, 0])
    baseline = np.tile(flags.mean(axis=0), (len(flags), 1))
    outputs = champion_outputs(project.model.predictor, labels, wider, served, baseline)
    assert np.allclose(outputs[served][:, 1:], project.model.predictor.outputs(test.rows)[served])
    assert not outputs[served][:, 0].any()
    assert np.allclose(outputs[~served], baseline[~served])


@pytest.mark.smoke
def test_page_names_all_predicted_labels(project: Project, tmp_path: Path) -> None:
    """The page shows the predicted labels, a bar for each label, and whose probability is explained."""
    button = "document.querySelector('#movies button.first')"
    with serve_app(project.app) as host, open_browser(tmp_path) as browser:
        browser.open(f"http://{host}/", button)
        browser.script(f"document.querySelector('#movies input[type=checkbox]').click(); {button}.focus()")
        browser.press("Enter")
        browser.wait_until("document.querySelectorAll('#movies .bars').length === 2")
        text = browser.script("document.querySelector('#movies .answer').innerText")
        bars = browser.script("document.querySelector('#movies .bars').innerText")
        errors = browser.console_errors
    (prediction,) = project.model.predict([project.task.serve.example])
    probabilities = prediction["probabilities"]
    assert text.startswith(", ".join(prediction["labels"]) or "none of the labels")
    assert all(name in bars for name in GENRES)
    assert f" of {max(probabilities, key=probabilities.__getitem__)} on average" in text
    assert errors == []
