"""All pages of the reference that are generated from the code, by their path in the site."""

from __future__ import annotations

import command_line
import plugin_lists
import python_interface
import rest
import task_file


def reference() -> dict[str, str]:
    """Return the text of each page."""
    return {
        "reference/task-file.md": task_file.sections(),
        "reference/model-families.md": task_file.plugins("model", "models", "Model families", task_file.FAMILIES),
        "reference/sources.md": task_file.plugins("source", "sources", "Sources", task_file.SOURCES),
        "reference/columns.md": task_file.plugins("columns", "columns", "Types of columns", task_file.COLUMNS),
        "reference/command-line.md": command_line.page(),
        "reference/rest.md": rest.page(),
        "reference/python.md": python_interface.page(),
        "reference/checks.md": plugin_lists.checks(),
        "reference/findings.md": plugin_lists.findings(),
        "reference/metrics.md": plugin_lists.metrics(),
        "reference/references.md": plugin_lists.references(),
        "reference/explanations.md": plugin_lists.explanations(),
    }
