"""Commands that tell what there is: tasks, keys of task files, completion; and the options of all commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import edit_task, main

from tiltyard.config.key_help import describe
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace


def test_tasks_are_listed_with_problem_and_model(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A task with a mistake is listed, too, with the mistake in place of its title."""
    edit_task(workspace, "sine", {"model.family": "mpl"})
    assert main(monkeypatch, "tasks", "--json") == 0
    lines = {line["task"]: line for line in json.loads(capsys.readouterr().out)}
    assert [lines["iris"][key] for key in ("problem", "model", "listed")] == ["classification", "mlp", True]
    assert "mpl" in lines["sine"]["title"]
    assert main(monkeypatch, "tasks") == 0
    assert "classification" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "type_of", "default", "part"),
    [
        ("train.patience", "integer", "optional", "before training stops"),
        ("train.batch_size", "integer", "32", ""),
        ("rows", "list", "required", "minimum and the maximum"),
        ("gate.metric", "text", "required", ""),
        ("columns.number.bounds", "list", "optional", ""),
        ("model.mlp.units", "list", "[64, 32]", ""),
    ],
)
def test_a_key_is_explained(key: str, type_of: str, default: str, part: str) -> None:
    """Type, default and meaning come from the schema, for keys of sections and of plug-ins."""
    described = describe(key)
    assert (described.type, described.default_value) == (type_of, default)
    assert part in described.meaning


def test_sections_have_their_keys() -> None:
    """A section lists its keys; a section that plug-ins define lists the plug-ins."""
    assert {"title", "source", "columns", "train"} <= {one.name for one in describe("").keys}
    assert {"epochs", "patience"} <= {one.name for one in describe("train").keys}
    assert {"mlp", "cnn"} <= {one.name for one in describe("model").keys}
    assert {"file", "sklearn"} <= {one.name for one in describe("source").keys}


def test_an_unknown_key_suggests_similar_ones() -> None:
    """The error names the section, and keys that are spelled like it."""
    with pytest.raises(TaskError, match="expected a key of train; received 'patienc'") as raised:
        describe("train.patienc")
    assert "patience" in raised.value.hint


def test_help_prints_a_table_or_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A key is one line and its meaning; a section is a table; --json has both."""
    assert main(monkeypatch, "help", "train.patience") == 0
    assert capsys.readouterr().out.startswith("train.patience: integer, optional\n")
    assert main(monkeypatch, "help", "train") == 0
    assert "batch_size" in capsys.readouterr().out
    assert main(monkeypatch, "help", "--json") == 0
    assert json.loads(capsys.readouterr().out)["keys"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [("tiltyard train ir", "iris"), ("tiltyard promo", "promote"), ("tiltyard why iris 4", "4af")],
)
def test_a_shell_completes_commands_tasks_and_versions(workspace: Workspace, words: str, expected: str) -> None:
    """The completion that a shell asks for has the names that begin with what was typed."""
    workspace.package("iris", "4af").mkdir(parents=True)
    asked = {"_TILTYARD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    command = [str(Path(sys.executable).with_name("tiltyard"))]
    environment = {**os.environ, **asked}
    done = subprocess.run(command, cwd=workspace.root, env=environment, capture_output=True, text=True, check=False)
    assert f"plain,{expected}" in done.stdout.splitlines()


def test_completion_outside_of_a_project_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a project there are no names, and no error disturbs the prompt."""
    from tiltyard.cli.commands._common import complete_tasks, complete_versions

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TILTYARD_ROOT", raising=False)
    import click

    context = click.Context(click.Command("x"))
    assert complete_tasks(context, click.Argument(["task"]), "") == []
    assert complete_versions(context, click.Argument(["version"]), "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each shell has its own script, which calls the command."""
    assert main(monkeypatch, "completion", shell) == 0
    assert "_TILTYARD_COMPLETE" in capsys.readouterr().out


def test_errors_are_json_if_results_are(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json a program reads message and hint of an error from stderr, and nothing from stdout."""
    assert workspace
    assert main(monkeypatch, "why", "irish", "--json") == 1
    printed = capsys.readouterr()
    error = json.loads(printed.err)["error"]
    assert (printed.out, error["type"]) == ("", "TaskError")
    assert "irish" in error["message"]
    assert error["hint"]
    assert main(monkeypatch, "why", "irish") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_root_names_the_project(
    workspace: Workspace,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--root is an option of every command, before its name."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    for name in ("TILTYARD_ROOT", "NO_COLOR", "TILTYARD_QUIET", "TILTYARD_VERBOSE"):
        monkeypatch.setenv(name, "")  # so that it is restored
        monkeypatch.delenv(name)
    assert main(monkeypatch, "--root", str(workspace.root), "--no-color", "-q", "tasks") == 0
    assert "iris" in capsys.readouterr().out
    assert os.environ["NO_COLOR"] == "1"
