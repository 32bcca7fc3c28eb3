"""The road in small: tasks one after the other in a throwaway folder, then all of them behind one service."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.board import Board
from pipelines.row import Row
from tiltyard import bases, smoke, task_file
from tiltyard.errors import TiltyardError
from tiltyard.workspace import Workspace


def run(workspace: Workspace, names: list[str], ready: Callable[[], None] = lambda: None) -> list[Row]:
    """Give a row a task; a task that fails leaves the others alone. No Prefect, no DVC: they would cost more."""
    names = bases.led(workspace, names)
    ready()
    with tempfile.TemporaryDirectory() as root, Board(Workspace(Path(root)), names, ("road", "serve")) as board:
        place = board.workspace
        rows = []
        for name in names:
            if error := bases.mistake(workspace, name):
                rows.append(Row(name))
                rows[-1].stop("task file", error)
                board.stop(name, "task file", rows[-1].error)
                continue
            task = task_file.load(workspace, name)
            row, started = Row(task.name, task.problem, task.gate.metric), time.monotonic()
            rows.append(row)
            board.begin(row.task, "road")
            try:
                report = smoke.smoke(workspace, task, place)
                row.version, row.value = report["version"], report["metrics"][row.metric]
                row.baseline = report["baseline"][row.metric]
            except Exception as error:  # noqa: BLE001 - whatever stops this task must not stop the others
                row.stop("road", error)
                board.stop(row.task, "road", row.error)
            row.seconds = time.monotonic() - started
            if row.ok:
                board.end(row.task, "road", "done")
        _serve(place, [row for row in rows if row.ok], board)
    return rows


def _serve(place: Workspace, rows: list[Row], board: Board) -> None:
    """Ask the service of all that came so far; its failure is that of each."""
    for row in rows:
        board.begin(row.task, "serve")
    try:
        smoke.answered(place, {row.task: row.version for row in rows} if rows else {})
    except TiltyardError as error:
        for row in rows:
            row.stop("serve", error)
            board.stop(row.task, "serve", row.error)
        return
    for row in rows:
        row.verdict = "ok"
        board.end(row.task, "serve", "answered")
