"""Images with several labels: from a table or folders through init, validation, preparation and evaluation."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
import yaml
from PIL import Image
from workspaces import edit_task, fetch_raw, train_tasks

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.errors import DataError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.gate.judge import judge
from tiltyard.modeling.columns._label_cells import multi_hot
from tiltyard.preparation import prepare
from tiltyard.preparation.modalities.image import Image as ImageModality
from tiltyard.preparation.sealed_test import read_test
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.validation.check import check
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

LABELS = ["left", "lower", "right"]
PLACES = {
    "left": (slice(0, 8), slice(0, 4)),
    "right": (slice(0, 8), slice(8, 12)),
    "lower": (slice(8, 12), slice(0, 12)),
}


def label_sets(count: int) -> list[list[str]]:
    """Return the labels of each image; some have none."""
    flags = np.random.default_rng(0).random((count, 3)) < 0.45
    return [[label for label, flag in zip(LABELS, row, strict=True) if flag] for row in flags]


def picture(labels: list[str], number: int) -> bytes:
    """Draw noise with a bright part for each label."""
    pixels = np.random.default_rng(number).integers(0, 100, (12, 12), dtype=np.uint8)
    for label in labels:
        pixels[PLACES[label]] += 120
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_images(root: Path, count: int = 160, *, table: bool) -> list[list[str]]:
    """Write images with a table of labels, or in a folder for each set of labels; return the labels."""
    sets = label_sets(count)
    lines = ["file,tags"]
    for number, labels in enumerate(sets):
        folder = root / ("" if table else "|".join(labels))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}.png").write_bytes(picture(labels, number))
        lines.append(f"{number:03}.png,{'|'.join(labels)}")
    if table:
        (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return sets


def task_content(workspace: Workspace, source: dict[str, Any]) -> None:
    """Write a task about these images."""
    content = {
        "title": "Bright parts of a picture",
        "problem": "multilabel",
        "source": {"kind": "images", "path": "pictures", **source},
        "rows": [50, 1000],
        "columns": {"image": {"type": "image", "height": 12, "width": 12, "channels": 1}},
        "target": {"column": "tags", "separator": "|", "classes": LABELS},
        "split": {"kind": "random"},
        "model": {"family": "cnn", "filters": [8], "units": [16]},
        "train": {"epochs": 30, "batch_size": 16, "learning_rate": 0.01, "threshold": {"by": "f1"}},
        "gate": {"metric": "macro_f1"},
        "serve": {"example": [[0] * 12] * 12},
    }
    workspace.task_file("parts").write_text(yaml.safe_dump(content), encoding="utf-8")


def truth_of(workspace: Workspace) -> Array:
    """Return the labels of each image, by name."""
    _, truth = ImageModality().rows(loader.load(workspace, "parts"), workspace.raw("parts"))
    return truth


@pytest.mark.parametrize("table", [True, False])
def test_labels_are_read_from_a_table_or_folders(workspace: Workspace, table: bool) -> None:
    """An image without labels is one with none, if the task says so; otherwise it is refused."""
    sets = write_images(workspace.root / "pictures", table=table)
    labels = {"labels": "labels.csv", "label_column": "tags"} if table else {}
    task_content(workspace, labels)
    with pytest.raises(DataError, match="expected a label for each image" if table else "in the folder of its class"):
        fetch_raw(workspace, "parts")
    task_content(workspace, {**labels, "unlabelled": True})
    fetch_raw(workspace, "parts")
    truth = truth_of(workspace)
    assert np.array_equal(
        np.unique(truth, axis=0, return_counts=True)[1],
        np.unique(multi_hot(sets, LABELS), axis=0, return_counts=True)[1],
    )
    task = loader.load(workspace, "parts")
    assert not validate(workspace, task).failed("warning")
    assert not check(workspace, task).critical
    prepare.prepare(workspace, task)


def test_unknown_labels_are_found_by_validation(workspace: Workspace) -> None:
    """One label of a cell that the task does not name fails the expectation and the finding, by its name."""
    write_images(workspace.root / "pictures", table=False)
    task_content(workspace, {"unlabelled": True})
    edit_task(workspace, "parts", {"target.classes": ["left", "right"]})
    fetch_raw(workspace, "parts")
    task = loader.load(workspace, "parts")
    with pytest.raises(DataError, match=r"(?s)tags: expect_column_values_to_be_in_set .*lower/.*\(lower\)"):
        validate(workspace, task)
    assert any(finding.code == "target" and "lower" in finding.text for finding in check(workspace, task).findings)
    with pytest.raises(DataError, match="expected left, right; the data also holds lower"):
        prepare.prepare(workspace, task)


def test_draft_of_images_with_several_labels(workspace: Workspace) -> None:
    """`init` finds the separator, lists the labels and judges by a metric for several labels."""
    sets = write_images(workspace.root / "pictures", table=False)
    for number, labels in enumerate(sets):
        if not labels:
            (workspace.root / "pictures" / f"{number:03}.png").unlink()
    drafted = draft_task(workspace, "parts", DraftRequest("pictures"))
    task = loader.load(workspace, "parts")
    assert (task.problem, task.target.separator, task.labels) == ("multilabel", "|", LABELS)
    assert (task.split.kind, task.gate.metric, task.train.class_weights) == ("random", "average_precision", "none")
    assert any("several labels in a cell" in note for note in drafted.notes + drafted.repairs)


def test_served_images_get_labels(workspace: Workspace) -> None:
    """A packaged model with thresholds answers with the labels whose probability reaches theirs."""
    write_images(workspace.root / "pictures", table=False)
    task_content(workspace, {"unlabelled": True})
    task = random_models.write_evaluated(workspace, "parts")
    folder = workspace.out("parts", "train")
    encoder = files.read_json(folder / "encoder.json")
    files.write_json(
        folder / "encoder.json", {**encoder, "target": {**encoder["target"], "threshold": [0.0, 1.0, 0.0]}}
    )
    random_models._evaluate(workspace, task, read_test(workspace, "parts", task.columns))
    model = LoadedModel.load(random_models.write_champion(workspace, task))
    for answers in model.predict_each_way([task.serve.example]):
        assert answers[0]["labels"] == ["left", "right"]


@pytest.mark.slow
def test_convolutions_learn_several_labels(workspace: Workspace) -> None:
    """A small network beats the baseline, exports with parity, has a threshold for each label, and can be judged."""
    write_images(workspace.root / "pictures", 400, table=False)
    task_content(workspace, {"unlabelled": True})
    fetch_raw(workspace, "parts")
    task = loader.load(workspace, "parts")
    prepare.prepare(workspace, task)
    train_tasks(workspace, "parts")
    training = files.read_json(workspace.out("parts", "train") / "training.json")
    assert training["parity"] < 1e-4
    assert [record["label"] for record in training["thresholds"]] == LABELS
    report = evaluate(workspace, task)
    assert report["metrics"]["macro_f1"] > max(0.8, report["baseline"]["macro_f1"])
    assert [record["label"] for record in report["per_label"]] == LABELS
    assert all(0 < record["threshold"] < 1.1 for record in report["per_label"])
    assert len(report["threshold"]) == 3
    codes = {outcome.code: outcome for outcome in judge(workspace, task).outcomes}
    assert codes["collapse"].text.startswith("lowest recall")
    assert "at the threshold of each label" in codes["collapse"].text
    assert codes["reference"].state in ("passed", "failed")
