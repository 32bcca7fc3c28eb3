"""Any two versions beside each other: metrics, settings, data and checks, from the ledger."""

from __future__ import annotations

import json
import math

from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.registry.decision import Decision
from tiltyard.report.html_elements import Section
from tiltyard.report.sections.history import VERDICTS
from tiltyard.report.sections.settings import flat_settings

MAX_VERSIONS = 100  # the latest, so that a page does not grow without end
MAX_SETTINGS = 60  # of a version that differ from those of another


def versions_section(task: Task, decisions: list[Decision]) -> Section:
    """Return the section; empty with fewer than two judged versions."""
    latest = {decision.version: decision for decision in decisions if decision.verdict in VERDICTS}
    judged = sorted(latest.values(), key=lambda decision: decision.time)[-MAX_VERSIONS:]
    if len(judged) < 2:
        return Section("Compare versions", "")
    facts = _varying([_facts(decision) for decision in judged])
    data = {
        "metrics": [
            {"name": name, "title": metric.title, "higher": metric.higher_is_better}
            for name, metric in task.evaluator.metrics.items()
        ],
        "versions": [
            {
                "name": f"{decision.version}, {decision.time[:10]}, {decision.verdict}",
                "test": decision.test,
                "metrics": {name: _finite(value) for name, value in decision.metrics.items()},
                "facts": shown,
            }
            for decision, shown in zip(judged, facts, strict=True)
        ],
    }
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    more = f" The latest {MAX_VERSIONS} of {len(latest):,} are offered." if len(latest) > MAX_VERSIONS else ""
    note = f'<p class="soft">Choose any two versions.{more} Of the same rows: tiltyard compare.</p>'
    content = f'{note}<div class="versions"><script type="application/json">{text}</script></div>'
    return Section("Compare versions", content)


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _facts(decision: Decision) -> dict[str, str]:
    """Return checks, data and settings of a version as short texts."""
    checks = {f"check: {check['title']}": str(check["state"]) for check in decision.checks}
    facts = {
        "verdict": decision.verdict,
        "data": decision.data[:12],
        "test rows": decision.test[:12],
        "commit": (decision.commit or "")[:12],
        "seed": str(decision.seed),
    }
    return {**facts, **checks, **flat_settings(decision.parameters)}


def _varying(facts: list[dict[str, str]]) -> list[Json]:
    """Leave out what is the same in all versions."""
    names = dict.fromkeys(name for one in facts for name in one)
    varying = [name for name in names if len({one.get(name) for one in facts}) > 1][:MAX_SETTINGS]
    return [{name: one[name] for name in varying if name in one} for one in facts]
