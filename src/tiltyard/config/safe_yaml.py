"""Safe YAML loading by the core schema of YAML 1.2, with limits on size, depth and aliases.

DVC uses YAML 1.2, PyYAML 1.1. In 1.1 `no` is false, `1:30` is 90, `1_000` is 1000, `010` is 8, and `1e-3` is text.
`dvc exp run -S` removes the quotes from labels such as 'yes' and 'no', and folds keys with blanks over lines. A number
with leading zeros is a code, and therefore read as text.
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

MAX_LENGTH = 1_000_000  # characters of a file: PyYAML reads some 100,000 a second
MAX_DEPTH = 32  # levels; an image as nested lists in `serve.example` needs six
MAX_EXPANDED = 4 * MAX_LENGTH  # characters of values with all aliases expanded
SURROGATE = re.compile("[\ud800-\udfff]")  # not encodable in UTF-8
MAX_SNIPPET = 100  # characters of a line shown in an error
BLANKS = "\0 \t\r\n\x85\u2028\u2029"
BOOLEAN, NULL = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"
INTEGER, FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
MERGE = "tag:yaml.org,2002:merge"
# tag, regular expression and first characters of plain scalars
SCALARS = [
    (BOOLEAN, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (INTEGER, r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (FLOAT, r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    (FLOAT, r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    (MERGE, r"<<", "<"),
]
NUMBERLIKE = r"[-+]?[0-9_.]+([eE][-+]?[0-9]+)?"  # numbers for some other parsers of YAML 1.2: 08, 007e5, 1_000


def read(path: Path, label: str) -> Any:
    """Read a file; `label` is its name in messages."""
    return parse(read_text(path, label), label)


def read_text(path: Path, label: str) -> str:
    """Read a file without parsing it."""
    try:
        with io.TextIOWrapper(files.open_regular(path), encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise TaskError(f"{label}: expected text in UTF-8; byte {error.start:,} is not", f"edit {label}") from None
    except OSError as error:
        raise TaskError(f"{label}: cannot be read: {error.strerror}", f"see: ls -l {label}") from None


def parse(text: str, label: str) -> Any:
    """Read YAML text."""
    if len(text) > MAX_LENGTH:
        raise TaskError(f"{label}: expected at most {MAX_LENGTH:,} characters; received {len(text):,}", f"edit {label}")
    try:
        return yaml.load(text, Loader=BoundedLoader)  # noqa: S506 - a SafeLoader
    except MarkedYAMLError as error:
        raise TaskError(_message(text, label, error), f"edit {label}") from None
    except ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        place = f"line {line}, column {column}"
        message = f"{label}: not YAML: {place}: expected text; received a control character"
        raise TaskError(message, f"edit {label}") from None


def unfold(text: str) -> str:
    """Join plain keys, and plain text with repeated blanks, that DVC folded over lines.

    DVC cannot read back such keys, and reads several blanks as one.
    """
    for token in reversed([*_folded_scalars(text)]):
        text = text[: token.start_mark.index] + token.value + text[token.end_mark.index :]
    return text


def _folded_scalars(text: str) -> Iterator[yaml.ScalarToken]:
    """Yield the folded scalars that must be on one line."""
    key = False
    for token in yaml.scan(text, Loader=BoundedLoader):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.start_mark.line < token.end_mark.line:
            selected = key or "  " in token.value
            if selected and "\n" not in token.value:
                yield token
        key = isinstance(token, yaml.KeyToken) and token.start_mark.index == token.end_mark.index  # without a `?`


def _message(text: str, label: str, error: MarkedYAMLError) -> str:
    """Return a message with the position and the problem, then the line with a caret below the position."""
    mark = error.problem_mark or error.context_mark
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    kind = "" if isinstance(error, ConstructorError) else "not YAML: "
    if mark is None:
        return f"{label}: {kind}{problem}"
    number, column, line = _position(text, mark)
    start = max(0, column - MAX_SNIPPET // 2)
    snippet = f"    {line[start : start + MAX_SNIPPET]}\n    {' ' * (column - start)}^"
    return f"{label}: {kind}line {number + 1}, column {column + 1}: {problem}\n{snippet}"


def _position(text: str, mark: Mark) -> tuple[int, int, str]:
    """Return line, column and text of the line; for an incomplete text, the end of its last line."""
    lines, number, column = text.splitlines() or [""], mark.line, mark.column
    while number > 0 and not "".join(lines[number : number + 1]).strip():
        number -= 1
        column = len(lines[number]) if number < len(lines) else 0
    return number, column, lines[number].replace("\t", " ")


class CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain scalars of YAML 1.2, and with plain keys that DVC folded over lines."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as in PyYAML

    def fetch_plain(self) -> None:
        """Let a plain key span lines; PyYAML looks for its colon on the first line only."""
        super().fetch_plain()
        token = self.tokens[-1]
        key, start, end = self.possible_simple_keys.get(self.flow_level), token.start_mark, token.end_mark
        if key and key.index == start.index and end.line > start.line:
            key.line = end.line if self.flow_level or _indent(end) > key.column else key.line

    def check_key(self) -> bool:
        """Return whether an explicit key begins: a question mark before a blank; others are text."""
        return self.peek(1) in BLANKS

    def check_value(self) -> bool:
        """Return whether a value begins: a colon before a blank or a bracket, or right after a quoted key."""
        if not self.flow_level or self.peek(1) in BLANKS + ",[]{}":
            return bool(super().check_value())
        before = self.tokens[-1] if self.tokens else None
        return before is not None and before.end_mark.index == self.index and not getattr(before, "plain", False)

    def check_plain(self) -> bool:
        """Return whether plain text begins, also at other question marks and colons between brackets."""
        return bool(super().check_plain()) or self.peek() in "?:"

    def scan_plain(self) -> yaml.ScalarToken:
        """Read plain text including question marks, at which PyYAML ends it between brackets."""
        peek = super().peek
        self.peek = lambda index=0: "x" if (character := peek(index)) == "?" else character  # type: ignore[method-assign]
        try:
            token: yaml.ScalarToken = super().scan_plain()
        finally:
            del self.peek
        return token

    def scan_plain_spaces(self, indent: int, start_mark: Mark) -> list[str]:
        """Keep the blanks where DVC folded a line: it leaves them at the end of the line, where YAML drops them."""
        line, blanks = self.line, 0
        while self.peek(blanks) == " ":
            blanks += 1
        chunks: list[str] = super().scan_plain_spaces(indent, start_mark) or []
        return [" " * max(1, blanks)] if self.line > line and chunks == [" "] else chunks

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Return an integer: decimal, 0o17 or 0x1F."""
        text = self.construct_scalar(node)
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


class CoreDumper(yaml.SafeDumper):
    """PyYAML's safe dumper; it quotes text that YAML 1.1 or 1.2 would not read as text."""


def _indent(mark: Mark) -> int:
    """Return the indentation of the line at a position."""
    buffer = mark.buffer or ""
    line = buffer[buffer.rfind("\n", 0, mark.pointer) + 1 : mark.pointer]
    return len(line) - len(line.lstrip(" "))


for tag, spelled, first in SCALARS:
    pattern = re.compile(f"^(?:{spelled})$")
    CoreLoader.add_implicit_resolver(tag, pattern, list(first))
    CoreDumper.add_implicit_resolver(tag, pattern, list(first))
CoreDumper.add_implicit_resolver(FLOAT, re.compile(f"^(?:{NUMBERLIKE})$"), list("-+0123456789_."))
CoreLoader.add_constructor(INTEGER, CoreLoader.construct_integer)


class BoundedLoader(CoreLoader):
    """A loader with unique keys, keys that are always text, and limits on size and depth.

    PyYAML silently keeps the last of equal keys, recurses to any depth, and lets a few aliases expand to
    billions of values.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._count = 0
        self._sizes: dict[int, int] = {}  # of each node, with its aliases expanded

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Raise for nodes that are too deep, too large, or refer to themselves, before values are constructed."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        if self._depth == MAX_DEPTH:
            raise ConstructorError(None, None, f"expected at most {MAX_DEPTH} nested levels", mark)
        self._depth, before = self._depth + 1, self._count
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self._sizes:
                raise ConstructorError(None, None, f"alias *{event.anchor} refers to a node that contains it", mark)
            self._count += self._sizes[id(node)]
        else:
            self._count += 1 + len(event.value if isinstance(event, yaml.ScalarEvent) else "")
            self._sizes[id(node)] = self._count - before
        if self._count > MAX_EXPANDED:
            raise ConstructorError(
                None, None, f"expected at most {MAX_EXPANDED:,} characters with aliases expanded", mark
            )
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return a value; raise a ConstructorError for an invalid date or number."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, LookupError, OverflowError):  # PyYAML's, for `!!bool x`
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"expected a valid {kind}", node.start_mark) from None

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Return a scalar; raise for lone surrogates."""
        if isinstance(node.value, str) and SURROGATE.search(node.value):
            raise ConstructorError(None, None, "expected whole characters; received a lone surrogate", node.start_mark)
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return keys and values; keys stay text, so a column may be named 2020, no, or 2024-01-01."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "expected keys and values", node.start_mark)
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "expected text as a key", key.start_mark)
            if key.tag != "tag:yaml.org,2002:merge":
                key.tag = "tag:yaml.org,2002:str"
            if key.value in keys:
                raise ConstructorError(None, None, f"key '{key.value}' twice", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)
