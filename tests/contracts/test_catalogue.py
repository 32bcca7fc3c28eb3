"""Contract of catalogue tasks, whose data come from elsewhere: a valid task file, valid data, consistent encoding."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from workspaces import ROOT, edit_task

from tiltyard import files, plugins
from tiltyard.arrays import row_count
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.data.fetch import write_raw
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.pipelines.smoke import shrink_task
from tiltyard.preparation import prepare
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.catalogue

ROWS = 16  # the largest request that every task accepts


def test_task_file_is_valid(catalogue_name: str) -> None:
    """The file is read strictly, has the schema comment for editors, and states the checksum of its data."""
    path = Workspace(ROOT).task_file(catalogue_name)
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")
    assert loader.load(Workspace(ROOT), catalogue_name).source.model_dump().get("sha256", "needs none")


@pytest.fixture
def task(workspace: Workspace, mirror: Path, catalogue_name: str) -> Task:
    """The task in an empty project, with a few of its rows fetched from the mirror."""
    assert mirror.is_dir()
    shutil.copy(Workspace(ROOT).task_file(catalogue_name), workspace.task_file(catalogue_name))
    if loader.load(workspace, catalogue_name).model.vocabulary_task:  # of a base, which would have to be trained
        edit_task(workspace, catalogue_name, {"model.base": {"family": "transformer", "pool": "none"}})
    task = shrink_task(loader.load(workspace, catalogue_name))
    with files.atomic_folder(workspace.raw(task.name)) as folder:
        write_raw(task, folder, workspace)
    return task


def test_data_pass_validation(workspace: Workspace, task: Task) -> None:
    """Validation passes without a warning."""
    assert all(outcome.success for outcome in validate(workspace, task).outcomes)


def test_serving_encodes_like_training(workspace: Workspace, task: Task) -> None:
    """Training rows sent as JSON encode to the same bits as in training; the example of the task file is accepted."""
    prepare.prepare(workspace, task)
    encoder = Encoder.load(workspace.out(task.name, "prepare") / "encoder.json")
    rows, _ = plugins.load("modalities", task.modality)().rows(task, workspace.raw(task.name))
    some = {name: values[:ROWS] for name, values in rows.items()}
    again = encoder.parse(encoder.to_json(some))
    assert row_count(again) == min(ROWS, row_count(rows))
    assert np.array_equal(encoder.encode(again), encoder.encode(some))
    assert row_count(encoder.parse([task.serve.example])) == 1
