"""Prefect artifacts of a run: validation, metrics, confusion matrix, report link and verdict."""

from __future__ import annotations

from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data import markdown
from tiltyard.report import report
from tiltyard.workspace import Workspace


def create_validation_table(workspace: Workspace, name: str) -> None:
    """Create a table of all expectations and their results."""
    result = files.read_json(workspace.out(name, "validate") / "result.json")
    keys = ("expectation", "column", "severity", "success", "unexpected_count")
    table = [{key: _markdown_value(row[key]) for key in keys} for row in result["expectations"]]
    create_table_artifact(table, key=_key(name, "validation"), description=f"{name}: {result['rows']} rows validated")


def create_metric_table(workspace: Workspace, name: str) -> None:
    """Create a table of metrics and baseline, and the confusion matrix if there is one."""
    content = files.read_json(workspace.out(name, "evaluate") / "report.json")
    table = [
        {"metric": _markdown_value(metric), "value": value, "baseline": content["baseline"].get(metric)}
        for metric, value in content["metrics"].items()
    ]
    description = f"{name} {markdown.escape(content['version'])}, sealed test rows"
    create_table_artifact(table, key=_key(name, "metrics"), description=description)
    if matrix := content.get("confusion"):
        create_markdown_artifact(
            _confusion_table(matrix), key=_key(name, "confusion"), description=f"{name}: rows are true labels"
        )


def create_report_link(workspace: Workspace, task: Task) -> None:
    """Write the report page of a task and create a link to it."""
    link = report.write_page(workspace, task).as_uri()
    description = f"{task.name}: full report"
    create_link_artifact(link, link_text="report", key=_key(task.name, "report"), description=description)


def create_verdict_text(name: str, verdict: str, reasons: list[str]) -> None:
    """Create a text with the verdict and its reasons."""
    text = "\n".join([f"**{verdict}**", "", *(f"- {markdown.escape(reason)}" for reason in reasons)])
    create_markdown_artifact(text, key=_key(name, "verdict"), description=f"{name}: {verdict}")


def _markdown_value(value: Any) -> Any:
    """Return a cell of a table, escaped because Prefect's page renders text as Markdown."""
    return markdown.escape(value) if isinstance(value, str) else value


def _confusion_table(matrix: Any) -> str:
    """Return a confusion matrix as a Markdown table; it is a list of rows, or a dict of rows and labels."""
    rows = matrix["matrix"] if isinstance(matrix, dict) else matrix
    labels = matrix.get("labels") if isinstance(matrix, dict) else None
    labels = [*map(markdown.escape, labels or [])] or [str(index) for index in range(len(rows))]
    head = ["| true \\ predicted | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
    return "\n".join(
        [*head, *(f"| {label} | {' | '.join(map(str, row))} |" for label, row in zip(labels, rows, strict=True))]
    )


def _key(name: str, suffix: str) -> str:
    return f"{name.replace('_', '-')}-{suffix}"
