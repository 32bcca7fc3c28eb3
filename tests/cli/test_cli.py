"""The command line: quick, helpful, and without a traceback for a user's mistake."""

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
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

VERBS = sorted(cli.cli.commands)


def test_every_verb_of_the_road_is_a_command() -> None:
    """The words of the stages, the flow and the registry are commands."""
    road = {"fetch", "resolve", "validate", "prepare", "train", "evaluate", "promote", "package", "run"}
    rest = {
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
    assert set(VERBS) == road | rest | {
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
    }


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    """--help of each command says what it does in a sentence."""
    result = CliRunner().invoke(cli.cli, [verb, "--help"])
    assert result.exit_code == 0
    assert "." in result.output.split("Options:")[0]


def test_examples_stand_on_lines_of_their_own() -> None:
    """--help keeps the lines of examples, and lists the commands in the order in which they are used."""
    out = CliRunner().invoke(cli.cli, ["--help"]).output
    assert "\n  tiltyard serve  " in out
    assert "\\b" not in out
    assert out.index("\n  init ") < out.index("\n  fetch ") < out.index("\n  rollback ")


def _commands(group: click.Group) -> Iterator[click.Command]:
    """Walk through a group, its commands, and theirs."""
    yield group
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _commands(command)
        else:
            yield command


def _examples(command: click.Command) -> list[list[str]]:
    """Find what the help of a command says to type: a remark stands behind two spaces; `&&` and `>` are the shell's."""
    lines = (line.strip() for line in (command.help or "").splitlines())
    typed = [re.split(r"\s{2,}| > ", line)[0] for line in lines if line.startswith("tiltyard ")]
    return [shlex.split(part) for text in typed for part in text.split(" && ")]


EXAMPLES = [example for command in _commands(cli.cli) for example in _examples(command)]


@pytest.mark.parametrize("words", EXAMPLES, ids=" ".join)
def test_examples_can_be_typed(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each example that --help shows is parsed by its command, which is not run: no unknown option, no extra word."""
    parsed = []
    for command in _commands(cli.cli):
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda **given: parsed.append(given))
    assert words[0] == "tiltyard"
    result = CliRunner().invoke(cli.cli, words[1:])
    assert result.exit_code == 0, result.output
    assert len(parsed) == 1


def test_examples_are_found() -> None:
    """Of commands, of groups, and of what is joined; remarks are no part of them."""
    assert len(EXAMPLES) > 30
    for wanted in (
        ["run"],
        ["data", "diff", "iris", "4f1c", "9a0e"],
        ["serve", "--keys", "serving/keys"],
        ["compare", "iris", "challenger", "champion"],
        ["schedule", "--cron", "0 6 * * *", "iris", "sine"],
    ):
        assert ["tiltyard", *wanted] in EXAMPLES


def test_help_imports_nothing_heavy() -> None:
    """`tiltyard --help` loads none of the tools, nor numpy, nor pydantic."""
    code = "import sys; from tiltyard.cli.main import cli; cli(['--help'], standalone_mode=False); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"numpy", "pydantic", "rich", "keras", "prefect", "bentoml"} & set(out.split())


def test_a_mistake_is_a_sentence_and_a_hint(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown task exits with 1, names the known ones, says what to type next, and shows no traceback."""
    assert workspace.tasks()
    assert main(monkeypatch, "validate", "irish") == 1
    error = capsys.readouterr().err
    assert "error: no task 'irish': expected one of diabetes, digits, iris, sine" in error
    assert "next:  list them: tiltyard status" in error
    assert "Traceback" not in error


def test_outside_a_project_every_verb_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder that is no project the message names what was looked for, and where."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TILTYARD_ROOT", raising=False)
    assert main(monkeypatch, "status") == 1
    assert "no project here: expected a folder with tasks/ and dvc.yaml" in capsys.readouterr().err


def test_an_unknown_option_exits_with_two(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Usage errors are click's own, with the usual status."""
    assert main(monkeypatch, "status", "--colour") == 2
    assert "No such option" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends with 130 and a word."""

    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "cli", interrupted)
    assert main(monkeypatch) == 130
    assert "stopped" in capsys.readouterr().err


def test_errors_without_a_hint_have_no_empty_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hint is printed only if there is one."""

    def failed(**_: object) -> None:
        raise TiltyardError("it rains")

    monkeypatch.setattr(cli, "cli", failed)
    assert main(monkeypatch) == 1
    assert capsys.readouterr().err == "error: it rains\n"


def test_the_schema_is_json(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`tiltyard schema` prints a JSON Schema with every section of a task file."""
    assert workspace
    assert main(monkeypatch, "schema") == 0
    assert {"source", "columns", "train", "gate"} <= set(json.loads(capsys.readouterr().out)["properties"])


def test_predict_wants_one_of_two(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither or both of --json and --csv is a usage error."""
    assert workspace
    assert main(monkeypatch, "predict", "iris") == 2
    assert main(monkeypatch, "predict", "iris", "--json", "[]", "--csv", "x.csv") == 2


def test_predict_without_a_champion_says_what_to_do(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to ask yet, and the way to change that is named."""
    assert workspace
    assert main(monkeypatch, "predict", "iris", "--json", "[]") == 1
    assert "tiltyard run iris" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_what_prints_data_prints_json_too(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    """--json prints a list of objects; without it there is a table with the same rows."""
    assert workspace
    assert main(monkeypatch, verb, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert main(monkeypatch, verb) == 0
    table = capsys.readouterr().out
    assert all(str(row.get("task") or row.get("name")) in table for row in rows)


def test_prepare_of_a_table_counts_rows(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A verb by hand says what it did."""
    from workspaces import fetch_raw

    fetch_raw(workspace, "iris")
    assert main(monkeypatch, "prepare", "iris") == 0
    assert "iris: 90 train, 30 validation, 30 test rows" in capsys.readouterr().out


@pytest.mark.smoke
def test_explain_keeps_the_words_of_libraries_off_the_terminal(trained_project: Workspace) -> None:
    """TensorFlow, even if it is asked to say all it can, writes to the log of the command."""
    words = [str(Path(sys.executable).with_name("tiltyard")), "explain", "iris", "--only", "saliency"]
    talkative = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"}
    done = subprocess.run(
        words, cwd=trained_project.root, env=talkative, capture_output=True, text=True, check=True, timeout=300
    )
    said = [line for line in done.stderr.splitlines() if line]
    assert said[:1] == ["iris: what the answer is sensitive to"]
    assert [line.partition(":")[0] for line in said[1:]] == ["written"]
    assert "absl" in trained_project.log("explain").read_text(encoding="utf-8")


def test_native_output_goes_to_a_file_and_pythons_does_not(tmp_path: Path) -> None:
    """What is written to the descriptor is kept in the log, at whatever time; sys.stderr still is the terminal's."""
    code = """
import os, sys
from pathlib import Path
from tiltyard import environment as quiet
with quiet.native_redirected(Path("a.log")):
    os.write(2, b"native")
    print("python", file=sys.stderr)
print("after", file=sys.stderr)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "python\nafter\n"
    assert (tmp_path / "a.log").read_text(encoding="utf-8") == "native"
