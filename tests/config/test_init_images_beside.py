"""`tiltyard init` on images beside other columns: those of the table that holds the labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workspaces import edit_task, new_workspace, train_tasks

from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.data import fetch
from tiltyard.preparation import prepare
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

ROWS = 60


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    """Photos of homes in a folder, and a table of their rooms, heating, notes and prices beside them."""
    workspace, dice = new_workspace(tmp_path), np.random.default_rng(0)
    (tmp_path / "homes" / "photos").mkdir(parents=True)
    for number in range(ROWS):
        pixels = dice.integers(0, 100, (10, 12, 3)) + 60 * (number % 3)
        Image.fromarray(pixels.astype("uint8"), "RGB").save(tmp_path / "homes" / "photos" / f"{number}.png")
    rooms = dice.integers(1, 9, ROWS)
    table = pd.DataFrame(
        {
            "photo": [f"{number}.png" for number in range(ROWS)],
            "rooms": rooms,
            "heating": dice.choice(["gas", "oil"], ROWS),
            "garden": dice.choice(["yes", "no"], ROWS),
            "code": [f"H{number}" for number in range(ROWS)],
            "note": [f"a home with many things to say no {number}" for number in range(ROWS)],
            "price": (50.5 * rooms + 100 * (np.arange(ROWS) % 3) + dice.normal(0, 60, ROWS)).round(1),
        }
    )
    table["state"] = np.where(dice.random(ROWS) < 0.5, "sold", "open")
    table.to_csv(tmp_path / "homes" / "homes.csv", index=False)
    return workspace


def drafted(project: Workspace, target: str, **options: Any) -> Task:
    """Draft the task and return it as it is read again."""
    draft_task(project, "homes", DraftRequest("homes", target, **options), force=True)
    return loader.load(project, "homes")


def test_numbers_are_learned_from_images_and_columns(project: Workspace) -> None:
    """A price is a number; the image is one of several columns; identifiers and free texts are left out."""
    task = drafted(project, "price", drop=("state",))
    assert (task.problem, task.model.family, task.modality) == ("regression", "mixed", "mixed")
    types = {name: column.type for name, column in task.columns.items()}
    assert types == {"image": "image", "rooms": "number", "heating": "category", "garden": "boolean"}
    source = task.source.model_dump()
    assert (source["labels"], source["file_column"], source["label_column"]) == ("homes.csv", "photo", "price")
    assert source["beside"] == ["rooms", "heating", "garden"]
    text = project.task_file("homes").read_text()
    assert "left out: code" in text
    assert "left out: note" in text
    assert "left out: state: dropped by --drop" in text


def test_the_draft_is_trained(project: Workspace) -> None:
    """The files that the draft names are fetched, validated, split and learned."""
    task = drafted(project, "state", drop=("price",))
    assert (task.problem, task.classes, task.split.kind) == ("classification", ["open", "sold"], "stratified")
    edit_task(project, "homes", {"train.epochs": 2, "train.patience": 2})
    task = loader.load(project, "homes")
    fetch.fetch(project, task)
    assert not validate(project, task).failed("critical")
    prepare.prepare(project, task)
    train_tasks(project, "homes")
    assert (project.out("homes", "train") / "model.onnx").is_file()


def test_labels_alone_stay_a_task_of_images(project: Workspace) -> None:
    """Without a column to learn from, or for several labels of an image, there are images only."""
    every = ("rooms", "heating", "garden", "code", "note", "price")
    path = project.root / "homes" / "homes.csv"
    pd.read_csv(path).drop(columns=[*every]).to_csv(path, index=False)
    assert [*drafted(project, "state").columns] == ["image"]


def test_several_labels_are_of_images_alone(project: Workspace) -> None:
    """Several labels of an image are not learned beside other columns."""
    path = project.root / "homes" / "homes.csv"
    table = pd.read_csv(path)
    table["state"] = np.where(table["rooms"] > 4, "large|old", "old")
    table.to_csv(path, index=False)
    assert [*drafted(project, "state", problem="multilabel").columns] == ["image"]
