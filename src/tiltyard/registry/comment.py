"""The command `comment`: the last verdicts as Markdown, for a pull request."""

from __future__ import annotations

from typing import Any

from tiltyard.config.task import Task
from tiltyard.data import markdown
from tiltyard.errors import RegistryError
from tiltyard.registry import queries
from tiltyard.workspace import Workspace

MARKS = {"PROMOTE": "✅", "HOLD": "⏸️", "REJECT": "❌"}
MARKER = "<!-- tiltyard -->"  # by which a workflow finds its own comment, to replace it


def comment(workspace: Workspace, tasks: list[Task]) -> str:
    """Return a table of verdicts, and the failed checks of each task; a task without a verdict is listed, too."""
    decided = {task.name: _decision(workspace, task) for task in tasks}
    rows = [_row(task, decided[task.name]) for task in tasks]
    head = ["| task | verdict | version | metric | value | baseline | champion |", "|---|---|---|---|---|---|---|"]
    details = [part for task in tasks for part in _details(task.name, decided[task.name])]
    return "\n".join([MARKER, "### Tiltyard", "", *head, *rows, *details]) + "\n"


def _decision(workspace: Workspace, task: Task) -> dict[str, Any] | None:
    try:
        return queries.why(workspace, task)
    except RegistryError:
        return None


def _row(task: Task, decision: dict[str, Any] | None) -> str:
    name = markdown.escape(task.name)
    if decision is None:
        return f"| {name} | not judged yet | | | | | |"
    word, metric = decision["verdict"], decision["metric"]
    value, baseline = (_number(decision[part].get(metric)) for part in ("metrics", "baseline"))
    old = decision["evidence"].get("over_champion") or {}
    cells = (
        f"{MARKS.get(word, '')} **{word}**",
        markdown.inline_code(decision["version"]),
        markdown.escape(metric),
        value,
        baseline,
        _number(old.get("old")),
    )
    return f"| {name} | {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _details(name: str, decision: dict[str, Any] | None) -> list[str]:
    """Return the reasons, and the outcome of each check that was made, folded."""
    if decision is None:
        return []
    checks = [check for check in decision["checks"] if check["state"] != "not applicable"]
    failed = [check for check in checks if check["state"] == "failed"]
    title = f"{len(failed)} of {len(checks)} checks failed" if failed else f"all {len(checks)} checks passed"
    lines = [
        f"- {'❌' if check in failed else '✅'} {markdown.escape(check['title'])}: {_why(check)}" for check in checks
    ]
    reasons = [f"> {markdown.escape(reason)}" for reason in decision["reasons"]] if failed else []
    summary = f"<details><summary>{markdown.escape(name)}: {title}</summary>"
    return ["", *reasons, *([""] if reasons else []), summary, "", *lines, "", "</details>"]


def _mark(check: dict[str, Any]) -> str:
    return "❌" if check["state"] == "failed" else "✅"


def _why(check: dict[str, Any]) -> str:
    return markdown.escape(check["text"] or "passed")
