"""The stage `validate`: check raw data against the expectations of a task with Great Expectations."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tiltyard import files, plugins
from tiltyard.config.task import Task
from tiltyard.data import table_reader
from tiltyard.data.joins.joined_table import joined_file
from tiltyard.errors import DataError
from tiltyard.expectation import Expectation
from tiltyard.preparation.modalities.base import RawTable
from tiltyard.validation import data_docs
from tiltyard.validation.suite import (
    ExpectationOutcome,
    ResolvedExpectation,
    evaluate,
    gx_context,
    implied_expectations,
    join_expectations,
    resolve,
)
from tiltyard.workspace import Workspace


def validate(workspace: Workspace, task: Task) -> Validation:
    """Validate raw data and write result.json and Data Docs; raise a DataError if a critical expectation fails.

    Data Docs contain times, so they are not an output of the stage: out/TASK/docs holds them with a copy of
    result.json, also if the data fail and the stage has no output.
    """
    raw, docs = workspace.raw(task.name), workspace.out(task.name, "docs")
    with files.atomic_folder(docs) as folder:
        gx = gx_context()
        checked = [_joined(gx, task, name, raw) for name in task.joins]
        if not any(table.failed for table in checked):
            checked.insert(0, _main(gx, task, raw))
        data_docs.write(gx, task.name, [result for table in checked for result in table.results()], folder)
        outcomes = [outcome for table in checked for outcome in table.outcomes()]
        validation = Validation(task.name, checked[0].rows, outcomes, checked[0].repairs)
        files.write_json(folder / "result.json", validation.to_json())
    if failed := validation.failed("critical"):
        raise DataError(
            "\n".join([f"raw data of {task.name} fails:", *(f"  {outcome.sentence()}" for outcome in failed)]),
            hint=f"look at {(docs / 'index.html').relative_to(workspace.root)}; then fix the data, "
            f"or fetch it again: tiltyard fetch --force {task.name}",
        )
    with files.atomic_folder(workspace.out(task.name, "validate")) as folder:
        files.write_json(folder / "result.json", validation.to_json())
    return validation


@dataclass(frozen=True)
class _CheckedTable:
    """The outcomes of the expectations about the rows of a task, or about one joined table."""

    join: str  # empty for the rows of the task
    rows: int
    repairs: list[str]
    evaluated: list[tuple[ResolvedExpectation, ExpectationOutcome]]

    @property
    def failed(self) -> bool:
        """Whether a critical expectation failed: then the tables are not joined."""
        return any(not evaluated.result.success and _is_critical(resolved) for resolved, evaluated in self.evaluated)

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes; those of a joined table name it beside the column."""
        outcomes = [_outcome(resolved, evaluated) for resolved, evaluated in self.evaluated]
        return [replace(one, column=f"{self.join}: {one.column}") if self.join else one for one in outcomes]

    def results(self) -> list[Any]:
        """Return the results of Great Expectations, likewise."""
        results = [evaluated.result for _, evaluated in self.evaluated]
        return [data_docs.about(self.join, result) for result in results] if self.join else results


def _is_critical(resolved: ResolvedExpectation) -> bool:
    return resolved.expectation.severity == "critical"


def _main(gx: Any, task: Task, raw: Path) -> _CheckedTable:
    """Check the rows of a task, joined."""
    modality = plugins.load("modalities", task.modality)()
    facts = modality.raw_table(task, raw)
    implied = implied_expectations(task, drops_rows=modality.drops_rows)
    expected = {f"columns (implied {i})": e for i, e in enumerate(implied)}
    expected |= {f"expect[{i}]": e for i, e in enumerate(task.expect)}
    return _check(gx, task.name, "", expected, facts)


def _joined(gx: Any, task: Task, name: str, raw: Path) -> _CheckedTable:
    """Check a joined table as its source wrote it."""
    table = table_reader.open_table(joined_file(raw, name), task.joins[name].dialect)
    facts = RawTable([*table.layout.columns], table.layout.repairs, lambda names: table.parts(names, CHUNK_ROWS))
    expected = {f"joins.{name} (implied {i})": e for i, e in enumerate(join_expectations(task.joins[name]))}
    expected |= {f"joins.{name}.expect[{i}]": e for i, e in enumerate(task.joins[name].expect)}
    return _check(gx, f"{task.name}-{name}", name, expected, facts)


def _check(gx: Any, asset: str, join: str, expected: dict[str, Expectation], facts: RawTable) -> _CheckedTable:
    suite = [resolve(key, expectation, facts.columns) for key, expectation in expected.items()]
    rows, outcomes = evaluate(gx, asset, suite, facts)
    return _CheckedTable(join, rows, facts.repairs, [(resolved, outcomes[resolved.key]) for resolved in suite])


def _outcome(resolved: ResolvedExpectation, evaluated: ExpectationOutcome) -> Outcome:
    result, arguments = evaluated.result.to_json_dict()["result"], resolved.expectation.arguments
    values = result.get("partial_unexpected_list") or []
    columns = (arguments[k] for k in arguments if k.startswith("column"))
    return Outcome(
        expectation=resolved.expectation.expectation,
        column=", ".join(", ".join(map(str, c)) if isinstance(c, list) else str(c) for c in columns),
        severity=resolved.expectation.severity,
        success=bool(evaluated.result.success),
        arguments=arguments,
        observed=_json_value(result.get("observed_value")),
        unexpected_count=result.get("unexpected_count"),
        unexpected=[{**row, "value": _json_value(value)} for row, value in zip(evaluated.rows, values, strict=False)][
            :MAX_ROWS_SHOWN
        ],
    )


def _json_value(value: Any) -> Any:
    """Return a value as a type of JSON, without numpy types and infinities."""
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(value) if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(value)


CHUNK_ROWS = 1 << 17  # of a joined table
MAX_ROWS_SHOWN = 10  # for each failed expectation


@dataclass(frozen=True)
class Outcome:
    """The outcome of one expectation."""

    expectation: str
    column: str
    severity: str
    success: bool
    arguments: dict[str, Any]
    observed: Any
    unexpected_count: int | None
    unexpected: list[dict[str, Any]]  # the first ten: row (or path) and value

    def sentence(self) -> str:
        """Return expectation, column, number of unexpected rows, and the first ten of them as a sentence."""
        arguments = {k: v for k, v in self.arguments.items() if not k.startswith("column")}
        expected = ", ".join(f"{key}={value}" for key, value in arguments.items())
        text = f"{self.column or 'table'}: {self.expectation}" + (f" ({expected})" if expected else "")
        if self.unexpected_count is None:
            return f"{text}: observed {self.observed}"
        rows = "row" if self.unexpected_count == 1 else "rows"
        first = f", the first {MAX_ROWS_SHOWN}" if self.unexpected_count > MAX_ROWS_SHOWN else ""
        return f"{text}: {self.unexpected_count} {rows}{first}: {', '.join(map(_row, self.unexpected))}"


@dataclass(frozen=True)
class Validation:
    """The outcomes of all expectations about one version of a task's raw data."""

    task: str
    rows: int
    outcomes: list[Outcome]
    repairs: list[str] = field(default_factory=list)  # how the cells differ from the text of the file

    def failed(self, severity: str) -> list[Outcome]:
        """Return the failed expectations of one severity."""
        return [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == severity]

    def to_json(self) -> dict[str, Any]:
        """Return the content of result.json, which is the same in each run with the same data."""
        counts = {"critical": len(self.failed("critical")), "warning": len(self.failed("warning"))}
        outcomes = [asdict(outcome) for outcome in self.outcomes]
        content = {"task": self.task, "rows": self.rows, "repairs": self.repairs}
        return {**content, "failed": counts, "expectations": outcomes}


def _row(row: dict[str, Any]) -> str:
    value = row["value"]
    return f"{row.get('path', row.get('row'))} ({'missing' if value is None else value})"
