"""One task down the whole road by the command line, as a new user would type it; `make smoke` runs this alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from making import ROOT, edit_task, new_workspace

from tiltyard import files, store
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

EXAMPLE = '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'


def _type(workspace: Workspace, *words: str, status: int = 0) -> str:
    """Run a command in the project; give what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    homes = {"PREFECT_HOME": str(workspace.prefect), "BENTOML_HOME": str(workspace.bentos)}  # not of an earlier test
    environment = {**os.environ, **homes, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        words, cwd=workspace.root, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_the_road_of_one_task(tmp_path: Path) -> None:
    """A first run promotes, a second does nothing, a worse challenger is held, corrupted data stop."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    edit_task(workspace, "iris", {"train.epochs": 40, "gate.latency_ms": 500})

    out = _type(workspace, "tiltyard", "run", "iris")
    assert "PROMOTE" in out
    assert "tiltyard serve" in out.split("next:")[1]
    champion = workspace.champion("iris").read_bytes()
    version = json.loads(champion)["version"]
    stages = [f"{verb}@iris" for verb in store.STAGES]
    assert "up to date" in _type(workspace, "dvc", "status", *stages)
    assert "didn't change, skipping" in _type(workspace, "dvc", "repro", "evaluate@iris")

    before = {path: files.sha256(path) for path in (tmp_path / "out", tmp_path / "serving", tmp_path / "dvc.lock")}
    out = _type(workspace, "tiltyard", "run", "iris")
    assert "train skipped" in out
    assert "unchanged" in out
    assert {path: files.sha256(path) for path in before} == before

    answer = json.loads(_type(workspace, "tiltyard", "predict", "iris", "--json", EXAMPLE))
    assert answer[0]["label"] == "setosa"
    assert version in _type(workspace, "tiltyard", "status")

    edit_task(workspace, "iris", {"train.epochs": 8})
    out = _type(workspace, "tiltyard", "run", "iris")
    assert "HOLD" in out
    assert "against the champion's" in out
    assert workspace.champion("iris").read_bytes() == champion
    assert len(json.loads(_type(workspace, "tiltyard", "history", "iris", "--json"))) == 2

    table = workspace.raw("iris") / "table.csv"
    table.write_text(table.read_text().replace("5.1,3.5", "abc,3.5", 1))
    out = _type(workspace, "tiltyard", "run", "iris", status=1)
    assert "sepal_length: expect_column_values_to_not_be_null" in out
    assert "prepare" not in out.split("validate")[1].split("stopped")[0]
    assert workspace.champion("iris").read_bytes() == champion
