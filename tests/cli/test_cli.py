"""The command line interface: fast help, examples that parse, error messages without tracebacks."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from workspaces import main

from tiltyard.cli import main as cli
from tiltyard.cli.output import tables
from tiltyard.cli.sections import SECTIONS
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

COMMANDS = sorted(name for name, command in cli.cli.commands.items() if not command.hidden)


def test_every_stage_is_a_command() -> None:
    """Stages, the pipeline, the registry and the service have commands."""
    stages = {"fetch", "resolve", "validate", "prepare", "train", "evaluate", "promote", "quantize", "package", "run"}
    rest = {
        "backup",
        "restore",
        "gc",
        "search",
        "study",
        "init",
        "check",
        "remove",
        "data",
        "doctor",
        "schema",
        "serve",
        "key",
        "predict",
        "schedule",
    }
    assert set(COMMANDS) == stages | rest | {
        "status",
        "history",
        "rollback",
        "traffic",
        "monitor",
        "why",
        "compare",
        "verify",
        "approve",
        "explain",
        "report",
        *("new", "eject", "code", "tasks", "help", "completion", "comment", "sample", "recommend", "watch"),
    }


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_help(verb: str) -> None:
    """--help of each command describes it in a sentence."""
    result = CliRunner().invoke(cli.cli, [verb, "--help"])
    assert result.exit_code == 0
    assert "." in result.output.split("Options:")[0]


def test_help_keeps_lines_of_examples() -> None:
    """--help keeps the lines of examples, and lists the commands in the order in which they are used."""
    out = CliRunner().invoke(cli.cli, ["--help"]).output
    assert "\n  tiltyard serve  " in out
    assert "\\b" not in out
    assert out.index("\n  init ") < out.index("\n  fetch ") < out.index("\n  rollback ")


def test_every_command_is_in_one_section() -> None:
    """--help lists commands by what a user wants to do, and each of them once."""
    listed = [name for names in SECTIONS.values() for name in names]
    assert sorted(listed) == COMMANDS
    out = CliRunner().invoke(cli.cli, ["--help"]).output
    assert [line.rstrip(":") for line in out.splitlines() if line.rstrip(":") in SECTIONS] == [*SECTIONS]


def test_lists_of_commands_are_not_cut_off() -> None:
    """On a terminal of 80 columns no description of a command ends with dots."""
    for words in ([], ["data"]):
        out = CliRunner().invoke(cli.cli, [*words, "--help"], terminal_width=80).output
        assert [line for line in out.splitlines() if line.startswith("  ") and line.endswith("...")] == []


def _commands(group: click.Group) -> Iterator[click.Command]:
    """Yield a group, its commands and their subcommands."""
    yield group
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _commands(command)
        else:
            yield command


def _examples(command: click.Command) -> list[list[str]]:
    """Return the examples in the help of a command, without remarks (after two spaces) and redirections."""
    lines = (line.strip() for line in (command.help or "").splitlines())
    typed = [re.split(r"\s{2,}| >>? ", line)[0] for line in lines if line.startswith("tiltyard ")]
    return [shlex.split(part) for text in typed for part in text.split(" && ")]


EXAMPLES = [example for command in _commands(cli.cli) for example in _examples(command)]


@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_help_examples_parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example of --help is parsed by its command, which is not run."""
    parsed = []
    for command in _commands(cli.cli):
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda **options: parsed.append(options))
    assert words[0] == "tiltyard"
    result = CliRunner().invoke(cli.cli, words[1:])
    assert result.exit_code == 0, result.output
    assert len(parsed) == 1


def test_help_examples_are_extracted() -> None:
    """Examples of commands and groups are found, joined ones too, without remarks."""
    assert len(EXAMPLES) > 30
    for wanted in (
        ["run"],
        ["data", "diff", "iris", "4f1c", "9a0e"],
        ["serve", "--keys", "serving/keys"],
        ["compare", "iris", "challenger", "champion"],
        ["schedule", "--cron", "0 6 * * *", "iris", "sine"],
    ):
        assert ["tiltyard", *wanted] in EXAMPLES


def test_help_imports_no_heavy_packages() -> None:
    """`tiltyard --help` imports neither numpy and pydantic nor any of the large frameworks."""
    code = "import sys; from tiltyard.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "pydantic", "rich", "keras", "prefect", "bentoml"} & set(out.split())


def test_error_prints_message_and_hint(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown task exits with 1, lists the known tasks, gives a hint, and shows no traceback."""
    assert workspace.tasks()
    assert main(monkeypatch, "validate", "irish") == 1
    error = capsys.readouterr().err
    assert "error: no task 'irish': expected one of diabetes, digits, iris, sine" in error
    assert "next:  list them: tiltyard status" in error
    assert "Traceback" not in error


def test_error_outside_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that is no project, the message says what was expected."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TILTYARD_ROOT", raising=False)
    assert main(monkeypatch, "status") == 1
    assert "no project here: expected a folder with tasks/ and dvc.yaml" in capsys.readouterr().err


def test_unknown_option_exits_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors are reported by click, with exit status 2."""
    assert main(monkeypatch, "status", "--colour") == 2
    assert "No such option" in capsys.readouterr().err


def test_interrupt_prints_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C exits with 130 and prints 'stopped'."""

    def raise_interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "cli", raise_interrupt)
    assert main(monkeypatch) == 130
    assert "stopped" in capsys.readouterr().err


def test_error_without_hint_prints_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hint is printed only if there is one."""

    def raise_error(**_: object) -> None:
        raise TiltyardError("it rains")

    monkeypatch.setattr(cli, "cli", raise_error)
    assert main(monkeypatch) == 1
    assert capsys.readouterr().err == "error: it rains\n"


def test_schema_prints_json(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tiltyard schema` prints a JSON Schema with every section of a task file."""
    assert workspace
    assert main(monkeypatch, "schema") == 0
    assert {"source", "columns", "train", "gate"} <= set(json.loads(capsys.readouterr().out)["properties"])


def test_predict_requires_exactly_one_of_json_and_csv(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither or both of --json and --csv is a usage error."""
    assert workspace
    assert main(monkeypatch, "predict", "iris") == 2
    assert main(monkeypatch, "predict", "iris", "--json", "[]", "--csv", "x.csv") == 2


def test_predict_without_a_champion_gives_a_hint(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a champion, the hint names the command that makes one."""
    assert workspace
    assert main(monkeypatch, "predict", "iris", "--json", "[]") == 1
    assert "tiltyard run iris" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_tables_are_available_as_json(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """--json prints a list of objects; without it, a table has the same rows."""
    assert workspace
    assert main(monkeypatch, verb, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert main(monkeypatch, verb) == 0
    table = capsys.readouterr().out
    assert all(str(row.get("task") or row.get("name")) in table for row in rows)


def test_prepare_prints_row_counts(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints the number of rows in each part."""
    from workspaces import fetch_raw

    fetch_raw(workspace, "iris")
    assert main(monkeypatch, "prepare", "iris") == 0
    assert "iris: 90 train, 30 validation, 30 test rows" in capsys.readouterr().out


@pytest.mark.smoke
def test_explain_writes_library_output_to_its_log(trained_project: Workspace) -> None:
    """TensorFlow's messages go to the log of the command, even with verbose logging."""
    words = [str(Path(sys.executable).with_name("tiltyard")), "explain", "iris", "--only", "saliency"]
    verbose = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    result = subprocess.run(
        words, cwd=trained_project.root, env=verbose, capture_output=True, text=True, check=True, timeout=300
    )
    lines = [line for line in result.stderr.splitlines() if line]
    assert lines[:1] == ["iris: saliency: gradient of the prediction"]
    assert [line.partition(":")[0] for line in lines[1:]] == ["written"]
    assert "absl" in trained_project.log("explain").read_text(encoding="utf-8")


def test_only_native_output_is_redirected_to_the_log(tmp_path: Path) -> None:
    """Output to the file descriptor goes to the log; sys.stderr still goes to the terminal."""
    code = """
import os, sys
from pathlib import Path
from tiltyard.runtime import environment as quiet
with quiet.redirect_native_output(Path("a.log")):
    os.write(2, b"native")
    print("python", file=sys.stderr)
print("after", file=sys.stderr)
"""
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stderr == "python\nafter\n"
    assert (tmp_path / "a.log").read_text(encoding="utf-8") == "native"


def test_no_check_table_without_checks(capsys: pytest.CaptureFixture[str]) -> None:
    """A verdict without checks, such as that of the champion itself, prints no empty table."""
    tables.print_checks([])
    assert capsys.readouterr().out == ""
