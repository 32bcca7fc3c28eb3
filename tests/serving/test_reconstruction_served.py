"""Tables and images without labels from data to service: training, evaluation, gate, explanations and predictions."""

from __future__ import annotations

import shutil
from pathlib import Path

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
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel_setup import build_duel
from tiltyard.monitoring import records
from tiltyard.monitoring.monitor import monitor
from tiltyard.report.report import task_page
from tiltyard.serving import predict_file
from tiltyard.validation.check import check


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """Measurements of machines with six columns, which depend on two causes; the code has three numbers."""
    workspace = new_workspace(tmp_path_factory.mktemp("machines"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace.root)
        write_machines(workspace)
        return ServedProject.of(workspace, "machines")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ServedProject:
    """Digits of 8x8 pixels, by convolutions that remove noise."""
    workspace = new_workspace(tmp_path_factory.mktemp("digits"))
    shutil.copy(ROOT / "tasks" / "digits_autoencoder.yaml", workspace.task_file("digits_autoencoder"))
    model = {"family": "autoencoder", "kind": "conv", "filters": [16], "code": 16, "noise": 0.3, "output": "sigmoid"}
    train = {"epochs": 12, "batch_size": 16, "learning_rate": 0.003}
    edit_task(workspace, "digits_autoencoder", {"model": model, "train": train})
    return ServedProject.of(workspace, "digits_autoencoder")


def test_a_network_with_a_code_beats_pca_on_mixed_columns(table: ServedProject) -> None:
    """Names and flags of two causes are not linear in them: PCA with three numbers has a larger error."""
    report = files.read_json(table.workspace.out("machines", "evaluate") / "report.json")
    assert report["metrics"]["mse"] < report["baseline"]["mse"]
    assert {part["slice"] for part in report["slices"]} >= {f"kind {kind}" for kind in KINDS}
    assert report["worst"][0]["error"] == max(row["error"] for row in report["worst"])


def test_prediction_is_an_instance_with_code_and_error(table: ServedProject) -> None:
    """The reconstruction has the columns of the request, in the units of the file, and fits the published schema."""
    body = {"instances": [ROW, {**ROW, "noise": 1.2}]}
    (first, second) = table.ask("v1/models/{}:predict", body)["predictions"]
    jsonschema.validate(first, table.model.schema["prediction"])
    assert [*first["reconstruction"]] == [*ROW]
    assert first["reconstruction"]["kind"] in KINDS
    assert 30 < first["reconstruction"]["heat"] < 90
    assert len(first["code"]) == 3
    assert first["error"] > 0
    assert first != second


def test_error_is_that_of_the_evaluation(table: ServedProject) -> None:
    """The errors that the service returns for the sealed rows are those of the report."""
    golden = files.read_json(table.workspace.root / "package" / "golden.json")
    predictions = table.ask("v1/models/{}:predict", {"instances": golden["instances"]})["predictions"]
    with np.load(table.workspace.out("machines", "evaluate") / "predictions.npz") as stored:
        errors = dict(zip(stored["number"].tolist(), stored["outputs"][:, 0].tolist(), strict=True))
    expected = [errors[number] for number in golden["number"]]
    assert [prediction["error"] for prediction in predictions] == pytest.approx(expected, rel=1e-5)


def test_tensors_have_a_name_for_each_column(table: ServedProject) -> None:
    """V2 returns numbers, flags and texts of reconstructed columns, the code and the error."""
    inputs = [
        {"name": name, "shape": [1], "datatype": datatype, "data": [value]}
        for name, datatype, value in [
            ("load", "FP64", 0.4),
            ("heat", "FP64", 61.5),
            ("noise", "FP64", 1.0),
            ("parts", "FP64", 12.0),
            ("kind", "BYTES", "saw"),
            ("old", "BOOL", True),
        ]
    ]
    outputs = {one["name"]: one for one in table.ask("v2/models/{}/infer", {"inputs": inputs})["outputs"]}
    assert [*outputs] == [*(f"reconstruction.{name}" for name in ROW), "code", "error"]
    assert outputs["reconstruction.kind"]["data"][0] in KINDS
    assert outputs["code"]["shape"] == [1, 3]


def test_attributions_are_about_the_error(table: ServedProject) -> None:
    """Contributions and base add up to the error, not to the first reconstructed number."""
    answer = table.ask("v1/models/{}:predict", {"instances": [{**ROW, "heat": 99.0}], "explain": True})
    (explanation,), (prediction,) = answer["explanations"], answer["predictions"]
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(prediction["error"], rel=1e-3)
    assert max(explanation["contributions"], key=explanation["contributions"].__getitem__) == "heat"


def test_truths_are_refused(table: ServedProject) -> None:
    """There is nothing to send back."""
    item = {"id": "a" * 32, "truth": 1.0}
    error = table.ask("v1/models/{}:feedback", {"feedback": [item]}, status=400)["error"]
    assert "reconstructs rows, and needs no ground truth" in error["message"]


def test_file_gets_columns_of_the_reconstruction(table: ServedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has error, code and each reconstructed column beside the given ones."""
    source, target = table.workspace.root / "new.csv", table.workspace.root / "out.csv"
    machines().head(5).to_csv(source, index=False)
    monkeypatch.setattr(predict_file, "load_champion", lambda *_: table.model)
    predict_file.predict_file(table.workspace, table.task, source, target)
    written = pd.read_csv(target)
    assert {"error", "code_1", "code_3", "reconstruction_heat", "reconstruction_kind"} <= {*written.columns}
    assert len(written) == 5


def _outcomes(project: ServedProject) -> dict[str, Outcome]:
    duel = build_duel(project.workspace, project.task, read_evaluated(project.workspace, project.task), None)
    return {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}


def test_checks_apply_or_say_why_not(table: ServedProject) -> None:
    """Checks of labels do not apply; those of numbers and of files do, and pass for this model."""
    outcomes = _outcomes(table)
    for name in ("calibration", "collapse", "mcnemar", "reference"):
        assert outcomes[name].state == "not applicable", name
    for name in ("baseline", "robustness", "generalization_gap", "slices", "parity", "size", "latency", "model_card"):
        assert outcomes[name].state == "passed", outcomes[name].text


def test_denoising_is_robust_where_a_copy_is_not(images: ServedProject) -> None:
    """A model that was trained with noise loses less of its gain to noise than one that returns its input."""
    duel = build_duel(images.workspace, images.task, read_evaluated(images.workspace, images.task), None)
    assert duel.ask is not None
    assert duel.errors is not None
    noisy = {"image": np.clip(duel.rows["image"] + np.random.default_rng(0).normal(0, 60, (1, 8, 8, 1)), 0, 255)}
    learned = duel.errors(duel.ask(noisy), duel.rows, duel.truth).mean()
    copied = duel.errors(noisy["image"].reshape(-1, 64) / duel.rows["image"].max(), duel.rows, duel.truth).mean()
    assert learned < 0.8 * copied


def test_denoising_is_reported(images: ServedProject) -> None:
    """The ratio of the answer is above that of the noisy input, and both are on the page."""
    report = files.read_json(images.workspace.out(images.task.name, "evaluate") / "report.json")
    assert report["denoising"]["psnr_of_answer"] > report["denoising"]["psnr_of_input"] + 2
    page = task_page(images.workspace, images.task)
    assert "signal-to-noise ratio of noisy rows" in page
    assert "Errors of the reconstruction" in page


def test_explanations_show_images_and_leave_out_what_needs_labels(images: ServedProject) -> None:
    """Images are shown beside reconstructions; methods about labels say why they are left out."""
    content = explain(images.workspace, images.task)
    shown = {exhibit["way"] for exhibit in content["exhibits"]}
    assert {"reconstruction", "occlusion", "lime"} <= shown
    assert "reconstructs rows" in content["left_out"]["grad_cam"]
    assert all("the error of the reconstruction" in e["text"] for e in content["exhibits"] if e["way"] == "occlusion")


def test_columns_are_explained_by_their_share_of_the_error(table: ServedProject) -> None:
    """Permutation, SHAP and the error by column apply to a table."""
    content = explain(table.workspace, table.task)
    assert {"permutation", "shap", "lime", "reconstruction"} <= {exhibit["way"] for exhibit in content["exhibits"]}


def test_images_are_served(images: ServedProject) -> None:
    """A reconstruction of an image has its shape; the fast path and the general one agree."""
    predictions = images.model.predict_each_way([images.task.serve.example])
    assert np.shape(predictions[0][0]["reconstruction"]) == (8, 8)
    assert len(predictions) == 2
    assert np.allclose(predictions[0][0]["code"], predictions[1][0]["code"], rtol=1e-5)


def test_data_without_a_target_are_checked(table: ServedProject) -> None:
    """`check` finds nothing critical, and misses no target."""
    found = check(table.workspace, table.task).findings
    assert [one.text for one in found if one.severity == "critical"] == []


def test_card_says_what_is_returned(table: ServedProject) -> None:
    """The purpose names the code; there is no empty name of a target."""
    text = Path(table.workspace.root / "package" / "card.md").read_text(encoding="utf-8")
    assert "as far as a code of few numbers holds it" in text
    assert "``" not in text


def test_records_hold_errors(table: ServedProject) -> None:
    """What is recorded of a prediction is its error; without ground truth there is no live quality."""
    table.ask("v1/models/{}:predict", {"instances": [ROW] * 3})
    table.app.state.recorder.sender.finish()
    found = monitor(table.workspace, table.task)
    recorded = records.read(table.workspace, table.task, "answers", ["record.prediction"])
    errors = recorded["record.prediction"].to_pylist()
    assert len(errors) >= 3
    assert all(error > 0 for error in errors)
    assert [quality["value"] for quality in found["quality"]] == [None]
