"""`tiltyard status --all`: one screen with what needs attention, and the command to type."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import changing_world
import pytest
from changing_world import FEATURES, LABELS, NAME, World
from click.testing import CliRunner
from recorded_predictions import write_records
from workspaces import edit_task

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.operations import watch
from tiltyard.operations.attention import attention, is_watched
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

WORLD = World(shift=0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one listed task, which has a champion."""
    root = tmp_path_factory.mktemp("attention") / "project"
    with changing_world.quick_packages():
        changing_world.new_world(root, WORLD)
    files.write_text(root / "params.yaml", f"tasks: [{NAME}]\n")
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, as the working directory."""
    shutil.copytree(prepared, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return Workspace(tmp_path / "project")


def test_nothing_needs_attention(project: Workspace) -> None:
    """A calm project says so, with its budget, and that nobody watches it."""
    shown = CliRunner().invoke(cli, ["status", "--all"], env={"COLUMNS": "200"}).output
    assert shown.startswith("nothing needs attention")
    assert "0 of 6 retrainings, 0 of 24 hours in 7 days" in shown
    assert shown.rstrip().endswith("no process watches this project; next: tiltyard watch")
    with watch.only_watcher(project):
        assert is_watched(project)


def test_what_needs_attention_is_listed(project: Workspace) -> None:
    """Drift, a low live metric, a spent budget, a failed stage and a silent service, each with a command."""
    champion = Registry(project).champion(NAME)
    assert champion
    model = LoadedModel.load(project.package(NAME, champion.version))
    features, labels = WORLD.batch(7)
    instances = [dict(zip(FEATURES, row, strict=True)) for row in features.tolist()]
    write_records(project, model, instances, [LABELS[one] for one in labels])
    edit_task(project, NAME, {"operate.budget.retrainings": 0, "operate.service": "http://127.0.0.1:9"})
    files.write_json(project.stages(NAME) / "train.error.json", {"message": "training diverged", "hint": ""})
    (row,) = attention(project)
    assert [(message.event, message.command) for message in row.messages] == [
        ("failed", f"tiltyard train {NAME}"),
        ("drift", f"tiltyard monitor {NAME}"),
        ("quality", f"tiltyard monitor {NAME}"),
        ("budget", f"edit operate.budget in tasks/{NAME}.yaml"),
        ("behind", f"tiltyard serve {NAME}"),
    ]
    content = json.loads(CliRunner().invoke(cli, ["status", "--all", "--json"]).stdout)
    assert not content["watched"]
    assert content["tasks"][0]["messages"][0]["event"] == "failed"
    shown = CliRunner().invoke(cli, ["status", "--all"]).output
    assert shown.startswith("5 to look at")
    assert "training diverged" in shown


def test_a_damaged_task_does_not_hide_the_others(project: Workspace) -> None:
    """A task file with a mistake is one of the things to look at."""
    files.write_text(project.task_file("broken"), "title: []\n")
    files.write_text(project.params, f"tasks: [broken, {NAME}]\n")
    broken, orders = attention(project)
    assert [message.event for message in broken.messages] == ["failed"]
    assert orders.champion
