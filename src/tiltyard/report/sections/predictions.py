"""Plots of predictions, figures of each class, label and slice, and the rows with the largest errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.figures import Figure
from tiltyard.files import Json
from tiltyard.modeling.metrics.base import Context
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.report.html_elements import Section, render_figures, render_table
from tiltyard.report.sections.decisions import decision_figures, with_intervals
from tiltyard.report.sections.errors import features_section, slice_records

MAX_COLUMNS = 12  # columns of an instance that are shown
MAX_CHARACTERS = 400


def prediction_sections(
    task: Task, report: Json, predictions: Predictions, figures: Sequence[Figure] = ()
) -> list[Section]:
    """Return the sections about predictions; `figures` are drawn first."""
    drawn = [with_intervals(figure, task.gate.confidence) for figure in task.evaluator.figures(predictions)]
    decisions = decision_figures(task, predictions)
    folded = [figure for figure in drawn if figure.kind == "table" and len(task.classes) == 2 and decisions]
    rates = f"<details><summary>Rates as tables</summary>{render_figures(folded)}</details>" if folded else ""
    shown = [figure for figure in drawn if figure not in folded]
    return [
        Section("Decisions", render_figures(decisions)),
        Section("Predictions", render_figures([*figures, *shown]) + rates),
        Section("Outlier detectors", render_table(_detector_records(task, report))),
    ]


def error_sections(task: Task, report: Json, predictions: Predictions, rows: Rows, context: Context) -> list[Section]:
    """Return the sections about errors, by group and of single rows; `rows` are the sealed test rows."""
    test_rows = SealedRows(task, predictions, rows)
    return [
        features_section(task, predictions, rows),
        Section("By class", render_table(report.get("per_class", ()))),
        Section("By label", render_table(report.get("per_label", ()))),
        Section("By target", render_table(report.get("per_target", ()))),
        Section("By slice", render_table(slice_records(task, report, predictions, rows, context))),
        Section("By novelty of the caption", render_table(report.get("by_novelty", ()))),
        Section("By forecast step", render_table(report.get("by_step", ()))),
        Section(_worst_title(report), render_table([*map(test_rows.with_values, report["worst"])])),
        Section("Smallest errors", render_table([*map(test_rows.with_values, report.get("best", ()))])),
    ]


def _detector_records(task: Task, report: Json) -> list[Json]:
    """Return the metrics of the model, then those of the outlier detectors on the same rows."""
    if not (detectors := report.get("detectors")):
        return []
    model = {"model": "this model", "fitted_to": f"{report['rows']['train']:,} training rows", **report["metrics"]}
    titles = {name: metric.title for name, metric in task.evaluator.metrics.items()}
    return [
        {"model": record["model"], "fitted to": record["fitted_to"]}
        | {title: record.get(name, "") for name, title in titles.items()}
        for record in (model, *detectors)
    ]


class SealedRows:
    """The sealed test rows by row number, with values to display."""

    def __init__(self, task: Task, predictions: Predictions, rows: Rows) -> None:
        self.task, self.rows = task, rows
        self.positions = {row: position for position, row in enumerate(predictions.number.tolist())}

    def with_values(self, record: Mapping[str, Any]) -> Json:
        """Return the record of a prediction with the values of its row."""
        position = self.positions.get(record["row"])
        return {**record, **({} if position is None else self.instance(position))}

    def instance(self, position: int) -> Json:
        """Return the values of a row: images as PNG, series as lists, long texts cut off."""
        names = [*self.task.columns][:MAX_COLUMNS]
        return {name: self._value(name, self.rows[name][position : position + 1]) for name in names}

    def _value(self, name: str, values: Array) -> Any:
        from tiltyard.figures import png

        column = self.task.columns[name]
        if column.type == "image":
            return png(values[0])
        if column.type == "series":
            series: list[float] = values[0].astype(np.float64).ravel().tolist()
            return series
        value = column.to_json(values)[0]
        text = value["text"] if isinstance(value, dict) and "text" in value else value
        return f"{text[:MAX_CHARACTERS]}..." if isinstance(text, str) and len(text) > MAX_CHARACTERS else text


def _worst_title(report: Json) -> str:
    if "per_cluster" in report:
        return "Between two clusters"
    if "detectors" in report:
        return "Rows that are ranked worst" if report["test_labels"] else "Highest scores"
    return "Wrong predictions, most confident first" if "per_class" in report else "Largest errors"
