"""Making workspaces: what tests call to have a project with this or that already done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tiltyard import files, task_file
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("tasks", "dvc.yaml", "params.yaml", ".dvcignore", "serving/service.py", "serving/requirements.lock")
QUICK = {"train.epochs": 3, "train.patience": 2, "serve.max_instances": 64}


def new_workspace(root: Path) -> Workspace:
    """Copy what a project is made of, without any output."""
    for name in PROJECT:
        source, target = ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            shutil.copy(source, target)
    return Workspace(root)


def edit_task(workspace: Workspace, name: str, changes: dict[str, Any]) -> None:
    """Change keys of a task file; a key is spelled with dots, a value of None removes it."""
    path = workspace.task_file(name)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *parents, last = key.split(".")
        section = content
        for parent in parents:
            section = section.setdefault(parent, {})
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def fetch_raw(workspace: Workspace, name: str) -> None:
    """Write raw data without DVC."""
    with files.replacing_folder(workspace.raw(name)) as folder:
        task_file.load(workspace, name).source.fetch(folder)


TRAIN = """
import sys
from pathlib import Path
from tiltyard import quiet, task_file, train
from tiltyard.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]))
quiet.silence(workspace)
for name in sys.argv[2:]:
    train.train(workspace, task_file.load(workspace, name))
"""


def train_tasks(workspace: Workspace, *names: str) -> None:
    """Train in one process of its own, so that TensorFlow is never imported into pytest's."""
    command = [sys.executable, "-c", TRAIN, str(workspace.root), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
