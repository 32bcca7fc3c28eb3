"""Clusters from data to service: training, evaluation, gate, report, explanations, predictions, files and records."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from machines import KINDS, ROW, machines, write_machines
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import ROOT, edit_task, fetch_raw, new_workspace, train_tasks

from tiltyard import files, plugins
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate.duel_setup import build_duel
from tiltyard.monitoring import records
from tiltyard.monitoring.monitor import monitor
from tiltyard.preparation.prepare import prepare
from tiltyard.report.report import task_page
from tiltyard.serving import predict_file
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import package
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.validation.check import check
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Project:
    """A trained, evaluated and packaged task, and the app that serves it."""

    workspace: Workspace
    task: Task
    model: LoadedModel
    app: Starlette

    def ask(self, path: str, body: Any, status: int = 200) -> Any:
        """Send a body to a route of the task; return the content of the response."""
        with TestClient(self.app) as client:
            response = client.post(f"/{path.format(self.task.name)}", json=body)
        assert response.status_code == status, response.text
        return response.json()


def _project(workspace: Workspace, name: str) -> Project:
    fetch_raw(workspace, name)
    task = loader.load(workspace, name)
    validate(workspace, task)
    prepare(workspace, task)
    train_tasks(workspace, name)
    evaluate(workspace, task)
    folder = workspace.root / "package"
    package.write(workspace, task, folder, read_evaluated(workspace, task))
    model, app = LoadedModel.load(folder), create_app()
    app.state.recorder = Recorder(workspace.records, 1.0)
    install(app, [model])
    return Project(workspace, task, model, app)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Machines in three clusters, without labels."""
    workspace = new_workspace(tmp_path_factory.mktemp("machines"))
    changes: dict[str, Any] = {"problem": "clustering", "model": {"family": "kmeans", "clusters": 3}}
    changes |= {"train": {"epochs": 1}, "gate": {"metric": "inertia", "slices": ["kind"]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        write_machines(workspace, **changes)
        return _project(workspace, "machines")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Digits of 8x8 pixels, whose labels only evaluate."""
    workspace = new_workspace(tmp_path_factory.mktemp("digits"))
    shutil.copy(ROOT / "tasks" / "digits_autoencoder.yaml", workspace.task_file("groups"))
    changes = {
        "problem": "clustering",
        "target": {"column": "label", "classes": [str(digit) for digit in range(10)]},
        "model": {"family": "deep_clustering", "clusters": 10, "units": [64], "code": 8, "refine": {"epochs": 2}},
        "train": {"epochs": 10, "batch_size": 32},
        "gate": {"metric": "ari"},
    }
    edit_task(workspace, "groups", changes)
    return _project(workspace, "groups")


def _report(project: Project) -> dict[str, Any]:
    report: dict[str, Any] = files.read_json(project.workspace.out(project.task.name, "evaluate") / "report.json")
    return report


def test_prediction_has_cluster_distance_and_memberships(table: Project) -> None:
    """It fits the published schema; the cluster is that with the largest membership."""
    (answer,) = table.ask("v1/models/{}:predict", {"instances": [ROW]})["predictions"]
    jsonschema.validate(answer, table.model.schema["prediction"])
    assert answer["cluster"] == int(np.argmax(answer["memberships"]))
    assert sum(answer["memberships"]) == pytest.approx(1, abs=1e-5)
    assert answer["distance"] > 0
    error = table.ask("v1/models/{}:predict", {"instances": [{**ROW, "kind": "plane"}]}, status=400)["error"]
    assert error["field"] == "instances[0].kind"


def test_schema_has_the_mean_row_of_each_cluster(table: Project) -> None:
    """The page of the service shows them; counts are those of training rows."""
    clusters, rows = table.model.schema["clusters"], _report(table)["rows"]["train"]
    assert sum(each["rows"] for each in clusters) == rows
    assert all([*each["mean"]] == [*ROW] for each in clusters)
    assert {each["mean"]["kind"] for each in clusters} <= {*KINDS}


def test_tensors(table: Project) -> None:
    """V2 returns an integer, a number, and a number for each cluster."""
    values: list[tuple[str, str, Any]] = [
        ("load", "FP64", 0.4),
        ("heat", "FP64", 61.5),
        ("noise", "FP64", 1.0),
        ("parts", "FP64", 12.0),
    ]
    values += [("kind", "BYTES", "saw"), ("old", "BOOL", True)]
    inputs = [{"name": name, "shape": [1], "datatype": kind, "data": [value]} for name, kind, value in values]
    outputs = table.ask("v2/models/{}/infer", {"inputs": inputs})["outputs"]
    assert [(one["name"], one["datatype"], one["shape"]) for one in outputs] == [
        ("cluster", "INT64", [1]),
        ("distance", "FP64", [1]),
        ("memberships", "FP64", [1, 3]),
    ]


def test_every_way_gives_the_same_answer(images: Project) -> None:
    """The fast path and the general one agree."""
    first, *others = images.model.predict_each_way([images.task.serve.example])
    assert first[0]["cluster"] in range(10)
    for other in others:
        assert other[0]["cluster"] == first[0]["cluster"]
        assert other[0]["memberships"] == pytest.approx(first[0]["memberships"], abs=1e-6)


def test_truths_are_refused(table: Project) -> None:
    """There is nothing to send back."""
    error = table.ask("v1/models/{}:feedback", {"feedback": [{"id": "a" * 32, "truth": 1.0}]}, status=400)["error"]
    assert "clusters rows, and needs no ground truth" in error["message"]


def test_file_gets_cluster_distance_and_memberships(table: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand beside the given columns."""
    source, target = table.workspace.root / "new.csv", table.workspace.root / "out.csv"
    machines().head(5).to_csv(source, index=False)
    monkeypatch.setattr(predict_file, "load_champion", lambda *_: table.model)
    predict_file.predict_file(table.workspace, table.task, source, target)
    written = pd.read_csv(target)
    assert {"cluster", "distance", "membership_0", "membership_2", "heat"} <= {*written.columns}
    assert written["cluster"].between(0, 2).all()


def test_checks_apply_or_say_why_not(table: Project) -> None:
    """Checks of labels do not apply; the others pass, and k-means is better than random centres."""
    duel = build_duel(table.workspace, table.task, read_evaluated(table.workspace, table.task), None)
    outcomes = {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}
    for name in ("calibration", "collapse", "mcnemar", "reference", "robustness"):
        assert outcomes[name].state == "not applicable", name
    for name in ("baseline", "generalization_gap", "parity", "size", "latency", "model_card"):
        assert outcomes[name].state == "passed", outcomes[name].text


def test_labels_are_evaluated_but_not_served(images: Project) -> None:
    """The report has the agreement of model and baseline; no label is in the package, except in the card."""
    report = _report(images)
    assert {"ari", "nmi", "silhouette", "inertia"} == {*report["metrics"]} == {*report["baseline"]}
    assert report["metrics"]["ari"] > 0.3
    assert all(record["most frequent label"] is not None for record in report["per_cluster"] if record["test rows"])
    encoder = files.read_json(images.workspace.root / "package" / "encoder.json")
    assert encoder["classes"] == []


def test_page_shows_sizes_means_and_map(table: Project, images: Project) -> None:
    """Mean pictures are images, mean rows of a table are values; both have a map, and a table has no labels."""
    picture, values = task_page(images.workspace, images.task), task_page(table.workspace, table.task)
    for page in (picture, values):
        assert "Silhouette by pairs of" in page
        assert "two principal components" in page
    assert picture.count("data:image/png") > 10
    assert "Labels and clusters" in picture
    assert "refined together in 2 epochs" in picture
    assert "Labels and clusters" not in values


def test_explanations_are_about_the_membership(table: Project, images: Project) -> None:
    """Columns and pixels raise the membership in the assigned cluster; methods about labels are left out."""
    content = explain(table.workspace, table.task)
    assert {"permutation", "shap", "lime"} <= {figure["way"] for figure in content["exhibits"]}
    pixels = explain(images.workspace, images.task)
    assert "occlusion" in {figure["way"] for figure in pixels["exhibits"]}
    assert "has clusters" in pixels["left_out"]["grad_cam"]
    assert any("the membership in cluster" in figure["text"] for figure in pixels["exhibits"])


def test_attributions_add_up_to_the_membership(table: Project) -> None:
    """Contributions and base add up to the largest membership."""
    answer = table.ask("v1/models/{}:predict", {"instances": [ROW], "explain": True})
    (explanation,), (prediction,) = answer["explanations"], answer["predictions"]
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(max(prediction["memberships"]), abs=1e-3)


def test_answers_are_recorded_and_monitored(table: Project) -> None:
    """The recorded prediction is the number of the cluster; monitoring has no quality without truths."""
    table.ask("v1/models/{}:predict", {"instances": [ROW] * 3})
    rows = records.compact(table.workspace, table.task)
    assert rows is not None
    monitor(table.workspace, table.task)


def test_data_without_a_target_are_checked(table: Project, images: Project) -> None:
    """`check` finds nothing critical, with labels and without."""
    for project in (table, images):
        found = check(project.workspace, project.task).findings
        assert [one.text for one in found if one.severity == "critical"] == []
