"""Prefect artifacts: names and values from data are escaped, since Prefect's page renders Markdown."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tiltyard import files
from tiltyard.config import loader
from tiltyard.pipelines import artifacts as prefect_artifacts
from tiltyard.workspace import Workspace

NAMES = [
    "[a](javascript:alert(1))",
    "![a](javascript:alert(1))",
    "[a][b]",
    "<javascript:alert(1)>",
    "<img src=x onerror=alert(1)>",
    "</td><script>alert(1)</script>",
    "\\[a](javascript:alert(1))",
    "`[a](b)` and [c](javascript:alert(1))",
    "a | b",
    "**bold** and ~~gone~~",
    "&lt;b&gt;",
    "petal_length",
]


class _PermissiveMarkdown(MarkdownIt):
    """A Markdown parser that accepts all link addresses; by default it refuses some."""

    def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
        return True


@pytest.fixture
def artifacts(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The artifacts that would be sent to Prefect's server."""
    created: list[dict[str, Any]] = []

    def record(content: Any, **options: Any) -> None:
        created.append({**options, "content": content})

    for kind in ("table", "markdown", "link"):
        monkeypatch.setattr(prefect_artifacts, f"create_{kind}_artifact", record)
    return created


def rendered(text: str) -> tuple[set[str], str]:
    """Return the HTML elements of rendered Markdown, and its text."""
    html = _PermissiveMarkdown("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)
    text_content = unescape(re.sub("<[^>]+>", "", html))
    return {*re.findall(r"<([a-z0-9]+)", html)}, " ".join(text_content.split())


def test_column_names_are_escaped(workspace: Workspace, artifacts: list[dict[str, Any]]) -> None:
    """Column names are escaped in the table of expectations."""
    rest = {"expectation": "expect_column_to_exist", "severity": "warning", "success": True, "unexpected_count": 3}
    path = workspace.out("iris", "validate") / "result.json"
    files.write_json(path, {"rows": 3, "expectations": [{"column": name, **rest} for name in NAMES]})
    prefect_artifacts.create_validation_table(workspace, "iris")
    (created,) = artifacts
    assert [rendered(row["column"]) for row in created["content"]] == [({"p"}, name) for name in NAMES]
    assert {(row["success"], row["unexpected_count"]) for row in created["content"]} == {(True, 3)}


def test_metrics_and_labels_are_escaped(workspace: Workspace, artifacts: list[dict[str, Any]]) -> None:
    """Names are escaped in the table of metrics, its description and the confusion matrix."""
    report = {"version": NAMES[0], "metrics": dict.fromkeys(NAMES, 0.5), "baseline": {}}
    matrix = {"labels": NAMES, "matrix": [[0] * len(NAMES)] * len(NAMES)}
    files.write_json(workspace.out("iris", "evaluate") / "report.json", {**report, "confusion": matrix})
    prefect_artifacts.create_metric_table(workspace, "iris")
    table, confusion = artifacts
    assert [rendered(row["metric"]) for row in table["content"]] == [({"p"}, name) for name in NAMES]
    assert rendered(table["description"])[0] == {"p"}
    elements, text_content = rendered(confusion["content"])
    assert elements == {"table", "thead", "tbody", "tr", "th", "td"}
    assert all(text_content.count(name) >= 2 for name in NAMES)


def test_report_link_leads_to_the_page_of_the_task(workspace: Workspace, artifacts: list[dict[str, Any]]) -> None:
    """The page is written before the link, since it is not an output of a stage."""
    prefect_artifacts.create_report_link(workspace, loader.load(workspace, "iris"))
    (created,) = artifacts
    assert created["content"] == (workspace.report / "iris.html").as_uri()
    assert "tiltyard run iris" in (workspace.report / "iris.html").read_text(encoding="utf-8")


def test_reasons_are_escaped(artifacts: list[dict[str, Any]]) -> None:
    """Reasons are escaped items of a list below the verdict."""
    prefect_artifacts.create_verdict_text("iris", "HOLD", NAMES)
    (created,) = artifacts
    elements, text_content = rendered(created["content"])
    assert elements == {"p", "strong", "ul", "li"}
    assert all(name in text_content for name in NAMES)
