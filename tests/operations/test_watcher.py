"""The watch on a project: what it does is done once, also after a kill at any point, and each step is in the ledger."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import changing_world
import pytest
from changing_world import FEATURES, LABELS, NAME, OPERATE, World
from click.testing import CliRunner
from recorded_predictions import write_records
from workspaces import ROOT, edit_task

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader, task_list
from tiltyard.config.task import Task
from tiltyard.errors import StageError, WorkspaceError
from tiltyard.monitoring.traffic import end_rollout
from tiltyard.operations import ledger, state, watch
from tiltyard.operations.retrain import Limit
from tiltyard.operations.watcher import Look, Watcher
from tiltyard.registry import queries, rollout
from tiltyard.registry.approve import approve
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.registry.verify import verify
from tiltyard.runtime import processes
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

WORLD = World(shift=0, rows=400)  # the first champion is from before
QUICK = {**OPERATE, "trial": {"shadow": 100, "shares": [0.5], "predictions": 50, "truths": 20}}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion, whose table has changed since."""
    root = tmp_path_factory.mktemp("watched") / "project"
    with changing_world.quick_packages():
        changing_world.new_world(root, WORLD, operate=QUICK)
    WORLD.table(3).to_csv(root / "orders.csv", index=False)
    return root


@pytest.fixture
def project(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A copy of it, as the working directory."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    shutil.copytree(prepared, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    with changing_world.quick_packages():
        yield Workspace(tmp_path / "project")


def task_of(space: Workspace) -> Task:
    """Return the task as it is written now."""
    return loader.load(space, NAME)


def look(space: Workspace) -> Look:
    """Look once, as a new process would."""
    return Watcher(space, stages=changing_world.stages).look(task_of(space))


def champion(space: Workspace) -> str:
    """Return the version of the champion."""
    found = Registry(space).champion(NAME)
    assert found
    return found.version


def model(space: Workspace, version: str) -> LoadedModel:
    """Load a package."""
    return LoadedModel.load(space.package(NAME, version))


def record(space: Workspace, version: str, arm: str, name: str) -> None:
    """Record requests of the changed world, answered by a version, with truths."""
    features, labels = WORLD.batch(7)
    instances = [dict(zip(FEATURES, row, strict=True)) for row in features.tolist()]
    write_records(space, model(space, version), instances, [LABELS[one] for one in labels], arm=arm, name=name)


def actions(space: Workspace) -> list[str]:
    """Return the actions in the ledger, and the verdicts that they led to."""
    decisions = Registry(space).decisions(NAME)
    return [one.reasons[0].partition(":")[0] if one.verdict == "OPERATE" else one.verdict for one in decisions]


LOOP = ["PROMOTE", "retrain", "retrained", "shadow", "CHALLENGE", "canary", "CHALLENGE", "promote", "PROMOTE"]


def close_the_loop(space: Workspace) -> str:
    """Look, and let clients send requests, until the challenger is champion; return its version."""
    first = champion(space)
    record(space, first, "champion", "before")
    for _ in range(40):
        look(space)
        running = rollout.read(space.traffic(NAME))
        if champion(space) != first:
            return champion(space)
        if running:
            name = f"{running.way} {running.share}"
            done = space.root / f"{name}.done"
            if not done.exists():
                record(space, first, "champion", name)
                record(space, running.version, running.way, name)
                done.touch()
    raise AssertionError(actions(space))


def test_a_changed_world_is_followed(project: Workspace) -> None:
    """Low live quality leads to a retraining, a shadow, a canary and a promotion, each in the ledger with figures."""
    new = close_the_loop(project)
    assert actions(project) == LOOP
    steps = [ledger.operate_evidence(one) for one in Registry(project).decisions(NAME) if one.verdict == "OPERATE"]
    assert steps[0]["figures"]["live"] < 0.5
    assert steps[1]["seconds"] > 0
    assert steps[-1]["figures"]["gain"] > 0.2
    assert Registry(project).decisions(NAME)[-1].version == new
    assert not project.traffic(NAME).exists()
    assert state.read(project, NAME).trial is None
    assert not [row for row in verify(project, task_of(project)) if row["what"] == "ledger" and row["fault"]]


class Killed(BaseException):
    """Ends a look at once, as a kill would."""


@pytest.mark.parametrize("writer", ["write_text", "write_bytes"])
def test_killed_before_any_write_nothing_is_done_twice(
    project: Workspace, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    """Killed before each write of a small file, once at each place, the loop ends as it does without kills."""
    original, before = getattr(files, writer), set[str]()

    def write(path: Path, content: Any) -> None:
        frame, place = sys._getframe(1), [str(path.suffix)]
        while frame.f_back and len(place) < 8:
            place.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
            frame = frame.f_back
        watched = any(name in str(path) for name in ("/watch/", "/ledger/", "/champions/", "/traffic/"))
        if watched and (key := " ".join(place)) not in before:
            before.add(key)
            raise Killed
        original(path, content)

    monkeypatch.setattr(files, writer, write)
    original_look = Watcher.look

    def look_again(self: Watcher, task: Task, *, wait: bool = True) -> Look:
        while True:
            try:
                return original_look(self, task, wait=wait)
            except Killed:
                self = Watcher(project, stages=changing_world.stages)

    monkeypatch.setattr(Watcher, "look", look_again)
    close_the_loop(project)
    assert len(before) > 5, "nothing was killed"
    assert actions(project) == LOOP


SLOW = """
import sys, time, pathlib
sys.path[:0] = {paths}
import changing_world
from tiltyard.config import loader
from tiltyard.operations import watcher
from tiltyard.workspace import Workspace
def stages(workspace, task, limit):
    pathlib.Path("started").touch()
    time.sleep(60)
space = Workspace(pathlib.Path.cwd())
watcher.Watcher(space, stages=stages).look(loader.load(space, "orders"))
"""


def test_a_retraining_that_was_killed_is_resumed(project: Workspace) -> None:
    """After kill -9 within a retraining, the next look finishes it, and it is one retraining of the budget."""
    record(project, champion(project), "champion", "before")
    script = SLOW.format(paths=[str(ROOT / "src"), str(ROOT / "tests/builders")])
    with subprocess.Popen([sys.executable, "-c", script], cwd=project.root) as process:
        end = time.monotonic() + 60
        while not (project.root / "started").exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    pending = state.read(project, NAME).pending
    assert pending
    assert pending.action == "retrain"
    resumed = look(project)
    assert "passed the gate" in resumed.result
    found = ledger.retrainings(Registry(project).decisions(NAME), None)
    assert [one.failed for one in found] == [False]


def test_a_fallen_champion_is_rolled_back(project: Workspace) -> None:
    """A promoted champion whose live metric is below the limit is replaced by the one before, though budgets are 0."""
    first = champion(project)
    close_the_loop(project)
    edit_task(project, NAME, {"operate.rollback.quality": 0.99, "operate.budget.retrainings": 0})
    done = look(project)
    assert (done.action, champion(project)) == ("rollback", first)
    assert actions(project)[-2:] == ["rollback", "ROLLBACK"]
    assert [message.event for message in done.messages if message.event == "rollback"] == ["rollback"]
    assert look(project).action == "none", "the restored champion is not rolled back further"


def test_a_person_ends_the_trial(project: Workspace) -> None:
    """A rollout that a person ended is not begun again, and the challenger is not promoted."""
    record(project, champion(project), "champion", "before")
    for _ in range(2):
        look(project)
    end_rollout(project, task_of(project))
    assert look(project).action == "forget"
    again = look(project)
    assert again.action == "retrain"
    assert "nothing is new" in again.result or "passed the gate" in again.result


def test_approval_is_waited_for(project: Workspace) -> None:
    """With gate.approval the trial runs, a person is asked once, and the approved challenger is promoted."""
    edit_task(project, NAME, {"gate.approval": True, "operate.trial.shares": []})
    first = champion(project)
    record(project, first, "champion", "before")
    for _ in range(2):
        look(project)
    running = rollout.read(project.traffic(NAME))
    assert running
    record(project, first, "champion", "shadow")
    record(project, running.version, "shadow", "shadow")
    asked = look(project)
    assert (asked.action, champion(project)) == ("promote", first)
    commands = [one.command for one in asked.messages if one.event == "hold"]
    assert commands == [f"tiltyard approve {NAME} {running.version}"]
    lines = len(Registry(project).decisions(NAME))
    assert look(project).reason == f"{running.version} waits for approval"
    assert len(Registry(project).decisions(NAME)) == lines
    approve(project, task_of(project), running.version)
    assert look(project).action == "promote"
    assert champion(project) == running.version


def test_a_failed_retraining_is_counted_and_told(project: Workspace) -> None:
    """An error in a stage ends the retraining, not the watch; after so many failures none is begun."""
    edit_task(project, NAME, {"operate.budget.failures": 1})
    record(project, champion(project), "champion", "before")

    def stages(*_: Any) -> None:
        raise StageError("train of orders exited without an error message")

    watcher = Watcher(project, stages=stages)
    failed = watcher.look(task_of(project))
    assert failed.result.startswith("train of orders exited")
    assert [one.command for one in failed.messages if one.event == "failed"] == [f"tiltyard run {NAME}"]
    blocked = watcher.look(task_of(project))
    assert (blocked.action, blocked.blocked) == ("none", "operate.budget.failures: the last 1 retrainings failed")
    assert any(one.event == "budget" for one in blocked.messages)


def test_a_retraining_ends_at_its_budget(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that runs when the compute time is spent is ended, and the seconds are in the ledger."""
    edit_task(project, NAME, {"operate.budget.compute_hours": 1.0 / 3600})
    record(project, champion(project), "champion", "before")
    ended = list[float]()
    monkeypatch.setattr(processes, "end_all", lambda: ended.append(time.monotonic()))

    def stages(_: Workspace, __: Task, limit: Limit) -> None:
        end = time.monotonic() + 30
        while not ended and time.monotonic() < end:
            time.sleep(0.05)
        limit.check()

    done = Watcher(project, stages=stages).look(task_of(project))
    assert "it reached operate.budget.compute_hours" in done.result
    (found,) = ledger.retrainings(Registry(project).decisions(NAME), None)
    assert 1.0 <= found.seconds < 20
    assert found.failed


def test_steps_of_the_watch_hide_no_verdict(project: Workspace) -> None:
    """`status` and `why` show the last verdict, though the watch has written a line after it."""
    registry = Registry(project)
    fields: dict[str, Any] = {"task": NAME, "reasons": ["because"], "champion": champion(project)}
    with registry.lock(NAME):
        registry.record(Decision(**fields, verdict="HOLD", version="c" * 12))
        registry.record(Decision(**fields, verdict="OPERATE", version=champion(project)))
    task_list.add(project, NAME)
    (row,) = [row for row in queries.status(project) if row["task"] == NAME]
    assert row["verdict"] == "HOLD"
    found = queries.why(project, task_of(project))
    assert (found["verdict"], found["version"]) == ("HOLD", "c" * 12)


def test_one_process_watches_a_project(project: Workspace) -> None:
    """A second watch is refused, with what to type."""
    with watch.only_watcher(project), pytest.raises(WorkspaceError, match="another process watches this project"):
        watch.look_once(project, [NAME])


@pytest.mark.usefixtures("project")
def test_the_command_looks_once() -> None:
    """`tiltyard watch --once --json` prints each look; a task without `operate` is refused with what to add."""
    done = CliRunner().invoke(cli, ["watch", NAME, "--once", "--json"])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert (found["task"], found["action"], found["reason"]) == (NAME, "none", "nothing calls for an action")
    refused = CliRunner().invoke(cli, ["watch", "iris", "--once"])
    assert "iris is not operated: expected a section `operate` in tasks/iris.yaml" in str(refused.exception)
    both = CliRunner().invoke(cli, ["watch", NAME, "--once", "--every", "5"])
    assert "expected one of --once, --every and --cron" in both.output


def test_a_damaged_state_is_refused(project: Workspace) -> None:
    """A state file of another form stops this task only, and the message says what to type."""
    files.write_text(state.path(project, NAME), '{"format": 2}')
    (found,) = watch.look_once(project, [NAME])
    assert "is not the state of `tiltyard watch`" in found.error
    assert "tiltyard traffic orders --off" in found.hint
