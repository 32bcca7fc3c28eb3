"""The readable report of an evaluation: one HTML file that needs nothing beside it, neither files nor network."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tiltyard.task import Task

Json = dict[str, Any]

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #5d6b7a; --line: #dde2e8; --paper: #fff; --card: #f6f8fa;
  --good: #1a7f4b; --bad: #b3372f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e8ee; --soft: #9aa7b5; --line: #323b46; --paper: #14181d; --card: #1c2229;
    --good: #5cc98f; --bad: #f08b80; }
  img { filter: invert(0.9) hue-rotate(180deg); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 54rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 0.25rem; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.75rem; }
p { margin: 0.5rem 0; } .soft { color: var(--soft); } .good { color: var(--good); } .bad { color: var(--bad); }
.lead { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 0.9rem 1.1rem;
  margin: 1.25rem 0; }
.lead strong { font-size: 1.5rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.4rem 0.7rem 0.4rem 0; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th { color: var(--soft); font-weight: 600; font-size: 0.85rem; }
th:first-child, td:first-child { text-align: left; white-space: normal; }
figure { margin: 0; } img { max-width: 100%; height: auto; border-radius: 6px; }
code { font-size: 0.85em; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1rem; margin: 0; } dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
"""

CAPTIONS = {
    "confusion": "Test rows by actual and predicted label; the shade is the share of the actual label's rows.",
    "residuals": "A model that has learned everything leaves a shapeless cloud around zero.",
    "forecast": "The last test rows: what came, what was forecast, and the baseline.",
    "steps": "The error by how far ahead the forecast looks, beside the baseline's.",
    "learning": "Loss by epoch; the weights of the marked epoch were kept.",
    "gradients": "Gradients by layer, the first one darkest: far apart or far from flat is a sign of trouble.",
}


def page(task: Task, report: Json, training: Json, plots: Path) -> str:
    """Give the whole page; `plots` is the folder with the pictures."""
    pictures = [path for path in sorted(plots.glob("*.png")) if path.stem not in ("learning", "gradients")]
    sections = [
        _head(task, report),
        _section("Figures", _metrics(task, report)),
        *(_section(path.stem.capitalize(), _picture(path)) for path in pictures),
        _section("By class", _records(report.get("per_class", ()))),
        _section("By slice", _records(report.get("slices", ()))),
        _section("By step ahead", _records(report.get("by_step", ()))),
        _section(_worst_title(report), _records(report["worst"])),
        _section("Smallest errors", _records(report.get("best", ()))),
        _section("Learning", _picture(plots / "learning.png") + _learning(training)),
        _section("Diagnosis", _diagnosis(training.get("diagnosis"), plots / "gradients.png")),
        _section("Cross-validation", _folds(training.get("folds"))),
        _section("Members", _members(training)),
        _section("Provenance", _provenance(report, training)),
    ]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    title = f"<title>{escape(task.name)}: evaluation</title>"
    body = "\n".join(filter(None, sections))
    page = f'<html lang="en"><head>{head}{title}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>'
    return f"<!doctype html>\n{page}\n"


def _head(task: Task, report: Json) -> str:
    """Say first what matters most: the gate's metric beside the baseline."""
    name = report["metric"]
    value, baseline = report["metrics"][name], report["baseline"][name]
    low, high = report["intervals"][name]
    better = task.metric.gain(value, baseline) > 0
    words = ("good", "better than") if better else ("bad", "not better than")
    notes = "".join(f'<p class="bad">{escape(note)}</p>' for note in report.get("notes", ()))
    return (
        f'<h1>{escape(task.title)}</h1><p class="soft">{escape(task.name)}, {escape(task.problem)}, '
        f"version <code>{escape(report['version'])}</code></p>"
        f'<div class="lead"><div class="soft">{escape(task.metric.title)} on {report["rows"]["test"]} sealed test rows'
        f"</div><strong>{number(value)}</strong> "
        f'<span class="soft">({task.gate.confidence:.0%} interval {number(low)} to {number(high)})</span>'
        f'<div class="{words[0]}">{words[1]} the baseline&rsquo;s {number(baseline)}</div></div>{notes}'
    )


def _metrics(task: Task, report: Json) -> str:
    """Draw up every metric beside its interval, the baseline and the training rows."""
    rows = []
    for name, value in report["metrics"].items():
        low, high = report["intervals"][name]
        direction = "higher" if task.kind.metrics[name].higher_is_better else "lower"
        rows.append(
            {
                "metric": f"{task.kind.metrics[name].title} ({direction} is better)",
                "model": value,
                "interval": f"{number(low)} to {number(high)}",
                "baseline": report["baseline"][name],
                "training rows": report["train"][name],
            }
        )
    note = f"Intervals: {task.gate.confidence:.0%} bootstrap of the test rows. Baseline: {task.kind.baseline_title}."
    return _records(rows) + f'<p class="soft">{escape(note)}</p>'


def _worst_title(report: Json) -> str:
    return "Wrong answers, the surest first" if "per_class" in report else "Largest errors"


def _learning(training: Json) -> str:
    stopped = "stopped early" if training.get("stopped_early") else "ran to the end"
    told = f"{training['epochs']} epochs, {stopped}; epoch {training['best_epoch']} was kept."
    if warm := training.get("warm_start"):
        told += f" From epoch {warm['epoch']} on: a new optimizer, and the weights of epoch {warm['from_epoch']}."
    return f'<p class="soft">{told}</p>'


def _diagnosis(found: Json | None, picture: Path) -> str:
    """Say how the model fits and why, then what was ill with the network."""
    if not found:
        return ""
    colour = "good" if found["verdict"] == "good fit" else "bad"
    lines = [f'<strong class="{colour}">{escape(found["verdict"].capitalize())}</strong>: {escape(found["reason"])}.']
    lines += [escape(f"{text[0].upper()}{text[1:]}.") for text in found["findings"]]
    return "".join(f"<p>{line}</p>" for line in lines) + (_picture(picture) if picture.is_file() else "")


def _folds(folds: Json | None) -> str:
    """Draw up the metrics of cross-validation."""
    if not folds:
        return ""
    rows = [{"metric": name, "mean": one["mean"], "deviation": one["deviation"]} for name, one in folds.items()]
    count = len(next(iter(folds.values()))["values"])
    note = f"{count} folds of the training and validation rows, each judged by a model that had not seen it."
    return _records(rows) + f'<p class="soft">{note}</p>'


def _members(training: Json) -> str:
    """Draw up the members of an ensemble and how alike their errors are."""
    if not (members := training.get("members")):
        return ""
    mean = training["correlation"]["mean"]
    note = f"Mean correlation of their errors on validation rows: {number(mean)}; the lower, the more is won together."
    return _records([{"member": place, **one} for place, one in enumerate(members, 1)]) + f'<p class="soft">{note}</p>'


def _provenance(report: Json, training: Json) -> str:
    facts = {
        "Version": report["version"],
        "Data (SHA-256)": report["data"],
        "Test part (SHA-256)": report["test"],
        "Rows": ", ".join(f"{count} {part}" for part, count in report["rows"].items()),
        "Parameters": f"{training['parameters']:,}",
        "Seed": training["seed"],
    }
    lines = (f"<dt>{escape(name)}</dt><dd><code>{escape(str(value))}</code></dd>" for name, value in facts.items())
    return f"<dl>{''.join(lines)}</dl>"


def _picture(path: Path) -> str:
    """Embed a PNG."""
    content = base64.b64encode(path.read_bytes()).decode()
    caption = CAPTIONS.get(path.stem, "")
    return (
        f'<figure><img alt="{escape(path.stem)}: {escape(caption)}" src="data:image/png;base64,{content}">'
        f'<figcaption class="soft">{escape(caption)}</figcaption></figure>'
    )


def _records(records: Sequence[Mapping[str, Any]]) -> str:
    """Draw up a table of records that share their keys; nothing if there are none."""
    if not records:
        return ""
    head = _cells("th", (name.replace("_", " ") for name in records[0]))
    body = "".join(f"<tr>{_cells('td', map(_text, record.values()))}</tr>" for record in records)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if content else ""


def _text(value: object) -> str:
    return number(value) if isinstance(value, float) or value is None else str(value)


def number(value: float | None) -> str:
    """Write a figure with four digits; a dash if it is undefined."""
    return "\N{EN DASH}" if value is None else f"{value:.4g}"
