"""A simulated world for the loop: orders whose distribution shifts, clients of a real service, and late truths.

The models are closed-form linear ones, so that a retraining takes a second; all else is what runs in production.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import linear_challengers
import numpy as np
import pandas as pd
import pytest
import yaml
from workspaces import edit_task, fetch_raw, new_workspace

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.gate.promote import promote
from tiltyard.monitoring import records
from tiltyard.operations.retrain import Limit
from tiltyard.operations.watcher import Look, Watcher
from tiltyard.preparation import prepare
from tiltyard.registry import manifest, rollout
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, package, smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

NAME, LABELS, FEATURES = "orders", ["late", "on_time"], ["distance", "weight", "load"]
TASK: dict[str, Any] = {
    "title": "Whether an order arrives late",
    "problem": "classification",
    "source": {"kind": "file", "path": "orders.csv"},
    "rows": [100, 100_000],
    "columns": {name: {"type": "number"} for name in FEATURES},
    "target": {"column": "arrival", "classes": LABELS},
    "split": {"kind": "stratified"},
    "model": {"family": "mlp", "units": [4]},
    "train": {"epochs": 1},
    "gate": {"metric": "accuracy"},
    "check": {"psi": 1.0},  # the gate compares with all requests on record, many of them from before the shift
    "serve": {"example": dict.fromkeys(FEATURES, 0.0)},
}
OPERATE: dict[str, Any] = {
    "window": 600,
    "retrain": {"drift": 0.3, "quality": 0.75, "pause_hours": 0},
    "trial": {"shadow": 200, "shares": [0.5], "predictions": 100, "truths": 40, "slower_ms": 10_000},
    "rollback": {"quality": 0.4},
    "budget": {"retrainings": 6},
}
KEPT_ROWS = 600  # of the table: the latest ones
WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class World:
    """Orders by step. From `shift` on, features have other means and the labels another relation to them.

    In the steps `broken`, the labels that reach the table are wrong, while those that clients send are right.
    """

    seed: int = 0
    steps: int = 14
    shift: int = 4
    broken: tuple[int, ...] = ()
    rows: int = 300
    late: int = 1  # steps after which truths arrive

    def batch(self, step: int) -> tuple[Array, Array]:
        """Return features and labels of a step."""
        dice, after = np.random.default_rng([self.seed, step]), step >= self.shift
        features = dice.normal([1.2, 0.0, 0.0] if after else [0.0, 0.0, 0.0], 1.0, (self.rows, 3))
        scores = features @ ([-2.0, 1.0, 0.5] if after else [2.0, 1.0, 0.0]) + (2.4 if after else 0.0)
        return features.round(4), (scores + dice.logistic(size=self.rows) > 0).astype(int)

    def table(self, known: int) -> pd.DataFrame:
        """Return the table with the steps whose truths are known; steps before the first are as the first."""
        steps = range(-3, known)
        frames = []
        for step in steps:
            features, labels = self.batch(step) if step >= 0 else World(self.seed + 1, shift=99).batch(-step)
            labels = 1 - labels if step in self.broken else labels
            frame = pd.DataFrame(features, columns=FEATURES)
            frames.append(frame.assign(arrival=np.array(LABELS)[labels]))
        return pd.concat(frames).tail(KEPT_ROWS)

    def write_table(self, root: Path, step: int) -> None:
        """Write the table as it is after a step."""
        self.table(step + 1 - self.late).to_csv(root / "orders.csv", index=False)


@dataclass
class Sent:
    """The predictions of a step that wait for their truths."""

    items: list[dict[str, Any]]


@dataclass
class Course:
    """What became of a strategy: accuracy by step, retrainings, and the looks of the watch."""

    accuracy: list[float] = field(default_factory=list)
    retrainings: int = 0
    looks: list[Look] = field(default_factory=list)


def stages(workspace: Workspace, task: Task, _: Limit | None = None) -> None:
    """Fetch, prepare, fit a linear model and evaluate it."""
    fetch_raw(workspace, task.name)
    prepare.prepare(workspace, task)
    linear_challengers.write_challenger(workspace, task, slice(len(task.columns)))


def write_package(workspace: Workspace, task: Task, *_: Any, **__: Any) -> str:
    """Write a package with its proof, but no Bento."""
    evaluated = read_evaluated(workspace, task)
    folder = workspace.package(task.name, evaluated.report["version"])
    if not (folder / "proven.json").is_file():
        package.write(workspace, task, folder, evaluated)
        files.write_json(folder / "proven.json", {manifest.FILES_KEY: manifest.hashes(folder)})
    return folder.name


@contextlib.contextmanager
def quick_packages() -> Iterator[None]:
    """Leave out what takes long in a promotion: the Bento, the reference, and measuring memory in a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package, "package", write_package)
        patch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)
        patch.setattr("tiltyard.gate.duel_setup._memory_mb", lambda _: 80.0)
        patch.setattr(bento.Builder, "load", lambda _: None)
        yield


def new_world(root: Path, world: World, **sections: Any) -> tuple[Workspace, Task]:
    """Create a project whose task has a champion, fitted to the table before the first step."""
    return new_champion(root, NAME, {**TASK, "operate": OPERATE, **sections}, world.table(0))


def new_champion(root: Path, name: str, content: dict[str, Any], table: pd.DataFrame) -> tuple[Workspace, Task]:
    """Create a project whose task has a champion, fitted to a table."""
    workspace = new_workspace(root)
    workspace.task_file(name).write_text(yaml.safe_dump(content), encoding="utf-8")
    table.to_csv(root / f"{name}.csv", index=False)
    task = loader.load(workspace, name)
    stages(workspace, task)
    verdict = promote(workspace, task)
    assert verdict.verdict == "PROMOTE", verdict.reasons
    return workspace, task


@contextlib.contextmanager
def service(workspace: Workspace) -> Iterator[str]:
    """Serve the project in a process that records every request."""
    environment = {
        **bento.clean(),
        "TILTYARD_CHAMPIONS": str(workspace.serving),
        "TILTYARD_TASKS": NAME,
        "TILTYARD_RECORD": "1",
        "TILTYARD_RECORDS": str(workspace.records),
    }
    with smoke_test.running(SERVER, environment, workspace.root / "home") as server:
        yield server.url


class Clients:
    """Clients that send orders to the service, and later the truths."""

    def __init__(self, workspace: Workspace, task: Task, world: World, url: str) -> None:
        self.workspace, self.task, self.world = workspace, task, world
        self.client = httpx.Client(base_url=url, timeout=30)
        self.waiting: list[Sent] = []
        self.recorded = 0

    def send(self, step: int, size: int = 5) -> float:
        """Send the orders of a step, each request from another client; return the accuracy of the answers."""
        features, labels = self.world.batch(step)
        sent, right = Sent([]), 0
        for start in range(0, len(features), size):
            rows = [dict(zip(FEATURES, row, strict=True)) for row in features[start : start + size].tolist()]
            headers = {"x-tiltyard-key": f"client {step} {start}"}
            response = self.client.post(f"/v1/models/{NAME}:predict", json={"instances": rows}, headers=headers)
            assert response.status_code == 200, response.text
            names = {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"]}
            for index, (answer, label) in enumerate(zip(response.json()["predictions"], labels[start:], strict=False)):
                right += answer["label"] == LABELS[label]
                sent.items.append({**names, "instance": index, "truth": LABELS[label]})
        self.waiting.append(sent)
        self._wait_until_recorded(len(features))
        return right / len(features)

    def tell(self) -> None:
        """Send the truths that are due."""
        while len(self.waiting) > self.world.late:
            items = self.waiting.pop(0).items
            response = self.client.post(f"/v1/models/{NAME}:feedback", json={"feedback": items})
            assert response.status_code == 200, response.text

    def _wait_until_recorded(self, rows: int) -> None:
        running = rollout.read(self.workspace.traffic(NAME))
        self.recorded += rows * (2 if running and running.way == "shadow" else 1)
        until(lambda: records.read(self.workspace, self.task, "answers", ["record.id"]).num_rows >= self.recorded)

    def wait_until_served(self) -> None:
        """Wait until the service follows the registry and the rollout."""
        champion, running = Registry(self.workspace).champion(NAME), rollout.read(self.workspace.traffic(NAME))
        assert champion
        until(lambda: self.client.get(f"/v1/models/{NAME}").json()["version"] == champion.version)
        wanted = 200 if running else 404
        until(lambda: self.client.get(f"/v1/models/{NAME}/labels/challenger").status_code == wanted)
        if running:
            time.sleep(1.2)  # the share of a canary is nowhere to be read: two polls of the service


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def look_until_calm(watcher: Watcher, task: Task, most: int = 2) -> list[Look]:
    """Look until there is nothing to do, at most so often."""
    looks: list[Look] = []
    while len(looks) < most and (not looks or looks[-1].action != "none"):
        looks.append(watcher.look(task))
        assert not looks[-1].error, looks[-1].error
    return looks


def watch(root: Path, world: World) -> tuple[Workspace, Course]:
    """Live through the world with the watch, which looks at most twice in each step."""
    with quick_packages():
        workspace, task = new_world(root, world)
        course, watcher = Course(), Watcher(workspace, stages=stages)
        with service(workspace) as url:
            edit_task(workspace, NAME, {"operate.service": url})
            task = loader.load(workspace, NAME)
            clients = Clients(workspace, task, world, url)
            with clients.client:
                for step in range(world.steps):
                    course.accuracy.append(clients.send(step))
                    clients.tell()
                    world.write_table(root, step)
                    course.looks += look_until_calm(watcher, task)
                    clients.wait_until_served()
    return workspace, course


def without_watch(root: Path, world: World, every: int | None) -> Course:
    """Live through the world with the first champion, or retrain every so many steps and serve the result at once.

    There is no service: the packages of the champions predict here, as the service would.
    """
    with quick_packages():
        workspace, task = new_world(root, world)
        course, model = Course(), _champion(workspace)
        for step in range(world.steps):
            features, labels = world.batch(step)
            answers = model.predict([dict(zip(FEATURES, row, strict=True)) for row in features.tolist()])
            right = [answer["label"] == LABELS[label] for answer, label in zip(answers, labels, strict=True)]
            course.accuracy.append(float(np.mean(right)))
            world.write_table(root, step)
            if every and step % every == every - 1:
                stages(workspace, task)
                model = LoadedModel.load(workspace.package(NAME, write_package(workspace, task)))
                course.retrainings += 1
    return course


def _champion(workspace: Workspace) -> LoadedModel:
    champion = Registry(workspace).champion(NAME)
    assert champion
    return LoadedModel.load(workspace.package(NAME, champion.version))
