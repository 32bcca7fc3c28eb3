"""The pipeline's flow: results, skipped stages, failures, interrupts and parallel runs."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import terminal
import yaml
from workspaces import ROOT, WITH_SIGINT, edit_task, run_in_process

from tiltyard import files
from tiltyard.config import loader, resolve
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import TaskError
from tiltyard.pipelines.flow import run
from tiltyard.pipelines.task_outcome import TaskOutcome
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow


def run_tasks(workspace: Workspace, *names: str) -> dict[str, TaskOutcome]:
    """Run the pipeline; return the rows by task."""
    return {row.task: row for row in run(workspace, list(names))}


def corrupt_cell(workspace: Workspace, name: str) -> None:
    """Corrupt one cell of a raw table."""
    path = workspace.raw(name) / "table.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[7] = "-" + lines[7]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_every_task_gets_a_verdict(run_project: Workspace, first_run: dict[str, TaskOutcome]) -> None:
    """Each task has a verdict with reasons, its stages are recorded in dvc.lock, and all outputs are pushed."""
    assert {row.verdict for row in first_run.values()} <= {"PROMOTE", "HOLD", "REJECT"}, first_run
    assert all(row.ok and row.version and row.reasons and row.value is not None for row in first_run.values())
    assert dvc.status(run_project, *(f"{verb}@{name}" for name in first_run for verb in dvc.STAGES)) == {}
    assert dvc.push(run_project) == 0


def test_every_task_has_a_page_with_its_verdict(run_project: Workspace, first_run: dict[str, TaskOutcome]) -> None:
    """The page is written when a task has been evaluated, and again when it has been judged."""
    for name, row in first_run.items():
        page = (run_project.report / f"{name}.html").read_text(encoding="utf-8")
        assert f">{row.verdict}</" in page
        assert str(row.version) in page


def test_second_run_skips_every_stage(
    run_project: Workspace, first_run: dict[str, TaskOutcome], capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is run, nothing is written, and the versions are the same."""
    lock = (run_project.root / "dvc.lock").read_bytes()
    second = run_tasks(run_project, *first_run)
    output = capfd.readouterr().err
    assert [output.count(f" {step} skipped") for step in dvc.STAGES] == [2, 2, 2, 2]
    assert (run_project.root / "dvc.lock").read_bytes() == lock
    assert {name: row.version for name, row in second.items()} == {name: row.version for name, row in first_run.items()}


def test_corrupted_data_stops_only_its_own_task(run_project: Workspace, first_run: dict[str, TaskOutcome]) -> None:
    """The task stops at validate with a reason, its champion is unchanged, and the other task goes on."""
    champion = run_project.champion("iris")
    before = champion.read_bytes() if champion.exists() else b""
    corrupt_cell(run_project, "iris")
    found = run_tasks(run_project, *first_run)
    assert (found["iris"].stopped, found["diabetes"].stopped) == ("validate", "")
    assert "sepal_length: expect_column_values_to_be_between" in found["iris"].error
    assert "docs/index.html" in found["iris"].hint
    assert (champion.read_bytes() if champion.exists() else b"") == before


def test_invalid_task_file_stops_only_its_own_task(run_project: Workspace, first_run: dict[str, TaskOutcome]) -> None:
    """The row of the task has the error; the other task runs through the pipeline."""
    run_project.task_file("iris").write_text("title: [")
    found = run_tasks(run_project, *first_run)
    assert (found["iris"].stopped, found["diabetes"].stopped) == ("task file", "")
    assert "tasks/iris.yaml: not YAML: line 1" in found["iris"].error
    assert found["diabetes"].version == first_run["diabetes"].version
    run_project.task_file("iris").unlink()
    found = run_tasks(run_project, *first_run)
    assert (found["iris"].stopped, found["diabetes"].stopped) == ("task file", "")
    assert found["iris"].hint == "remove it from the list: tiltyard remove iris"


@pytest.mark.usefixtures("run_project")
def test_run_creates_prefect_artifacts() -> None:
    """Prefect has artifacts of validation, metrics, confusion matrix, report and verdict."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        artifact_filter = ArtifactFilter(key=ArtifactFilterKey(like_="iris-%"))
        found = {artifact.key for artifact in client.read_artifacts(artifact_filter=artifact_filter, limit=200)}
    assert found == {f"iris-{what}" for what in ("validation", "metrics", "confusion", "report", "verdict")}


def test_unknown_task_is_refused_before_anything_runs(project: Workspace) -> None:
    """No data are fetched for known tasks either."""
    with pytest.raises(TaskError, match="no task 'rose'"):
        run(project, ["iris", "rose"])
    assert not project.raw("iris").exists()


@pytest.mark.smoke
@pytest.mark.nightly
def test_run_resumes_after_a_kill_during_training(project: Workspace) -> None:
    """After kill -9 the next run resumes, and stale locks of DVC do not block it."""
    edit_task(project, "sine", {"train.epochs": 20, "train.patience": None})
    progress = project.state("sine", "train") / "progress.json"
    command = [str(Path(sys.executable).with_name("tiltyard")), "run", "sine"]
    with subprocess.Popen(
        command, env=_environment(project), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _wait_for(progress.exists)
        os.kill(process.pid, signal.SIGKILL)
    assert not project.champion("sine").exists()
    row = run_tasks(project, "sine")["sine"]
    assert row.ok, row
    assert row.version
    assert dvc.is_current(project, "sine")


@pytest.mark.smoke
@pytest.mark.nightly
def test_concurrent_runs_wait_for_each_other(project: Workspace) -> None:
    """Of two runs and a fetch in a new project, one works and the others wait; none fails."""
    tool = str(Path(sys.executable).with_name("tiltyard"))
    commands = [[tool, "run", "iris"], [tool, "run", "iris"], [tool, "fetch", "iris", "diabetes"]]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = [subprocess.Popen(command, env=_environment(project), **pipes) for command in commands]
    output = [process.communicate(timeout=400)[0] for process in started]
    assert [process.returncode for process in started][2] == 0, output
    assert {process.returncode for process in started[:2]} <= {0, 3}, output
    assert sorted(text.count("iris train ran") for text in output[:2]) == [0, 1]
    assert sorted(text.count("iris train skipped") for text in output[:2]) == [0, 1]
    assert any("waiting for tiltyard run iris (process " in text for text in output)
    assert dvc.is_current(project, "iris")


@pytest.mark.smoke
@pytest.mark.parametrize("columns", [80, 140])
def test_run_on_a_terminal_shows_one_table(run_project: Workspace, columns: int) -> None:
    """A run that skips every stage shows one table, then the results, without output of other tools."""
    run_project.pushed.unlink()  # otherwise nothing is to be done, and no flow runs
    command = [str(Path(sys.executable).with_name("tiltyard")), "run", "diabetes", "iris"]
    environment = {
        **_environment(run_project),
        "TERM": "xterm",
    }  # rich takes a terminal without a name for 80 columns wide
    status, out = terminal.run_in_terminal(command, columns, 24, run_project.root, environment)
    assert status in (0, 3), out  # 3 if a challenger is held
    screen = terminal.TerminalEmulator(columns, 24).feed(out).screen
    assert screen[0].split()[:2] == ["task", "metric" if columns == 80 else "problem"]
    assert [line.split()[0] for line in screen[1:3]] == ["diabetes", "iris"]
    assert all(re.search("PROMOTE|HOLD|REJECT|unchanged", line) for line in screen[1:3])
    assert len(screen) <= 24
    assert len(out) < 20_000
    assert out.count("\n") < 50
    assert "2 tasks: " in out
    for noise in ("Collecting", "file/s", "Pushing", "WARNING"):
        assert noise not in out


@pytest.mark.smoke
def test_interrupted_run_ends_within_seconds(project: Workspace) -> None:
    """Ctrl-C ends the run and its stages within seconds, and no other task begins."""
    command = [str(Path(sys.executable).with_name("tiltyard")), "run", "sine", "iris", "diabetes", "digits"]
    environment, silent = _environment(project), subprocess.DEVNULL
    with subprocess.Popen([*WITH_SIGINT, *command], env=environment, stdout=silent, stderr=subprocess.PIPE) as process:
        log = project.root / ".tiltyard/stages/sine/validate.log"
        _wait_for(lambda: log.exists() or process.poll() is not None)
        sent_at, stages = time.monotonic(), psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert time.monotonic() - sent_at < 60  # a busy machine; the stages alone would take longer than that
    assert b"run the same command again to resume" in output
    assert b"Traceback" not in output
    assert not project.out("digits", "train").exists()
    _wait_for(lambda: not any(stage.is_running() and stage.status() != psutil.STATUS_ZOMBIE for stage in stages))


@pytest.mark.smoke
@pytest.mark.nightly
def test_task_is_trained_again_when_its_base_task_changes(
    project: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    """A task with a base task also runs that one, and trains again when it has changed."""
    content = yaml.safe_load(project.task_file("digits").read_text())
    content["model"] = {"family": "transfer", "base": "digits", "units": [8]}
    project.task_file("few").write_text(yaml.safe_dump(content))
    assert [row.task for row in run(project, ["few"]) if row.ok] == ["digits", "few"]
    run(project, ["few"])
    assert "few train skipped" in capfd.readouterr().err
    edit_task(project, "digits", {"train.seed": 5})
    assert all(row.ok for row in run(project, ["few"]))
    assert "few train ran" in capfd.readouterr().err


def test_resolved_settings_contain_every_section_that_a_stage_reads(run_project: Workspace) -> None:
    """Each section that a stage reads is among its resolved settings; otherwise DVC would keep outdated outputs."""
    stages_config = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for verb, read in run_in_process(_record_sections_read, run_project, [*resolve.SECTIONS]).items():
        # `prepare` reads models with a base of texts, and writes them; a changed model changes an input of `evaluate`.
        sometimes = {"model"} if verb in ("prepare", "evaluate") else set()
        assert read - {"name"} - sometimes <= resolve.SECTIONS[verb], verb
        assert f"out/${{item.task}}/config/{verb}.json" in stages_config[verb]["deps"]


def test_rows_are_prepared_again_if_the_base_of_their_vocabulary_changes(run_project: Workspace) -> None:
    """The settings of `prepare` have the model of a task whose base gives the vocabulary, and of no other one."""
    for name in ("imdb_1000", "iris"):
        files.write_text(run_project.task_file(name), (ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
        resolve.resolve(run_project, loader.load(run_project, name))
    prepared = {
        name: files.read_json(run_project.out(name, "config") / "prepare.json") for name in ("imdb_1000", "iris")
    }
    assert prepared["imdb_1000"]["model"]["base"] == "imdb_masked"
    assert "model" not in prepared["iris"]


VERBS = {
    "validate": "tiltyard.validation.validate",
    "prepare": "tiltyard.preparation.prepare",
    "train": "tiltyard.training.train",
    "evaluate": "tiltyard.evaluation.evaluate",
}


def _record_sections_read(workspace: Workspace, verbs: list[str]) -> dict[str, set[str]]:
    """Run stages and record the sections of the task that each reads."""
    read: dict[str, set[str]] = {verb: set() for verb in verbs}
    for verb in verbs:

        class RecordingTask(Task):
            def __getattribute__(self, name: str, accessed: set[str] = read[verb]) -> Any:
                if name in Task.model_fields:
                    accessed.add(name)
                return super().__getattribute__(name)

        task = loader.load(workspace, "iris")
        object.__setattr__(task, "__class__", RecordingTask)
        getattr(importlib.import_module(VERBS[verb]), verb)(workspace, task)
    return read


def _environment(workspace: Workspace) -> dict[str, str]:
    """Return the environment of a command with its own Prefect server and database."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "NO_COLOR")}
    return {**inherited, "PREFECT_HOME": str(workspace.prefect), "TERM": "xterm-256color"}


def _wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 400  # a busy machine
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
