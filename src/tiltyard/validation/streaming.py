"""Evaluate row-level expectations chunk by chunk and merge the counts that Great Expectations judges by.

Great Expectations evaluates row-level expectations by a `condition` that marks each unexpected row. A chunk needs no
other chunk for it, so memory is bounded by the size of a chunk. Mean, minimum and maximum can also be merged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.preparation.modalities._fact_parts import BoundsOfFacts, DistinctFacts, FactPart

if TYPE_CHECKING:
    import pandas as pd

MAX_KEPT = 20  # unexpected rows kept with their values; all are counted
FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": MAX_KEPT}
# conditions that depend on one row only
ROW_CONDITIONS = {
    *(f"column_values.{name}" for name in ("between", "in_set", "not_in_set", "nonnull", "null")),
    *(f"column_values.{name}" for name in ("match_regex", "not_match_regex", "match_strftime_format")),
    *(f"column_values.{name}" for name in ("json_parseable", "dateutil_parseable")),
    *(f"column_pair_values.{name}" for name in ("a_greater_than_b", "equal", "in_set")),
}
NOT_NULL = "column_values.nonnull"
# conditions that hold for all numbers of a column if they hold for the least and the greatest
BOUNDED_CONDITIONS = {"column_values.between", NOT_NULL}
# metrics of a table that need no rows
TABLE_METRICS = {"table.row_count", "table.columns", "table.column_count"}

# metrics of a column that are computed for each chunk, with the number of values, and merged
COLUMN_METRICS: dict[str, Callable[[list[tuple[Any, int]]], Any]] = {
    "column.mean": lambda chunks: chunks[0][0] if len(chunks) == 1 else _mean(chunks),
    "column.min": lambda chunks: min(value for value, _ in chunks),
    "column.max": lambda chunks: max(value for value, _ in chunks),
}


@dataclass
class StreamingExpectation:
    """One expectation, and its counts so far."""

    gx_expectation: Any  # the object of Great Expectations
    rows: int = 0
    evaluated: int = 0  # rows to which the condition applies, mostly those with a value
    missing: int = 0
    unexpected: int = 0
    unexpected_rows: list[tuple[dict[str, Any], Any]] = field(default_factory=list)  # the first: row and value
    partial_values: list[tuple[Any, int]] = field(
        default_factory=list
    )  # value and count of each chunk, for a column metric

    @staticmethod
    def supports(gx_expectation: Any) -> bool:
        """Return whether an expectation can be evaluated chunk by chunk."""
        is_streamable = (
            getattr(gx_expectation, "map_metric", None) in ROW_CONDITIONS
            or _is_table_metric(gx_expectation)
            or _column_metric(gx_expectation) is not None
        )
        return is_streamable and getattr(gx_expectation, "row_condition", None) is None

    @property
    def columns(self) -> list[str]:
        """The columns that it needs."""
        names = (getattr(self.gx_expectation, key, None) for key in ("column", "column_A", "column_B"))
        return [] if _is_table_metric(self.gx_expectation) else [name for name in names if name]

    def add(self, part: FactPart, *, rows_have_paths: bool = False) -> None:
        """Evaluate more rows, by a summary of the column if that is sufficient."""
        if not self.columns:
            self.rows += part.rows
            return
        summary = None
        if len(self.columns) == 1 and not _column_metric(self.gx_expectation) and not rows_have_paths:
            summary = part.summary(self.columns[0])
        if isinstance(summary, DistinctFacts):
            self.rows += part.rows
            self._add_distinct(summary, part.start)
        elif not (isinstance(summary, BoundsOfFacts) and self._add_bounds(summary, part.rows)):
            self.add_frame(part.frame([*dict.fromkeys([*self.columns, *(["path"] if rows_have_paths else [])])]))

    def _add_distinct(self, column: DistinctFacts, start: int) -> None:
        """Evaluate each distinct value once, and find the rows of those that are unexpected."""
        name = self.columns[0]
        unexpected = _condition(self.gx_expectation, column.facts.to_frame(name))
        self.evaluated += int(column.counts[unexpected.index].sum())
        self.missing += int(column.counts[column.facts.isna().to_numpy(dtype=bool)].sum())
        values = unexpected.index[unexpected.to_numpy(dtype=bool)].to_numpy()
        self.unexpected += int(column.counts[values].sum())
        if len(values) and (space := MAX_KEPT - len(self.unexpected_rows)) > 0:
            rows = np.flatnonzero(np.isin(column.codes, values))[:space]
            self.unexpected_rows += [({"row": start + int(row)}, column.facts.loc[column.codes[row]]) for row in rows]

    def _add_bounds(self, column: BoundsOfFacts, rows: int) -> bool:
        """Evaluate the least and the greatest number; return whether they show that no row is unexpected."""
        condition = self.gx_expectation.map_metric
        if condition not in BOUNDED_CONDITIONS or (condition == NOT_NULL and column.missing):
            return False
        if _condition(self.gx_expectation, column.facts.to_frame(self.columns[0])).any():
            return False
        self.rows += rows
        self.evaluated += rows - column.missing
        self.missing += column.missing
        return True

    def merge(self, later: StreamingExpectation) -> None:
        """Add the counts of later rows."""
        self.rows += later.rows
        self.evaluated += later.evaluated
        self.missing += later.missing
        self.unexpected += later.unexpected
        self.unexpected_rows += later.unexpected_rows[: MAX_KEPT - len(self.unexpected_rows)]
        self.partial_values += later.partial_values

    def add_frame(self, part: pd.DataFrame) -> None:
        """Evaluate rows one by one."""
        self.rows += len(part)
        if metric_name := _column_metric(self.gx_expectation):
            present = part[self.columns[0]].dropna()
            if len(present):
                self.partial_values.append((getattr(present, metric_name.removeprefix("column."))(), len(present)))
            return
        unexpected = _condition(self.gx_expectation, part[self.columns])
        self.evaluated += len(unexpected)
        self.missing += int(part[self.columns[0]].isna().sum())
        rows = unexpected.index[unexpected.to_numpy(dtype=bool)]
        self.unexpected += len(rows)
        for row in rows[: MAX_KEPT - len(self.unexpected_rows)]:
            values = [part[name].loc[row] for name in self.columns]
            self.unexpected_rows.append((row_name(part, row), values[0] if len(values) == 1 else tuple(values)))

    def result(self, columns: list[str]) -> Any:
        """Return the result of Great Expectations for all chunks together."""
        from great_expectations.core import ExpectationValidationResult

        metric = getattr(self.gx_expectation, "map_metric", "")
        metrics = {
            "table.row_count": self.rows,
            "table.columns": columns,
            "table.column_count": len(columns),
            "column_values.nonnull.unexpected_count": self.missing,
            f"{metric}.unexpected_count": self.unexpected,
            f"{metric}.filtered_row_count": self.evaluated,
            f"{metric}.unexpected_values": [value for _, value in self.unexpected_rows],
            f"{metric}.unexpected_index_list": [next(iter(row.values())) for row, _ in self.unexpected_rows],
        }
        if metric_name := _column_metric(self.gx_expectation):
            metrics[metric_name] = COLUMN_METRICS[metric_name](self.partial_values) if self.partial_values else math.nan
        is_complete = self.unexpected <= MAX_KEPT
        result_format = {**FORMAT, "result_format": "COMPLETE"} if is_complete else FORMAT
        outcome = self.gx_expectation._validate(metrics, {"result_format": result_format})  # noqa: SLF001 - there is no public function from metrics to a result
        if not is_complete:  # the counts by value would cover the first ones only
            outcome["result"].pop("partial_unexpected_counts", None)
        return ExpectationValidationResult(
            success=bool(outcome["success"]),
            expectation_config=self.gx_expectation.configuration,
            result=outcome.get("result", {}),
        )


def row_name(part: pd.DataFrame, row: Any) -> dict[str, Any]:
    """Return the name of a row: its number, or the path of an image."""
    return {"path": part["path"].loc[row]} if "path" in part else {"row": int(row)}


def _is_table_metric(gx_expectation: Any) -> bool:
    return bool(gx_expectation.metric_dependencies) and set(gx_expectation.metric_dependencies) <= TABLE_METRICS


def _column_metric(gx_expectation: Any) -> str | None:
    return next((name for name in COLUMN_METRICS if gx_expectation.metric_dependencies == (name,)), None)


def _mean(chunks: list[tuple[Any, int]]) -> float:
    return math.fsum(value * count for value, count in chunks) / sum(count for _, count in chunks)


def _condition(gx_expectation: Any, part: pd.DataFrame) -> pd.Series[bool]:
    """Return which of the rows are unexpected, by the condition of Great Expectations."""
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.registry import get_metric_provider

    engine = PandasExecutionEngine()
    engine.load_batch_data("part", part)
    provider, condition = get_metric_provider(f"{gx_expectation.map_metric}.condition", engine)
    settings = gx_expectation.configuration.kwargs
    domain = {key: settings[key] for key in gx_expectation.domain_keys if key in settings and key != "batch_id"}
    domain |= {"ignore_row_if": settings["ignore_row_if"]} if "ignore_row_if" in settings else {}
    unexpected, _, _ = condition(
        provider,
        execution_engine=engine,
        metric_domain_kwargs=domain,
        metric_value_kwargs={key: settings.get(key) for key in provider.condition_value_keys},
        metrics={"table.columns": [*part.columns]},
        runtime_configuration={},
    )
    return unexpected  # type: ignore[no-any-return]
