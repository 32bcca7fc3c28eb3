"""Expectation suites: what a task expects or implies, as Great Expectations, evaluated in bounded memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from tiltyard.errors import TaskError, similar_names
from tiltyard.expectation import Expectation
from tiltyard.preparation.modalities._fact_parts import FactPart
from tiltyard.preparation.modalities.base import RawTable, single_targets
from tiltyard.runtime import library_imports, threads
from tiltyard.validation.streaming import FORMAT, StreamingExpectation, row_name

if TYPE_CHECKING:
    import pandas as pd


from tiltyard.config.join_section import Join
from tiltyard.config.task import Task
from tiltyard.expectation import between, in_set, matches_regex, not_null, row_count, unique

Result = TypeVar("Result")
MAX_HELD_BYTES = 1 << 28  # of columns kept in memory for expectations that need whole columns


@dataclass(frozen=True)
class ExpectationOutcome:
    """The result of one expectation, and the names of its unexpected rows."""

    result: Any
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class ResolvedExpectation:
    """One expectation of a task, with its object of Great Expectations."""

    key: str
    expectation: Expectation
    gx_expectation: Any

    @property
    def columns(self) -> list[str]:
        """The columns that it names; empty if it concerns the whole table, or has a row condition."""
        arguments = self.expectation.arguments
        values = [arguments[name] for name in arguments if name.startswith("column")]
        names = [name for value in values for name in (value if isinstance(value, list | tuple) else [value])]
        return [] if "row_condition" in arguments else sorted({name for name in names if isinstance(name, str)})

    def columns_needed(self, facts: RawTable) -> list[str]:
        """Return the columns needed to evaluate it, including the path of images, by which rows are named."""
        return [column for column in facts.columns if not self.columns or column in self.columns or column == "path"]

    def error(self, problem: object) -> TaskError:
        """Return the error for an expectation that cannot be computed on these data."""
        return TaskError(f"{self.key}: {self.expectation.expectation} could not be computed: {problem}")


def resolve(key: str, expectation: Expectation, columns: list[str]) -> ResolvedExpectation:
    """Resolve an expectation to Great Expectations; raise a TaskError for an unknown name, column or argument."""
    _load_great_expectations()
    from great_expectations.expectations import registry

    name, arguments = expectation.expectation, expectation.arguments
    implementations = registry.list_registered_expectation_implementations()
    if name not in implementations:
        similar = similar_names(name, implementations, limit=3) or sorted(implementations)
        raise TaskError(f"{key}.expectation: no '{name}'; expected one of {', '.join(similar)}")
    for argument in (k for k in arguments if k.startswith("column")):
        _check_columns(f"{key}.arguments.{argument}", arguments[argument], columns)
    try:
        gx_expectation = registry.get_expectation_impl(name)(
            **arguments, severity=expectation.severity, meta={"key": key}
        )
    except (ValueError, TypeError) as error:
        raise TaskError(f"{key}.arguments: {_short_error(error)}; received {arguments}") from None
    return ResolvedExpectation(key, expectation, gx_expectation)


def evaluate(
    gx: Any, name: str, suite: list[ResolvedExpectation], facts: RawTable
) -> tuple[int, dict[str, ExpectationOutcome]]:
    """Evaluate expectations; return the number of rows, and the outcome of each expectation by its key."""
    streamed = [resolved for resolved in suite if StreamingExpectation.supports(resolved.gx_expectation)]
    unstreamed = [resolved for resolved in suite if not StreamingExpectation.supports(resolved.gx_expectation)]
    streams = {resolved.key: StreamingExpectation(resolved.gx_expectation) for resolved in streamed}
    rows, frames = _read(
        facts, streamed, streams, sorted({name for resolved in unstreamed for name in resolved.columns_needed(facts)})
    )
    outcomes = {
        key: ExpectationOutcome(stream.result(facts.columns), [row for row, _ in stream.unexpected_rows])
        for key, stream in streams.items()
    }
    if frames:
        facts = replace(facts, chunks=lambda names: (part[[*names]] for part in frames))
    for outcome in _with_whole_columns(gx, name, unstreamed, facts):
        outcomes[outcome.result.expectation_config.meta["key"]] = outcome
    for resolved in suite:
        if problem := _exception(outcomes[resolved.key].result.exception_info or {}):
            raise resolved.error(problem)
    return rows, outcomes


def _read(
    facts: RawTable,
    streamed: list[ResolvedExpectation],
    streams: dict[str, StreamingExpectation],
    unstreamed_columns: list[str],
) -> tuple[int, list[pd.DataFrame]]:
    """Add all rows to streaming expectations, several chunks at a time.

    Return the number of rows, and the columns that are needed whole, unless they exceed the limit.
    """
    rows, frames, space_left = 0, [], MAX_HELD_BYTES if unstreamed_columns else 0

    def evaluate_part(part: FactPart) -> tuple[list[StreamingExpectation], pd.DataFrame | None]:
        return _add_rows(part, streamed, facts), part.frame(unstreamed_columns) if space_left > 0 else None

    for part, (counts, frame) in _results(
        evaluate_part, facts.parts(_columns_read(facts, streams, unstreamed_columns))
    ):
        rows += part.rows
        for stream, part_counts in zip(streams.values(), counts, strict=True):
            stream.merge(part_counts)
        if frame is not None and space_left > 0:
            frames.append(frame)
            space_left -= int(frame.memory_usage().sum())
        if space_left <= 0:
            frames.clear()
    return rows, frames


def _results(function: Callable[[FactPart], Result], parts: Iterator[FactPart]) -> Iterator[tuple[FactPart, Result]]:
    return threads.ordered(lambda part: (part, function(part)), parts)


def _columns_read(
    facts: RawTable, streams: dict[str, StreamingExpectation], unstreamed_columns: list[str]
) -> list[str]:
    needed = {*unstreamed_columns, *(name for stream in streams.values() for name in stream.columns)}
    return [name for name in facts.columns if name in needed or name == "path"] or facts.columns[:1]


def _add_rows(part: FactPart, suite: list[ResolvedExpectation], facts: RawTable) -> list[StreamingExpectation]:
    """Return the counts of a chunk for each streaming expectation."""
    part = replace(part, summary=functools.cache(part.summary))  # several expectations are about the same column
    streams = [StreamingExpectation(resolved.gx_expectation) for resolved in suite]
    for resolved, stream in zip(suite, streams, strict=True):
        try:
            stream.add(part, rows_have_paths="path" in facts.columns)
        except Exception as error:  # noqa: BLE001 - any error here is caused by the task file
            raise resolved.error(error) from None
    return streams


def gx_context() -> Any:
    """Return a Great Expectations context without files, progress bars and telemetry."""
    _load_great_expectations()
    import great_expectations

    gx = great_expectations.get_context(mode="ephemeral")
    gx.variables.progress_bars = {"globally": False}
    return gx


def _load_great_expectations() -> None:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    library_imports.load("great_expectations.expectations.registry")


def validate_frame(gx: Any, name: str, expectations: list[Any], frame: pd.DataFrame) -> list[Any]:
    """Validate whole columns; return the result of each expectation, in any order."""
    from great_expectations import ExpectationSuite

    asset = gx.data_sources.add_or_update_pandas(name).add_dataframe_asset("raw")
    data = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    results: list[Any] = data.validate(
        ExpectationSuite(name=name, expectations=expectations), result_format=FORMAT
    ).results
    return results


def _with_whole_columns(
    gx: Any, name: str, suite: list[ResolvedExpectation], facts: RawTable
) -> Iterator[ExpectationOutcome]:
    """Evaluate expectations that need whole columns; those with the same columns together."""
    import pandas as pd

    for _, members in groupby(
        sorted(suite, key=lambda resolved: resolved.columns), key=lambda resolved: resolved.columns
    ):
        group = [*members]
        frame = pd.concat(facts.chunks(group[0].columns_needed(facts)))
        for result in validate_frame(gx, name, [resolved.gx_expectation for resolved in group], frame):
            places = result.result.get("partial_unexpected_index_list") or []
            yield ExpectationOutcome(result, [row_name(frame, place) for place in places])


def _check_columns(key: str, names: Any, columns: list[str]) -> None:
    for name in names if isinstance(names, list | tuple | set) else [names]:
        if isinstance(name, str) and name not in columns:
            raise TaskError(f"{key}: no column '{name}'; expected one of {', '.join(columns)}")


def _short_error(error: Exception) -> str:
    """Shorten an error of the pydantic version inside Great Expectations."""
    errors = error.errors() if hasattr(error, "errors") else []
    texts = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix("__root__: ") for e in errors)
    return "; ".join(dict.fromkeys(texts)) or str(error)


def _exception(info: dict[str, Any]) -> str:
    """Return the message of an exception, which Great Expectations nests by metric if a metric failed."""
    inner = [info, *(value for value in info.values() if isinstance(value, dict))]
    return next((str(i["exception_message"]) for i in inner if i.get("raised_exception")), "")


def implied_expectations(task: Task, *, drops_rows: bool) -> list[Expectation]:
    """Return the expectations; `drops_rows` says whether rows without a target may be left out."""
    cells = task.modality == "mixed"
    columns = [
        expected
        for name, column in task.columns.items()
        for expected in (column.cell_expectations(name) if cells else column.expectations(name))
    ]
    targets = [e for single in single_targets(task) for e in _target_expectations(single, drops_rows=drops_rows)]
    return [row_count(task.rows), *columns, *targets]


def join_expectations(join: Join) -> list[Expectation]:
    """Return what a join implies for the joined table: keys that are unique, and known if possible."""
    names = [*join.keys.values(), *([join.times[1]] if join.times else [])]
    known = [not_null(name).model_copy(update={"severity": "warning"}) for name in names]
    return [*known, *([] if join.duplicates == "last" else [unique(names)])]


def _target_expectations(task: Task, *, drops_rows: bool) -> list[Expectation]:
    if not task.target.column:
        return []
    name, bounds = task.target.column, task.target.bounds
    share = task.target.drop_missing if drops_rows else 0.0
    # a row may have no labels, and a picture no objects
    required = name not in task.columns and task.problem_type.targets not in ("labels", "objects", "anomaly")
    expected = [not_null(name, 1 - share)] if required else []
    expected += [between(name, bounds)] if bounds else []
    if task.problem == "captioning":
        more = (task.target.length or 1) - 1
        expected.append(matches_regex(name, rf"^\s*\S+(?:\s+\S+){{0,{more}}}\s*$"))  # words, at most as many as fit
    return expected + ([in_set(name, task.target.labels)] if task.target.labels else [])
