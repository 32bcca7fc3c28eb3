"""The verb smoke: a task on few rows, for one epoch, in a folder of its own; nothing of the project is touched."""

from __future__ import annotations

import logging
from typing import Any

from tiltyard import evaluate, files, judge, prepare, report, train, trial, validate
from tiltyard.package import write
from tiltyard.serve import ARGUMENTS, environment, fixed
from tiltyard.task import Task
from tiltyard.workspace import Workspace

ROWS = 400
LONG = 20  # windows of a series end to end: fewer, and nothing is left between the parts


def smoke(workspace: Workspace, task: Task, place: Workspace) -> dict[str, Any]:
    """Take a task from its source to the verdict, in the project `place`; give its report."""
    small = shrunk(task)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of many models in one process
    with files.replacing_folder(place.raw(task.name)) as folder:
        small.source.fetch(folder, workspace)
    validate.validate(place, small)
    prepare.prepare(place, small)
    train.train(place, small)
    told = evaluate.evaluate(place, small)
    judge.judge(place, small)
    write(place, small, place.package(task.name, told["version"]))
    report.report(place, [small])
    return told


def shrunk(task: Task) -> Task:
    """Give the same task with few rows, one epoch and nothing to wait for."""
    window = max(getattr(column, "window", 0) for column in task.columns.values())
    few = {"rows": max(ROWS, LONG * (window + task.target.horizon))}
    source = task.source.model_copy(update=few if "rows" in type(task.source).model_fields else {})
    train = {
        "epochs": 1,
        "batch_size": min(task.train.batch_size, ROWS // 10),
        "patience": None,
        "then": None,
        "schedule": task.train.schedule.model_copy(update={"warmup": 0}),  # it would be the whole training
    }
    changes = {
        "source": source,
        "rows": (1, task.rows[1]),
        "split": task.split.model_copy(update=few),
        "train": task.train.model_copy(update=train),
    }
    return task.model_copy(update=changes)


def answered(place: Workspace, versions: dict[str, str]) -> dict[str, float]:
    """Serve all packages at once, replay golden rows of each over REST; give the largest differences."""
    folders = {name: place.package(name, version) for name, version in versions.items()}
    home = place.state("serve", "smoke")
    with trial.running(ARGUMENTS, environment(fixed(folders), home), home) as server:
        return {
            name: trial.replay(server, name, folder.name, files.read_json(folder / "golden.json"))
            for name, folder in folders.items()
        }
