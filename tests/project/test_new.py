"""The command new: files of a project, those that an update writes again, and refusals."""

from __future__ import annotations

import json
import shutil
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tiltyard.cli.main import cli
from tiltyard.config import loader, task_list
from tiltyard.data import dvc, stage_code
from tiltyard.errors import WorkspaceError
from tiltyard.project import eject
from tiltyard.project.new import EXAMPLE, WRITTEN, dvc_yaml, new, update
from tiltyard.workspace import TEMPLATES, Workspace

VERBS = {"resolve", "validate", "prepare", "train", "evaluate"}


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    """A new project."""
    return Workspace(new(tmp_path / "shop").root)


def test_a_new_project_has_a_task_and_a_pinned_version(shop: Workspace) -> None:
    """Its task list names the example, which loads; pyproject.toml requires the version that is installed."""
    assert task_list.listed(shop) == shop.tasks() == [EXAMPLE]
    assert loader.load(shop, EXAMPLE).problem == "classification"
    project = tomllib.loads((shop.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "shop"
    assert project["dependencies"] == [f"tiltyard[cpu]=={metadata.version('tiltyard')}"]
    assert json.loads((shop.root / "tasks" / "schema.json").read_text(encoding="utf-8")) == loader.json_schema()
    assert (shop.root / ".dvc" / "config").is_file()


def test_stages_of_a_project_name_no_source_files() -> None:
    """Each stage depends on its own fingerprint in place of the code, and keeps its other dependencies and outputs."""
    stages = yaml.safe_load(dvc_yaml())["stages"]
    own = stage_code.stages()
    assert set(stages) == {"code", *VERBS}
    for verb in VERBS:
        own_code = [f"{stage_code.MODELS}.${{item.task}}"] if verb == "train" else []
        assert stages[verb]["params"] == [{stage_code.CODE: [verb, *own_code]}]
        assert stages[verb]["deps"] == [name for name in own[verb]["deps"] if not name.startswith("src/")]
        assert {key: stages[verb].get(key) for key in ("outs", "metrics", "cmd")} == {
            key: own[verb].get(key) for key in ("outs", "metrics", "cmd")
        }


def test_a_changed_fingerprint_makes_its_stage_out_of_date(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upgrade that changes the code of one stage is seen by DVC without another command."""
    dvc.run_stage(shop, "resolve", EXAMPLE)
    assert not dvc.status(shop, f"resolve@{EXAMPLE}")
    changed = {**stage_code.fingerprints(), "resolve": "0" * 64}
    monkeypatch.setattr(stage_code, "fingerprints", lambda: changed)
    assert dvc.status(shop, f"resolve@{EXAMPLE}")


def test_an_update_writes_what_nobody_edited(shop: Workspace) -> None:
    """A file of an older version is written again; an edited one, the task list and the example are kept."""
    old = "stages: {}\n"
    _as_older_version_wrote(shop, "dvc.yaml", old)
    for name in (".gitignore", "params.yaml", f"tasks/{EXAMPLE}.yaml", "README.md"):
        path = shop.root / name
        path.write_text(path.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    done = update(shop)
    assert done.written == ["dvc.yaml"]
    assert done.kept == [".gitignore"]
    assert (shop.root / "dvc.yaml").read_text(encoding="utf-8") == dvc_yaml()
    assert "# mine" in (shop.root / ".gitignore").read_text(encoding="utf-8")
    assert update(shop).written == []


def _as_older_version_wrote(workspace: Workspace, name: str, text: str) -> None:
    from tiltyard.project.new import _digest

    (workspace.root / name).write_text(text, encoding="utf-8")
    known = json.loads((workspace.root / WRITTEN).read_text(encoding="utf-8"))
    (workspace.root / WRITTEN).write_text(json.dumps({**known, name: _digest(text.encode())}), encoding="utf-8")


def test_an_update_brings_back_a_lost_file(shop: Workspace) -> None:
    """A file that is gone is written again."""
    (shop.root / ".dvcignore").unlink()
    assert update(shop).written == [".dvcignore"]


def test_a_folder_with_a_project_is_refused(shop: Workspace) -> None:
    """No file is overwritten."""
    with pytest.raises(WorkspaceError, match="expected a folder without"):
        new(shop.root)


def test_other_files_in_the_folder_stay(tmp_path: Path) -> None:
    """A folder with a table becomes a project around it, here without the example."""
    table = tmp_path / "mine" / "customers.csv"
    table.parent.mkdir()
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    root = new(table.parent, example=False).root
    assert task_list.listed(Workspace(root)) == Workspace(root).tasks() == []
    assert table.read_text(encoding="utf-8") == "a,b\n1,2\n"


@pytest.mark.parametrize("name", ["-x", "a b", "ö", "a" * 101])
def test_a_name_that_packages_cannot_have_is_refused(tmp_path: Path, name: str) -> None:
    """The name of the folder is the name of the project in pyproject.toml."""
    with pytest.raises(WorkspaceError, match="expected a name of letters"):
        new(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_update_outside_of_a_made_project_is_refused(shop: Workspace) -> None:
    """Without the record of what was written, nothing is known to be unedited."""
    (shop.root / WRITTEN).unlink()
    with pytest.raises(WorkspaceError, match=WRITTEN):
        update(shop)


def test_commands_say_what_they_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`new` prints the files and the next command, `--json` the same as JSON, `--update` what it kept."""
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    made = run(cli, ["new", "shop"])
    assert made.exit_code == 0, made.output
    assert "wrote dvc.yaml" in made.output
    assert made.output.endswith("next: cd shop && tiltyard run\n")
    assert "dvc.yaml" in json.loads(run(cli, ["new", "other", "--json"]).output)["written"]
    monkeypatch.chdir(tmp_path / "shop")
    (tmp_path / "shop" / ".dvcignore").write_text("", encoding="utf-8")
    assert "kept .dvcignore" in run(cli, ["new", "--update"]).output
    assert json.loads(run(cli, ["code", "--json"]).output) == {**stage_code.fingerprints(), "models": {"iris": ""}}
    assert "out/code.json" in run(cli, ["code"]).output
    assert run(cli, ["new"]).exit_code == 2
    assert run(cli, ["new", "x", "--update"]).exit_code == 2


def test_eject_copies_the_service_once(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copies replace those of the package; a second call needs --force; the image needs no source tree."""
    monkeypatch.chdir(shop.root)
    run = CliRunner().invoke
    assert shop.service.parent != shop.serving
    done = run(cli, ["eject", "serving", "--json"])
    assert done.exit_code == 0, done.output
    assert "serving/Containerfile" in json.loads(done.output)["serving"]
    assert (shop.service.parent, shop.service_lock.parent) == (shop.serving, shop.serving)
    containerfile = (shop.serving / "Containerfile").read_text(encoding="utf-8")
    assert "src/tiltyard" not in containerfile
    assert len([*(shop.serving / "wheels").glob("tiltyard-*.whl")]) == 1
    assert isinstance(run(cli, ["eject", "serving"]).exception, WorkspaceError)
    assert "wrote serving/service.py" in run(cli, ["eject", "serving", "--force"]).output


def test_half_a_fingerprint_file_is_written_again(shop: Workspace) -> None:
    """A process that is killed leaves no file that later commands trip over."""
    path = shop.root / stage_code.CODE
    path.parent.mkdir()
    path.write_text('{"resolve": ', encoding="utf-8")
    stage_code.write(shop)
    assert json.loads(path.read_text(encoding="utf-8")) == stage_code.write(shop)


def test_compiled_files_are_not_ejected(shop: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installer compiles the service among the templates; the copy has only the files to edit."""
    templates = tmp_path / "templates"
    shutil.copytree(TEMPLATES, templates)
    (templates / "serving" / "__pycache__").mkdir(exist_ok=True)
    (templates / "serving" / "__pycache__" / "service.cpython-311.pyc").write_bytes(b"\xa7\r")
    monkeypatch.setattr(eject, "TEMPLATES", templates)
    assert not [name for name in eject.eject_serving(shop) if "__pycache__" in name]
