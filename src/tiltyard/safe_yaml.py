"""Reading YAML that people write: bounded in size, depth and aliases; a mistake is told with its line and a caret."""

from __future__ import annotations

import io
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.error import Mark, MarkedYAMLError
from yaml.reader import ReaderError

from tiltyard import files
from tiltyard.errors import TaskError
from tiltyard.yaml_core import CoreLoader

LARGEST = 1_000_000  # characters of a file: PyYAML reads some 100,000 a second
DEEPEST = 32  # levels; a picture as nested lists in `serve.example` needs six
MOST = 4 * LARGEST  # characters of values, with what aliases stand for counted each time: JSON spells them out
HALF = re.compile("[\ud800-\udfff]")  # of a character: UTF-8 has no bytes for it
WIDE = 100  # characters of a line that are shown


def read(path: Path, shown: str) -> Any:
    """Read a file; `shown` is its name in messages."""
    try:
        with io.TextIOWrapper(files.open_regular(path), encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise TaskError(f"{shown}: expected text in UTF-8; byte {error.start:,} is none", f"edit {shown}") from None
    except OSError as error:
        raise TaskError(f"{shown}: cannot be read: {error.strerror}", f"see: ls -l {shown}") from None
    return parse(text, shown)


def parse(text: str, shown: str) -> Any:
    """Read YAML text."""
    if len(text) > LARGEST:
        raise TaskError(f"{shown}: expected at most {LARGEST:,} characters; received {len(text):,}", f"edit {shown}")
    try:
        return yaml.load(text, Loader=BoundedLoader)  # noqa: S506 - a SafeLoader
    except MarkedYAMLError as error:
        raise TaskError(_told(text, shown, error), f"edit {shown}") from None
    except ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        place = f"line {line}, column {column}"
        message = f"{shown}: not YAML: {place}: expected text; received a control character"
        raise TaskError(message, f"edit {shown}") from None


def _told(text: str, shown: str, error: MarkedYAMLError) -> str:
    """Return where and what, then show the line with a caret below the place."""
    mark = error.problem_mark or error.context_mark
    said = ", ".join(part for part in (error.context, error.problem) if part)
    kind = "" if isinstance(error, ConstructorError) else "not YAML: "
    if mark is None:
        return f"{shown}: {kind}{said}"
    number, column, line = _place(text, mark)
    start = max(0, column - WIDE // 2)
    snippet = f"    {line[start : start + WIDE]}\n    {' ' * (column - start)}^"
    return f"{shown}: {kind}line {number + 1}, column {column + 1}: {said}\n{snippet}"


def _place(text: str, mark: Mark) -> tuple[int, int, str]:
    """Return line, column and the line's text; of a text that breaks off, the end of its last line."""
    lines, number, column = text.splitlines() or [""], mark.line, mark.column
    while number > 0 and not "".join(lines[number : number + 1]).strip():
        number -= 1
        column = len(lines[number]) if number < len(lines) else 0
    return number, column, lines[number].replace("\t", " ")


class BoundedLoader(CoreLoader):
    """YAML in which a key stands once, keys are text as spelled, and nothing grows beyond bounds.

    PyYAML silently keeps the last of equal keys, recurses as deep as the text says, and lets a few aliases stand for
    billions of values.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._count = 0
        self._sizes: dict[int, int] = {}  # of each node, with what its aliases stand for

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Refuse what is too deep, too much, or refers to itself, before anything is made of it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if self._depth == DEEPEST:
            raise ConstructorError(None, None, f"expected at most {DEEPEST} levels, one inside the other", mark)
        self._depth, before = self._depth + 1, self._count
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise ConstructorError(None, None, f"alias *{event.anchor} stands inside of what it refers to", mark)
            self._count += self._sizes[id(node)]
        else:
            self._count += 1 + len(event.value if isinstance(event, yaml.ScalarEvent) else "")
            self._sizes[id(node)] = self._count - before
        if self._count > MOST:
            raise ConstructorError(None, None, f"expected at most {MOST:,} characters, aliases spelled out", mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value; what only looks like a date or a number is a mistake in the file."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError):  # PyYAML's, for `!!bool x`
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"expected a valid {kind}", node.start_mark) from None

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Refuse halves of characters."""
        if isinstance(node.value, str) and HALF.search(node.value):
            raise ConstructorError(None, None, "expected whole characters; received half a pair", node.start_mark)
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Make keys and values; a column may be called 2020, no, or 2024-01-01."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "expected keys and values", node.start_mark)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "expected text as a key", key.start_mark)
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
            if key.value in seen:
                raise ConstructorError(None, None, f"key '{key.value}' twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
