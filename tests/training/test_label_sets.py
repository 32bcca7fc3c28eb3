"""Networks and references that predict several labels of a row: training, export, evaluation, and the verdict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from movies import GENRES, movies
from workspaces import edit_task, fetch_raw, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

CASES: dict[str, dict[str, Any]] = {
    "table": {},
    "ensemble": {"model": {"family": "mlp"}, "train.members": 2, "train.epochs": 10},
    "folds": {"model": {"family": "mlp"}, "train.folds": 2, "train.epochs": 10},
    "reference": {"model": {"family": "reference"}, "train": {"epochs": 1}},
    "texts": {"columns": {"title": {"type": "text", "by": "ngrams"}}, "model": {"family": "ngrams"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_several_labels_are_learned(workspace: Workspace, case: str) -> None:
    """Each way to train beats the baseline, exports with parity, and reports each label."""
    movies().to_csv(workspace.root / "movies.csv", index=False)
    draft_task(workspace, "movies", DraftRequest("movies.csv", "genres", drop=("title",)))
    example = {"serve.example": "a long night"} if case == "texts" else {}
    edit_task(workspace, "movies", {**CASES[case], **example})
    fetch_raw(workspace, "movies")
    task = loader.load(workspace, "movies")
    prepare.prepare(workspace, task)
    train_tasks(workspace, "movies")
    train = workspace.out("movies", "train")
    assert files.read_json(train / "training.json")["parity"] < 1e-4
    report = evaluate(workspace, task)
    assert [record["label"] for record in report["per_label"]] == GENRES
    assert report["metrics"]["average_precision"] > report["baseline"]["average_precision"] + 0.1
    assert report["metrics"]["log_loss"] < report["baseline"]["log_loss"]
    outputs = Predictor.load(train).outputs(Predictor.load(train).encoder.parse([task.serve.example]))
    assert outputs.shape == (1, 5)
    assert not np.isclose(outputs.sum(), 1)
