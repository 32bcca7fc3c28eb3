"""Removing a task, by the command or by deleting its file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from linear_challengers import prepared_project, quick_package, write_challenger
from workspaces import edit_task

from tiltyard import files
from tiltyard.cli import main
from tiltyard.config import loader, task_list
from tiltyard.data import dvc
from tiltyard.errors import TaskError
from tiltyard.gate.promote import promote
from tiltyard.registry.remove import remove
from tiltyard.workspace import Workspace


@pytest.fixture
def project_with_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project in which iris has data, outputs, a champion and a ledger."""
    workspace, task = prepared_project(tmp_path / "project", "iris")
    monkeypatch.chdir(workspace.root)
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    monkeypatch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
    write_challenger(workspace, task, slice(4))
    assert promote(workspace, task).verdict == "PROMOTE"
    for path in (workspace.search("iris"), workspace.search("iris2"), workspace.logs("iris") / "events"):
        files.write_text(path, "x")
    return workspace


def remaining_files(workspace: Workspace) -> list[str]:
    """List the files of iris that are still there."""
    paths = (path.relative_to(workspace.root) for path in workspace.root.rglob("*") if path.is_file())
    return sorted(str(path) for path in paths if "iris" in {*path.parts, path.stem})


def test_remove_keeps_ledger_packages_seal_and_raw_data(project_with_champion: Workspace) -> None:
    """Task file, entry, outputs and pointer are removed; ledger, packages, seal, raw data and other tasks stay."""
    others = project_with_champion.task_file("sine").read_bytes()
    removal = remove(project_with_champion, "iris")
    kept_prefixes = (
        "data/raw/iris/",
        "data/seals/iris.",
        "data/versions/iris.",
        "serving/ledger/iris.",
        "serving/packages/iris/",
    )
    assert all(path.startswith(kept_prefixes) for path in remaining_files(project_with_champion))
    assert all(any(f"{path}/".startswith(start) for path in removal.kept) for start in kept_prefixes)
    assert {"tasks/iris.yaml", "serving/champions/iris.json", "out/iris", "params.yaml: its entry"} <= {
        *removal.removed
    }
    assert task_list.listed(project_with_champion) == ["diabetes", "digits", "sine"]
    assert project_with_champion.search("iris2").exists()
    assert project_with_champion.task_file("sine").read_bytes() == others
    with pytest.raises(TaskError, match="no task 'iris': expected one of diabetes, digits, sine"):
        remove(project_with_champion, "iris")


def test_remove_all_leaves_no_file(project_with_champion: Workspace) -> None:
    """With --all no file of the task is left."""
    result = CliRunner().invoke(main.cli, ["remove", "iris", "--yes", "--all", "--json"])
    result_json = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result_json["kept"] == []
    assert "serving/ledger/iris.jsonl" in result_json["removed"]
    assert remaining_files(project_with_champion) == []


def test_remove_asks_for_confirmation(project_with_champion: Workspace) -> None:
    """The command lists what it removes and asks; without a terminal it requires --yes."""
    before = remaining_files(project_with_champion)
    declined = CliRunner().invoke(main.cli, ["remove", "iris"], input="n\n")
    assert declined.exit_code == 1
    assert "removes  serving/champions/iris.json" in declined.stderr
    assert "keeps    serving/ledger/iris.jsonl" in declined.stderr
    without_terminal = CliRunner().invoke(main.cli, ["remove", "iris"], input="")
    assert without_terminal.exit_code == 2
    assert "--yes: required without a terminal" in without_terminal.stderr
    assert remaining_files(project_with_champion) == before
    assert CliRunner().invoke(main.cli, ["remove", "iris"], input="y\n").exit_code == 0
    assert not project_with_champion.task_file("iris").exists()


def test_symlink_is_removed_but_not_its_target(project_with_champion: Workspace, tmp_path: Path) -> None:
    """The target of a link is kept."""
    elsewhere = tmp_path / "disk"
    (project_with_champion.root / "out" / "iris").rename(elsewhere)
    (project_with_champion.root / "out" / "iris").symlink_to(elsewhere)
    remove(project_with_champion, "iris")
    assert not (project_with_champion.root / "out" / "iris").is_symlink()
    assert any(elsewhere.iterdir())


def test_base_task_of_another_task_is_not_removed(workspace: Workspace) -> None:
    """A task stays while another one is based on its model."""
    content = yaml.safe_load(workspace.task_file("digits").read_text())
    content["model"] = {"family": "transfer", "base": "digits", "units": [8]}
    workspace.task_file("few").write_text(yaml.safe_dump(content))
    with pytest.raises(TaskError, match="few is based on the model of digits") as caught:
        remove(workspace, "digits")
    assert caught.value.hint == "remove it first: tiltyard remove few"
    assert workspace.task_file("digits").exists()


def test_stages_are_removed_from_dvc_lock(workspace: Workspace) -> None:
    """Stages of other tasks stay byte for byte."""
    stage = (
        "    cmd: tiltyard train {0}\n    outs:\n    - path: out/{0}/train\n      md5: 1{1:031d}.dir\n      size: 1\n"
    )
    of_iris, of_sine = (
        "".join(f"  {verb}@{name}:\n{stage.format(name, index)}" for verb in ("resolve", *dvc.STAGES))
        for index, name in enumerate(["iris", "sine"])
    )
    lock = workspace.root / "dvc.lock"
    lock.write_text(f"schema: '2.0'\nstages:\n{of_iris}{of_sine}")
    remove(workspace, "iris")
    assert lock.read_text() == f"schema: '2.0'\nstages:\n{of_sine}"


def test_manually_deleted_task_file_is_reported(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands report the missing file and still work for other tasks; the hinted command fixes it."""
    workspace.task_file("iris").unlink()
    edit_task(workspace, "sine", {"title": None})
    result = CliRunner().invoke(main.cli, ["status"])
    assert result.exit_code == 0
    assert [name in result.stdout for name in ("diabetes", "digits", "iris", "sine")] == [True] * 4
    assert "tasks/iris.yaml is gone, and params.yaml still lists iris" in result.stderr
    assert "tasks/sine.yaml: title: expected this key; it is missing" in result.stderr
    rows = {row["task"]: row for row in json.loads(CliRunner().invoke(main.cli, ["status", "--json"]).stdout)}
    assert rows["iris"]["hint"] == "remove it from the list: tiltyard remove iris"
    assert rows["diabetes"]["mistake"] is None
    monkeypatch.setattr(sys, "argv", ["tiltyard", "prepare", "iris"])
    with pytest.raises(SystemExit):
        main.main()
    assert "tiltyard remove iris" in capsys.readouterr().err
    assert CliRunner().invoke(main.cli, ["remove", "iris", "--yes"]).exit_code == 0
    assert "iris" not in task_list.listed(workspace)
    with pytest.raises(TaskError, match="no task 'iris'"):
        loader.load(workspace, "iris")


def test_task_name_cannot_be_a_path(workspace: Workspace) -> None:
    """Neither a typed name nor one on the list can be a path."""
    (workspace.root.parent / "precious.yaml").write_text("x")
    for name in ("../../precious", "..", ".", "iris/../..", ""):
        with pytest.raises(TaskError):
            remove(workspace, name)
    workspace.params.write_text("tasks: [iris, ../../precious]\n")
    with pytest.raises(TaskError, match=r"params\.yaml: expected a list `tasks` of names; received '\.\./"):
        remove(workspace, "../../precious")
    assert (workspace.root.parent / "precious.yaml").exists()


@pytest.mark.parametrize("name", ["on", "no", "null", "true"])
def test_task_name_may_be_a_yaml_keyword(workspace: Workspace, name: str) -> None:
    """The name is written to the list as text."""
    assert task_list.add(workspace, name)
    assert name in task_list.listed(workspace)
    assert task_list.remove(workspace, name)
    assert task_list.listed(workspace) == ["diabetes", "digits", "iris", "sine"]
