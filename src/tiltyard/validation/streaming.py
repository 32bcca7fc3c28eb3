"""Evaluate row-level expectations chunk by chunk and merge the counts that Great Expectations judges by.

What its expectations ask about rows alone they ask through a `condition`, which says for each row whether it is
unexpected. The condition of a part needs no other part, so memory is that of a part, however many there are. Nor does
a mean, or the lowest and the highest value.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

KEPT = 20  # unexpected rows that are kept with their values; all are counted
FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": KEPT}
# conditions that ask of a row nothing about others
ALONE = {
    *(f"column_values.{name}" for name in ("between", "in_set", "not_in_set", "nonnull", "null")),
    *(f"column_values.{name}" for name in ("match_regex", "not_match_regex", "match_strftime_format")),
    *(f"column_values.{name}" for name in ("json_parseable", "dateutil_parseable")),
    *(f"column_pair_values.{name}" for name in ("a_greater_than_b", "equal", "in_set")),
}
# what is known of a table without looking at rows again
KNOWN = {"table.row_count", "table.columns", "table.column_count"}

# figures of a column that are found in each part, with the number of values, and put together
FIGURES: dict[str, Callable[[list[tuple[Any, int]]], Any]] = {
    "column.mean": lambda found: found[0][0] if len(found) == 1 else _mean(found),
    "column.min": lambda found: min(value for value, _ in found),
    "column.max": lambda found: max(value for value, _ in found),
}


@dataclass
class StreamingExpectation:
    """One expectation, and what it has found so far."""

    meant: Any  # Great Expectations' own object
    rows: int = 0
    asked: int = 0  # rows that the condition was about: those with a value, mostly
    missing: int = 0
    unexpected: int = 0
    kept: list[tuple[dict[str, Any], Any]] = field(default_factory=list)  # the first unexpected ones: row and value
    figures: list[tuple[Any, int]] = field(default_factory=list)  # of each part with values, if a figure is asked for

    @staticmethod
    def takes(meant: Any) -> bool:
        """Return whether an expectation can be judged part by part."""
        alone = getattr(meant, "map_metric", None) in ALONE or _known(meant) or _figure(meant) is not None
        return alone and getattr(meant, "row_condition", None) is None

    @property
    def columns(self) -> list[str]:
        """The columns that it looks at."""
        names = (getattr(self.meant, key, None) for key in ("column", "column_A", "column_B"))
        return [] if _known(self.meant) else [name for name in names if name]

    def add(self, part: pd.DataFrame) -> None:
        """Look at more rows."""
        self.rows += len(part)
        if not self.columns:
            return
        if figure := _figure(self.meant):
            known = part[self.columns[0]].dropna()
            if len(known):
                self.figures.append((getattr(known, figure.removeprefix("column."))(), len(known)))
            return
        unexpected = _condition(self.meant, part[self.columns])
        self.asked += len(unexpected)
        self.missing += int(part[self.columns[0]].isna().sum())
        found = unexpected.index[unexpected.to_numpy(dtype=bool)]
        self.unexpected += len(found)
        for row in found[: KEPT - len(self.kept)]:
            values = [part[name].loc[row] for name in self.columns]
            self.kept.append((named(part, row), values[0] if len(values) == 1 else tuple(values)))

    def result(self, columns: list[str]) -> Any:
        """Return what Great Expectations makes of all parts together."""
        from great_expectations.core import ExpectationValidationResult

        metric = getattr(self.meant, "map_metric", "")
        metrics = {
            "table.row_count": self.rows,
            "table.columns": columns,
            "table.column_count": len(columns),
            "column_values.nonnull.unexpected_count": self.missing,
            f"{metric}.unexpected_count": self.unexpected,
            f"{metric}.filtered_row_count": self.asked,
            f"{metric}.unexpected_values": [value for _, value in self.kept],
            f"{metric}.unexpected_index_list": [next(iter(row.values())) for row, _ in self.kept],
        }
        if figure := _figure(self.meant):
            metrics[figure] = FIGURES[figure](self.figures) if self.figures else math.nan
        whole = self.unexpected <= KEPT
        wanted = {**FORMAT, "result_format": "COMPLETE"} if whole else FORMAT
        found = self.meant._validate(metrics, {"result_format": wanted})  # noqa: SLF001 - from metrics to a result
        if not whole:  # counted among the first ones alone, values would be told wrongly
            found["result"].pop("partial_unexpected_counts", None)
        return ExpectationValidationResult(
            success=bool(found["success"]),
            expectation_config=self.meant.configuration,
            result=found.get("result", {}),
        )


def named(part: pd.DataFrame, row: Any) -> dict[str, Any]:
    """Name a row by its number, or a picture by its path."""
    return {"path": part["path"].loc[row]} if "path" in part else {"row": int(row)}


def _known(meant: Any) -> bool:
    return bool(meant.metric_dependencies) and set(meant.metric_dependencies) <= KNOWN


def _figure(meant: Any) -> str | None:
    return next((name for name in FIGURES if meant.metric_dependencies == (name,)), None)


def _mean(found: list[tuple[Any, int]]) -> float:
    return math.fsum(value * count for value, count in found) / sum(count for _, count in found)


def _condition(meant: Any, part: pd.DataFrame) -> pd.Series[bool]:
    """Ask Great Expectations which of the rows that an expectation is about are unexpected."""
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.registry import get_metric_provider

    engine = PandasExecutionEngine()
    engine.load_batch_data("part", part)
    provider, condition = get_metric_provider(f"{meant.map_metric}.condition", engine)
    settings = meant.configuration.kwargs
    domain = {key: settings[key] for key in meant.domain_keys if key in settings and key != "batch_id"}
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
