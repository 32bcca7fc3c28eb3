"""Drafts of tables with free texts beside other columns: which texts are kept, and the network that reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tiltyard.config import loader
from tiltyard.config.draft import draft, mixed
from tiltyard.config.draft.request import DraftRequest
from tiltyard.data.sources.tickets import Tickets
from tiltyard.workspace import Workspace


def draft_frame(workspace: Workspace, frame: pd.DataFrame, target: str, **options: Any) -> draft.Drafted:
    """Draft the task `t` from a table."""
    frame.to_csv(workspace.root / "t.csv", index=False)
    return draft.draft_task(workspace, "t", DraftRequest("t.csv", target, **options), force=True)


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return 400 generated tickets."""
    folder = tmp_path_factory.mktemp("tickets")
    Tickets(kind="tickets", rows=400).fetch(folder, Workspace(folder))
    return pd.read_csv(folder / "table.csv")


def test_text_beside_numbers_becomes_a_mixed_task(workspace: Workspace, tickets: pd.DataFrame) -> None:
    """The message is read as n-grams beside the other columns, and the example holds all of them."""
    draft_frame(workspace, tickets, "escalated")
    task = loader.load(workspace, "t")
    assert (task.modality, task.model.family, task.model.blend_references) == ("mixed", "mixed", True)
    assert {name: column.type for name, column in task.columns.items()} == {
        "message": "text",
        "days": "number",
        "plan": "category",
        "first_contact": "boolean",
    }
    assert task.columns["message"].model_dump()["by"] == "ngrams"
    assert task.columns["message"].model_dump()["missing"] == "empty"
    assert isinstance(task.serve.example["message"], str)


def test_text_without_information_is_left_out(workspace: Workspace, tickets: pd.DataFrame) -> None:
    """Shuffled messages tell nothing of the label: the task is a table, and the reason is in the file."""
    shuffled = tickets.assign(message=np.random.default_rng(0).permutation(tickets["message"].fillna("none at all")))
    drafted = draft_frame(workspace, shuffled, "escalated")
    task = loader.load(workspace, "t")
    assert (task.modality, task.model.family) == ("table", "tabm")
    reasons = {profile.name: profile.reason for profile in drafted.traits}
    assert reasons["message"] == "free text that tells nothing of the target by itself"
    assert reasons["message"] in workspace.task_file("t").read_text(encoding="utf-8")


def test_several_texts_need_no_other_column(workspace: Workspace, tickets: pd.DataFrame) -> None:
    """Two informative texts are a mixed task by themselves, without layers for other columns."""
    texts = tickets[["message", "escalated"]].dropna()
    frame = texts.assign(again=[" ".join(reversed(text.split())) for text in texts["message"]])
    draft_frame(workspace, frame, "escalated")
    task = loader.load(workspace, "t")
    assert task.modality == "mixed"
    assert [*task.columns] == ["message", "again"]


def test_texts_are_kept_for_numbers_and_label_sets(workspace: Workspace, tickets: pd.DataFrame) -> None:
    """A text that tells of a number, or of one of several labels, is kept."""
    angry = tickets["message"].fillna("").str.contains("broken|third|fed up|unacceptable|cancel")
    noise = np.random.default_rng(0).normal(size=len(tickets))
    draft_frame(workspace, tickets.assign(hours=(3 * angry + noise).round(3)), "hours", drop=("escalated",))
    assert loader.load(workspace, "t").modality == "mixed"
    labels = np.where(angry, "angry|", "") + np.where(noise > 0, "new", "old").astype(object)
    frame = tickets.assign(tags=labels).drop(columns="escalated")
    draft_frame(workspace, frame, "tags", problem="multilabel", separator="|")
    task = loader.load(workspace, "t")
    assert (task.problem, task.modality) == ("multilabel", "mixed")


def test_random_texts_are_rarely_informative() -> None:
    """Of 30 columns of random words at most one seems to tell of a label."""
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(200)]
    label = generator.integers(0, 2, 200).astype(np.float64)
    found = [mixed.informative([" ".join(generator.choice(words, 6)) for _ in range(200)], [label]) for _ in range(30)]
    assert sum(found) <= 1
