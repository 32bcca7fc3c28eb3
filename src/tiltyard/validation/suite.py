"""The expectations of a task as Great Expectations' own, and how rows are held against them in bounded memory."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tiltyard.errors import TaskError
from tiltyard.expectation import Expectation
from tiltyard.preparation.modalities.base import RawTable
from tiltyard.validation import data_docs
from tiltyard.validation.streaming import StreamingExpectation, named

if TYPE_CHECKING:
    import pandas as pd

ROOM = 1 << 28  # bytes of columns that are held to be judged whole


@dataclass(frozen=True)
class ExpectationOutcome:
    """What became of one expectation: Great Expectations' own result, and the names of the rows in it."""

    result: Any
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class ResolvedExpectation:
    """One expectation of a task, as it is written and as Great Expectations means it."""

    key: str
    expectation: Expectation
    meant: Any

    @property
    def columns(self) -> list[str]:
        """The columns that it names; none if it is about the whole table, or says for which rows it holds."""
        arguments = self.expectation.arguments
        named = [arguments[name] for name in arguments if name.startswith("column")]
        names = [one for some in named for one in (some if isinstance(some, list | tuple) else [some])]
        return [] if "row_condition" in arguments else sorted({one for one in names if isinstance(one, str)})

    def about(self, facts: RawTable) -> list[str]:
        """Name the columns that must be there to judge it; the path of a picture, to name it, among them."""
        return [one for one in facts.columns if not self.columns or one in self.columns or one == "path"]

    def refused(self, problem: object) -> TaskError:
        """Return the error for what cannot be asked of these data: the task file is at fault."""
        return TaskError(f"{self.key}: {self.expectation.expectation} could not be computed: {problem}")


def asked(key: str, expectation: Expectation, columns: list[str]) -> ResolvedExpectation:
    """Return an expectation with Great Expectations' own object, or say what about it cannot be meant."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    from great_expectations.expectations import registry

    name, arguments = expectation.expectation, expectation.arguments
    known = registry.list_registered_expectation_implementations()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or sorted(known)
        raise TaskError(f"{key}.expectation: no '{name}'; expected one of {', '.join(near)}")
    for argument in (k for k in arguments if k.startswith("column")):
        _check_columns(f"{key}.arguments.{argument}", arguments[argument], columns)
    try:
        meant = registry.get_expectation_impl(name)(**arguments, severity=expectation.severity, meta={"key": key})
    except (ValueError, TypeError) as error:
        raise TaskError(f"{key}.arguments: {_complaint(error)}; received {arguments}") from None
    return ResolvedExpectation(key, expectation, meant)


def judge(
    gx: Any, name: str, suite: list[ResolvedExpectation], facts: RawTable
) -> tuple[int, dict[str, ExpectationOutcome]]:
    """Compare data with expectations; give the number of rows, and what became of each expectation by its key."""
    sieves = {one.key: StreamingExpectation(one.meant) for one in suite if StreamingExpectation.takes(one.meant)}
    others = [one for one in suite if one.key not in sieves]
    held: list[pd.DataFrame] = []
    rows = 0
    for part in _kept(facts, [*sieves.values()], sorted({name for one in others for name in one.about(facts)}), held):
        rows += len(part)
        _sift(part, sieves, suite)
    found = {
        key: ExpectationOutcome(sieve.result(facts.columns), [row for row, _ in sieve.kept])
        for key, sieve in sieves.items()
    }
    if held:
        facts = replace(facts, chunks=lambda names: (part[[*names]] for part in held))
    for judged in _with_whole_columns(gx, name, others, facts):
        found[judged.result.expectation_config.meta["key"]] = judged
    for one in suite:
        if problem := _exception(found[one.key].result.exception_info or {}):
            raise one.refused(problem)
    return rows, found


def _kept(
    facts: RawTable, sieves: list[StreamingExpectation], whole: list[str], held: list[pd.DataFrame]
) -> Iterator[pd.DataFrame]:
    """Read once, and hold on to the columns that are wanted whole while there is room: else they are read again."""
    wanted = {*whole, *(name for sieve in sieves for name in sieve.columns)}
    names = [name for name in facts.columns if name in wanted or name == "path"] or facts.columns[:1]
    room = ROOM if whole else 0
    for part in facts.chunks(names):
        if room > 0:
            held.append(part[whole])
            room -= int(held[-1].memory_usage().sum())
        if room <= 0:
            held.clear()
        yield part


def _sift(part: pd.DataFrame, sieves: dict[str, StreamingExpectation], suite: list[ResolvedExpectation]) -> None:
    """Let rows go through the sieves."""
    for one in (one for one in suite if one.key in sieves):
        try:
            sieves[one.key].add(part)
        except Exception as error:  # noqa: BLE001 - whatever Great Expectations raises is about the task file
            raise one.refused(error) from None


def _with_whole_columns(
    gx: Any, name: str, suite: list[ResolvedExpectation], facts: RawTable
) -> Iterator[ExpectationOutcome]:
    """Judge what asks about a column as a whole, such as its mean; those alike in columns together."""
    import pandas as pd

    for _, some in groupby(sorted(suite, key=lambda one: one.columns), key=lambda one: one.columns):
        meant = [*some]
        frame = pd.concat(facts.chunks(meant[0].about(facts)))
        for result in data_docs.judged(gx, name, [one.meant for one in meant], frame):
            places = result.result.get("partial_unexpected_index_list") or []
            yield ExpectationOutcome(result, [named(frame, place) for place in places])


def _check_columns(key: str, names: Any, known: list[str]) -> None:
    for name in names if isinstance(names, list | tuple | set) else [names]:
        if isinstance(name, str) and name not in known:
            raise TaskError(f"{key}: no column '{name}'; expected one of {', '.join(known)}")


def _complaint(error: Exception) -> str:
    """Shorten the complaint of the pydantic that Great Expectations carries."""
    errors = error.errors() if hasattr(error, "errors") else []
    texts = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix("__root__: ") for e in errors)
    return "; ".join(dict.fromkeys(texts)) or str(error)


def _exception(info: dict[str, Any]) -> str:
    """Find the message: Great Expectations nests it by metric when a metric failed."""
    inner = [info, *(value for value in info.values() if isinstance(value, dict))]
    return next((str(i["exception_message"]) for i in inner if i.get("raised_exception")), "")
