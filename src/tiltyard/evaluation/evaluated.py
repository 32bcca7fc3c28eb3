"""An evaluation as read back: its report with the sealed test rows and the model, refused if they do not match."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.files import Json
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.preparation.sealed_test import TestRows, read_test
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class Evaluated:
    """The report of an evaluation with its sealed test rows, and the folder of the model."""

    report: Json
    test: TestRows
    train: Path

    @functools.cached_property
    def predictor(self) -> Predictor:
        """The model, loaded once: a promotion judges it and packages it."""
        return Predictor.load(self.train)


def read_evaluated(workspace: Workspace, task: Task) -> Evaluated:
    """Read the report and the sealed rows; refuse a report about another model, other rows or another metric."""
    path = workspace.out(task.name, "evaluate") / "report.json"
    hint = f"measure it: tiltyard evaluate {task.name}"
    if not path.is_file():
        raise RegistryError(f"{task.name} has no evaluation: expected {path.relative_to(workspace.root)}", hint=hint)
    report: Json = files.read_json(path)
    train = workspace.out(task.name, "train")
    if not (train / "model.onnx").is_file():
        raise RegistryError(
            f"{task.name} has no model: expected {train.relative_to(workspace.root)}",
            hint=f"make it: tiltyard train {task.name}",
        )
    test = read_test(workspace, task.name, task.columns)
    expected = {"version": version(train), "test": test.digest, "metric": task.gate.metric}
    for name, value in expected.items():
        if report[name] != value:
            raise RegistryError(
                f"the evaluation of {task.name} is about another {name}: expected {value}; received {report[name]}",
                hint=hint,
            )
    return Evaluated(report, test, train)
