"""Judging: what a verdict depends on, and what is rejected before any comparison."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import linear_challengers
import numpy as np
import pytest
from linear_challengers import Project, use_challenger, write_challenger
from workspaces import edit_task

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import RegistryError, SealError
from tiltyard.gate.judge import judge
from tiltyard.gate.promote import promote
from tiltyard.preparation import prepare, sealed_test
from tiltyard.registry import decision
from tiltyard.registry.registry import Registry
from tiltyard.serving.packaging.package import package
from tiltyard.workspace import PACKAGE


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared iris project with challengers of known strength."""
    return linear_challengers.prepare_challengers(tmp_path_factory.mktemp("stable"))


@pytest.fixture
def iris(stable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the project for one test, whose packages are built without a service."""
    return linear_challengers.copy_challengers(stable, tmp_path / "arena", monkeypatch)


def test_evaluation_of_another_model_is_rejected(iris: Project) -> None:
    """After another training without an evaluation, the hint gives the command."""
    workspace, task = iris
    use_challenger(workspace, "weak")
    report = workspace.out("iris", "evaluate") / "report.json"
    old = report.read_bytes()
    use_challenger(workspace, "good")
    report.write_bytes(old)
    with pytest.raises(RegistryError, match=r"is about another version: expected .*; received") as caught:
        judge(workspace, task)
    assert caught.value.hint == "measure it: tiltyard evaluate iris"


def test_evaluation_on_other_test_rows_is_rejected(iris: Project) -> None:
    """Scores on different test rows cannot be compared."""
    workspace, task = iris
    use_challenger(workspace, "good")
    path = workspace.out("iris", "evaluate") / "report.json"
    files.write_json(path, {**files.read_json(path), "test": "0" * 64})
    with pytest.raises(RegistryError, match=f"is about another test: expected .*; received {'0' * 64}"):
        judge(workspace, task)


def test_changed_test_rows_are_rejected(iris: Project) -> None:
    """The seal of the test rows is verified at the gate, too."""
    workspace, task = iris
    use_challenger(workspace, "good")
    path = workspace.out("iris", "prepare") / "test.npz"
    with np.load(path) as arrays:
        changed = {**arrays, "truth": (arrays["truth"] + 1) % 3}
    np.savez_compressed(path, **changed)
    with pytest.raises(SealError, match="the test rows of iris were changed"):
        judge(workspace, task)


def test_champion_with_other_columns_is_not_compared(iris: Project) -> None:
    """The message names the columns that the test rows lack."""
    workspace, task = iris
    use_challenger(workspace, "weak")
    promote(workspace, task)
    edit_task(workspace, "iris", {"columns.petal_width": None, "serve.example.petal_width": None})
    task = loader.load(workspace, "iris")
    prepare.prepare(workspace, task, reseal=True)
    write_challenger(workspace, task, slice(3))
    with pytest.raises(RegistryError, match="cannot be compared: it needs petal_width, which the test rows lack"):
        judge(workspace, task)


def test_verdict_is_specific_to_the_champion(iris: Project) -> None:
    """With a new champion, the same challenger is judged again, and the ledger gets another line."""
    workspace, task = iris
    weak = use_challenger(workspace, "weak")
    promote(workspace, task)
    use_challenger(workspace, "blind")
    assert promote(workspace, task).champion == weak
    assert promote(workspace, task).recorded
    good = use_challenger(workspace, "good")
    promote(workspace, task)
    use_challenger(workspace, "blind")
    verdict = promote(workspace, task)
    assert (verdict.champion, verdict.recorded) == (good, False)
    assert [line.champion for line in Registry(workspace).decisions("iris")] == [None, weak, weak, good]


def test_only_judging_code_invalidates_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the command line does not change the code hash; a change of a check, metric or column does."""
    package = tmp_path / "tiltyard"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = decision.code_digest()
    monkeypatch.setattr(decision, "PACKAGE", package)
    assert decision.code_digest() == before
    for name in ("cli/main.py", "cli/output/tables.py", "report/report.py", "serving/serve.py", "errors.py"):
        (package / name).write_text("# changed\n", encoding="utf-8")
    assert decision.code_digest() == before
    hashes = {before}
    for name in (
        "gate/checks/generalization_gap.py",
        "gate/new.py",
        "modeling/metrics/scores.py",
        "modeling/columns/number.py",
        "preparation/split.py",
    ):
        (package / name).write_text("# changed\n", encoding="utf-8")
        hashes.add(decision.code_digest())
    assert len(hashes) == 6


@pytest.mark.parametrize("name", ["weak", "good"])
def test_sealed_rows_are_read_and_hashed_once(iris: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A promotion judges, packages and records the rows that it read first, so that later changes have no effect."""
    workspace, task = iris
    use_challenger(workspace, "blind" if name == "good" else "good")
    promote(workspace, task)
    monkeypatch.setattr("tiltyard.serving.packaging.bento.build", lambda *_: None)
    monkeypatch.setattr("tiltyard.serving.packaging.smoke_test.prove", lambda *_: 0.0)
    monkeypatch.setattr("tiltyard.data.dvc.add", lambda *_: None)
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", package)
    read_counts, hashed_rows = Counter[str](), []
    load, read, hash_pieces = np.load, files.read_json, sealed_test.hash_pieces

    def counting_load(file: Path, **options: Any) -> Any:
        read_counts[Path(file).name] += 1
        return load(file, **options)

    def counting_read(path: Path) -> Any:
        read_counts[path.name] += 1
        return read(path)

    def counting_hash(digest: Any, rows: int, pieces: Any) -> Any:
        hashed_rows.append(rows)
        return hash_pieces(digest, rows, pieces)

    monkeypatch.setattr(np, "load", counting_load)
    monkeypatch.setattr(files, "read_json", counting_read)
    monkeypatch.setattr(sealed_test, "hash_pieces", counting_hash)
    use_challenger(workspace, name)
    assert promote(workspace, task).verdict == ("PROMOTE" if name == "good" else "HOLD")
    assert (read_counts["test.npz"], read_counts["report.json"]) == (1, 1)
    assert len(hashed_rows) == len(task.columns) + len(["truth", "number"])
