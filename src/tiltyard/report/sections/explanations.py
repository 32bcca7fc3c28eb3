"""Explanations of the model and of single predictions."""

from __future__ import annotations

from html import escape

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.figures import Figure
from tiltyard.files import Json
from tiltyard.report.html_elements import Section, format_number, render_figures
from tiltyard.workspace import Workspace

MAX_HEADING_CHARACTERS = 60


def explanations_section(workspace: Workspace, task: Task, version: str) -> Section:
    """Return the explanations, the whole model first; mark those of another version."""
    path = workspace.out(task.name, "explain") / "explain.json"
    if not path.is_file():
        return Section("Explanations", f"<p>No explanations yet: <code>tiltyard explain {escape(task.name)}</code></p>")
    explained = files.read_json(path)
    old = "" if explained["version"] == version else f'<p class="warn">Of version {escape(explained["version"])}.</p>'
    keys = ("title", "text", "kind", "data")
    parts, rows = [], {row["row"]: row for row in explained.get("rows", [])}
    for row in [None, *rows]:
        heading = "" if row is None else f'<h3 class="part">{escape(_row_heading(rows[row]))}</h3>'
        exhibits = (exhibit for exhibit in explained["exhibits"] if exhibit["row"] == row)
        figures = (Figure(**{key: exhibit[key] for key in keys}) for exhibit in exhibits)
        parts.append(heading + render_figures(figures))
    return Section("Explanations", old + "".join(parts))


def _row_heading(row: Json) -> str:
    """Return the row number, with actual and predicted value if they are short enough for a heading."""
    short = all(isinstance(row[name], str | float | int) for name in ("actual", "answered"))
    actual, predicted = (
        format_number(value) if isinstance(value, float) else str(value) for value in (row["actual"], row["answered"])
    )
    values = f": {actual}, predicted {predicted}" if short and len(actual + predicted) < MAX_HEADING_CHARACTERS else ""
    return f"Row {row['row']}{values}"
