"""What a package tells of its plug-ins, so that the contract tests can use them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SourceExample:
    """Settings with which a source can fetch where the tests run."""

    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FormatExample:
    """A file of a format: its suffix, its bytes, and the names of its columns and number of rows."""

    suffix: str
    content: bytes
    columns: Sequence[str]
    rows: int


@dataclass(frozen=True)
class ColumnExample:
    """Settings of a column, and values that a client may send for it."""

    settings: Mapping[str, Any]
    values: Sequence[Any]


@dataclass(frozen=True)
class ModelExample:
    """Settings of a family that make a small network, and the shape of a row; that of its modality if unset."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class ProblemExample:
    """Outputs of a network for some rows, with `target:` of a task and its labels."""

    outputs: Sequence[Any]
    target: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class CheckExample:
    """Changes to a duel, by the names of its fields, with which a check passes and fails."""

    passes: Mapping[str, Any] = field(default_factory=dict)
    fails: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FindingExample:
    """Columns of the customer table to replace, keys of its task to change, and the columns that must be reported."""

    columns: Mapping[str, Any]
    reported: Sequence[str]
    task: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ExplanationExample:
    """Nothing is needed: the method explains a network of irises."""


# The default is used if a package gives no example; None: there must be one.
DEFAULTS: dict[str, Any] = {
    "sources": SourceExample(),
    "formats": None,
    "columns": None,
    "models": ModelExample(),
    "problems": None,
    "checks": CheckExample(),
    "findings": None,
    "explanations": ExplanationExample(),
}
KINDS: dict[str, type] = {
    "sources": SourceExample,
    "formats": FormatExample,
    "columns": ColumnExample,
    "models": ModelExample,
    "problems": ProblemExample,
    "checks": CheckExample,
    "findings": FindingExample,
    "explanations": ExplanationExample,
}
