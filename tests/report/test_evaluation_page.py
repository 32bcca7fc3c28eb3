"""Report sections of an evaluation: self-contained, responsive and escaped HTML."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from balanced_html import BalancedHtmlParser
from workspaces import ROOT

from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.report.page import SCRIPTS, Page, Tab
from tiltyard.report.sections.lineage import provenance_section
from tiltyard.report.sections.metrics import metrics_section, summary
from tiltyard.report.sections.predictions import error_sections, prediction_sections
from tiltyard.report.sections.training import training_sections
from tiltyard.workspace import Workspace

EVIL = '<script>alert("x")</script>'
HISTORY = {"loss": [2.0, 1.0, 0.5], "val_loss": [2.0, 1.5, 1.6]}
TRAINING = {
    "epochs": 3,
    "best_epoch": 2,
    "stopped_early": True,
    "parameters": 1234,
    "seed": 0,
    "history": HISTORY,
}


def make_report(**changes: object) -> Json:
    """Return the evaluation of a classification task."""
    figures = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc"), 0.75)
    report: Json = {
        "task": "iris",
        "version": "0123456789ab",
        "problem": "classification",
        "data": "d" * 64,
        "test": "e" * 64,
        "rows": {"train": 90, "validation": 30, "test": 30},
        "metric": "balanced_accuracy",
        "metrics": figures,
        "intervals": {name: [0.7, 0.8] for name in figures},
        "baseline": dict.fromkeys(figures, 0.25),
        "train": dict.fromkeys(figures, 0.875),
        "per_class": [{"class": EVIL, "rows": 30, "precision": None, "recall": 0.5, "f1": 0.5}],
        "worst": [{"row": 7, "actual": EVIL, "predicted": "b", "probability_of_actual": 0.125}],
    }
    return {**report, **changes}


@pytest.fixture
def task() -> Task:
    """Iris with a title that must be escaped."""
    return loader.load(Workspace(ROOT), "iris").model_copy(update={"title": EVIL})


def make_predictions() -> Predictions:
    """Return predictions of thirty rows, mostly right; a class has a name that must be escaped."""
    truth = np.arange(30) % 3
    outputs = np.full((30, 3), 0.2)
    outputs[np.arange(30), truth] = 0.6
    outputs[7] = [0.8, 0.1, 0.1]
    return Predictions(truth, outputs, np.full((30, 3), 1 / 3), np.arange(30), [EVIL, "a", "b"], "species")


def make_rows(task: Task) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Return rows whose values encode column and row."""
    return {name: index + np.arange(30) / 100 for index, name in enumerate(task.columns)}


def full_page(task: Task, report: Json, training: Json = TRAINING) -> str:
    """Return a page with all sections of an evaluation."""
    sections = [
        metrics_section(task, report),
        *prediction_sections(task, report, make_predictions()),
        *error_sections(task, report, make_predictions(), make_rows(task), {}),
        *training_sections(task, report, training),
        provenance_section(report, training),
    ]
    return Page(task.name, summary(task, report), [Tab("Report", sections)]).html()


@pytest.fixture
def page(task: Task) -> str:
    """The page."""
    return full_page(task, make_report())


def test_data_are_escaped(page: str) -> None:
    """A title, class or value that looks like a script is escaped, in text and in the data of plots."""
    parser = BalancedHtmlParser(page)
    assert parser.open == []
    assert parser.text.count(EVIL) >= 3
    assert page.count(EVIL) == 0
    kinds = re.findall(r"<script( type=\"application/json\")?>", page)
    assert kinds.count("") == len(SCRIPTS)
    assert len(kinds) > 5


def test_page_loads_no_external_files(page: str) -> None:
    """The page loads no file and no address, and its content security policy forbids both."""
    assert not re.findall(r"url\(|@import|<link|src=\"(?!data:image/png)", page)
    assert set(re.findall(r"https?://[^\s\"'<>]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "content=\"default-src 'none'" in page


def test_page_is_responsive_and_accessible(page: str) -> None:
    """It has light and dark colours, a viewport, a language and labels for plots."""
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width' in page
    assert '<html lang="en">' in page
    assert re.findall(r'role="img" aria-label="Loss: [^"]+"', page)


def test_metrics_have_interval_baseline_and_training_value(page: str) -> None:
    """Each value has its cell, an undefined one is a dash, and the comparison with the baseline comes first."""
    parser = BalancedHtmlParser(page)
    for text in ("0.75", "0.7 to 0.8", "0.25", "0.875", "\N{EN DASH}", "better than the baseline", "d" * 64, "e" * 64):
        assert text in parser.text
    assert page.index("better than the baseline") < page.index("<table>")


def test_worst_prediction_is_shown_with_its_row(page: str) -> None:
    """The values of the row are shown next to the prediction."""
    line = next(line for line in page.splitlines() if 'data-value="0.125"' in line)
    assert re.findall(r'data-value="([\d.]+)"', line) == ["7", "0.125", "0.07", "1.07", "2.07", "3.07"]


def test_page_contains_plot_data(page: str) -> None:
    """Confusion, ROC, precision, calibration and loss are there as JSON."""
    figures = re.findall(r'<h3>([^<]+)</h3>.*?<script type="application/json">(.*?)</script>', page, re.DOTALL)
    plots = {title: json.loads(data) for title, data in figures}
    decisions = {"Gain by rows", "Lift", "Distribution of probabilities"}
    assert {*plots} >= {"Confusion matrix", "ROC", "Precision and recall", "Calibration", "Loss"} | decisions
    assert plots["Confusion matrix"]["values"] == [[10, 0, 0], [1, 9, 0], [0, 0, 10]]
    assert plots["Loss"]["marks"] == [{"x": 2, "name": "kept: 2"}]


def test_model_no_better_than_the_baseline_is_marked(task: Task) -> None:
    """A model with the baseline's metrics is not called better."""
    same = make_report(baseline=make_report()["metrics"])
    assert "not better than the baseline" in full_page(task, same)


def test_empty_section_has_no_heading(task: Task) -> None:
    """There is no heading for wrong predictions if there are none, nor for curves without epochs."""
    bare = {**TRAINING, "history": {}}
    page = full_page(task, make_report(worst=[]), bare)
    assert "Wrong predictions" not in page
    assert "<h3>Loss</h3>" not in page
