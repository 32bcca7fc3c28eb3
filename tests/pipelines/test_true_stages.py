"""Dependencies of DVC stages: an edit of the code makes exactly the affected stages out of date."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import ROOT, edit_task, new_workspace

from tiltyard.data import dvc, stage_code
from tiltyard.workspace import Workspace

VERBS = ("resolve", "validate", "prepare", "train", "evaluate")
EditFunction = Callable[[str, str, str], set[str]]


def _resolve(root: Path) -> None:
    """Run the stage `resolve` with the code of the project."""
    code = "import sys; from tiltyard.cli.main import main; sys.argv = ['tiltyard', 'resolve', 'iris']; main()"
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, check=True, capture_output=True)


def _stages_out_of_date(workspace: Workspace) -> set[str]:
    """Return the stages that DVC would run."""
    return {verb for verb in VERBS if dvc.status(workspace, f"{verb}@iris")}


@pytest.fixture(scope="module")
def committed_project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project with its own code whose stages are up to date for DVC, with placeholder outputs."""
    from dvc.repo import Repo

    workspace = new_workspace(tmp_path_factory.mktemp("true") / "project")
    root = workspace.root
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".dvcignore", root)
    workspace.params.write_text("tasks: [iris]\n", encoding="utf-8")
    edit_task(workspace, "iris", {"model": {"family": "python", "path": "models/mine.py:build"}})
    (root / "models").mkdir()
    (root / "models" / "mine.py").write_text("def build(features):\n    return features\n", encoding="utf-8")
    dvc.init(workspace)
    workspace.raw("iris").mkdir(parents=True, exist_ok=True)
    (workspace.raw("iris") / "table.csv").write_text("a\n1\n", encoding="utf-8")
    _resolve(root)
    stage_code.write(workspace)
    for verb in VERBS[1:4]:
        workspace.out("iris", verb).mkdir(parents=True)
        (workspace.out("iris", verb) / "made").write_text(verb, encoding="utf-8")
    (workspace.out("iris", "evaluate") / "plots").mkdir(parents=True)
    for name in ("predictions.npz", "report.json", "plots/a.csv"):
        (workspace.out("iris", "evaluate") / name).write_text("{}", encoding="utf-8")
    with contextlib.chdir(root), Repo() as repo:  # DVC takes outputs from where it is
        for verb in VERBS:
            repo.commit(f"{verb}@iris", force=True)
    assert _stages_out_of_date(workspace) == set()
    return workspace


@pytest.fixture
def edit_and_compare(committed_project: Workspace, tmp_path: Path) -> EditFunction:
    """Return a function that edits a file in a copy of that project, and returns the stages out of date."""
    from dvc.repo import Repo

    def edit(name: str, old: str, new: str) -> set[str]:
        root = tmp_path / "project"
        shutil.copytree(committed_project.root, root, symlinks=True)
        path = root / "src" / "tiltyard" / name
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        workspace = Workspace(root)
        outdated = _stages_out_of_date(workspace)
        _resolve(root)
        with contextlib.chdir(root), Repo() as repo:
            repo.commit("resolve@iris", force=True)
        return outdated | _stages_out_of_date(workspace)

    return edit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "outdated"),
    [
        (
            "config/train_section.py",
            "min_delta: float = Field(0.0",
            "min_delta: float = Field(0.05",
            {"resolve", "train"},
        ),
        ("report/static/site.css", "", "/* a remark */\n", set()),
        ("cli/output/tables.py", '"""', '"""Another word: ', set()),
        ("evaluation/slices.py", '"""', '"""Another word: ', {"evaluate"}),
        ("validation/suite.py", '"""', '"""Another word: ', {"validate"}),
        ("modeling/evaluators/regression.py", "Root mean squared error", "RMSE", {"resolve", "evaluate"}),
        ("modeling/evaluators/classification.py", "WORST = 10", "WORST = 12", {"resolve", "evaluate"}),
        ("modeling/evaluators/_label_figures.py", '"Calibration"', '"Reliability"', {"resolve", "evaluate"}),
        ("modeling/metrics/scores.py", '"""', '"""Another word: ', {"resolve", "evaluate"}),
        (
            "modeling/inference/encoder.py",
            "def scaling(",
            "def scaling_of_old(self) -> None: ...\n\n    def scaling(",
            {"resolve", "prepare", "train", "evaluate"},
        ),
        ("../../models/mine.py", "return features", "return features + 1", {"train"}),
    ],
)
def test_an_edit_makes_only_affected_stages_out_of_date(
    edit_and_compare: EditFunction, name: str, old: str, new: str, outdated: set[str]
) -> None:
    """A change of a training default or of feature scaling trains again; a changed plot title only evaluates again."""
    assert edit_and_compare(name, old, new) == outdated
