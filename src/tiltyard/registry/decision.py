"""A decision about a version, as a ledger line: verdict, reasons, evidence, and provenance (actor, commit, code)."""

from __future__ import annotations

import getpass
import os
import subprocess
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError, PydanticSerializationError

from tiltyard import files
from tiltyard.workspace import PACKAGE, Workspace

# Start and end of a shadow or canary, and steps of `tiltyard watch`: these verdicts judge nothing.
TRAFFIC_VERDICTS = {"CHALLENGE", "END", "OPERATE"}

Value = TypeVar("Value")

TRACKED_PATHS = (
    "src",
    "pipelines",
    "tasks",
    "dvc.yaml",
    "params.yaml",
)  # files that make the tree dirty if they are not committed
# Code that a verdict depends on: after a change of it, held versions are judged again.
JUDGING_CODE = (
    *("evaluation", "gate", "modeling", "monitoring", "preparation", "plugins.py"),
    *("config/gate_section.py", "config/task.py", "registry/approve.py", "registry/decision.py"),
    *("serving/recording/drift_gauges.py", "serving/packaging/model_card.py"),
)


class _Record(BaseModel):
    """Strict validation of nested parts: no text is converted to a number, and unknown keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Check(_Record):
    """The outcome of one check; old ledgers have no values."""

    code: str
    title: str
    state: Literal["passed", "failed", "not applicable"]
    text: str
    severity: Literal["HOLD", "REJECT"]
    repeatable: bool
    observed: float | None = None
    limit: float | None = None
    interval: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    rows: int | None = None


class _Gain(_Record):
    """The gain of one model over another, with its interval."""

    new: float
    old: float
    value: float
    low: float
    high: float


class _Override(_Record):
    """A person's word against a HOLD."""

    who: str
    reason: str
    failed: list[str]


class _Blend(_Record):
    """What a model consists of that averages a network with references, in words."""

    summary: str


class _Facts(_Record):
    """The facts about a model that are read later."""

    blend: _Blend | None = None
    stand_in: str | None = None


class _Evidence(_Record):
    """The evidence that is read later; other keys are only stored."""

    over_baseline: _Gain | None = None
    over_champion: _Gain | None = None
    simple: _Gain | None = None
    package: str | None = None
    code: str | None = None
    challenge: dict[str, Any] | None = None
    override: _Override | None = None
    facts: _Facts | None = None


def _matches(kind: Any) -> Callable[[Value], Value]:
    """Return a validator that refuses values without the structure of `kind`, and returns others unchanged."""
    expected: TypeAdapter[Any] = TypeAdapter(kind)

    def checked(value: Value) -> Value:
        try:
            expected.validate_python(value)
        except ValidationError as error:
            raise PydanticCustomError("record", "{mistake}", {"mistake": first_error(error)}) from None
        return value

    return checked


def first_error(error: ValidationError) -> str:
    """Return the first validation error: where it is, and what was expected."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


class Decision(BaseModel):
    """One line of the ledger; the champion's pointer holds the decision that made it champion."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may add fields

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    time: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    task: str
    verdict: Literal["PROMOTE", "HOLD", "REJECT", "ROLLBACK", "APPROVE", "CHALLENGE", "END", "OPERATE"]
    version: str
    champion: str | None = None  # the previous version
    reasons: list[str]
    checks: Annotated[list[dict[str, Any]], AfterValidator(_matches(list[_Check]))] = Field(default_factory=list)
    metric: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    baseline: dict[str, float] = Field(default_factory=dict)
    evidence: Annotated[dict[str, Any], AfterValidator(_matches(_Evidence))] = Field(default_factory=dict)
    data: str = ""
    test: str = ""
    fingerprint: str = ""  # hash of the judged inputs: an identical verdict is not recorded twice
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    commit: str | None = None
    dirty: bool | None = None
    who: str = ""

    @model_validator(mode="after")
    def _is_json(self) -> Self:
        """Refuse text that UTF-8 cannot encode, such as half a surrogate pair, and content nested too deep to write."""
        try:
            self.model_dump_json()
        except PydanticSerializationError:
            raise PydanticCustomError("record", "expected text that UTF-8 can hold, not nested too deep") from None
        return self


def provenance(workspace: Workspace) -> dict[str, Any]:
    """Return actor, commit and whether the working tree is dirty; outside git the commit is None."""
    commit = _git(workspace, "rev-parse", "HEAD")
    changes = _git(workspace, "status", "--porcelain", "--untracked-files=all", "--", *TRACKED_PATHS)
    dirty = None if commit is None or changes is None else bool(changes)
    return {"commit": commit, "dirty": dirty, "who": _actor()}


def code_digest() -> str:
    """Return the hash of the installed code that judges."""
    places = [PACKAGE / name for name in JUDGING_CODE]
    return files.sha256(*(path for place in places for path in _modules(place)))


def _modules(place: Path) -> list[Path]:
    return sorted(place.rglob("*.py")) if place.is_dir() else [place]


def _git(workspace: Workspace, *arguments: str) -> str | None:
    command = ["git", "-C", str(workspace.root), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def _actor() -> str:
    """Return TILTYARD_ACTOR, for schedulers and CI, or the user; a container may have no name for its user."""
    try:
        name = os.environ.get("TILTYARD_ACTOR") or getpass.getuser()
        return name.encode(errors="replace").decode()  # invalid UTF-8 arrives as surrogates, which cannot be written
    except (KeyError, OSError):
        return f"user {os.getuid()}"
