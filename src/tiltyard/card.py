"""The model card: what a packaged version is, how good it is and on what, and where its use ends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tiltyard.column import Column
from tiltyard.task import Task

Json = dict[str, Any]


def card(task: Task, report: Json, training: Json) -> str:
    """Write the card as markdown, from the task and what training and evaluation recorded."""
    sections = {
        "What it does": _purpose(task),
        "Data": _data(task, report),
        "Figures": _figures(task, report),
        "Use and limits": _limits(task),
        "Provenance": _provenance(task, report, training),
    }
    text = "\n\n".join(f"## {title}\n\n{content}" for title, content in sections.items())
    return f"# {task.title}\n\n{text}\n"


def essentials(task: Task, report: Json) -> Json:
    """Give as JSON what the service's page says of a version."""
    target = task.target
    return {
        "purpose": task.kind.purpose(task),
        "target": {"column": target.column, "unit": target.unit, "interval": target.interval},
        "figures": [_figure(task, report, name) for name in report["metrics"]],
        "baseline": task.kind.baseline_title,
        "confidence": task.gate.confidence,
        "rows": report["rows"],
        "data": report["data"],
        "packaged": datetime.now(UTC).date().isoformat(),
    }


def _figure(task: Task, report: Json, name: str) -> Json:
    """Give a metric with what it means, beside the baseline's; one without an interval has none to show."""
    metric = task.kind.metrics[name]
    return {
        "name": name,
        "title": metric.title,
        "meaning": metric.meaning,
        "higher_is_better": metric.higher_is_better,
        "value": report["metrics"][name],
        "interval": report["intervals"].get(name),
        "baseline": report["baseline"][name],
        "decides": name == task.gate.metric,
    }


def _purpose(task: Task) -> str:
    return f"Model `{task.name}` answers with {task.kind.purpose(task)}. It takes:\n\n" + "\n".join(
        f"- `{name}`: {_column(column)}" for name, column in task.columns.items()
    )


def _column(column: Column) -> str:
    facts = column.model_dump(exclude={"type"}, exclude_defaults=True, mode="json")
    return ", ".join([column.type, *(f"{key} {value}" for key, value in facts.items())])


def _data(task: Task, report: Json) -> str:
    rows = ", ".join(f"{count} {part}" for part, count in report["rows"].items())
    source = ", ".join(f"{key} {value}" for key, value in task.source.model_dump(mode="json").items())
    return (
        f"Source: {source}. Rows: {rows}; split {task.split.kind}, seed {task.split.seed}. "
        "The test rows were sealed before training and used for the figures below alone."
        + "".join(f" **Note: {note}.**" for note in report.get("notes", ()))
    )


def _figures(task: Task, report: Json) -> str:
    """Draw up each metric beside the baseline; a metric without an interval has none to show."""
    lines = ["| metric | model | interval | baseline |", "|---|---|---|---|"]
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name) or (None, None)
        interval = f"{low:.4g} to {high:.4g}" if low is not None else "not computed"
        title = f"{task.kind.metrics[name].title}{' (gate)' if name == task.gate.metric else ''}"
        lines.append(f"| {title} | {value:.4g} | {interval} | {report['baseline'][name]:.4g} |")
    share = f"{task.gate.confidence:.0%}"
    return "\n".join(lines) + f"\n\nOn {report['rows']['test']} test rows; {share} bootstrap intervals."


def _limits(task: Task) -> str:
    return (
        f"For instances like those it was trained on: {task.title.lower()}. A request with a missing or unknown field, "
        f"a value outside the bounds above, or more than {task.serve.max_instances} instances is refused. "
        "Inside the bounds but far from the training rows the answer is an extrapolation, and is not marked as one."
    )


def _provenance(task: Task, report: Json, training: Json) -> str:
    settings = ", ".join(f"{k} {v}" for k, v in task.model.model_dump(mode="json", exclude={"family"}).items() if v)
    facts = {
        "version": report["version"],
        "data (SHA-256)": report["data"],
        "test part (SHA-256)": report["test"],
        "family": f"{task.model.family}: {settings}",
        "training": f"{training['epochs']} epochs, best {training['best_epoch']}, seed {training['seed']}",
        "parameters": training["parameters"],
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())
