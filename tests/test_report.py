"""The page of an evaluation: readable alone, in light and dark, on a phone, whatever the data hold."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from making import ROOT

from tiltyard import pictures, report, task_file
from tiltyard.task import Task
from tiltyard.workspace import Workspace

EVIL = '<script>alert("x")</script>'
TRAINING = {"epochs": 3, "best_epoch": 2, "stopped_early": True, "parameters": 1234, "seed": 0}


class Balance(HTMLParser):
    """Reads a page and complains about a tag that is never closed."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Remember what is open."""
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


def content(**changes: object) -> report.Json:
    """Make a report of a classification."""
    figures = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "roc_auc"), 0.75)
    made: report.Json = {
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
    return {**made, **changes}


@pytest.fixture
def task() -> Task:
    """Iris under a title that must be escaped."""
    return task_file.load(Workspace(ROOT), "iris").model_copy(update={"title": EVIL})


@pytest.fixture
def plots(tmp_path: Path) -> Path:
    """A folder with the picture that every report has."""
    pictures.save(pictures.learning({"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}, 2), tmp_path / "learning.png")
    return tmp_path


@pytest.fixture
def page(task: Task, plots: Path) -> str:
    """The page."""
    return report.page(task, content(), TRAINING, plots)


def test_data_cannot_become_markup(page: str) -> None:
    """A title, a class or a value that looks like a script is shown, not run."""
    read = Balance(page)
    assert "script" not in read.seen
    assert read.open == []
    assert read.text.count(EVIL) >= 3


def test_nothing_is_fetched(page: str) -> None:
    """No file beside it and no network: pictures are inside."""
    assert not re.findall(r"https?:|url\(|@import", page)
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', page) == []
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert base64.b64decode(picture).startswith(b"\x89PNG")


def test_it_follows_the_reader_and_the_screen(page: str) -> None:
    """Light or dark as the system is, a phone's width, a language, words for pictures."""
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport" content="width=device-width' in page
    assert '<html lang="en">' in page
    assert re.findall(r'<img alt="learning: [^"]+"', page)


def test_figures_stand_beside_baseline_interval_and_train(page: str) -> None:
    """Each in its cell; an undefined one is a dash; the best news comes first."""
    read = Balance(page)
    for text in ("0.75", "0.7 to 0.8", "0.25", "0.875", "\N{EN DASH}", "better than the baseline", "d" * 64, "e" * 64):
        assert text in read.text
    assert page.index("better than the baseline") < page.index("<table>")


def test_a_model_that_loses_against_the_baseline_is_called_so(task: Task, plots: Path) -> None:
    """No praise for a figure that the simplest model reaches."""
    same = content(baseline=content()["metrics"])
    assert "not better than the baseline" in report.page(task, same, TRAINING, plots)


def test_no_wrong_answer_needs_no_table(task: Task, plots: Path) -> None:
    """An empty list leaves no heading behind."""
    assert "Wrong answers" not in report.page(task, content(worst=[]), TRAINING, plots)


def test_a_picture_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    """Otherwise DVC would call an unchanged evaluation changed."""
    history = {"loss": [1.0, 0.5], "val_loss": [1.0, 0.75]}
    for name in ("a.png", "b.png"):
        pictures.save(pictures.learning(history, 1), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_history_without_epochs_is_drawn(tmp_path: Path) -> None:
    """A model that was not trained by epochs has an empty picture, not an error."""
    pictures.save(pictures.learning({}, 1), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0
