"""How a model was trained: settings that differ from the defaults, environment, commit and time."""

from __future__ import annotations

from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.registry.decision import Decision
from tiltyard.report.html_elements import Section, render_table

SECTIONS = ("model", "train", "ensemble")
MAX_CHARACTERS = 120  # of a value
TIMES = {"training time": "seconds", "processor time": "processor_seconds"}


def settings_section(task: Task, training: Json, train: Path, decision: Decision | None) -> Section:
    """Return the environment of the training, the settings of the task file, and all others on demand."""
    given, defaults = _settings(task)
    rest = render_table([{"key": key, "value": value} for key, value in defaults.items()])
    more = f"<details><summary>{len(defaults)} settings at their defaults</summary>{rest}</details>" if rest else ""
    head = render_table([{"what": name, "value": value} for name, value in _facts(training, train, decision).items()])
    table = render_table([{"key": key, "value": value} for key, value in given.items()])
    return Section("Settings and environment", f"{head}<h3>Settings</h3>{table}{more}")


def _facts(training: Json, train: Path, decision: Decision | None) -> dict[str, str]:
    path = train / "device.json"
    device: Json = files.read_json(path) if path.is_file() else {}
    commit = "" if decision is None or not decision.commit else decision.commit[:12]
    changed = " with uncommitted changes" if decision and decision.dirty else ""
    seconds = {name: device[key] for name, key in TIMES.items() if isinstance(device.get(key), int | float)}
    facts = {
        "backend": " ".join(str(device[key]) for key in ("backend", "device", "devices") if device.get(key)),
        "Keras": str(device.get("keras", "")),
        **{name: f"{value:,.1f} s" for name, value in seconds.items()},
        "seed": str(training.get("seed", "")),
        "commit": f"{commit}{changed}",
        "judged": decision.time if decision else "",
        "by": decision.who if decision else "",
    }
    return {name: value for name, value in facts.items() if value}


def _settings(task: Task) -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings that the task file gives, and those at their defaults, by dotted key."""
    given = flat_settings(task.model_dump(mode="json", include={*SECTIONS}, exclude_unset=True))
    every = flat_settings(task.model_dump(mode="json", include={*SECTIONS}))
    return given, {key: value for key, value in every.items() if key not in given}


def flat_settings(value: object, key: str = "") -> dict[str, str]:
    """Return nested settings as short texts by dotted key."""
    if isinstance(value, dict) and value:
        return {
            name: text
            for part, inner in value.items()
            for name, text in flat_settings(inner, f"{key}.{part}" if key else str(part)).items()
        }
    if value in ({}, None):
        return {key: "none"} if value is None else {}
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return {key: text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}..."}
