"""docs/RESULTS.md in sections: each script that measures writes its own anew and leaves the others as they are."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from tiltyard import files

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "RESULTS.md"
TITLE = "# Results on real data"


def write(title: str, text: str) -> None:
    """Put a section in the place of the one with the same title, or behind all others."""
    whole = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else TITLE
    head, *sections = whole.strip().split("\n## ")
    known = {section.partition("\n")[0]: section for section in sections}
    known[title] = f"{title}\n\n{text.strip()}\n"
    files.write_text(RESULTS, "\n\n## ".join([head.strip(), *(section.strip() for section in known.values())]) + "\n")


def machine() -> str:
    """Return what was measured on."""
    return f"{platform.machine()}, {os.cpu_count()} cores, no GPU"
