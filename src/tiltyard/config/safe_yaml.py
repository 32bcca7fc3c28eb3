"""YAML that people write, by the core schema of version 1.2: bounded in size, depth and aliases.

DVC reads and writes task files by version 1.2, PyYAML by 1.1. In 1.1 `no` is false, `1:30` is 90, `1_000` is 1000,
`010` is 8, and `1e-3` is a word. `dvc exp run -S` takes the quotes off the labels 'yes' and 'no', and folds keys with
blanks over lines. A number with leading zeros is a code, and therefore text here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.error import Mark, MarkedYAMLError
from yaml.reader import ReaderError

from tiltyard import files
from tiltyard.errors import TaskError

LARGEST = 1_000_000  # characters of a file: PyYAML reads some 100,000 a second
DEEPEST = 32  # levels; a picture as nested lists in `serve.example` needs six
MOST = 4 * LARGEST  # characters of values, with what aliases stand for counted each time: JSON spells them out
HALF = re.compile("[\ud800-\udfff]")  # of a character: UTF-8 has no bytes for it
WIDE = 100  # characters of a line that are shown
BLANKS = "\0 \t\r\n\x85\u2028\u2029"
BOOLEAN, NULL = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"
WHOLE, REAL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
MERGE = "tag:yaml.org,2002:merge"
# the tag of a plain word, its spelling, and the characters that it begins with
SCALARS = [
    (BOOLEAN, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (WHOLE, r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (REAL, r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    (REAL, r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    (MERGE, r"<<", "<"),
]
NUMBERLIKE = r"[-+]?[0-9_.]+([eE][-+]?[0-9]+)?"  # what other readers of version 1.2 take for a number: 08, 007e5, 1_000


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


def unfolded(text: str) -> str:
    """Put plain keys, and plain text with blanks in a row, on one line each, where DVC folded them over lines.

    DVC cannot read back such keys, and reads one blank for several.
    """
    for token in reversed([*_folded(text)]):
        text = text[: token.start_mark.index] + token.value + text[token.end_mark.index :]
    return text


def _folded(text: str) -> Iterator[yaml.ScalarToken]:
    """Yield what must stand on one line."""
    key = False
    for token in yaml.scan(text, Loader=BoundedLoader):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.start_mark.line < token.end_mark.line:
            wanted = key or "  " in token.value
            if wanted and "\n" not in token.value:
                yield token
        key = isinstance(token, yaml.KeyToken) and token.start_mark.index == token.end_mark.index  # without a `?`


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


class CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with the words and the plain text of YAML 1.2, and plain keys that DVC folds over lines."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def fetch_plain(self) -> None:
        """Let a plain key end on another line than it begins; PyYAML looks for its colon on the first alone."""
        super().fetch_plain()
        token = self.tokens[-1]
        key, start, end = self.possible_simple_keys.get(self.flow_level), token.start_mark, token.end_mark
        if key and key.index == start.index and end.line > start.line:
            key.line = end.line if self.flow_level or _indent(end) > key.column else key.line

    def check_key(self) -> bool:
        """Begin an explicit key at a question mark that a blank follows; another one is text."""
        return self.peek(1) in BLANKS

    def check_value(self) -> bool:
        """Begin a value at a colon that a blank or a bracket follows, or that stands right behind a quoted key."""
        if not self.flow_level or self.peek(1) in BLANKS + ",[]{}":
            return bool(super().check_value())
        before = self.tokens[-1] if self.tokens else None
        return before is not None and before.end_mark.index == self.index and not getattr(before, "plain", False)

    def check_plain(self) -> bool:
        """Begin plain text at another question mark or colon, also between brackets."""
        return bool(super().check_plain()) or self.peek() in "?:"

    def scan_plain(self) -> yaml.ScalarToken:
        """Go over question marks, where PyYAML ends plain text between brackets."""
        peek = super().peek
        self.peek = lambda index=0: "x" if (found := peek(index)) == "?" else found  # type: ignore[method-assign]
        try:
            token: yaml.ScalarToken = super().scan_plain()
        finally:
            del self.peek
        return token

    def scan_plain_spaces(self, indent: int, start_mark: Mark) -> list[str]:
        """Keep the blanks at which DVC folds a line: it leaves them at its end, where two of them are no longer one."""
        line, blanks = self.line, 0
        while self.peek(blanks) == " ":
            blanks += 1
        chunks: list[str] = super().scan_plain_spaces(indent, start_mark) or []
        return [" " * max(1, blanks)] if self.line > line and chunks == [" "] else chunks

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        """Read a whole number: decimal, 0o17 or 0x1F."""
        text = self.construct_scalar(node)
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


class CoreDumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes what either version would not read as text."""


def _indent(mark: Mark) -> int:
    """Return the column in which the line of a place begins."""
    buffer = mark.buffer or ""
    line = buffer[buffer.rfind("\n", 0, mark.pointer) + 1 : mark.pointer]
    return len(line) - len(line.lstrip(" "))


for tag, spelled, first in SCALARS:
    pattern = re.compile(f"^(?:{spelled})$")
    CoreLoader.add_implicit_resolver(tag, pattern, list(first))
    CoreDumper.add_implicit_resolver(tag, pattern, list(first))
CoreDumper.add_implicit_resolver(REAL, re.compile(f"^(?:{NUMBERLIKE})$"), list("-+0123456789_."))
CoreLoader.add_constructor(WHOLE, CoreLoader.construct_whole)


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
