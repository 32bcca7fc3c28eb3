"""What every task of the catalogue must be, whose data come from elsewhere: read strictly, valid, encoded alike."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from workspaces import ROOT

from pipelines.smoke import shrink_task
from tiltyard import files, plugins
from tiltyard.arrays import row_count
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import prepare
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.catalogue

ROWS = 16  # as many as every task takes at once


def test_it_is_a_task(catalogue_name: str) -> None:
    """It is read as strictly as others, points editors to the schema, and names the checksum of its file."""
    path = Workspace(ROOT).task_file(catalogue_name)
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")
    assert loader.load(Workspace(ROOT), catalogue_name).source.model_dump().get("sha256", "needs none")


@pytest.fixture
def task(workspace: Workspace, mirror: Path, catalogue_name: str) -> Task:
    """The task in a project of its own, a few of its rows fetched from the mirror."""
    assert mirror.is_dir()
    shutil.copy(Workspace(ROOT).task_file(catalogue_name), workspace.task_file(catalogue_name))
    task = shrink_task(loader.load(workspace, catalogue_name))
    with files.atomic_folder(workspace.raw(task.name)) as folder:
        task.source.fetch(folder, workspace)
    return task


def test_its_data_are_what_it_expects(workspace: Workspace, task: Task) -> None:
    """Validation passes without a warning."""
    assert all(outcome.success for outcome in validate(workspace, task).outcomes)


def test_serving_encodes_as_training_did(workspace: Workspace, task: Task) -> None:
    """Training rows sent as a client would send them encode to the very bits that training saw; so does the example."""
    prepare.prepare(workspace, task)
    encoder = Encoder.load(workspace.out(task.name, "prepare") / "encoder.json")
    rows, _ = plugins.load("modalities", task.modality)().rows(task, workspace.raw(task.name))
    some = {name: values[:ROWS] for name, values in rows.items()}
    again = encoder.parse(encoder.to_json(some))
    assert row_count(again) == min(ROWS, row_count(rows))
    assert np.array_equal(encoder.encode(again), encoder.encode(some))
    assert row_count(encoder.parse([task.serve.example])) == 1
