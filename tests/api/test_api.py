"""The Python interface: projects, tasks, champions and data frames."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from workspaces import edit_task

import tiltyard as ty
from tiltyard.api import frames, runs
from tiltyard.errors import RegistryError, RequestError, TaskError, TiltyardError, WorkspaceError
from tiltyard.serving.predict import load_champion
from tiltyard.workspace import Workspace

ROWS = pd.DataFrame(
    {
        "sepal_length": [5.1, 6.7],
        "sepal_width": [3.5, 3.0],
        "petal_length": [1.4, 5.2],
        "petal_width": [0.2, 2.3],
        "note": ["a", "b"],
    },
    index=[7, 9],
)


@pytest.fixture(scope="module")
def project(champions_project: Workspace) -> ty.Project:
    """A project with champions."""
    return ty.open(champions_project.root)


def test_import_is_light() -> None:
    """`import tiltyard` loads none of its modules: every command imports it first."""
    code = "import sys, tiltyard; print(*[name for name in sys.modules if name.startswith('tiltyard.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_are_listed_and_unknown_ones_refused() -> None:
    """Completion shows the interface; a wrong name is an AttributeError."""
    assert {"open", "init", "Client"} <= set(dir(ty))
    assert ty.Project.__name__ == "Project"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ty.nothing


def test_open_finds_the_project_above(workspace: Workspace) -> None:
    """A folder inside the project opens it, and another one is refused."""
    assert ty.open(workspace.root / "tasks").root == workspace.root
    with pytest.raises(WorkspaceError, match="no project here"):
        ty.open("/")


def test_a_project_is_a_collection_of_tasks(workspace: Workspace) -> None:
    """Names, tasks, length and membership agree; an unknown name suggests others."""
    project = ty.open(workspace.root)
    assert [task.name for task in project] == project.tasks
    assert len(project) == len(project.tasks)
    assert "iris" in project
    assert "irish" not in project
    with pytest.raises(TaskError, match="no task 'irish'"):
        project["irish"]
    assert set(project.status()["task"]) == set(project.tasks)
    assert "<table" in project._repr_html_()
    assert repr(project).startswith("Project(")


def test_a_task_without_a_run_says_what_to_do(workspace: Workspace) -> None:
    """Champion and metrics name the call that makes them."""
    task = ty.open(workspace.root)["iris"]
    assert repr(task) == "Task('iris', classification by mlp)"
    for read in (lambda: task.champion, lambda: task.metrics):
        with pytest.raises(RegistryError) as raised:
            read()
        assert "project['iris'].run()" in raised.value.hint
    assert task.history().empty


def test_a_champion_predicts_data_frames(project: ty.Project) -> None:
    """The answers are those of the packaged model; rows keep their index, further columns are ignored."""
    champion = project["iris"].champion
    predicted = champion.predict(ROWS)
    model = load_champion(project.workspace, project["iris"].settings)
    wanted = model.predict(ROWS.drop(columns="note").to_dict("records"))
    assert predicted["label"].tolist() == [answer["label"] for answer in wanted]
    assert predicted.index.tolist() == [7, 9]
    for label in ("setosa", "versicolor", "virginica"):
        assert predicted[f"probability_{label}"].tolist() == [answer["probabilities"][label] for answer in wanted]
    assert champion.predict(ROWS.iloc[0].drop("note").to_dict())["label"].tolist() == predicted["label"].tolist()[:1]
    assert champion.columns == [*ROWS.columns[:4]]
    assert "Champion('iris'" in repr(champion)
    assert "<table" in champion._repr_html_()
    assert project["iris"].card == model.card


def test_rows_of_ones_own_are_explained(project: ty.Project) -> None:
    """Base and contributions add up to the probability of the explained label; rows keep their index."""
    champion = project["iris"].champion
    explained, predicted = champion.explain(ROWS), champion.predict(ROWS)
    assert explained.index.tolist() == [7, 9]
    assert explained["explained"].tolist() == predicted["label"].tolist()
    parts = [name for name in map(str, explained) if name.startswith("contribution_")]
    assert parts == [f"contribution_{name}" for name in champion.columns]
    rows = predicted.to_dict("index")
    shares = [rows[index][f"probability_{label}"] for index, label in explained["explained"].items()]
    np.testing.assert_allclose(explained[["base", *parts]].sum(axis=1), shares, rtol=1e-5)


def test_many_rows_are_predicted_in_parts(project: ty.Project) -> None:
    """More rows than a request may have are no error."""
    limit = project["iris"].settings.serve.max_instances
    many = pd.concat([ROWS] * limit, ignore_index=True)
    assert len(project["iris"].champion.predict(many)) == 2 * limit


def test_history_has_a_row_for_each_verdict(project: ty.Project) -> None:
    """It has the verdict and the value of the gate's metric; `why` the reasons."""
    task = project["iris"]
    assert task.history()["verdict"].tolist() == ["PROMOTE"]
    assert task.why()["verdict"] == "PROMOTE"
    assert "<table" in task._repr_html_()


@pytest.mark.slow
def test_versions_are_compared_and_evaluated(trained_project: Workspace) -> None:
    """A version compared with itself is the same; an evaluation returns what the report then holds."""
    task = ty.open(trained_project.root)["iris"]
    assert set(task.compare("challenger", "challenger")["first_is"]) == {"the same"}
    assert task.evaluate() == task.metrics


def test_a_missing_column_is_named(project: ty.Project) -> None:
    """The error lists the columns that the model reads."""
    with pytest.raises(RequestError, match="petal_width is missing"):
        project["iris"].champion.predict(ROWS.drop(columns="petal_width"))


def test_a_data_frame_becomes_a_task(workspace: Workspace) -> None:
    """The frame is written as Parquet, the task is drafted from it, and a second one needs `force`."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"size": random.normal(size=200), "age": random.integers(1, 90, 200)})
    frame["price"] = frame["size"] * 2 + random.normal(size=200)
    project = ty.open(workspace.root)
    task = project.init("prices", frame, "price", drop=("age",))
    assert task.settings.problem == "regression"
    assert [*task.settings.columns] == ["size"]
    assert (workspace.root / "data" / "prices.parquet").is_file()
    assert task.settings.source.model_dump()["path"] == "data/prices.parquet"
    with pytest.raises(TaskError, match="exists already"):
        project.init("prices", frame, "price")
    assert project.init("prices", frame, "age", force=True).settings.target.column == "age"


def test_init_without_a_project_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook anywhere, a data frame becomes a task of a new project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TILTYARD_ROOT", raising=False)
    task = ty.init(_frame(), "y")
    assert task.name == "model"
    assert not task.workspace.root.is_relative_to(tmp_path)
    assert ty.new(tmp_path / "shop").tasks == ["iris"]


def _frame() -> pd.DataFrame:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=100)})
    return frame.assign(y=frame["x"] + random.normal(size=100))


def test_cells_become_json_values() -> None:
    """Missing values are null, numbers are Python's, times are text; lists and texts are passed on."""
    frame = pd.DataFrame({"a": [1, None], "b": pd.Series([pd.Timestamp("2026-01-02"), pd.NaT]), "c": ["x", None]})
    first, second = frames.instances(frame, [])
    assert first == {"a": 1.0, "b": "2026-01-02T00:00:00", "c": "x"}
    assert second == {"a": None, "b": None, "c": None}
    assert type(frames.instances(pd.DataFrame({"n": np.array([3], dtype=np.int64)}), [])[0]["n"]) is int
    assert frames.instances(pd.Series(["x", "y"]), []) == ["x", "y"]
    assert frames.instances(({"a": 1},), []) == [{"a": 1}]


def test_predictions_become_columns() -> None:
    """A number is a column `prediction`; properties have a column each."""
    assert frames.predictions([1.5, 2.5])["prediction"].tolist() == [1.5, 2.5]
    assert [*frames.predictions([{"error": 0.1, "code": [1]}])] == ["error", "code"]
    assert frames.predictions([1.0, 2.0], index=[5]).index.tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.smoke
def test_runs_work_inside_an_event_loop_and_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a notebook: a run gives the verdicts, a second one finds nothing to do, progress is printed."""
    project = ty.new(tmp_path / "shop")
    edit_task(project.workspace, "iris", {"train.epochs": 3})

    async def run_twice() -> list[pd.DataFrame]:
        return [project["iris"].run(), project["iris"].run()]

    first, second = asyncio.run(run_twice())
    assert first["task"].tolist() == second["task"].tolist() == ["iris"]
    assert first["verdict"].tolist()[0] in ("PROMOTE", "HOLD", "REJECT")
    assert "iris train ran" in capsys.readouterr().err


def test_an_error_of_a_run_is_raised(workspace: Workspace) -> None:
    """The message and the hint are those of the command."""
    with pytest.raises(TiltyardError, match="no task 'irish'"):
        ty.open(workspace.root).run("irish")


def test_a_run_without_a_result_is_an_error() -> None:
    """A process that is killed prints no error of its own."""
    assert "without a result" in runs._error("Killed").message
