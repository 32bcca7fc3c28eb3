"""Runs of the pipeline in another process: Prefect works neither in a notebook's event loop nor twice in a process."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace

COMMAND = "from tiltyard.cli.main import main; main()"  # `tiltyard` may not be on the path


def run(workspace: Workspace, names: list[str], *, allow_stand_in: bool = False) -> list[dict[str, Any]]:
    """Run tasks; pass on the lines of progress, return a row for each task, raise the error if nothing could run."""
    options = ["--allow-stand-in"] if allow_stand_in else []
    command = [sys.executable, "-c", COMMAND, "--root", str(workspace.root), "run", "--json", *options, *names]
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=workspace.root, **pipes) as process:
        assert process.stderr is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        last = ""
        for last in process.stderr:
            if not last.startswith('{"error"'):
                print(last, end="", file=sys.stderr, flush=True)  # noqa: T201 - progress, as the command shows it
        printed = process.stdout.read()
    if not printed:
        raise _error(last)
    rows: list[dict[str, Any]] = json.loads(printed)
    return rows


def _error(line: str) -> TiltyardError:
    """Return the error that the command printed last."""
    try:
        sent = json.loads(line)["error"]
        return TiltyardError(sent["message"], sent["hint"])
    except (ValueError, KeyError):
        return TiltyardError("the run ended without a result", hint="run it in a terminal: tiltyard run")
