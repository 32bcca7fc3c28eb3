"""What is asked of a draft, what it consists of, and what the request decides: columns that are left out, the split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.joins import JoinRequest
from tiltyard.config.draft.targets import ProblemName
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError, TaskError


@dataclass(frozen=True)
class DraftRequest:
    """The options of `tiltyard init`."""

    data: str
    target: str = ""  # required for a table
    more_targets: tuple[str, ...] = field(default=(), kw_only=True)  # further numbers to predict with it
    problem: ProblemName | None = None
    drop: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None
    normal: tuple[str, ...] = ()  # the labels of normal rows, for anomalies
    separator: str | None = None  # the text between two labels of a cell of the target
    user: str | None = None  # recommendation: the columns of user and item
    item: str | None = None
    dialect: Dialect = field(default_factory=Dialect)  # how the user says the file is written
    joins: tuple[JoinRequest, ...] = ()

    @property
    def targets(self) -> list[str]:
        """All columns to predict."""
        return [self.target, *self.more_targets]


LEAK = "leaks the target"  # begins the reason to leave out a column


@dataclass(frozen=True)
class Draft:
    """The sections of a task file, and the profiles behind them."""

    content: dict[str, Any]
    rows: int
    traits: list[ColumnProfile]
    repairs: list[str]
    comments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """The kind of problem."""
        return str(self.content["problem"])


def as_asked(profile: ColumnProfile, request: DraftRequest) -> ColumnProfile:
    """Return the profile of a feature, left out if the request says so."""
    reasons = dict.fromkeys(request.drop, "dropped by --drop")
    reasons |= {request.time or "": "the column of times", request.group or "": "the column of groups"}
    return replace(profile, reason=reasons[profile.name]) if profile.name in reasons else profile


def features_of(traits: list[ColumnProfile]) -> list[ColumnProfile]:
    """Return the features; a free text or columns that seem to leak are kept only if there is no other feature."""
    features = [profile for profile in traits if not profile.reason]
    texts = [profile for profile in traits if profile.kind == "text" and profile.reason.startswith("free text")]
    if not features and len(texts) == 1:
        return [replace(texts[0], reason="")]
    leaks = [profile for profile in traits if profile.reason.startswith(LEAK)]
    if not features and leaks:
        return [replace(profile, reason="") for profile in leaks]
    if not features:
        why = "; ".join(f"{profile.name}: {profile.reason}" for profile in traits)
        hint = "add a column that is known at prediction time and varies, or choose another --target"
        raise DataError(f"no column is left to learn from: {why or 'there is only the target'}", hint)
    return features


def kept_leaks(traits: list[ColumnProfile], features: list[ColumnProfile]) -> list[str]:
    """Return a sentence for each column that seems to leak and is kept, since there is no other."""
    kept = {profile.name for profile in features}
    suspected = [profile for profile in traits if profile.name in kept and profile.reason.startswith(LEAK)]
    advice = "kept, as no other column is left; if it is not known at prediction time, choose another target"
    return [f"{profile.name}: {profile.reason}: {advice}" for profile in suspected]


def split_section(request: DraftRequest, problem: ProblemName, traits: list[ColumnProfile]) -> dict[str, Any]:
    """Return a split at random, by time, or by groups, as requested."""
    if request.time and request.group:
        raise TaskError("--time and --group: expected both only for a forecast", hint="add --problem forecasting")
    if request.time:
        time_format = next((profile.column.get("format", "") for profile in traits if profile.name == request.time), "")
        format_settings = {} if not time_format or time_format.startswith("%Y-%m") else {"format": time_format}
        return {"kind": "chronological", "by": request.time, **format_settings}
    kind = "stratified" if problem == "classification" else "random"
    return {"kind": kind, "group": request.group} if request.group else {"kind": kind}
