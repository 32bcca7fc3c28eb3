"""Runs in which nothing has to be done: found without Prefect, and only if nothing has changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from workspaces import edit_task

from tiltyard.data import dvc
from tiltyard.data.sources.sklearn import Sklearn
from tiltyard.errors import SourceError
from tiltyard.pipelines import steps
from tiltyard.pipelines.server import API_URL
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.pipelines.unchanged import FETCHED, unchanged
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

NAMES = ["diabetes", "iris"]


@pytest.fixture(autouse=True)
def without_a_team_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A team's Prefect server would record every run."""
    monkeypatch.delenv(API_URL, raising=False)


def test_rows_are_those_of_the_run(run_project: Workspace, first_run: dict[str, TaskOutcome]) -> None:
    """Metrics and versions are the same; what was promoted is unchanged; the log has what was found."""
    rows = unchanged(run_project, NAMES)
    assert rows is not None
    for row in rows:
        first = first_run[row.task]
        assert (row.problem, row.metric, row.value, row.baseline, row.version) == (
            *(first.problem, first.metric, first.value, first.baseline, first.version),
        )
        assert row.verdict == ("unchanged" if first.verdict == "PROMOTE" else first.verdict)
    lines = run_project.log("run").read_text(encoding="utf-8").splitlines()[-2:]
    assert [line.split()[1] for line in lines] == ["diabetes:", "iris:"]
    assert all("data same, stages up to date" in line for line in lines)


def test_nothing_is_written_but_the_log(run_project: Workspace) -> None:
    """Pointers, ledgers, packages and DVC's files keep their content and their time."""
    before = _files(run_project.root)
    assert unchanged(run_project, NAMES)
    assert FETCHED == {}  # a later flow fetches
    assert _files(run_project.root) == before


def _files(root: Path) -> dict[str, tuple[int, int]]:
    folders = ("champions", "data", "out", "serving", "tasks")
    paths = [root / "dvc.lock", *(path for name in folders for path in (root / name).rglob("*") if path.is_file())]
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def _edit_task(project: Workspace) -> None:
    edit_task(project, "iris", {"train.seed": 7})


def _edit_data(project: Workspace) -> None:
    (path,) = project.raw("iris").iterdir()
    path.write_bytes(path.read_bytes() + b"\n")


def _remove_output(project: Workspace) -> None:
    shutil.rmtree(project.out("iris", "train"))


def _remove_page(project: Workspace) -> None:
    (project.report / "iris.html").unlink()


def _forget_the_verdict(project: Workspace) -> None:
    for path in (project.champion("iris"), project.ledger("iris"), project.ledger("iris").with_suffix(".head")):
        path.unlink(missing_ok=True)


def _change_the_remote(project: Workspace) -> None:
    config = project.root / ".dvc" / "config"
    config.write_text(config.read_text(encoding="utf-8").replace(".dvcstore", ".otherstore"), encoding="utf-8")


def _break_the_task_file(project: Workspace) -> None:
    project.task_file("iris").write_text("title: [", encoding="utf-8")


def _unlist(project: Workspace) -> None:
    project.params.write_text("tasks: [diabetes]\n", encoding="utf-8")


CHANGES = (
    *(_edit_task, _edit_data, _remove_output, _remove_page, _forget_the_verdict, _change_the_remote),
    *(_break_the_task_file, _unlist),
)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_the_flow_runs_after_a_change(run_project: Workspace, change: Callable[[Workspace], None]) -> None:
    """Whatever changed, the flow does what is to be done."""
    change(run_project)
    assert unchanged(run_project, NAMES) is None


def test_the_flow_runs_with_a_team_server(run_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It records every run, also one without changes."""
    monkeypatch.setenv(API_URL, "http://127.0.0.1:1/api")
    assert unchanged(run_project, NAMES) is None


def test_new_data_are_fetched_once(run_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow runs if a source has new data, which its first step does not fetch again."""
    fetch, calls = Sklearn.fetch, list[str]()

    def changed(source: Sklearn, folder: Path, workspace: Workspace) -> None:
        calls.append(source.dataset)
        fetch(source, folder, workspace)
        (path,) = folder.iterdir()
        path.write_bytes(path.read_bytes() + b"\n")

    monkeypatch.setattr(Sklearn, "fetch", changed)
    monkeypatch.setattr(Sklearn, "version", lambda _: "")  # the source does not know whether its data changed
    assert unchanged(run_project, ["iris"]) is None
    assert FETCHED == {"iris": "new"}
    assert steps.fetch.fn(str(run_project.root), "iris") == "new"
    assert calls == ["iris"]
    assert steps.fetch.fn(str(run_project.root), "iris") == "same"
    assert not dvc.is_current(run_project, "iris")


@pytest.mark.parametrize("error", [SourceError("no connection"), OSError("no space")])
def test_the_flow_reports_errors(run_project: Workspace, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """It tries again, and the other tasks go on."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("tiltyard.data.fetch.get", fail)
    assert unchanged(run_project, NAMES) is None


def test_an_incomplete_package_is_completed(run_project: Workspace) -> None:
    """As in a fresh clone, which has the pointer and neither package nor Bento."""
    champion = Registry(run_project).champion("iris")
    assert champion
    shutil.rmtree(run_project.bentos / "bentos" / "iris")
    assert unchanged(run_project, ["iris"])
    assert (run_project.bentos / "bentos" / "iris" / champion.version).is_dir()
