"""The backend of Keras: chosen from the task file before Keras is loaded, since a process can load only one."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import TrainingError
from tiltyard.runtime import library_imports, processes
from tiltyard.workspace import Workspace

VARIABLE = "KERAS_BACKEND"  # if it is set, it overrides the task file
BACKENDS = ("tensorflow", "jax")
FASTER_WITH_JAX = (
    "mlp",
    "perceptron",
    "realmlp",
    "tabm",
)  # on a CPU; recurrent and convolutional networks are faster with TensorFlow
COMMAND = "from tiltyard.cli.main import main; main()"


def chosen(task: Task) -> str:
    """Return the backend of a task; `auto` is JAX for dense networks, where it is installed."""
    if backend := os.environ.get(VARIABLE):
        return backend
    if task.train.backend != "auto":
        return task.train.backend
    suitable = task.model.family in FASTER_WITH_JAX and importlib.util.find_spec("jax")
    return "jax" if suitable else "tensorflow"


def load(task: Task) -> None:
    """Load Keras with the backend of a task; raise TrainingError if it is not installed, or another one is loaded."""
    backend = chosen(task)
    if backend not in BACKENDS:
        raise TrainingError(f"{VARIABLE}: expected {' or '.join(BACKENDS)}; received {backend}", hint="unset it")
    if not importlib.util.find_spec(backend):
        raise TrainingError(
            f"train.backend: expected an installed backend; {backend} is not installed",
            hint="install it (make jax), or remove train.backend",
        )
    with _variable(backend):
        library_imports.load("keras")
    import keras

    if (loaded_backend := keras.backend.backend()) != backend:
        raise TrainingError(
            f"train.backend: {backend} was expected, and this process has loaded {loaded_backend}",
            hint=f"train the task alone: tiltyard train {task.name}",
        )


@contextlib.contextmanager
def _variable(backend: str) -> Iterator[None]:
    """Set the variable that Keras reads when it is loaded; tasks that are trained later may have another backend."""
    previous = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = backend
    try:
        yield
    finally:
        if previous is None:
            del os.environ[VARIABLE]


def is_other_loaded(task: Task) -> bool:
    """Return whether this process has loaded another backend, as the processes from which stages are forked do."""
    keras = sys.modules.get("keras")
    return keras is not None and keras.backend.backend() != chosen(task)


def train_apart(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Train in another process with the backend of a task; return the record."""
    return _run_apart(workspace, task, "train", "training.json")


def evaluate_apart(workspace: Workspace, task: Task) -> dict[str, Any]:
    """Evaluate, with further trainings, in another process with the backend of a task; return the report."""
    return _run_apart(workspace, task, "evaluate", "report.json")


def _run_apart(workspace: Workspace, task: Task, verb: str, result: str) -> dict[str, Any]:
    """Run a stage in a process that ends with this one; return what it wrote."""
    with processes.supervised(workspace, verb, task.name) as variables:
        command = [sys.executable, "-c", COMMAND, verb, task.name]
        environment = {**os.environ, **variables, VARIABLE: chosen(task)}
        process = subprocess.run(command, cwd=workspace.root, env=environment, stdout=subprocess.DEVNULL, check=False)
    if process.returncode:
        raise processes.stage_error(workspace, verb, task.name)
    record: dict[str, Any] = files.read_json(workspace.out(task.name, verb) / result)
    return record
