"""Benchmark of seconds per epoch against plain `model.fit` on arrays, with the same model, rows and batches.

TILTYARD_MIRROR=... python benchmarks/epochs.py [--rows N] [--rounds N] [TASK]...

Writes benchmarks/EPOCHS.md; lines of tasks that are not named stay.

Both train for five epochs (tables: 20), alternately, each in a separate process. An epoch is timed from the end of the
previous one, so its time includes validation and everything between epochs. The first epoch is left out, since it
includes compilation. For every other epoch the fastest round counts, since other processes can only slow it down.
Augmentation and clipping are off, since plain arrays have none.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import page
import raw_data
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.preparation import prepare
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.training.fit import RunPaths, fit
from tiltyard.workspace import Workspace

GENERATED = "generated_table"
TASKS = ("california", "house_sales", GENERATED, "mnist_cnn", "mnist_lstm", "cifar10_cnn", "imdb_lstm")
TARGET = page.ROOT / "benchmarks" / "EPOCHS.md"
EPOCHS, EPOCHS_OF_TABLES = 5, 20


def main() -> None:
    """Measure each task alternately, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        new = {
            name: _line(Workspace(Path(folder)), name, options.rows, options.rounds) for name in options.tasks or TASKS
        }
    intro = f"Measured by `benchmarks/epochs.py`: {page.machine()}, {options.rows:,} rows at most."
    head = "| task | rows | batch | plain, s | ours, s | ours / plain | per round | date |\n"
    head += "|---|--:|--:|--:|--:|--:|---|---|"
    why = (__doc__ or "").split("\n\n")[3].strip().replace("\n", " ")
    lines = [line for name in TASKS if (line := new.get(name) or _existing_line(name))]
    files.write_text(TARGET, "\n".join(["# Epochs", "", intro + " " + why, "", head, *lines, ""]))


def _existing_line(name: str) -> str:
    """Return the line of a task from an earlier run."""
    lines = TARGET.read_text(encoding="utf-8").splitlines() if TARGET.is_file() else []
    return next((line for line in lines if line.startswith(f"| `{name}` |")), "")


def _line(space: Workspace, name: str, rows: int, rounds: int) -> str:
    """Prepare some rows of a task, and time both ways alternately, each time in a separate process."""
    environment.configure_tools(space)
    task = _reduced_task(space, name, rows)
    raw_data.fetch(space, task)
    count = prepare.prepare(space, task, reseal=True)["rows"]["train"]
    seconds: dict[str, list[list[float]]] = {"plain": [], "ours": []}
    for _ in range(rounds):
        for way, found in seconds.items():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found.append(pool.apply(_epochs, (way, str(space.root), name)))
    plain, ours = (statistics.mean(map(min, zip(*found, strict=True))) for found in seconds.values())
    round_ratios = [sum(own) / sum(reference) for reference, own in zip(seconds["plain"], seconds["ours"], strict=True)]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in round_ratios)
    line = f"| `{name}` | {count:,} | {task.train.batch_size} | {plain:.2f} | {ours:.2f} "
    line += f"| **{ours / plain:.2f}** | {ratios} | {datetime.now(UTC):%Y-%m-%d} |"
    print(line, flush=True)
    return line


def _reduced_task(space: Workspace, name: str, rows: int) -> Task:
    """Write the task with few rows, and without settings that plain arrays lack."""
    content = _generated(space.root / "generated.csv", rows) if name == GENERATED else _content(name)
    content["split"]["rows"], content["rows"] = rows, [rows, 10**9]
    if content["source"]["kind"] in ("keras", "images"):
        content["source"]["rows"] = rows
    for setting in ("augment", "patience", "then", "schedule", "clip_norm"):
        content["train"].pop(setting, None)
    content["train"]["epochs"] = EPOCHS_OF_TABLES if content["model"]["family"] == "mlp" else EPOCHS
    files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
    return loader.load(space, name)


def _content(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((page.ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def _generated(path: Path, rows: int) -> dict[str, Any]:
    """Write a table of 20 random numbers; return a task with the default batches of 32 rows."""
    names = [f"x{number}" for number in range(20)]
    table = np.random.default_rng(0).normal(size=(rows, 21))
    np.savetxt(path, table, "%.6f", ",", header=",".join([*names, "y"]), comments="")
    return {
        "title": "Generated numbers",
        "problem": "regression",
        "source": {"kind": "file", "path": str(path)},
        "columns": {name: {"type": "number"} for name in names},
        "target": {"column": "y"},
        "split": {"kind": "random"},
        "model": {"family": "mlp", "units": [64, 32]},
        "train": {},
        "gate": {"metric": "rmse"},
        "serve": {"example": dict.fromkeys(names, 0.5)},
    }


def _epochs(way: str, root: str, name: str) -> list[float]:
    """Return the seconds of each epoch but the first."""
    space, ends = Workspace(Path(root)), list[float]()
    task = loader.load(space, name)
    parts = train.opened(space, task) if way == "ours" else TrainingRows.load(space.out(name, "prepare"))
    {"ours": _ours, "plain": _plain}[way](task, parts, lambda *_: ends.append(time.perf_counter()))
    return [end - before for before, end in itertools.pairwise(ends)]


def _ours(task: Task, parts: TrainingRows, on_epoch_end: Callable[..., None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fit(task, parts, RunPaths(Path(folder) / "state", Path(folder) / "logs", task.name, on_epoch_end))


def _plain(task: Task, parts: TrainingRows, on_epoch_end: Callable[..., None]) -> None:
    """Train as a notebook would: float32 arrays, no seed, no monitoring, no checkpoints."""
    import keras

    from tiltyard.training import network
    from tiltyard.training.objective import Objective

    objective = Objective.of(task, parts.encoder)

    def arrays(part: Any) -> tuple[Any, Any]:
        return part[0][:].astype(np.float32), objective.targets(part[1])

    model = network.build_core(task, parts.encoder, parts.train[0])
    rate = task.train.rate
    model.compile(
        optimizer={"class_name": task.train.optimizer, "config": {"learning_rate": rate}},
        loss=objective.loss,
        metrics=["accuracy"],
    )
    settings = {"batch_size": task.train.batch_size, "epochs": task.train.epochs, "verbose": 0}
    callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
    model.fit(*arrays(parts.train), validation_data=arrays(parts.validation), callbacks=[callback], **settings)


if __name__ == "__main__":
    main()
