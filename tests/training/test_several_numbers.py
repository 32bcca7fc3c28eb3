"""Networks and references that predict several numbers: training, export, evaluation, explanation and the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from boxes import NAMES, boxes
from workspaces import edit_task, fetch_raw, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.explain.explain import ExplainRequest, explain
from tiltyard.gate.judge import judge
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import prepare
from tiltyard.preparation.sealed_test import read_test
from tiltyard.report.report import report as write_report
from tiltyard.workspace import Workspace

CASES: dict[str, dict[str, Any]] = {
    "drafted": {"train.epochs": 8},
    "ensemble": {"model": {"family": "mlp"}, "train.members": 2, "train.epochs": 25},
    "folds": {"model": {"family": "mlp"}, "train.folds": 2, "train.epochs": 25},
    "reference": {"model": {"family": "reference"}, "train": {"epochs": 1}},
    "texts": {
        "columns": {"note": {"type": "text", "by": "ngrams"}},
        "model": {"family": "ngrams"},
        "serve.example": "a large box",
    },
}


def prepared(workspace: Workspace, **changes: Any) -> None:
    """Draft, change and prepare the task."""
    boxes(400).to_csv(workspace.root / "boxes.csv", index=False)
    draft_task(workspace, "boxes", DraftRequest("boxes.csv", NAMES[0], more_targets=tuple(NAMES[1:])))
    edit_task(workspace, "boxes", changes)
    fetch_raw(workspace, "boxes")
    prepare.prepare(workspace, loader.load(workspace, "boxes"))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_several_numbers_are_learned(workspace: Workspace, case: str) -> None:
    """Each way to train beats the baseline in its own units, exports with parity, and reports each target."""
    prepared(workspace, **CASES[case])
    train_tasks(workspace, "boxes")
    task, train = loader.load(workspace, "boxes"), workspace.out("boxes", "train")
    assert task.target.parts[1].log
    assert files.read_json(train / "training.json")["parity"] < 1e-4
    report = evaluate(workspace, task)
    assert [record["target"] for record in report["per_target"]] == NAMES
    assert report["metrics"]["scaled_mae"] < report["baseline"]["scaled_mae"] - 0.05
    assert report["metrics"].keys() == report["intervals"].keys() == report["train"].keys()
    test = read_test(workspace, "boxes", task.columns)
    outputs = Predictor.load(train).outputs(test.rows)
    assert outputs.shape == test.truth.shape
    assert (outputs[:, 1] > -1).all()  # learned by its logarithm
    if case == "folds":
        assert len(report["folds"]["area.r2"]["values"]) == 2


@pytest.mark.slow
def test_verdict_explanations_and_report_name_the_targets(workspace: Workspace) -> None:
    """The gate uses the overall figure; explanations are about the first target, the page is about all."""
    prepared(workspace, **{**CASES["ensemble"], "train.members": 1, "gate.slices": [{"column": "side", "high": 3.0}]})
    train_tasks(workspace, "boxes")
    task = loader.load(workspace, "boxes")
    report = evaluate(workspace, task)
    verdict = judge(workspace, task)
    outcomes = {outcome.code: outcome for outcome in verdict.outcomes}
    assert outcomes["baseline"].text.startswith("scaled_mae")
    assert {outcomes[code].state for code in ("reference", "robustness", "parity")} <= {"passed", "failed"}
    assert outcomes["calibration"].text == "regression has no probabilities of whole rows"
    assert report["slices"][0]["value"] > 0
    content = explain(workspace, task, ExplainRequest(only=("shap", "permutation", "saliency", "lime")))
    assert "several numbers, which have no single score" in content["left_out"]["saliency"]
    assert any("area" in figure["text"] for figure in content["exhibits"] if figure["way"] == "shap")
    assert [*content["rows"][0]["actual"]] == NAMES
    write_report(workspace, [task])
    page = (workspace.report / "boxes.html").read_text(encoding="utf-8")
    assert all(f"Predicted and actual: {name}" in page for name in NAMES)
    assert "By target" in page
    worst = report["worst"][0]
    assert np.isclose(worst["error"], worst["predicted"] - worst["actual"])
