"""Lists of plug-ins: checks of the gate, findings, metrics, references and explanations, from their classes."""

from __future__ import annotations

import inspect
from typing import Any

import markdown_text as markdown

from tiltyard import plugins


def checks() -> str:
    """Return the page of the gate's checks."""
    text = """The gate runs every check that applies, on the same sealed test rows for challenger, champion and
baseline. HOLD means that the challenger is not proven to be better; REJECT that it is unfit whatever the champion
is. Settings are in the section [`gate`](task-file.md#gate) of a task file; [reasons](../decisions/gate.md)."""
    rows = [(markdown.code(one.code), one.title, one.severity, _words(one)) for one in _all("checks")]
    return markdown.page(
        "Checks of the gate", text, markdown.table(("check", "a challenger that passes", "else", "why"), rows)
    )


def findings() -> str:
    """Return the page of the findings of `tiltyard check`."""
    text = """`tiltyard check TASK` reads the raw data and reports what it finds, the worst first. A critical
finding ends with exit status 1. Limits are in the section [`check`](task-file.md#check) of a task file. "New data"
says whether `tiltyard check TASK --against FILE` looks for it, too."""
    rows = [(markdown.code(one.code), one.title, "yes" if one.serving else "", _words(one)) for one in _all("findings")]
    return markdown.page("Findings", text, markdown.table(("finding", "looks for", "new data", "meaning"), rows))


def metrics() -> str:
    """Return the page of the metrics of each problem."""
    parts = [
        "Metrics are measured on the sealed test rows, with intervals. `gate.metric` names the one that decides.",
        "The baseline is what the challenger must beat if there is no champion.",
    ]
    for name in plugins.names("evaluators"):
        evaluator = plugins.load("evaluators", name)()
        rows = [
            (markdown.code(key), metric.title, "higher" if metric.higher_is_better else "lower", metric.meaning)
            for key, metric in evaluator.metrics.items()
        ]
        table = markdown.table(("metric", "title", "better", "meaning"), rows)
        parts += [f"## {name}", f"Baseline: {evaluator.baseline_title}.", table]
    return markdown.page("Metrics", *parts)


def references() -> str:
    """Return the page of the references and outlier detectors that a network is compared with."""
    text = """A network is compared with models that need no effort. It need not beat them, but must not be
significantly worse ([why](../decisions/references.md)). `model: {family: reference}` serves one instead of a
network."""
    tables = [
        markdown.table(("name", "what it is"), [(markdown.code(_file(one)), _words(one)) for one in _all(folder)])
        for folder in ("references", "outlier_detectors")
    ]
    return markdown.page("References", text, tables[0], "## Outlier detectors", tables[1])


def explanations() -> str:
    """Return the page of the methods of `tiltyard explain`."""
    text = "`tiltyard explain TASK` uses every method that applies to the model; `--only METHOD` one of them."
    rows = [(markdown.code(_file(one)), one.title, _words(one)) for one in _all("explanations")]
    return markdown.page("Explanations", text, markdown.table(("method", "title", "meaning"), rows))


def _all(folder: str) -> list[Any]:
    return [plugins.load(folder, name) for name in plugins.names(folder)]


def _words(one: type) -> str:
    return (inspect.getdoc(one) or "").partition("\n\n")[0]


def _file(one: type) -> str:
    return one.__module__.rpartition(".")[2]
