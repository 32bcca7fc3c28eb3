"""The verb validate: raw data against everything a task expects of it, by Great Expectations."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from tiltyard import files, plugins
from tiltyard.config.task import Task
from tiltyard.errors import DataError
from tiltyard.validation import data_docs
from tiltyard.validation.suite import ExpectationOutcome, ResolvedExpectation, asked, judge
from tiltyard.workspace import Workspace


def validate(workspace: Workspace, task: Task) -> Validation:
    """Write result.json, and Data Docs beside it; a critical expectation that fails is a DataError.

    Data Docs hold times, so they are no output of the stage: they lie in out/TASK/docs with their own copy of
    result.json, there to be read also when the data failed and the stage has no output.
    """
    form = plugins.load("modalities", task.form)()
    facts = form.raw_table(task, workspace.raw(task.name))
    expected = {f"columns (implied {i})": e for i, e in enumerate(form.implied_expectations(task))}
    expected |= {f"expect[{i}]": e for i, e in enumerate(task.expect)}
    docs = workspace.out(task.name, "docs")
    with files.replacing_folder(docs) as folder:
        gx = data_docs.context()
        suite = [asked(key, expectation, facts.columns) for key, expectation in expected.items()]
        rows, found = judge(gx, task.name, suite, facts)
        data_docs.write(gx, task.name, [found[one.key].result for one in suite], folder)
        validation = Validation(task.name, rows, [_outcome(one, found[one.key]) for one in suite], facts.repairs)
        files.write_json(folder / "result.json", validation.to_json())
    if failed := validation.failed("critical"):
        raise DataError(
            "\n".join([f"raw data of {task.name} fails:", *(f"  {outcome.sentence()}" for outcome in failed)]),
            hint=f"look at {(docs / 'index.html').relative_to(workspace.root)}; then fix the data, "
            f"or fetch it again: tiltyard fetch --force {task.name}",
        )
    with files.replacing_folder(workspace.out(task.name, "validate")) as folder:
        files.write_json(folder / "result.json", validation.to_json())
    return validation


def _outcome(asked: ResolvedExpectation, judged: ExpectationOutcome) -> Outcome:
    found, arguments = judged.result.to_json_dict()["result"], asked.expectation.arguments
    values = found.get("partial_unexpected_list") or []
    columns = (arguments[k] for k in arguments if k.startswith("column"))
    return Outcome(
        expectation=asked.expectation.expectation,
        column=", ".join(", ".join(map(str, c)) if isinstance(c, list) else str(c) for c in columns),
        severity=asked.expectation.severity,
        success=bool(judged.result.success),
        arguments=arguments,
        observed=_plain(found.get("observed_value")),
        unexpected_count=found.get("unexpected_count"),
        unexpected=[{**row, "value": _plain(value)} for row, value in zip(judged.rows, values, strict=False)][:SHOWN],
    )


def _plain(value: Any) -> Any:
    """Return what JSON can hold: neither numpy's types nor infinities."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return None if math.isnan(value) else float(value) if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(value)


SHOWN = 10  # rows named for each expectation that failed


@dataclass(frozen=True)
class Outcome:
    """What became of one expectation."""

    expectation: str
    column: str
    severity: str
    success: bool
    arguments: dict[str, Any]
    observed: Any
    unexpected_count: int | None
    unexpected: list[dict[str, Any]]  # the first ten: row (or path) and value

    def sentence(self) -> str:
        """Name the expectation, the column, how many rows, and the first ten of them."""
        arguments = {k: v for k, v in self.arguments.items() if not k.startswith("column")}
        expected = ", ".join(f"{key}={value}" for key, value in arguments.items())
        text = f"{self.column or 'table'}: {self.expectation}" + (f" ({expected})" if expected else "")
        if self.unexpected_count is None:
            return f"{text}: observed {self.observed}"
        rows = "row" if self.unexpected_count == 1 else "rows"
        first = f", the first {SHOWN}" if self.unexpected_count > SHOWN else ""
        return f"{text}: {self.unexpected_count} {rows}{first}: {', '.join(map(_row, self.unexpected))}"


@dataclass(frozen=True)
class Validation:
    """The outcomes of all expectations about one version of a task's raw data."""

    task: str
    rows: int
    outcomes: list[Outcome]
    repairs: list[str] = field(default_factory=list)  # what was read otherwise than it stands in the file

    def failed(self, severity: str) -> list[Outcome]:
        """Return the failed expectations of one severity."""
        return [outcome for outcome in self.outcomes if not outcome.success and outcome.severity == severity]

    def to_json(self) -> dict[str, Any]:
        """Return what result.json holds: nothing in it changes from one run to the next over the same data."""
        counts = {"critical": len(self.failed("critical")), "warning": len(self.failed("warning"))}
        outcomes = [asdict(outcome) for outcome in self.outcomes]
        whole = {"task": self.task, "rows": self.rows, "repairs": self.repairs}
        return {**whole, "failed": counts, "expectations": outcomes}


def _row(found: dict[str, Any]) -> str:
    value = found["value"]
    return f"{found.get('path', found.get('row'))} ({'missing' if value is None else value})"
