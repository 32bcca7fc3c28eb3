"""The command `check`: data quality findings such as leaks, drift and duplicates, most severe first."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tiltyard import files, plugins
from tiltyard.config.task import Task
from tiltyard.runtime.progress import status
from tiltyard.validation.findings import _previous_data
from tiltyard.validation.findings._dataset import CheckedData, Comparison, PreviousData, of_file, of_task
from tiltyard.validation.findings.base import Finding, Found, ranked
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Checked:
    """The findings about the data of a task, or about new data."""

    task: str
    rows: int
    rows_checked: int  # rows of the sample; repeated rows and, in tables, missing and refused cells are those of all
    repairs: list[str]
    findings: list[Found]

    @property
    def critical(self) -> bool:
        """Whether the data should not be used as they are."""
        return any(finding.severity == "critical" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the findings as JSON."""
        return asdict(self)


def check(workspace: Workspace, task: Task, against: Path | None = None) -> Checked:
    """Check the raw data of a task, or a file of new data against them, without fetching or training."""
    folder = workspace.raw(task.name)
    with status(f"reading the data of {task.name} ..."):
        subject = of_task(task, folder)
    if against:
        subject = of_file(task, against, subject, folder)
        subject = replace(subject, previous=PreviousData(comparisons=tuple(_new(subject))))
    else:
        data = files.sha256(folder)
        previous = _previous_data.previous_data(workspace, subject, data)
        subject = replace(subject, previous=replace(previous, comparisons=(*_parts(subject), *previous.comparisons)))
        _previous_data.record(workspace, task.name, data, subject.rows)
    findings: list[Found] = []
    for finding in _findings(subject):
        with status(f"looking for {finding.title} ..."):
            findings += finding.detect(subject)
    return Checked(task.name, subject.rows, len(subject.frame), subject.repairs, ranked(findings))


def _findings(subject: CheckedData) -> list[Finding]:
    """Return the findings that apply: for new data, only those that do not need a target."""
    findings: list[Finding] = [plugins.load("findings", name)() for name in plugins.names("findings")]
    return [finding for finding in findings if finding.serving or not subject.reference]


def _parts(subject: CheckedData) -> list[Comparison]:
    """Compare test rows with training rows, the target included."""
    if not subject.parts:
        return []
    train, test = subject.parts["train"], subject.parts["test"]
    values = {name: subject.columns[name].comparable() for name in _compared(subject)}
    for one in subject.by_target:
        if one.truth is not None and one.task.target.column not in values:
            values[one.task.target.column] = one.truth
    names = ("the training rows", "the test rows")
    return [Comparison(name, column[train], column[test], names) for name, column in values.items()]


def _compared(subject: CheckedData) -> list[str]:
    """Return the columns to compare: no dates if the split is by time, since these differ by design."""
    by_time = subject.task.split.kind == "chronological"
    return [name for name, column in subject.columns.items() if not (by_time and column.is_date)]


def _new(subject: CheckedData) -> list[Comparison]:
    """Compare new data with the training rows, or with all rows if they cannot be split."""
    reference = subject.reference
    if reference is None:
        return []
    shared = [name for name in _compared(subject) if name in reference.columns]
    names = ("the training rows", "the new rows")
    return [
        Comparison(
            name, reference.columns[name].comparable()[reference.train], subject.columns[name].comparable(), names
        )
        for name in shared
    ]
