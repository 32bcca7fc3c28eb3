"""Commands of the docs: lines `$ ...` of console blocks, with the mark in the comment before a block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[a-z]+( \d)?)(?:: [^>]*)? -->\n)?^```(?P<kind>\w+)(?P<title>[^\n]*)\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
# Run it; expect this exit status; run it in the background; only parse it.
MARKS = {"run", "status 3", "server", "parse"}


@dataclass(frozen=True)
class Command:
    """A command of a page, and what it prints according to the page."""

    page: str
    line: str
    mark: str
    printed: str = ""


def commands(path: Path) -> list[Command]:
    """Return the commands of a page in order; a block without a mark is run."""
    found = []
    for match in BLOCK.finditer(path.read_text(encoding="utf-8")):
        if match["kind"] == "console":
            found += [
                Command(path.stem, line, match["mark"] or "run", printed) for line, printed in _lines(match["text"])
            ]
    return found


def unmarked_shell_blocks(path: Path) -> list[str]:
    """Return the first lines of blocks of shell commands that no test would find."""
    found = BLOCK.finditer(path.read_text(encoding="utf-8"))
    return [match["text"].partition("\n")[0] for match in found if match["kind"] in ("sh", "bash", "shell")]


def written_files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield name and content of the blocks of a page that are titled by a file name."""
    for match in BLOCK.finditer(path.read_text(encoding="utf-8")):
        if title := re.search(r'title="([\w./-]+)"', match["title"]):
            yield title[1], match["text"]


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command with its continued lines, and the lines that it prints."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, printed = [], part.splitlines()
        while printed:
            command.append(printed.pop(0))
            if not command[-1].endswith("\\"):
                break
        yield "\n".join(command), "\n".join(printed).strip()
