"""Anomalies from data to service: rows with and without labels, pictures and windows of a series."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
from asgi_server import serve_app
from browser import open_browser
from faulty_machines import faulty_machines, write_faulty_machines
from machines import ROW
from served_project import ServedProject
from starlette_client import TestClient
from workspaces import ROOT, edit_task, new_workspace

from tiltyard import files, plugins
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.explain.explain import explain
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel_setup import build_duel
from tiltyard.monitoring import records
from tiltyard.monitoring.live_quality import outputs_of, truths_of
from tiltyard.monitoring.monitor import monitor
from tiltyard.preparation.array_file import open_part
from tiltyard.report.report import task_page
from tiltyard.serving import predict_file
from tiltyard.validation.check import check


class Project(ServedProject):
    """With the outcomes of the gate."""

    def outcomes(self) -> dict[str, Outcome]:
        """Return the outcome of every check of the gate."""
        duel = build_duel(self.workspace, self.task, read_evaluated(self.workspace, self.task), None)
        return {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}


def _table(folder: Path, **changes: Any) -> Project:
    workspace = new_workspace(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        write_faulty_machines(workspace, **changes)
        return Project.of(workspace, "faulty")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Machines with labels for most rows."""
    return _table(tmp_path_factory.mktemp("faulty"))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same rows without labels, all of which train."""
    return _table(tmp_path_factory.mktemp("unlabelled"), target=None, gate={"metric": "mse"})


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Digits of 8x8 pixels, of which the 3 is normal."""
    workspace = new_workspace(tmp_path_factory.mktemp("digits"))
    shutil.copy(ROOT / "tasks" / "digits_autoencoder.yaml", workspace.task_file("digits_autoencoder"))
    content = {"problem": "anomaly", "target": {"column": "digit", "normal": ["3"]}, "gate": {"metric": "roc_auc"}}
    train = {"epochs": 30, "batch_size": 16, "learning_rate": 0.003, "anomaly": {"score": "root_relative"}}
    edit_task(workspace, "digits_autoencoder", {**content, "train": train})
    return Project.of(workspace, "digits_autoencoder")


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A short signal of pulses with spikes and shifts."""
    workspace = new_workspace(tmp_path_factory.mktemp("pulses"))
    shutil.copy(ROOT / "tasks" / "anomaly_series.yaml", workspace.task_file("anomaly_series"))
    source = {"kind": "pulses", "rows": 4000, "faults": 15, "seed": 0}
    train = {"epochs": 15, "batch_size": 32, "learning_rate": 0.003}
    edit_task(workspace, "anomaly_series", {"source": source, "rows": [4000, 4000], "train": train})
    return Project.of(workspace, "anomaly_series")


def test_training_rows_are_normal_and_test_rows_hold_all_anomalies(table: Project) -> None:
    """All faults are test rows; the truth of training and validation rows is 0."""
    assert table.report["test_labels"]["anomalies"] == 60
    assert table.report["rows"]["train"] + table.report["rows"]["validation"] + table.report["rows"]["test"] <= 500
    for name in ("train", "validation"):
        assert not open_part(table.workspace.out("faulty", "prepare") / f"{name}.npz")[1].any()


def test_faults_are_found_and_detectors_are_reported(table: Project) -> None:
    """A heat that does not fit the load is found; all detectors are measured on the same rows, with their rates."""
    assert table.report["metrics"]["roc_auc"] > 0.9
    assert table.report["baseline"]["roc_auc"] == 0.5
    assert {one["model"] for one in table.report["detectors"]} == {"PCA", "k nearest neighbours", "an isolation forest"}
    assert all(0 < one["roc_auc"] <= 1 for one in table.report["detectors"])
    assert [("mse" in one) == (one["model"] == "PCA") for one in table.report["detectors"]] == [True] * 3


def test_threshold_is_that_of_validation_rows(table: Project) -> None:
    """It is kept in the package, and admits at most the accepted share of the validation rows."""
    encoder = table.model.predictor.encoder
    features = open_part(table.workspace.out("faulty", "prepare") / "validation.npz")[0]
    scores = table.model.predictor.run(np.asarray(features))[:, -1]
    assert (scores > encoder.target["threshold"]).mean() <= 0.05
    assert (scores > encoder.target["threshold"] * 0.9999).sum() == int(0.05 * (len(scores) + 1))
    assert table.model.schema["threshold"] == table.report["threshold"] == encoder.target["threshold"]


def test_service_flags_a_fault_and_says_where(table: Project) -> None:
    """A heat far off raises an alarm, and has the largest error; answers fit the published schema."""
    instances = [{**ROW, "noise": 1.0}, {**ROW, "noise": 1.0, "heat": 95.0}]
    normal, fault = table.ask("v1/models/{}:predict", {"instances": instances})["predictions"]
    jsonschema.validate(fault, table.model.schema["prediction"])
    assert (normal["anomaly"], fault["anomaly"]) == (False, True)
    assert fault["score"] > table.model.schema["threshold"] >= normal["score"]
    assert max(fault["errors"], key=fault["errors"].__getitem__) == "heat"


def test_tensors_hold_score_flag_and_errors(table: Project) -> None:
    """V2 has a tensor for each, and one number for each column."""
    values: list[tuple[str, str, Any]] = [
        *(("load", "FP64", 0.4), ("heat", "FP64", 95.0), ("noise", "FP64", 1.0), ("parts", "FP64", 12.0)),
        *(("kind", "BYTES", "saw"), ("old", "BOOL", True)),
    ]
    inputs = [{"name": name, "shape": [1], "datatype": kind, "data": [value]} for name, kind, value in values]
    outputs = {one["name"]: one for one in table.ask("v2/models/{}/infer", {"inputs": inputs})["outputs"]}
    assert outputs["anomaly"]["data"] == [True]
    assert outputs["errors"]["shape"] == [1, 6]
    assert outputs["score"]["datatype"] == "FP64"


def test_document_describes_the_truths_that_are_accepted(table: Project) -> None:
    """Feedback is whether a row was an anomaly, not a score with errors."""
    with TestClient(table.app) as client:
        document = client.get("/v1/openapi.json").json()
    body = document["paths"]["/v1/models/faulty:feedback"]["post"]["requestBody"]["content"]["application/json"]
    (item,) = body["example"]["feedback"]
    for truth in ("normal", "anomaly", True, False):
        jsonschema.validate({"feedback": [{**item, "truth": truth}]}, body["schema"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"feedback": [{**item, "truth": {"score": 1.0}}]}, body["schema"])


def test_score_of_a_row_is_that_of_the_evaluation(table: Project) -> None:
    """The scores that the service returns for the sealed rows are those of the report."""
    golden = files.read_json(table.workspace.root / "package" / "golden.json")
    predictions = table.ask("v1/models/{}:predict", {"instances": golden["instances"]})["predictions"]
    with np.load(table.workspace.out("faulty", "evaluate") / "predictions.npz") as stored:
        scores = dict(zip(stored["number"].tolist(), stored["outputs"][:, -1].tolist(), strict=True))
    expected = [scores[number] for number in golden["number"]]
    assert [prediction["score"] for prediction in predictions] == pytest.approx(expected, rel=1e-4)


def test_attributions_are_about_the_score(table: Project) -> None:
    """Contributions and base add up to the score, and the heat contributes most."""
    body = {"instances": [{**ROW, "noise": 1.0, "heat": 95.0}], "explain": True}
    answer = table.ask("v1/models/{}:predict", body)
    (explanation,), (prediction,) = answer["explanations"], answer["predictions"]
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(prediction["score"], rel=1e-3)
    assert max(explanation["contributions"], key=explanation["contributions"].__getitem__) == "heat"


@pytest.mark.parametrize("truth", ["anomaly", "normal", True, False])
def test_truths_are_names_or_flags(table: Project, truth: Any) -> None:
    """Clients may say whether a row was an anomaly; a token is needed as for labels."""
    item = {"id": "a" * 32, "truth": truth}
    error = table.ask("v1/models/{}:feedback", {"feedback": [item]}, status=400)["error"]
    assert error["field"] == "feedback[0].token"


def test_other_truths_are_refused(table: Project) -> None:
    """The message says what is expected."""
    item = {"id": "a" * 32, "truth": "hot"}
    error = table.ask("v1/models/{}:feedback", {"feedback": [item]}, status=400)["error"]
    assert "expected normal or anomaly, or whether it is an anomaly; received" in error["message"]


def test_recorded_answers_and_truths_become_metrics(table: Project) -> None:
    """What is recorded of a prediction is its name; with truths, the gate's metric is that of the scores."""
    table.ask("v1/models/{}:predict", {"instances": [{**ROW, "noise": 1.0, "heat": 95.0}, {**ROW, "noise": 1.0}]})
    table.app.state.recorder.sender.finish()
    found = monitor(table.workspace, table.task)
    recorded = records.read(table.workspace, table.task, "answers", ["record.prediction"])
    assert {"anomaly", "normal"} <= {*recorded["record.prediction"].to_pylist()}
    assert [quality["value"] for quality in found["quality"]] == [None]
    answers = [{"score": 3.0, "anomaly": True, "errors": {}}, {"score": 1.0, "anomaly": False, "errors": {}}]
    rows = pd.DataFrame({"truth": ['"anomaly"', '"normal"'], "answer": [*map(json.dumps, answers)]})
    truth, outputs = truths_of(table.task, rows), outputs_of(table.task, rows)
    assert table.task.metric.score(truth, outputs, {}) == 1.0


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("name", "shown"), [("table", "squared error"), ("images", "Errors by pixel"), ("series", "Errors by step")]
)
def test_page_shows_flag_score_and_errors(
    name: str, shown: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """The answer on the page has the flag, the threshold, and where the errors are, without an error in the console."""
    project: Project = request.getfixturevalue(name)
    form = f"document.querySelector('#{project.task.name} form')"
    with serve_app(project.app) as host, open_browser(tmp_path) as browser:
        browser.open(f"http://{host}/", f"{form} !== null")
        browser.script(f"{form}.requestSubmit()")
        answer = f"document.querySelector('#{project.task.name} .answer')"
        browser.wait_until(f"{answer}?.innerText.includes('the threshold of')")
        assert shown in browser.script(f"{answer}.innerText")
        assert browser.console_errors == []


def test_file_gets_score_flag_and_errors(table: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has them beside the given columns."""
    source, target = table.workspace.root / "new.csv", table.workspace.root / "out.csv"
    faulty_machines().head(70).to_csv(source, index=False)
    monkeypatch.setattr(predict_file, "load_champion", lambda *_: table.model)
    predict_file.predict_file(table.workspace, table.task, source, target)
    written = pd.read_csv(target)
    assert {"score", "anomaly", "error_heat", "error_kind"} <= {*written.columns}
    assert written["anomaly"][:60].mean() > 0.5 > written["anomaly"][60:].mean()


def test_checks_apply_or_say_why_not(table: Project) -> None:
    """The reference is the best outlier detector; checks of probabilities do not apply."""
    outcomes = table.outcomes()
    for name in ("calibration", "collapse", "mcnemar"):
        assert outcomes[name].state == "not applicable", name
    for name in ("baseline", "generalization_gap", "parity", "size", "latency", "model_card"):
        assert outcomes[name].state == "passed", outcomes[name].text
    best = max(table.report["detectors"], key=lambda one: one["roc_auc"])
    assert f"against {best['model']}'s {best['roc_auc']:.4g}" in outcomes["reference"].text
    assert outcomes["robustness"].state != "not applicable", outcomes["robustness"].text


def test_report_shows_scores_threshold_and_detectors(table: Project) -> None:
    """The page has the distribution of scores, the curves, and how the threshold was chosen."""
    page = task_page(table.workspace, table.task)
    for text in ("Outlier detectors", "k nearest neighbours", "Threshold of anomalies", "Rows that are ranked worst"):
        assert text in page, text
    assert "false alarms among normal test rows" in page
    card = Path(table.workspace.root / "package" / "card.md").read_text(encoding="utf-8")
    assert "unlike the normal rows of the training" in card
    assert "threshold" in card


def test_explanations_are_about_the_score(table: Project) -> None:
    """Columns are explained by their share of the score; the rows are those that are ranked worst."""
    content = explain(table.workspace, table.task)
    assert {"permutation", "shap", "reconstruction"} <= {exhibit["way"] for exhibit in content["exhibits"]}


def test_data_are_checked(table: Project) -> None:
    """Anomalies among the test rows are no drift, and rows without a label are no fault of the data."""
    found = check(table.workspace, table.task).findings
    assert [one.text for one in found if one.severity == "critical"] == []


def test_rows_without_labels_are_scored_and_not_ranked(unlabelled: Project) -> None:
    """AUROC is not available, and the report says so; the error is compared with that of PCA."""
    assert {*unlabelled.report["metrics"]} == {"mse", "false_alarm_rate"}
    assert unlabelled.report["test_labels"] is None
    assert [one["model"] for one in unlabelled.report["detectors"]] == ["PCA"]
    assert "is not available" in task_page(unlabelled.workspace, unlabelled.task)
    outcomes = unlabelled.outcomes()
    assert outcomes["baseline"].state == "passed", outcomes["baseline"].text
    assert "against PCA's" in outcomes["reference"].text


def test_pictures_have_an_error_for_each_pixel(images: Project) -> None:
    """Another digit has a higher score; the fast path and the general one agree."""
    assert images.report["metrics"]["roc_auc"] > 0.9
    fast, general = images.model.predict_each_way([images.task.serve.example])
    assert np.shape(fast[0]["errors"]) == (8, 8)
    assert np.allclose(fast[0]["errors"], general[0]["errors"], rtol=1e-4, atol=1e-6)
    content = explain(images.workspace, images.task)
    assert {"reconstruction", "occlusion"} <= {exhibit["way"] for exhibit in content["exhibits"]}


def test_windows_are_judged_by_their_last_step(series: Project) -> None:
    """Spikes and shifts are found; the answer has an error for each step."""
    assert series.report["metrics"]["roc_auc"] > 0.75
    window = [*series.task.serve.example]
    normal, spiked = series.ask("v1/models/{}:predict", {"instances": [window, [*window[:-1], 0.9]]})["predictions"]
    assert spiked["score"] > normal["score"]
    assert len(spiked["errors"]) == 32
    explain(series.workspace, series.task)
    assert [one.text for one in check(series.workspace, series.task).findings if one.severity == "critical"] == []
