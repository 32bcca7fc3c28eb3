"""A decision about a version: what was decided, why, on what evidence, by whom."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError, PydanticSerializationError

TRAFFIC = {"CHALLENGE", "END"}  # verdicts that begin and end a shadow or canary, and judge nothing

Value = TypeVar("Value")


class _Record(BaseModel):
    """What is read from inside a decision: no text is taken for a number, and unknown keys are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Check(_Record):
    """How one check ended; old ledgers hold no figures."""

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
    """What one model gains over another, with the interval."""

    new: float
    old: float
    value: float
    low: float
    high: float


class _Evidence(_Record):
    """What is read of the evidence later; the rest is only kept."""

    over_baseline: _Gain | None = None
    over_champion: _Gain | None = None
    simple: _Gain | None = None
    package: str | None = None
    code: str | None = None
    challenge: dict[str, Any] | None = None


def _like(kind: Any) -> Callable[[Value], Value]:
    """Return a function that refuses what has not the form of `kind`, and returns the rest as it is."""
    expected: TypeAdapter[Any] = TypeAdapter(kind)

    def checked(value: Value) -> Value:
        try:
            expected.validate_python(value)
        except ValidationError as error:
            raise PydanticCustomError("record", "{mistake}", {"mistake": mistake(error)}) from None
        return value

    return checked


def mistake(error: ValidationError) -> str:
    """Return the first mistake in a decision: where it is, and what was expected."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


class Decision(BaseModel):
    """One line of the ledger; the champion's pointer holds the decision that made it champion."""

    model_config = ConfigDict(frozen=True, extra="ignore")  # a later release may write more

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    time: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    task: str
    verdict: Literal["PROMOTE", "HOLD", "REJECT", "ROLLBACK", "APPROVE", "CHALLENGE", "END"]
    version: str
    champion: str | None = None  # the version before
    reasons: list[str]
    checks: Annotated[list[dict[str, Any]], AfterValidator(_like(list[_Check]))] = Field(default_factory=list)
    metric: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    baseline: dict[str, float] = Field(default_factory=dict)
    evidence: Annotated[dict[str, Any], AfterValidator(_like(_Evidence))] = Field(default_factory=dict)
    data: str = ""
    test: str = ""
    fingerprint: str = ""  # of all that was judged: the same again needs no second line
    parameters: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None
    commit: str | None = None
    dirty: bool | None = None
    who: str = ""

    @model_validator(mode="after")
    def _is_json(self) -> Self:
        """Refuse text that has no UTF-8, as half of a surrogate pair has none, and what is nested too deep to write."""
        try:
            self.model_dump_json()
        except PydanticSerializationError:
            raise PydanticCustomError("record", "expected text that UTF-8 can hold, not nested too deep") from None
        return self
