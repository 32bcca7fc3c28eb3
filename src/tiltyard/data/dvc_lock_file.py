"""Write dvc.lock stage by stage: DVC parses and writes the whole file, in Python, to change the entry of one stage.

The text of other stages stays as it is. The result has the same bytes as DVC's own; a file that DVC did not write, such
as one with comments between stages, is left to DVC.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tiltyard import files

HEAD = "schema: '2.0'\nstages:\n"
NAME = re.compile(r"^  ([\w.@-]+):\n", re.MULTILINE)
BODY = re.compile(r"(    .*\n)*")  # lines of an entry are indented further

Modify = Callable[..., contextlib.AbstractContextManager[dict[str, Any]]]


def install() -> None:
    """Make DVC write dvc.lock in this way."""
    from dvc import dvcfile

    if not isinstance(dvcfile.modify_yaml, ModifyYaml):
        dvcfile.modify_yaml = ModifyYaml(dvcfile.modify_yaml)


class ModifyYaml:
    """DVC's function that opens a file to change it; dvc.lock is changed by its text if that is possible."""

    def __init__(self, original: Modify) -> None:
        self.original = original

    @contextlib.contextmanager
    def __call__(self, path: Any, fs: Any = None) -> Iterator[dict[str, Any]]:
        """Yield the content of a file, and write it with its changes."""
        from dvc.utils.serialize import dumps_yaml, loads_yaml

        entries = _entries(Path(path)) if Path(path).suffix == ".lock" else None
        if entries is None:
            with self.original(path, fs=fs) as content:
                yield content
            return
        stages = _Stages(entries, lambda text: loads_yaml(f"{HEAD}{text}")["stages"])
        yield {"schema": "2.0", "stages": stages}
        for name, entry in stages.changed.items():
            entries[name] = dumps_yaml({"stages": {name: entry}}).removeprefix("stages:\n")
        files.write_text(Path(path), HEAD + "".join(entries.values()))


class _Stages(dict[str, Any]):
    """The entries of dvc.lock by stage, which are parsed when they are read."""

    def __init__(self, texts: dict[str, str], parse: Callable[[str], dict[str, Any]]) -> None:
        super().__init__()
        self.texts, self.parse = texts, parse
        self.changed: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """Return the entry of a stage."""
        return self.parse(self.texts[name])[name] if name in self.texts else default

    def update(self, entries: dict[str, Any]) -> None:  # type: ignore[override]
        """Change some entries."""
        self.changed |= entries


def _entries(path: Path) -> dict[str, str] | None:
    """Return the text of each stage's entry; None unless the file is as DVC writes it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if not text.startswith(HEAD):
        return None
    entries, place = dict[str, str](), len(HEAD)
    while place < len(text):
        name = NAME.match(text, place)
        if not name or name[1] in entries:
            return None
        end = BODY.match(text, name.end())
        assert end is not None  # noqa: S101 - it matches nothing, too
        entries[name[1]], place = text[place : end.end()], end.end()
    return entries
