"""Sections of docs/RESULTS.md: each benchmark script rewrites its own section and keeps the others."""

from __future__ import annotations

import os
import platform
from collections import Counter
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.gate.verdict import Verdict
from tiltyard.registry.decision import code_digest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "RESULTS.md"
TITLE = "# Results on real data"


def write(title: str, text: str) -> None:
    """Replace the section with the same title, or append it."""
    whole = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else TITLE
    head, *sections = whole.strip().split("\n## ")
    known = {section.partition("\n")[0]: section for section in sections}
    known[title] = f"{title}\n\n{text.strip()}\n"
    files.write_text(RESULTS, "\n\n## ".join([head.strip(), *(section.strip() for section in known.values())]) + "\n")


def machine() -> str:
    """Return a description of the machine."""
    return f"{platform.machine()}, {os.cpu_count()} cores, no GPU"


def machine_with_load() -> str:
    """Return the same with its load, which includes what else runs on it."""
    return f"{machine()}, load average {os.getloadavg()[0]:.1f} at the end"


def judged(verdict: Verdict) -> dict[str, Any]:
    """Return what a benchmark keeps of a verdict: its reasons, the code that judged, and the best simple rival."""
    return {
        "verdict": verdict.verdict,
        "reasons": verdict.reasons,
        "judged_by": code_digest()[:12],
        "reference": verdict.evidence.get("reference"),
    }


def verdicts(runs: list[dict[str, Any]]) -> str:
    """Return how often the gate gave each verdict; those of other code than today's are stale."""
    digest = code_digest()[:12]
    today = [run["verdict"] for run in runs if run.get("judged_by") == digest]
    stale = [run["verdict"] for run in runs if run.get("judged_by") != digest]
    parts = [f"{name} {count}" for name, count in Counter(today).most_common()]
    old = [f"{name} {count}" for name, count in Counter(stale).most_common()]
    return ", ".join([*parts, *([f"stale: {', '.join(old)}"] if old else [])])


def best_rival(runs: list[dict[str, Any]], digits: int = 4) -> str:
    """Return the best simple rival, chosen by the gate on validation rows, and in how many runs it is surely better."""
    if not all("reference" in run for run in runs):
        return "not measured"
    found = [run["reference"] for run in runs if run["reference"]]
    if not found:
        return "none applies"
    names = Counter(reference["model"] for reference in found)
    value = sum(reference["old"] for reference in found) / len(found)
    surely = sum(reference["high"] < 0 for reference in found)
    better = f", surely better in {surely} of {len(runs)}" if surely else ""
    return f"{value:,.{digits}f} ({names.most_common(1)[0][0]}{better})"
