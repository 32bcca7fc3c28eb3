"""Prefect artifacts: what a run leaves to look at beside its table."""

from __future__ import annotations

from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from tiltyard import files, markdown
from tiltyard.config.task import Task
from tiltyard.report import report
from tiltyard.workspace import Workspace


def of_validation(workspace: Workspace, name: str) -> None:
    """Every expectation and what became of it."""
    result = files.read_json(workspace.out(name, "validate") / "result.json")
    shown = ("expectation", "column", "severity", "success", "unexpected_count")
    table = [{key: _shown(row[key]) for key in shown} for row in result["expectations"]]
    create_table_artifact(table, key=_key(name, "validation"), description=f"{name}: {result['rows']} rows validated")


def of_evaluation(workspace: Workspace, name: str) -> None:
    """The metrics beside the baseline, and the confusion matrix."""
    content = files.read_json(workspace.out(name, "evaluate") / "report.json")
    table = [
        {"metric": _shown(metric), "value": value, "baseline": content["baseline"].get(metric)}
        for metric, value in content["metrics"].items()
    ]
    told = f"{name} {markdown.text(content['version'])}, sealed test rows"
    create_table_artifact(table, key=_key(name, "metrics"), description=told)
    if matrix := content.get("confusion"):
        create_markdown_artifact(_matrix(matrix), key=_key(name, "confusion"), description=f"{name}: rows are true")


def of_report(workspace: Workspace, task: Task) -> None:
    """A link to the page of the task, which is written anew."""
    link = report.write_page(workspace, task).as_uri()
    told = f"{task.name}: the whole report"
    create_link_artifact(link, link_text="report", key=_key(task.name, "report"), description=told)


def of_verdict(name: str, verdict: str, reasons: list[str]) -> None:
    """The verdict with every reason."""
    text = "\n".join([f"**{verdict}**", "", *(f"- {markdown.text(reason)}" for reason in reasons)])
    create_markdown_artifact(text, key=_key(name, "verdict"), description=f"{name}: {verdict}")


def _shown(value: Any) -> Any:
    """Return a cell of a table: Prefect's page reads text as Markdown."""
    return markdown.text(value) if isinstance(value, str) else value


def _matrix(matrix: Any) -> str:
    """Return a confusion matrix as a Markdown table: a list of rows, or one with its labels."""
    rows = matrix["matrix"] if isinstance(matrix, dict) else matrix
    labels = matrix.get("labels") if isinstance(matrix, dict) else None
    labels = [*map(markdown.text, labels or [])] or [str(place) for place in range(len(rows))]
    head = ["| true \\ predicted | " + " | ".join(labels) + " |", "|---" * (len(labels) + 1) + "|"]
    return "\n".join(
        [*head, *(f"| {label} | {' | '.join(map(str, row))} |" for label, row in zip(labels, rows, strict=True))]
    )


def _key(name: str, what: str) -> str:
    return f"{name.replace('_', '-')}-{what}"
