"""`tiltyard init` on ratings: identifiers, what describes users and items, titles, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workspaces import new_workspace

from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.data.sources.ratings import Ratings
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace


@pytest.fixture
def project(tmp_path: Path) -> Workspace:
    """A project with a table of ratings, the age of each reader, and a time that describes neither side."""
    workspace = new_workspace(tmp_path)
    Ratings(kind="ratings").fetch(tmp_path, workspace)
    table = pd.read_csv(tmp_path / "table.csv")
    table["age"] = table["reader"].str[1:].astype(int) % 50 + 20
    table["seconds"] = range(881_000_000, 881_000_000 + len(table))
    table.to_csv(tmp_path / "ratings.csv", index=False)
    return workspace


def drafted(project: Workspace, **options: Any) -> Task:
    """Draft the task and return it as it is read again."""
    draft_task(project, "books", DraftRequest("ratings.csv", "rating", **options), force=True)
    return loader.load(project, "books")


def test_ratings_become_a_task(project: Workspace) -> None:
    """Two ids; kind and pages describe books, age describes readers; the title is shown, the time left out."""
    task = drafted(project, problem="recommendation", user="reader", item="book")
    assert (task.problem, task.model.family, task.gate.metric) == ("recommendation", "two_tower", "rmse")
    assert {name: column.type for name, column in task.columns.items()} == {
        "reader": "id",
        "book": "id",
        "kind": "category",
        "pages": "number",
        "age": "number",
    }
    assert task.target.bounds == (1, 5)
    between = task.target.interaction
    assert between is not None
    assert (between.user_features, between.title) == (["age"], "title")
    assert 2 <= between.relevant <= 4
    assert "seconds: " in project.task_file("books").read_text()


def test_the_problem_need_not_be_named(project: Workspace) -> None:
    """Who names user and item wants recommendations."""
    assert drafted(project, user="reader", item="book").problem == "recommendation"


def test_a_table_of_ratings_is_recognized(project: Workspace) -> None:
    """Without the options, a note says how to learn to recommend."""
    result = draft_task(project, "books", DraftRequest("ratings.csv", "rating"), force=True)
    assert any("--problem recommendation --user reader --item book" in note for note in result.notes)
    result = draft_task(project, "pages", DraftRequest("ratings.csv", "pages", drop=("reader",)), force=True)
    assert not any("--problem recommendation" in note for note in result.notes)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"problem": "recommendation"}, "expected three different columns for user, item and rating"),
        ({"user": "reader", "item": "reader"}, "received --user reader, --item reader"),
        ({"user": "reader", "item": "rating"}, "expected three different columns"),
        ({"user": "reader", "item": "book", "group": "reader"}, "received --group"),
        ({"user": "reader", "item": "book", "problem": "classification"}, "received --problem"),
    ],
)
def test_wrong_options_are_refused(project: Workspace, options: dict[str, Any], text: str) -> None:
    """The message says which columns and options go together."""
    with pytest.raises(TaskError, match=text):
        drafted(project, **options)
