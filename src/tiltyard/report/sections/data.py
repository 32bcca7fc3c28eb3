"""Results of validation, and the versions of the raw data."""

from __future__ import annotations

from html import escape

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data import versions
from tiltyard.files import Json
from tiltyard.report.html_elements import Cell, Section, date_cell, render_table
from tiltyard.workspace import Workspace


def data_section(workspace: Workspace, task: Task) -> Section:
    """Return the results of validation, and the versions of the raw data."""
    path = workspace.out(task.name, "validate") / "result.json"
    validated = files.read_json(path) if path.is_file() else {"expectations": [], "repairs": []}
    recorded = sorted(validated["expectations"], key=lambda expectation: expectation["success"])
    rows = [_expectation_row(expectation) for expectation in recorded]
    met = sum(expectation["success"] for expectation in recorded)
    summary = f"<p>{met} of {len(rows)} expectations are met by {validated['rows']:,} rows.</p>" if rows else ""
    repairs = "".join(f'<p class="warn">Repaired: {escape(repair)}</p>' for repair in validated["repairs"])
    recorded_versions = versions.recorded(workspace, task.name)
    version_rows = [
        {
            "version": version.data[:12],
            "fetched": date_cell(version.time),
            "bytes": version.bytes,
            "files": version.files,
            **({"changed files": ", ".join(version.changed(before))} if task.joins else {}),
        }
        for version, before in reversed([*zip(recorded_versions, [None, *recorded_versions], strict=False)])
    ]
    return Section(
        "Data docs",
        summary
        + repairs
        + render_table(rows)
        + ("<h3>Versions</h3>" + render_table(version_rows) if version_rows else ""),
    )


def _expectation_row(expectation: Json) -> Json:
    arguments = {key: value for key, value in expectation["arguments"].items() if not key.startswith("column")}
    outcome = "met" if expectation["success"] else expectation["severity"]
    return {
        "column": expectation["column"] or "the table",
        "expectation": expectation["expectation"].removeprefix("expect_").replace("_", " "),
        "with": ", ".join(f"{key} {value}" for key, value in arguments.items()),
        "outcome": Cell(
            f'<span class="{"good" if expectation["success"] else "bad"}">{escape(outcome)}</span>', outcome
        ),
        "unexpected rows": expectation["unexpected_count"],
    }
