"""Model card of a packaged version: purpose, intended use, limits, data, metrics, slices, cost and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tiltyard import files
from tiltyard.config.gate_section import Gate
from tiltyard.config.sections import Split
from tiltyard.config.task import Task
from tiltyard.data import markdown
from tiltyard.data.sources.base import Source
from tiltyard.files import Json
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.metrics.base import Metric
from tiltyard.modeling.models.base import Model

MAX_LISTED = 50  # labels or targets of a table
OUTSIDE = "python: a Keras model trained outside of Tiltyard"
WATTS = 10.0  # of one busy core with memory and cooling: a rough estimate


def card(task: Task, report: Json, training: Json, device: Json, override: Json | None = None) -> str:
    """Return the card as Markdown, from the task, the records of training and evaluation, and a person's override."""
    metrics = task.evaluator.metrics
    gate_metric = metrics[task.gate.metric]
    sections = {
        **({"Stand-in data": _stand_in(report["stand_in"])} if "stand_in" in report else {}),
        **({"Trained outside": _outside(training["outside"])} if "outside" in training else {}),
        "What it does": _purpose(task),
        "Intended use": _use(task.title, gate_metric.title),
        "Limits": _limits(task.serve.max_instances),
        **({"Override": _override(override)} if override else {}),
        "Data": _data(task.source, task.split, report) + _joined(task),
        "Metrics": _metrics_table(metrics, task.gate, report) + _certainty(task, report),
        **({"Targets": _table(report["per_target"])} if report.get("per_target") else {}),
        **({"Labels": _table(report["per_label"])} if report.get("per_label") else {}),
        **({"Decision thresholds": _thresholds(task, training)} if training.get("thresholds") else {}),
        **({"Anomalies": _anomalies(training["anomaly"], report)} if "anomaly" in training else {}),
        "Slices": _slices(gate_metric.title, report.get("slices")),
        "Time and energy": _cost(device),
        "Provenance": _provenance(task.model, report, training),
    }
    text = "\n\n".join(f"## {title}\n\n{content}" for title, content in sections.items())
    return f"# {markdown.escape(task.title)}\n\n{text}\n"


def ran_on(train: Path) -> Json:
    """Return the device and the duration of the training; empty if they were not recorded."""
    path = train / "device.json"
    content: Json = files.read_json(path) if path.is_file() else {}
    return content


def empty(text: str) -> list[str]:
    """Return the titles of the empty sections of a card."""
    sections = (section.partition("\n") for section in text.split("\n## ")[1:])
    return [title for title, _, content in sections if not content.strip()]


def summary(task: Task, report: Json) -> Json:
    """Return the card of a version as JSON, for the web page of the service."""
    target, evaluator = task.target, task.evaluator
    return {
        "purpose": task.problem_type.purpose(target),
        "target": {"column": ", ".join(target.names), "unit": target.unit, "interval": target.interval},
        **(
            {"targets": [{"column": part.column, "unit": part.unit} for part in target.parts]} if target.columns else {}
        ),
        "figures": [
            {**_metric_entry(evaluator.metrics[name], name, report), "decides": name == task.gate.metric}
            for name in report["metrics"]
        ],
        "baseline": evaluator.baseline_title,
        "confidence": task.gate.confidence,
        "rows": report["rows"],
        **({"complete": True} if task.split.complete else {}),
        "data": report["data"],
        **({"stand_in": report["stand_in"]} if "stand_in" in report else {}),
        "packaged": datetime.now(UTC).date().isoformat(),
    }


def _metric_entry(metric: Metric, name: str, report: Json) -> Json:
    """Return a metric with its meaning, interval (None if it was not computed) and the baseline's value."""
    return {
        "name": name,
        "title": metric.title,
        "meaning": metric.meaning,
        "higher_is_better": metric.higher_is_better,
        "value": report["metrics"][name],
        "interval": report["intervals"].get(name),
        "baseline": report["baseline"][name],
    }


def _purpose(task: Task) -> str:
    before, _, after = task.problem_type.purpose(task.target).partition(f"`{task.target.column or None}`")
    column_name = markdown.inline_code(task.target.column) if after else ""
    purpose = f"{markdown.escape(before)} {column_name}{markdown.escape(after)}".strip()
    inputs = {name: _column(column) for name, column in task.columns.items()}
    derived = {name: f"{part.formula}, computed by the model, not sent" for name, part in task.derived.items()}
    return f"Model `{task.name}` predicts {purpose}. Its inputs are:\n\n" + "\n".join(
        f"- {markdown.inline_code(name)}: {markdown.escape(text)}" for name, text in {**inputs, **derived}.items()
    )


def _column(column: Column) -> str:
    facts = column.model_dump(exclude={"type"}, exclude_defaults=True, mode="json")
    return ", ".join([column.type, *(f"{key} {value}" for key, value in facts.items())])


def _data(source: Source, split: Split, report: Json) -> str:
    rows = ", ".join(f"{count} {part}" for part, count in report["rows"].items())
    options = ", ".join(f"{key} {value}" for key, value in source.model_dump(mode="json").items())
    return (
        f"Source: {markdown.escape(options)}. Rows: {rows}; split {split.kind}, seed {split.seed}. "
        + ("" if split.complete else "The test rows were sealed before training and used only for the metrics below.")
        + "".join(f" **Note: {markdown.escape(note)}.**" for note in report.get("notes", ()))
    )


def _joined(task: Task) -> str:
    """Return the joined tables, whose columns a client sends like any other."""
    if not task.joins:
        return ""
    sentences = (f"{name} ({join.source.kind}), {join.sentence}" for name, join in task.joins.items())
    text = "Joined tables, of which the service looks up nothing: a request holds their columns."
    return "\n\n".join(["", text, "\n".join(f"- {markdown.escape(line)}" for line in sentences)])


def _metrics_table(metrics: Mapping[str, Metric], gate: Gate, report: Json) -> str:
    """Return a table of the metrics with their intervals, and the baseline's values."""
    lines = ["| metric | model | interval | baseline |", "|---|---|---|---|"]
    for name, value in report["metrics"].items():
        low, high = report["intervals"].get(name) or (None, None)
        interval = f"{low:.4g} to {high:.4g}" if low is not None else "not computed"
        title = f"{metrics[name].title}{' (gate)' if name == gate.metric else ''}"
        lines.append(f"| {title} | {value:.4g} | {interval} | {report['baseline'][name]:.4g} |")
    return "\n".join(lines)


def _certainty(task: Task, report: Json) -> str:
    """Return the rows that the metrics are about, and what the intervals are."""
    rows = report["rows"]["test"]
    if task.split.complete:
        return f"\n\nOn all {rows} rows, which are also the training rows; no intervals, since there are no other rows."
    return f"\n\nOn {rows} test rows; {task.gate.confidence:.0%} bootstrap intervals."


def _table(records: Sequence[Json]) -> str:
    """Return a table of the first records, with a column for each key."""
    names = [*records[0]]
    head = f"| {' | '.join(name.replace('_', ' ') for name in names)} |\n|{'---|' * len(names)}"
    lines = [f"| {' | '.join(_cell(record[name]) for name in names)} |" for record in records[:MAX_LISTED]]
    more = f"\n\nAnd {len(records) - MAX_LISTED:,} more, in report.json." if len(records) > MAX_LISTED else ""
    return "\n".join([head, *lines]) + more


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return markdown.escape(value)
    return "none" if value is None else f"{value:.4g}"


def _thresholds(task: Task, training: Json) -> str:
    """Return how thresholds were chosen, and their rates on validation rows."""
    setting = task.train.threshold
    how = f" by {setting.by}" if setting else ""
    return (
        f"From these probabilities on, a label is predicted; chosen{how} on validation rows, whose rates they are.\n\n"
        + (_table(training["thresholds"]))
    )


def _anomalies(anomaly: Json, report: Json) -> str:
    """Return what makes a row an anomaly, and what outlier detectors reach on the same rows."""
    score = anomaly["score"].replace("_", " ")
    text = (
        f"A row is an anomaly if its score ({score}) is above the threshold of {anomaly['threshold']:.6g}, by which "
        f"at most {anomaly['false_alarms']:.2%} of {anomaly['validation_rows']:,} normal validation rows are anomalies."
    )
    if report["test_labels"] is None:
        text += " The test rows have no labels: how well anomalies are found is not available."
    records = [{**dict.fromkeys(report["metrics"]), **record} for record in report["detectors"]]
    return f"{text} Outlier detectors on the same test rows:\n\n{_table(records)}"


def _slices(title: str, slices: list[Json] | None) -> str:
    """Return a table of the gate's metric, which has this title, by slice; a sentence if there are no slices."""
    if not slices:
        return "The task names no slices, or none has enough rows: whether it is worse for some groups is not known."
    lines = [f"| slice | rows | {title} |", "|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| {markdown.escape(part['slice'])} | {part['rows']} | {part['value']:.4g} |" for part in slices)]
    )


def _cost(device: Json) -> str:
    """Return duration and energy of the training; the energy is an estimate from processor time."""
    seconds, processor_seconds = device.get("seconds"), device.get("processor_seconds")
    if seconds is None or processor_seconds is None:
        return "Not known: it was not recorded during training, or the record is not here."
    power = f"about {processor_seconds * WATTS / 3600:.2g} Wh, estimated from processor time at {WATTS:g} W per core"
    gpu_note = " The energy of the GPU is not counted." if device.get("device") == "gpu" else ""
    runtime = f"{device.get('backend')} on {device.get('device')}"
    return (
        f"Trained in {seconds:.3g} s ({runtime}) with {processor_seconds:.3g} s of processor time: {power}.{gpu_note}"
    )


def _use(title: str, metric: str) -> str:
    return (
        f"For instances like those it was trained on: {markdown.escape(title.lower())}. The gate judged it by "
        f"{metric.lower()}; users must decide whether that is enough for the decisions that they base on predictions."
    )


def _stand_in(reason: str) -> str:
    return (
        f"**This model was trained and evaluated on generated data: {markdown.escape(reason)}.** "
        "Its metrics prove nothing about the real data."
    )


def _outside(known: Json) -> str:
    """Return that the rows of the training are not known, and what is."""
    steps = f"Its optimizer has made {known['steps']:,} steps" if known["steps"] else "Its optimizer has made no step"
    return (
        "**This model was trained outside of Tiltyard, which does not know with which rows.** If the sealed test rows "
        f"were among them, the metrics below are too good. {steps}, by what Keras {known['keras']} recorded in it."
    )


def _override(word: Json) -> str:
    """Return who promoted the model although the gate held it, and why."""
    return (
        f"**The gate held this model** (failed: {markdown.escape(', '.join(word['failed']))}). "
        f"{markdown.escape(word['who'])} promoted it all the same: {markdown.escape(word['reason'])}"
    )


def _limits(instances: int) -> str:
    return (
        f"A request with a missing or unknown field, "
        f"a value outside the bounds above, or more than {instances} instances is refused. "
        "Predictions for values within the bounds but far from the training rows are extrapolations and not marked."
    )


def _provenance(model: Model, report: Json, training: Json) -> str:
    settings = ", ".join(f"{k} {v}" for k, v in model.model_dump(mode="json", exclude={"family"}).items() if v)
    facts = {
        "version": report["version"],
        "data (SHA-256)": report["data"],
        "test part (SHA-256)": report["test"],
        "family": OUTSIDE
        if "outside" in training
        else f"{model.family}: {settings or training.get('reference', 'defaults')}",
        **({"consists of": training["blend"]["summary"]} if "blend" in training else {}),
        **({"members": members_text(training)} if "members" in training else {}),
        "training": training_text(training),
        "parameters": training["parameters"],
        **({"code": code_text(training["own_code"])} if "own_code" in training else {}),
        **({"started from": base_text(training["base"])} if "base" in training else {}),
        **({"variant": "{kind} of {of}".format(**training["variant"])} if "variant" in training else {}),
    }
    return "\n".join(f"- {name}: {markdown.escape(value)}" for name, value in facts.items())


def members_text(training: Json) -> str:
    """Return in words what an ensemble is averaged from, with the loss of each member and of their mean."""
    members, mean = training["members"], training.get("members_mean")
    listed = ", ".join(
        f"{member['share']:.2f} {member.get('family', 'network')} (seed {member['seed']}"
        + (f", loss {member['loss']:.4g}" if "loss" in member else "")
        + ")"
        for member in members
    )
    text = f"{listed}; mean correlation of their errors {training['correlation']['mean']:.2f}"
    if mean:
        text += f"; loss of their mean {mean['loss']:.4g} on {mean['validation_rows']:,} validation rows"
    return text


def training_text(training: Json) -> str:
    """Return epochs and seed of a training in words."""
    if "outside" in training:
        return "epochs, rows and seed are not known"
    return f"{training['epochs']} epochs, best {training['best_epoch']}, seed {training['seed']}"


def code_text(code: Json) -> str:
    """Return in words which function of the project built the layers."""
    return f"{code['function']} in {code['path']} (SHA-256 {code['sha256']}), run in training only"


def base_text(base: Json) -> str:
    """Return in words what a training started from: the base, and the rows that it was trained with."""
    if "imagenet" in base:
        return f"{base['imagenet']} with the weights of ImageNet"
    text = f"task {base['task']}, version {base['version']}"
    if "data" not in base:  # recorded by an earlier release
        return text
    rows = base["rows"]
    text += (
        f", trained on data {base['data'][:12]} with {rows['train']:,} training and {rows['validation']:,} validation"
    )
    text += " rows, none of which is a test row here"
    return f"{text}; itself started from {base_text(base['base'])}" if "base" in base else text
