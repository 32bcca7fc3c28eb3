"""The lineage of a model, from its data source to its endpoint, and its provenance."""

from __future__ import annotations

from html import escape

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.data.sources.base import Source
from tiltyard.files import Json
from tiltyard.registry.registry import Champion
from tiltyard.report.html_elements import Section, format_number, render_table
from tiltyard.serving.packaging.model_card import OUTSIDE, base_text, code_text
from tiltyard.workspace import Workspace


def families(task: Task) -> str:
    """Return the family of the model, or all of an ensemble."""
    return ", ".join(dict.fromkeys([task.model.family, *(member.model.family for member in task.ensemble)]))


def lineage_section(
    workspace: Workspace, task: Task, report: Json, training: Json, champion: Champion | None
) -> Section:
    """Return the lineage of a model, from its data source to its endpoint."""
    serves = champion is not None and champion.version == report["version"]
    package = workspace.package(task.name, report["version"])
    steps = {
        "Source": _source(task.source),
        **{f"Joined: {name}": f"{_source(join.source)}; {join.sentence}" for name, join in task.joins.items()},
        "Data": f"{report['data'][:12]}, {_row_count(task, report):,} rows{_files(workspace, task)}",
        "Split": f"{task.split.kind}, seed {task.split.seed}; test rows {report['test'][:12]}, sealed",
        "Training": f"{_trained_as(task, training)}, {training['parameters']:,} parameters",
        **({"Code": code_text(training["own_code"])} if "own_code" in training else {}),
        **({"Base": base_text(training["base"])} if "base" in training else {}),
        "Model": report["version"],
        "Evaluation": f"{task.metric.title}: {format_number(report['metrics'][task.gate.metric])}",
        "Package": str(package.relative_to(workspace.root)) if package.is_dir() else "none",
        "Endpoint": f"POST /v1/models/{task.name}:predict" if serves else "none: it is not the champion",
    }
    items = "".join(f"<li><b>{name}</b>{escape(text)}</li>" for name, text in steps.items())
    return Section("Lineage", f'<ol class="lineage">{items}</ol>')


def _trained_as(task: Task, training: Json) -> str:
    """Return the families and the seed of a training, unless nothing is known of it."""
    return OUTSIDE if "outside" in training else f"{families(task)}, seed {training['seed']}"


def _files(workspace: Workspace, task: Task) -> str:
    """Return the hashes of the files of joined data, from which one can see what changed."""
    path = workspace.out(task.name, "prepare") / "split.json"
    hashes = files.read_json(path).get("files", {}) if path.is_file() else {}
    return "".join(f"; {name} {digest[:12]}" for name, digest in hashes.items())


def _source(source: Source) -> str:
    settings = source.model_dump(mode="json", exclude_none=True)
    return ", ".join(f"{key} {value}" for key, value in settings.items() if value)


def _row_count(task: Task, report: Json) -> int:
    """Return the number of rows of all parts, which share their rows in a complete split."""
    counts = report["rows"].values()
    return int(max(counts) if task.split.complete else sum(counts))


def provenance_section(report: Json, training: Json) -> Section:
    """Return version, hashes of data and test rows, and seed."""
    facts = {
        "version": report["version"],
        "data (SHA-256)": report["data"],
        "test rows (SHA-256)": report["test"],
        "rows": ", ".join(f"{count} {part}" for part, count in report["rows"].items()),
        "parameters": f"{training['parameters']:,}",
        "seed": "not known" if training["seed"] is None else str(training["seed"]),
        **({"code": code_text(training["own_code"])} if "own_code" in training else {}),
        **({"started from": base_text(training["base"])} if "base" in training else {}),
    }
    return Section("Provenance", render_table([{"what": name, "value": value} for name, value in facts.items()]))
