"""Stand-ins: generated data in place of real files that are missing; a file beside the raw data says so to later steps.

A task asks for one by name (`source.stand_in: true`). What was learned from it says nothing about the real data, so
every output repeats the reason, and the gate holds the model unless it is told otherwise.
"""

from __future__ import annotations

from pathlib import Path

from tiltyard import files

FILE = "stand_in.txt"


def mark(folder: Path, reason: str) -> None:
    """Record that the raw data in a folder are generated, and why."""
    files.write_text(folder / FILE, f"{reason}\n")


def reason(folder: Path) -> str:
    """Return why the raw data in a folder are generated; empty if they are real."""
    paths = [folder / FILE, *sorted(folder.glob(f"joins/*/{FILE}"))]  # of the main source, and of joined ones
    texts = (path.read_text(encoding="utf-8").strip() for path in paths if path.is_file())
    return "; ".join(dict.fromkeys(texts))
