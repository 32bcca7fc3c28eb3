"""`tiltyard predict` for a task with joins: the raw main file is joined again with the tables at hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tiltyard.config import loader
from tiltyard.config.join_section import Join
from tiltyard.config.task import Task
from tiltyard.data.sources.file import File
from tiltyard.errors import RequestError
from tiltyard.serving.predict import predict_csv
from tiltyard.serving.predict_file import predict_file
from tiltyard.workspace import Workspace


@pytest.fixture
def task(champions_project: Workspace, tmp_path: Path) -> Iterator[Task]:
    """The task diabetes, as if its blood values came from a second table; main.csv has the others."""
    whole = pd.read_csv(champions_project.raw("diabetes") / "table.csv").assign(patient=lambda frame: frame.index)
    blood = ["patient", *(name for name in whole.columns if name.startswith("s") and name != "sex")]
    folder = champions_project.raw("diabetes") / "joins" / "blood"
    folder.mkdir(parents=True)
    whole[blood][:-1].to_csv(folder / "table.csv", index=False)
    whole.drop(columns=blood[1:]).to_csv(tmp_path / "main.csv", index=False)
    join = Join(source=File(kind="file", path="blood.csv"), key="patient", unmatched="refuse")
    yield loader.load(champions_project, "diabetes").model_copy(update={"joins": {"blood": join}})
    shutil.rmtree(folder.parent)


def test_predictions_are_those_of_the_joined_rows(champions_project: Workspace, task: Task, tmp_path: Path) -> None:
    """Each row is predicted as from a table with all columns; one without a match is rejected with the reason."""
    whole = champions_project.raw("diabetes") / "table.csv"
    expected = predict_csv(champions_project, loader.load(champions_project, "diabetes"), whole)
    assert predict_csv(champions_project, task, whole) == expected
    rejected = tmp_path / "rejected.csv"
    predictions = predict_csv(champions_project, task, tmp_path / "main.csv", rejected)
    assert predictions == [*expected[:-1], None]
    assert "s1: expected" in rejected.read_text(encoding="utf-8")


def test_files_of_any_size_are_joined(champions_project: Workspace, task: Task, tmp_path: Path) -> None:
    """The written rows have the joined columns; the summary says how many rows had a match."""
    summary = predict_file(champions_project, task, tmp_path / "main.csv", tmp_path / "out.csv")
    assert (summary["rows"], summary["rejected"]) == (441, 1)
    assert summary["joined"] == ["blood: 441 of 442 rows have a match"]
    assert {"s1", "prediction"} <= {*pd.read_csv(tmp_path / "out.csv").columns}


def test_a_missing_table_is_an_error_with_a_way_out(champions_project: Workspace, task: Task, tmp_path: Path) -> None:
    """Nothing is predicted from half of the columns."""
    shutil.rmtree(champions_project.raw("diabetes") / "joins" / "blood")
    with pytest.raises(
        RequestError, match=r"they are not in it, and the table that the task joins \(blood\)"
    ) as caught:
        predict_csv(champions_project, task, tmp_path / "main.csv")
    assert "tiltyard fetch diabetes" in caught.value.hint
