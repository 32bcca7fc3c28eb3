"""`-v` and `-q`, and the sentence on Windows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspaces import main

import tiltyard as ty
from tiltyard.cli import entry
from tiltyard.data import dvc
from tiltyard.errors import WorkspaceError
from tiltyard.pipelines.run_progress import RunProgress
from tiltyard.runtime import environment
from tiltyard.runtime.progress import VERBOSE
from tiltyard.workspace import Workspace


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options set variables, which other tests must not see."""
    for name in ("TILTYARD_QUIET", VERBOSE):
        monkeypatch.setenv(name, "")  # remembered, so that it is restored
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("workspace")
def test_versions_and_durations_go_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result on stdout is the same as without the option."""
    assert main(monkeypatch, "tasks", "--json") == 0
    plain = capsys.readouterr()
    assert main(monkeypatch, "-v", "tasks", "--json") == 0
    verbose = capsys.readouterr()
    assert verbose.out == plain.out
    assert "Python 3." in verbose.err
    assert "keras 3." in verbose.err
    assert " s of them on the processor" in verbose.err
    assert plain.err == ""


@pytest.mark.usefixtures("workspace")
def test_durations_are_printed_after_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is that of the command."""
    assert main(monkeypatch, "-v", "history", "nothing") == 1
    assert "took " in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_quiet_and_verbose_exclude_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both together are a wrong use."""
    assert main(monkeypatch, "-q", "-v", "tasks") == 2
    assert "expected one of --quiet and --verbose" in capsys.readouterr().err


@pytest.mark.parametrize("verbose", [True, False])
def test_logs_of_stages_are_printed(
    small: Workspace, verbose: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage that runs prints its log; one that is skipped, or without the option, prints nothing."""
    if verbose:
        monkeypatch.setenv(VERBOSE, "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    dvc.run_stage(small, "validate", "a")
    assert ("validate a | a word on the way" in capsys.readouterr().err) == verbose
    dvc.run_stage(small, "validate", "a")
    assert "a word on the way" not in capsys.readouterr().err


def test_libraries_are_heard(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """What native libraries write is discarded only without the option."""
    for value in ("", "1"):
        with environment.suppress_native_output():
            os.write(2, f"native {value or 'silent'}\n".encode())
        monkeypatch.setenv(VERBOSE, "1")
    assert capfd.readouterr().err == "native 1\n"


def test_windows_is_told_to_use_wsl(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends with one sentence, and the Python interface raises it; the client works everywhere."""
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit, match="inside WSL"):
        entry.main()
    with pytest.raises(WorkspaceError, match="inside WSL"):
        _ = ty.open
    assert ty.Client("http://localhost:1").url == "http://localhost:1"


def test_windows_needs_no_module_that_it_lacks(tmp_path: Path) -> None:
    """The sentence is printed although `fcntl` cannot be imported."""
    code = (
        "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = None; from tiltyard.cli.entry import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {_sentence()}\n"


def _sentence() -> str:
    from tiltyard.errors import WINDOWS

    return WINDOWS


@pytest.mark.parametrize("verbose", [True, False])
def test_a_run_prints_the_logs_of_its_stages(
    workspace: Workspace, verbose: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Other output of a run goes to its log, but not what a stage that ran has printed."""
    if verbose:
        monkeypatch.setenv(VERBOSE, "1")
    log = workspace.stages("iris") / "train.log"
    log.parent.mkdir(parents=True)
    log.write_text("iris: 12 epochs\n", encoding="utf-8")
    with RunProgress(workspace, ["iris"], ("prepare", "train")) as progress:
        for step, state in (("prepare", "skipped"), ("train", "ran")):
            progress.begin("iris", step)
            progress.end("iris", step, state)
    printed = capfd.readouterr().err
    assert "iris train ran" in printed
    assert ("train iris | iris: 12 epochs" in printed) == verbose
