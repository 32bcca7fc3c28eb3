"""Progress table of a run on a terminal: a row for each task, as many rows as fit."""

from __future__ import annotations

import io
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tiltyard.cli.output import tables
from tiltyard.pipelines.estimate import SKIPPED_STATES, Estimate
from tiltyard.pipelines.task_progress import TaskProgress
from tiltyard.runtime import progress

WIDE_CHARACTERS = 120  # from this width of the terminal on, each step has its own column
RESERVED_LINES = 4  # lines for headings, the number of hidden rows, the summary and the cursor


class ProgressTable:
    """Renders the progress of tasks as lines of text that fit a width and a height."""

    def __init__(self, steps: tuple[str, ...], encoding: str) -> None:
        self.steps = steps
        self.done, self.failed, self.running, self.waiting = _status_marks(encoding)

    def lines(
        self, tasks: list[TaskProgress], estimate: Estimate, now: float, size: tuple[int, int], activity: str = ""
    ) -> list[str]:
        """Return the lines; `activity` is what the run does while no task runs."""
        columns, height = size
        visible = _choose_visible(tasks, max(height - RESERVED_LINES, 1))
        table = (
            self._wide(visible, estimate, now) if columns >= WIDE_CHARACTERS else self._narrow(visible, estimate, now)
        )
        parts: list[Table | Text] = [table] if visible else []
        if hidden := [task for task in tasks if task not in visible]:
            parts.append(Text(f"and {len(hidden)} more: {_counts(hidden)}", style="dim"))
        seconds_left = estimate.seconds_left(tasks, now)
        parts.append(
            Text(_summary(tasks, now, seconds_left) if not activity else f"{_counts(tasks)}; {activity}", style="bold")
        )
        return _render(parts, columns - 1)  # terminals differ in where the cursor is after a full line

    def _narrow(self, tasks: list[TaskProgress], estimate: Estimate, now: float) -> Table:
        table = _empty_table("task", "steps", "now", "elapsed", "left")
        for task in tasks:
            marks = Text.assemble(*(self._mark(task, step) for step in self.steps))
            table.add_row(_name_cell(task), marks, self._activity(task, with_step=True), *_times(task, estimate, now))
        return table

    def _wide(self, tasks: list[TaskProgress], estimate: Estimate, now: float) -> Table:
        table = _empty_table("task", *self.steps, "now", "elapsed", "left")
        for task in tasks:
            cells = [self._cell(task, step, now) for step in self.steps]
            table.add_row(_name_cell(task), *cells, self._activity(task, with_step=False), *_times(task, estimate, now))
        return table

    def _mark(self, task: TaskProgress, step: str) -> tuple[str, str]:
        if step in task.steps:
            return self.done, "dim" if task.steps[step] in SKIPPED_STATES else "green"
        if step == task.stopped:
            return self.failed, "bold red"
        return (self.running, "cyan") if step == task.step else (self.waiting, "dim")

    def _cell(self, task: TaskProgress, step: str, now: float) -> Text:
        state = task.steps.get(step)
        if state in SKIPPED_STATES:
            return Text(state, style="dim")
        if state:
            return Text(f"{task.seconds[step]:.1f} s", style="green")
        if step == task.stopped:
            return Text("failed", style="bold red")
        if step != task.step:
            return Text(self.waiting, style="dim")
        training = task.training
        return Text(
            f"{training.epoch}/{training.epochs}"
            if training
            else f"{self.running} {format_duration(now - task.step_began)}",
            style="cyan",
        )

    def _activity(self, task: TaskProgress, *, with_step: bool) -> Text:
        """Return what a task does now, or how it ended; `with_step` adds the name of the step."""
        if task.stopped:
            return Text(f"stopped at {task.stopped}", style=tables.COLOURS["stopped"])
        if task.ended is not None:
            return Text(task.result, style=tables.COLOURS.get(task.result, ""))
        if not task.step:
            return Text(task.note or "waiting", style="dim")
        parts = [task.step] if with_step else []
        if training := task.training:
            parts += [training.part] if training.part else []
            parts += [f"epoch {training.epoch}/{training.epochs}"] if with_step else []
            parts += [text] if (text := training.best_text()) else []
        return Text(", ".join([*parts, *([task.note] if task.note else [])]))


def format_duration(seconds: float) -> str:
    """Return seconds as [hours:]minutes:seconds."""
    minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{remainder:02}" if hours else f"{minutes}:{remainder:02}"


def _choose_visible(tasks: list[TaskProgress], room: int) -> list[TaskProgress]:
    """Return the tasks that fit: running, failed, ended last and waiting ones, in this order of preference."""
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


def _summary(tasks: list[TaskProgress], now: float, seconds_left: float | None) -> str:
    begun = min((task.began for task in tasks if task.began is not None), default=now)
    parts = [
        f"{len(tasks)} task{'s' if len(tasks) != 1 else ''}: {_counts(tasks)}",
        f"{format_duration(now - begun)} elapsed",
    ]
    if seconds_left and seconds_left >= 1:
        parts.append(f"about {format_duration(seconds_left)} left")
    return "; ".join(parts)


def _times(task: TaskProgress, estimate: Estimate, now: float) -> tuple[str, str]:
    if task.began is None:
        return "", ""
    left = estimate.task_seconds_left(task, now) if task.ended is None else None
    return format_duration((task.ended or now) - task.began), f"~{format_duration(left)}" if left and left >= 1 else ""


def _name_cell(task: TaskProgress) -> Text:
    return Text(task.name, style="bold" if task.step else "")


def _empty_table(*columns: str) -> Table:
    """Return a table whose columns keep their width while their content changes."""
    table = Table(box=None, expand=True, pad_edge=False, header_style="dim")
    for column in columns:
        if column == "now":
            table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1)
        elif column in ("elapsed", "left"):
            table.add_column(column, no_wrap=True, min_width=7, justify="right")
        else:
            table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=8, max_width=24)
    return table


def _status_marks(encoding: str) -> tuple[str, str, str, str]:
    try:
        "✓✗▸·".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "+", "x", ">", "."
    return "✓", "✗", "▸", "·"


def _render(parts: list[Table | Text], width: int) -> list[str]:
    """Return the lines that rich lays out."""
    system: Literal["standard"] | None = None if progress.without_colour() else "standard"
    console = Console(file=io.StringIO(), width=max(width, 20), force_terminal=True, color_system=system)
    with console.capture() as capture:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ellipsis", crop=True)
    return [line.rstrip(" ") for line in capture.get().splitlines()]
