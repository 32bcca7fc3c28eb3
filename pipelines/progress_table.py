"""The table that a run shows on a terminal: a row for each task with its steps, as many rows as there is room for."""

from __future__ import annotations

import io
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.estimate import SKIPPED, Estimate
from pipelines.task_progress import TaskProgress
from tiltyard import progress
from tiltyard.cli.output import tables

WIDE = 120  # columns from which each step has a column of its own
ROOM = 4  # lines for headings, the hidden rows, the sum and the cursor


class ProgressTable:
    """Draws tasks as lines of text for a width and a height."""

    def __init__(self, steps: tuple[str, ...], encoding: str) -> None:
        self.steps = steps
        self.done, self.failed, self.now, self.later = _marks(encoding)

    def lines(
        self, tasks: list[TaskProgress], estimate: Estimate, now: float, size: tuple[int, int], doing: str = ""
    ) -> list[str]:
        """Return the lines; `doing` says what the run is at when no task is."""
        columns, height = size
        shown = _most_telling(tasks, max(height - ROOM, 1))
        table = self._wide(shown, estimate, now) if columns >= WIDE else self._narrow(shown, estimate, now)
        parts: list[Table | Text] = [table] if shown else []
        if hidden := [task for task in tasks if task not in shown]:
            parts.append(Text(f"and {len(hidden)} more: {_counts(hidden)}", style="dim"))
        left = estimate.left(tasks, now)
        parts.append(Text(_summary(tasks, now, left) if not doing else f"{_counts(tasks)}; {doing}", style="bold"))
        return _drawn(parts, columns - 1)  # a full line would leave the cursor in doubt

    def _narrow(self, tasks: list[TaskProgress], estimate: Estimate, now: float) -> Table:
        table = _table("task", "steps", "now", "elapsed", "left")
        for task in tasks:
            marks = Text.assemble(*(self._mark(task, step) for step in self.steps))
            table.add_row(_name(task), marks, self._now(task, named=True), *_times(task, estimate, now))
        return table

    def _wide(self, tasks: list[TaskProgress], estimate: Estimate, now: float) -> Table:
        table = _table("task", *self.steps, "now", "elapsed", "left")
        for task in tasks:
            cells = [self._cell(task, step, now) for step in self.steps]
            table.add_row(_name(task), *cells, self._now(task, named=False), *_times(task, estimate, now))
        return table

    def _mark(self, task: TaskProgress, step: str) -> tuple[str, str]:
        if step in task.steps:
            return self.done, "dim" if task.steps[step] in SKIPPED else "green"
        if step == task.stopped:
            return self.failed, "bold red"
        return (self.now, "cyan") if step == task.step else (self.later, "dim")

    def _cell(self, task: TaskProgress, step: str, now: float) -> Text:
        how = task.steps.get(step)
        if how in SKIPPED:
            return Text(how, style="dim")
        if how:
            return Text(f"{task.seconds[step]:.1f} s", style="green")
        if step == task.stopped:
            return Text("failed", style="bold red")
        if step != task.step:
            return Text(self.later, style="dim")
        at = task.training
        return Text(f"{at.epoch}/{at.epochs}" if at else f"{self.now} {clock(now - task.step_began)}", style="cyan")

    def _now(self, task: TaskProgress, *, named: bool) -> Text:
        """Return what a task is at, or how it ended; `named` says the step, too."""
        if task.stopped:
            return Text(f"stopped at {task.stopped}", style=tables.COLOURS["stopped"])
        if task.ended is not None:
            return Text(task.result, style=tables.COLOURS.get(task.result, ""))
        if not task.step:
            return Text(task.note or "waiting", style="dim")
        parts = [task.step] if named else []
        if at := task.training:
            parts += [*([at.part] if at.part else []), *([f"epoch {at.epoch}/{at.epochs}"] if named else [])]
            parts += [text] if (text := at.best_text()) else []
        return Text(", ".join([*parts, *([task.note] if task.note else [])]))


def clock(seconds: float) -> str:
    """Return hours, minutes and seconds, as short as they can be read."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _most_telling(tasks: list[TaskProgress], room: int) -> list[TaskProgress]:
    """Choose what there is room for: what runs, what failed, what ended last, what comes next; in their order."""
    if len(tasks) <= room:
        return tasks

    def rank(task: TaskProgress) -> tuple[int, float]:
        if task.step:
            return 0, 0.0
        if task.stopped:
            return 1, 0.0
        return (3, 0.0) if task.ended is None else (2, -task.ended)

    chosen = sorted(tasks, key=rank)[:room]
    return [task for task in tasks if task in chosen]


def _counts(tasks: list[TaskProgress]) -> str:
    counts = {
        "done": sum(task.ended is not None and not task.stopped for task in tasks),
        "stopped": sum(bool(task.stopped) for task in tasks),
        "running": sum(bool(task.step) for task in tasks),
    }
    counts["waiting"] = len(tasks) - sum(counts.values())
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def _summary(tasks: list[TaskProgress], now: float, left: float | None) -> str:
    begun = min((task.began for task in tasks if task.began is not None), default=now)
    told = [f"{len(tasks)} task{'s' if len(tasks) != 1 else ''}: {_counts(tasks)}", f"{clock(now - begun)} elapsed"]
    if left and left >= 1:
        told.append(f"about {clock(left)} left")
    return "; ".join(told)


def _times(task: TaskProgress, estimate: Estimate, now: float) -> tuple[str, str]:
    if task.began is None:
        return "", ""
    left = estimate.of_task(task, now) if task.ended is None else None
    return clock((task.ended or now) - task.began), f"~{clock(left)}" if left and left >= 1 else ""


def _name(task: TaskProgress) -> Text:
    return Text(task.name, style="bold" if task.step else "")


def _table(*columns: str) -> Table:
    """Make a table whose columns keep their places while their content changes."""
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for column in columns:
        if column == "now":
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1)
        elif column in ("elapsed", "left"):
            table.add_column(column, no_wrap=True, min_width=7, justify="right")
        else:
            table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=8, max_width=24)
    return table


def _marks(encoding: str) -> tuple[str, str, str, str]:
    try:
        "✓✗▸·".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "+", "x", ">", "."
    return "✓", "✗", "▸", "·"


def _drawn(parts: list[Table | Text], width: int) -> list[str]:
    """Let rich lay them out, and take the lines."""
    system: Literal["standard"] | None = None if progress.plain() else "standard"
    console = Console(file=io.StringIO(), width=max(width, 20), force_terminal=True, color_system=system)
    with console.capture() as capture:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis", crop=True)
    return [line.rstrip(" ") for line in capture.get().splitlines()]
