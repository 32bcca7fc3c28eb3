"""Names of columns, whatever they are: DVC, YAML and JSON must give them back as they stand in the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from making import ROOT, edit_task, fetch_raw, new_workspace

from tiltyard import init, prepare, resolve, task_file
from tiltyard.init import Wish
from tiltyard.workspace import Workspace

HOSTILE = [
    "a long name of a column, such as a survey has, in which the question itself stands: how content are you, 1-5?",
    "x" * 300,
    "y" * 1200,
    "emoji 🌡️🤖, combining é, اسم, 名前",
    "colon: hash # and - dash",
    "'single' \"double\" `back`",
    "two\nlines",
    "tab\tand\r\nline\u2028ends",
    "{braces} [brackets] ${item.task} %s <img onerror=x>",
    "null",
    "? complex",
    "~",
    "* & ! | > @ `",
    "1.5",
    "true",
    "=SUM(A1)",
    "..",
    "a/b\\c",
    "a.b.c",
]
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200)


def write(path: Path, names: list[str], target: str = "gone") -> None:
    """Write a table with numbers in these columns, as JSON lines: no name needs quoting there."""
    dice = np.random.default_rng(0)
    values = {name: dice.normal(0, 1, 60) for name in names}
    gone = np.where(sum(values.values()) + dice.normal(0, 0.3, 60) > 0, "yes", "no")
    rows = pd.DataFrame({**values, target: gone}).to_dict("records")
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(NAMES, min_size=2, max_size=4, unique_by=lambda name: " ".join(name.split())))
@example(names=HOSTILE[:9])
@example(names=HOSTILE[9:])
def test_any_name_is_drafted_resolved_and_prepared(workspace: Workspace, names: list[str]) -> None:
    """What init writes is read back with the same names by the task, by the stages and by the encoder."""
    write(workspace.root / "table.jsonl", names)
    drafted = init.init(workspace, "named", Wish("table.jsonl", "gone"), force=True)
    kept = [seen.name for seen in drafted.traits if not seen.reason]
    task = task_file.load(workspace, "named")
    assert list(task.columns) == kept
    resolve.resolve(workspace, task)
    read = json.loads((workspace.out("named", "config") / "prepare.json").read_text(encoding="utf-8"))
    assert list(read["columns"]) == kept
    fetch_raw(workspace, "named")
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 60


def test_no_stage_has_parameters() -> None:
    """DVC would write their keys, which are names from data, into dvc.lock, where it cannot read back all of them."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert [verb for verb, stage in stages.items() if "params" in stage] == []


def _type(workspace: Workspace, *words: str) -> str:
    """Run a command in the project; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    own = {**untraced, "PREFECT_HOME": str(workspace.prefect), "PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(words, cwd=workspace.root, env=own, capture_output=True, text=True, timeout=400, check=False)
    verdicts = (0, 3, 4) if words[:2] == ("tiltyard", "run") else (0,)  # a task of a few rows may be held or rejected
    assert done.returncode in verdicts, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.smoke
def test_hostile_names_go_the_whole_way(tmp_path: Path) -> None:
    """From init through a run to `dvc status`: DVC reads its own lock file, and other tasks are not touched by it."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    write(tmp_path / "table.jsonl", HOSTILE)
    _type(workspace, "tiltyard", "init", "named", "--data", "table.jsonl", "--target", "gone")
    edit_task(workspace, "named", {"train.epochs": 3, "gate.latency_ms": 500})
    _type(workspace, "tiltyard", "run", "named")
    assert len(task_file.load(workspace, "named").columns) == len(HOSTILE)
    assert "up to date" in _type(workspace, "dvc", "status", "evaluate@named")
    lock = yaml.safe_load((tmp_path / "dvc.lock").read_text(encoding="utf-8"))
    assert "params" not in {key for stage in lock["stages"].values() for key in stage}
    assert "named train skipped" in _type(workspace, "tiltyard", "run", "named")


@pytest.mark.smoke
def test_dvc_alone_notices_what_changed_in_a_task_file(tmp_path: Path) -> None:
    """A remark runs nothing again, another number of epochs trains again; so does `dvc exp run -S`."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    edit_task(workspace, "iris", {"train.epochs": 3})
    (tmp_path / ".gitignore").write_text("/out/\n/logs/\n/.tiltyard/\n/.dvcstore/\n", encoding="utf-8")
    for words in (["init", "-q"], ["config", "user.name", "a"], ["config", "user.email", "a@localhost"]):
        _type(workspace, "git", *words)
    _type(workspace, "tiltyard", "fetch", "iris")
    _type(workspace, "dvc", "repro", "train@iris")
    file = workspace.task_file("iris")
    file.write_text(file.read_text(encoding="utf-8") + "# a remark\n", encoding="utf-8")
    assert _ran(_type(workspace, "dvc", "repro", "train@iris")) == ["resolve"]
    edit_task(workspace, "iris", {"train.epochs": 4})
    assert _ran(_type(workspace, "dvc", "repro", "train@iris")) == ["resolve", "train"]
    _type(workspace, "git", "add", "-A")
    _type(workspace, "git", "commit", "-q", "-m", "before")
    told = _type(workspace, "dvc", "exp", "run", "-S", "tasks/iris.yaml:train.epochs=5", "train@iris")
    assert _ran(told) == ["resolve", "train"]
    assert task_file.load(workspace, "iris").train.epochs == 5
    assert "train.epochs" in _type(workspace, "dvc", "params", "diff", "HEAD")


def _ran(told: str) -> list[str]:
    """Return the stages that DVC ran, not those that it skipped."""
    return [line.split("'")[1].partition("@")[0] for line in told.splitlines() if line.startswith("Running stage")]
