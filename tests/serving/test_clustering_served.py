"""Clusters from data to service: training, evaluation, gate, report, explanations, predictions, files and records."""

from __future__ import annotations

import shutil
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from machines import KINDS, ROW, machines, write_machines
from served_project import ServedProject
from workspaces import ROOT, edit_task, new_workspace

from tiltyard import files, plugins
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate.duel_setup import build_duel
from tiltyard.monitoring import records
from tiltyard.monitoring.monitor import monitor
from tiltyard.report.report import task_page
from tiltyard.serving import predict_file
from tiltyard.validation.check import check


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """Machines in three clusters, without labels."""
    workspace = new_workspace(tmp_path_factory.mktemp("machines"))
    changes: dict[str, Any] = {"problem": "clustering", "model": {"family": "kmeans", "clusters": 3}}
    changes |= {"train": {"epochs": 1}, "gate": {"metric": "inertia", "slices": ["kind"]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        write_machines(workspace, **changes)
        return ServedProject.of(workspace, "machines")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
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
    return ServedProject.of(workspace, "groups")


def _report(project: ServedProject) -> dict[str, Any]:
    report: dict[str, Any] = files.read_json(project.workspace.out(project.task.name, "evaluate") / "report.json")
    return report


def test_prediction_has_cluster_distance_and_memberships(table: ServedProject) -> None:
    """It fits the published schema; the cluster is that with the largest membership."""
    (answer,) = table.ask("v1/models/{}:predict", {"instances": [ROW]})["predictions"]
    jsonschema.validate(answer, table.model.schema["prediction"])
    assert answer["cluster"] == int(np.argmax(answer["memberships"]))
    assert sum(answer["memberships"]) == pytest.approx(1, abs=1e-5)
    assert answer["distance"] > 0
    error = table.ask("v1/models/{}:predict", {"instances": [{**ROW, "kind": "plane"}]}, status=400)["error"]
    assert error["field"] == "instances[0].kind"


def test_schema_has_the_mean_row_of_each_cluster(table: ServedProject) -> None:
    """The page of the service shows them; counts are those of training rows."""
    clusters, rows = table.model.schema["clusters"], _report(table)["rows"]["train"]
    assert sum(each["rows"] for each in clusters) == rows
    assert all([*each["mean"]] == [*ROW] for each in clusters)
    assert {each["mean"]["kind"] for each in clusters} <= {*KINDS}


def test_tensors(table: ServedProject) -> None:
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


def test_every_way_gives_the_same_answer(images: ServedProject) -> None:
    """The fast path and the general one agree."""
    first, *others = images.model.predict_each_way([images.task.serve.example])
    assert first[0]["cluster"] in range(10)
    for other in others:
        assert other[0]["cluster"] == first[0]["cluster"]
        assert other[0]["memberships"] == pytest.approx(first[0]["memberships"], abs=1e-6)


def test_truths_are_refused(table: ServedProject) -> None:
    """There is nothing to send back."""
    error = table.ask("v1/models/{}:feedback", {"feedback": [{"id": "a" * 32, "truth": 1.0}]}, status=400)["error"]
    assert "clusters rows, and needs no ground truth" in error["message"]


def test_file_gets_cluster_distance_and_memberships(table: ServedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand beside the given columns."""
    source, target = table.workspace.root / "new.csv", table.workspace.root / "out.csv"
    machines().head(5).to_csv(source, index=False)
    monkeypatch.setattr(predict_file, "load_champion", lambda *_: table.model)
    predict_file.predict_file(table.workspace, table.task, source, target)
    written = pd.read_csv(target)
    assert {"cluster", "distance", "membership_0", "membership_2", "heat"} <= {*written.columns}
    assert written["cluster"].between(0, 2).all()


def test_checks_apply_or_say_why_not(table: ServedProject) -> None:
    """Checks of labels do not apply; the others pass, and k-means is better than random centres."""
    duel = build_duel(table.workspace, table.task, read_evaluated(table.workspace, table.task), None)
    outcomes = {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}
    for name in ("calibration", "collapse", "mcnemar", "reference", "robustness"):
        assert outcomes[name].state == "not applicable", name
    for name in ("baseline", "generalization_gap", "parity", "size", "latency", "model_card"):
        assert outcomes[name].state == "passed", outcomes[name].text


def test_labels_are_evaluated_but_not_served(images: ServedProject) -> None:
    """The report has the agreement of model and baseline; no label is in the package, except in the card."""
    report = _report(images)
    assert {"ari", "nmi", "silhouette", "inertia"} == {*report["metrics"]} == {*report["baseline"]}
    assert report["metrics"]["ari"] > 0.3
    assert all(record["most frequent label"] is not None for record in report["per_cluster"] if record["test rows"])
    encoder = files.read_json(images.workspace.root / "package" / "encoder.json")
    assert encoder["classes"] == []


def test_page_shows_sizes_means_and_map(table: ServedProject, images: ServedProject) -> None:
    """Mean pictures are images, mean rows of a table are values; both have a map, and a table has no labels."""
    picture, values = task_page(images.workspace, images.task), task_page(table.workspace, table.task)
    for page in (picture, values):
        assert "Silhouette by pairs of" in page
        assert "two principal components" in page
    assert picture.count("data:image/png") > 10
    assert "Labels and clusters" in picture
    assert "refined together in 2 epochs" in picture
    assert "Labels and clusters" not in values


def test_explanations_are_about_the_membership(table: ServedProject, images: ServedProject) -> None:
    """Columns and pixels raise the membership in the assigned cluster; methods about labels are left out."""
    content = explain(table.workspace, table.task)
    assert {"permutation", "shap", "lime"} <= {figure["way"] for figure in content["exhibits"]}
    pixels = explain(images.workspace, images.task)
    assert "occlusion" in {figure["way"] for figure in pixels["exhibits"]}
    assert "has clusters" in pixels["left_out"]["grad_cam"]
    assert any("the membership in cluster" in figure["text"] for figure in pixels["exhibits"])


def test_attributions_add_up_to_the_membership(table: ServedProject) -> None:
    """Contributions and base add up to the largest membership."""
    answer = table.ask("v1/models/{}:predict", {"instances": [ROW], "explain": True})
    (explanation,), (prediction,) = answer["explanations"], answer["predictions"]
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(max(prediction["memberships"]), abs=1e-3)


def test_answers_are_recorded_and_monitored(table: ServedProject) -> None:
    """The recorded prediction is the number of the cluster; monitoring has no quality without truths."""
    table.ask("v1/models/{}:predict", {"instances": [ROW] * 3})
    rows = records.compact(table.workspace, table.task)
    assert rows is not None
    monitor(table.workspace, table.task)


def test_data_without_a_target_are_checked(table: ServedProject, images: ServedProject) -> None:
    """`check` finds nothing critical, with labels and without."""
    for project in (table, images):
        found = check(project.workspace, project.task).findings
        assert [one.text for one in found if one.severity == "critical"] == []
