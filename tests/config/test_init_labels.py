"""What `tiltyard init` decides about a target whose cells hold several labels, and how it says so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner
from movies import GENRES, label_sets, movies
from workspaces import fetch_raw

from tiltyard.cli import main as cli
from tiltyard.config import loader
from tiltyard.config.draft.draft import Drafted, draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.draft.targets import find_lists
from tiltyard.errors import DataError, TaskError
from tiltyard.preparation import prepare
from tiltyard.preparation.modalities.table import Table
from tiltyard.validation.check import check
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


def init(workspace: Workspace, frame: pd.DataFrame, suffix: str = ".csv", **options: Any) -> Drafted:
    """Write a table in a format, and draft a task from it."""
    path = workspace.root / f"movies{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    return draft_task(workspace, "movies", DraftRequest(path.name, "genres", **options), force=True)


def content(workspace: Workspace) -> dict[str, Any]:
    """Return the task file."""
    found: dict[str, Any] = yaml.safe_load(workspace.task_file("movies").read_text(encoding="utf-8"))
    return found


def read_truth(workspace: Workspace) -> list[list[str]]:
    """Fetch, validate and prepare the data; return the labels of each row as they are learned."""
    fetch_raw(workspace, "movies")
    task = loader.load(workspace, "movies")
    assert not validate(workspace, task).failed("warning")
    prepare.prepare(workspace, task)
    _, truth = Table().rows(task, workspace.raw("movies"))
    return [[genre for genre, flag in zip(task.labels, row, strict=True) if flag] for row in truth.tolist()]


@pytest.mark.parametrize("separator", ["|", ";", ",", ", ", " | "])
def test_a_separator_is_found_and_told(workspace: Workspace, separator: str) -> None:
    """The task file has the separator and all labels; a note says what was read and how to change it."""
    drafted = init(workspace, movies(separator=separator))
    task = content(workspace)
    assert task["problem"] == drafted.problem == "multilabel"
    assert task["target"] == {"column": "genres", "separator": separator.strip(), "classes": GENRES}
    assert (task["gate"]["metric"], task["split"]) == ("average_precision", {"kind": "random"})
    (note,) = (note for note in drafted.notes if note.startswith("genres: several labels in a cell"))
    empty = sum(not labels for labels in label_sets())
    assert f"separated by '{separator.strip()}', such as " in note
    assert f"5 labels are learned, any number for each row; {empty} of 400 rows have none" in note
    assert note.endswith("if this is wrong: --separator, or --problem classification")
    assert read_truth(workspace) == label_sets()


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_lists_of_typed_formats_are_read(workspace: Workspace, suffix: str) -> None:
    """Parquet and JSON lines may hold lists; they need no separator, and an empty list has no labels."""
    init(workspace, movies().assign(genres=pd.Series(label_sets())), suffix)
    assert content(workspace)["target"] == {"column": "genres", "classes": GENRES}
    assert read_truth(workspace) == label_sets()


def test_lists_written_by_python_are_read(workspace: Workspace) -> None:
    """A data frame with lists writes them to CSV as ['a', 'b']."""
    init(workspace, movies().assign(genres=[str(labels) for labels in label_sets()]))
    assert read_truth(workspace) == label_sets()


def test_titles_alone_are_a_text_task(workspace: Workspace) -> None:
    """If texts are the only feature, their genres are learned from n-grams."""
    init(workspace, movies()[["title", "genres"]])
    task = loader.load(workspace, "movies")
    assert (task.modality, task.problem, task.model.family) == ("text", "multilabel", "ngrams")
    assert read_truth(workspace) == label_sets()


def test_a_user_may_decide_otherwise(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A combination can be a label of its own, and another separator can be named."""
    init(workspace, movies(), problem="classification")
    task = content(workspace)
    assert (task["problem"], "Action|Comedy" in task["target"]["classes"]) == ("classification", True)
    monkeypatch.chdir(workspace.root)
    movies(separator="/").to_csv("movies.csv", index=False)
    arguments = ["init", "movies", "--data", "movies.csv", "--target", "genres", "--separator", "/", "--force"]
    result = CliRunner().invoke(cli.cli, arguments)
    assert result.exit_code == 0, result.output
    assert content(workspace)["target"] == {"column": "genres", "separator": "/", "classes": GENRES}


def test_several_labels_that_are_not_there_are_refused(workspace: Workspace) -> None:
    """Asked for several labels, the sentence says what the cells hold."""
    frame = movies().assign(genres=["Action", "Comedy"] * 200)
    with pytest.raises(DataError, match=r"such as Action\|Comedy; received Action, Comedy"):
        init(workspace, frame, problem="multilabel")


def test_too_many_labels_are_refused(workspace: Workspace) -> None:
    """Each label is an output, so a thousand is the limit."""
    names = [f"t{place}" for place in range(1200)]
    cells = [f"{names[place % 1200]}|{names[(place * 7) % 1200]}" for place in range(4000)]
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=4000), "genres": cells})
    with pytest.raises(DataError, match="genres: expected 2 to 1000 labels; received 1200"):
        init(workspace, frame)


@pytest.mark.parametrize(
    "cells",
    [
        ["Ulm, DE", "Bonn, DE", "Linz, AT", "Graz, AT"] * 30,
        ["yes, always", "yes", "no", "no, never"] * 30,
        ["yes", "no"] * 60,
        ["Smith, J."] * 60 + [f"Name{place}, A." for place in range(60)],
    ],
    ids=["places", "phrases", "labels", "people"],
)
def test_other_texts_with_commas_are_no_lists(cells: list[str]) -> None:
    """Commas inside of labels do not make lists: parts must recur in other combinations, or be few."""
    assert find_lists(cells) is None


def test_a_feature_that_tells_a_label_is_left_out(workspace: Workspace) -> None:
    """A column that says whether a film has one of the genres is a leak, for init and for check."""
    flags = ["War" in labels for labels in label_sets()]
    drafted = init(workspace, movies().assign(is_war=np.where(flags, "yes", "no")))
    (profile,) = (profile for profile in drafted.traits if profile.name == "is_war")
    assert profile.reason.startswith("leaks the label War: predicts it with a score of 100.0%")
    path = workspace.task_file("movies")
    task = content(workspace)
    task["columns"]["is_war"] = {"type": "boolean"}
    task["serve"]["example"]["is_war"] = True
    path.write_text(yaml.safe_dump(task), encoding="utf-8")
    fetch_raw(workspace, "movies")
    found = [one for one in check(workspace, loader.load(workspace, "movies")).findings if one.code == "leak"]
    assert [(one.column, one.text[:32]) for one in found] == [("is_war", "predicts War alone with a score ")]


def test_check_finds_unknown_and_rare_labels(workspace: Workspace) -> None:
    """A clean table has no finding about its target; unknown and rare labels have one each."""
    init(workspace, movies())
    fetch_raw(workspace, "movies")
    assert not [one for one in check(workspace, loader.load(workspace, "movies")).findings if one.column == "genres"]
    raw = workspace.raw("movies") / "table.csv"
    table = pd.read_csv(raw)
    table.loc[:2, "genres"] = "Action|Wstern"
    table["genres"] = table["genres"].str.replace("War", "Drama")
    table.to_csv(raw, index=False)
    task = loader.load(workspace, "movies")
    found = {one.code: one for one in check(workspace, task).findings if one.column == "genres"}
    assert found["target"].text.startswith("3 of 400 (0.8%) rows have Wstern; expected some of Action, Comedy")
    assert "1 of 5 labels are small: War with 0 rows" in found["imbalance"].text
    for stage in (validate, prepare.prepare):
        with pytest.raises(DataError, match="Wstern"):
            stage(workspace, task)


WRONG: dict[str, dict[str, Any]] = {
    "target.classes: expected the list of labels for multilabel; received None": {"target": {"column": "genres"}},
    "target.separator: expected only for multilabel; received it for regression": {
        "problem": "regression",
        "target": {"column": "genres", "separator": "|"},
    },
    "target.classes: expected labels without blanks around them, and without '|'; received 'a|b'": {
        "target": {"column": "genres", "separator": "|", "classes": ["a|b", "c"]}
    },
    "target.classes: expected each label once": {"target": {"column": "genres", "classes": ["a", "a"]}},
    "target.classes: expected at most 1000 labels; received 1001": {
        "target": {"column": "genres", "classes": [f"{place:04}" for place in range(1001)]}
    },
    "split.kind: expected random or chronological, since a row may have several labels": {
        "split": {"kind": "stratified"}
    },
    "train.class_weights: expected none, since a row may have several labels": {
        "train": {"epochs": 1, "class_weights": "balanced"}
    },
    "model.output: expected sigmoid for multilabel; received softmax": {
        "model": {"family": "mlp", "output": "softmax"}
    },
    "gate.metric: expected one of micro_f1, macro_f1, average_precision": {"gate": {"metric": "accuracy"}},
    "gate.behaviours.label: expected the label whose probability is compared": {
        "gate": {"metric": "micro_f1", "behaviours": [{"vary": "budget", "by": 1, "never": "another"}]}
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_mistakes_are_refused(workspace: Workspace, message: str) -> None:
    """What does not fit rows with several labels is refused with the expected and the received value."""
    init(workspace, movies().drop(columns="title"))
    text = yaml.safe_dump({**content(workspace), **WRONG[message]})
    with pytest.raises(TaskError, match=re.escape(message)):
        loader.parse(text, "movies", "tasks/movies.yaml")


def test_labels_of_images_are_in_one_folder_name(workspace: Workspace, tmp_path: Path) -> None:
    """So a slash cannot stand between them; the sentence says so."""
    init(workspace, movies())
    task = content(workspace)
    columns = {"image": {"type": "image", "height": 8, "width": 8, "channels": 1}}
    task |= {"columns": columns, "model": {"family": "cnn"}, "source": {"kind": "images", "path": "x.zip"}}
    task |= {
        "target": {"column": "genres", "separator": "/", "classes": ["a", "b"]},
        "serve": {"example": [[0] * 8] * 8},
    }
    with pytest.raises(TaskError, match=r"target\.separator: expected one without /, since folders of images"):
        loader.parse(json.dumps(task), "movies", str(tmp_path))
