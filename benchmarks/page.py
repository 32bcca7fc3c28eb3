"""Sections of docs/RESULTS.md: each benchmark script rewrites its own section and keeps the others."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tiltyard import files

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
