"""The verb package: put what evaluation judged into a Bento, and prove that the Bento answers as it did."""

from __future__ import annotations

import importlib.metadata
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import PackageError
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.inference.predictor import version as version_of
from tiltyard.modeling.inference.reference import reference
from tiltyard.preparation.array_file import blocks, open_part
from tiltyard.preparation.sealed_test import TestPart, read_test
from tiltyard.registry import manifest
from tiltyard.serving.model.golden_rows import choose
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.packaging.model_card import card, ran_on, summary
from tiltyard.workspace import Workspace

log = logging.getLogger(__name__)


def package(workspace: Workspace, task: Task, test: TestPart | None = None) -> str:
    """Make and prove the package of the trained model, unless it is there; give its version.

    Golden rows are some of `test`, the sealed rows, which are read where the caller has not.
    """
    version = _judged(workspace, task)
    folder = workspace.package(task.name, version)
    proven, pointer = folder / "proven.json", folder.with_name(f"{version}.dvc")
    present = bento.folder(workspace, task.name, version).is_dir()
    if proven.is_file():
        manifest.check(folder)
    if proven.is_file() and present and pointer.is_file():
        return version
    if not proven.is_file():
        log.info("%s: write package %s", task.name, version)
        write(workspace, task, folder, test)
    log.info("%s: build Bento %s:%s", task.name, task.name, version)
    bento.build(workspace, task.name, version)
    log.info("%s: start it and replay golden rows", task.name)
    rows = files.read_json(folder / "golden.json")
    difference = smoke_test.prove(workspace, task.name, version, rows)
    if not proven.is_file():  # else it was pulled from the remote, as it was proven
        proof = _proof(task, version, len(rows["instances"]), difference)
        files.write_json(proven, {**proof, manifest.KEY: manifest.hashes(folder)})
    if not pointer.is_file():
        dvc.add(workspace, folder)
    return version


def _judged(workspace: Workspace, task: Task) -> str:
    """Return the version of the trained model; it must be the one that evaluation judged."""
    train, report = workspace.out(task.name, "train"), workspace.out(task.name, "evaluate") / "report.json"
    hint = f"make it: dvc repro evaluate@{task.name}"
    for path in (train / "model.onnx", train / "encoder.json", report):
        if not path.is_file():
            raise PackageError(f"nothing to package for {task.name}: no {path.relative_to(workspace.root)}", hint=hint)
    version, judged = version_of(train), files.read_json(report)["version"]
    if version != judged:
        raise PackageError(f"{task.name} was evaluated as {judged}; the trained model is {version}", hint=hint)
    return version


def write(workspace: Workspace, task: Task, folder: Path, test: TestPart | None = None) -> None:
    """Write the package folder of what was judged, whole or not at all."""
    files.remove_abandoned(folder.parent)  # of other versions, too: one that was killed may never come again
    train, evaluate = workspace.out(task.name, "train"), workspace.out(task.name, "evaluate")
    report, training = files.read_json(evaluate / "report.json"), files.read_json(train / "training.json")
    predictor, test = Predictor.load(train), test or read_test(workspace, task)
    with files.replacing_folder(folder) as target:
        for name in ("model.onnx", "encoder.json"):
            shutil.copy(train / name, target)
        files.write_json(target / "schema.json", schema(task, predictor.encoder, report))
        files.write_json(target / "golden.json", choose(predictor, test, _outputs(evaluate, test)))
        files.write_json(target / "reference.json", _reference(workspace, task, predictor.encoder))
        files.write_text(target / "card.md", card(task, report, training, ran_on(train)))


def _reference(workspace: Workspace, task: Task, encoder: Encoder) -> dict[str, Any]:
    """Return how the training rows are spread, or as many of them as findings look at."""
    features, answers = open_part(workspace.out(task.name, "prepare") / "train.npz")
    return reference(encoder, np.concatenate([features[part] for part in blocks(len(answers))]))


def _outputs(evaluate: Path, test: TestPart) -> Array:
    """Read the outputs that evaluation recorded, which must be for the rows of the test part."""
    with np.load(evaluate / "predictions.npz", allow_pickle=False) as arrays:
        if not np.array_equal(arrays["number"], test.number):
            raise PackageError("predictions.npz is about other rows than the test part")
        outputs: Array = arrays["outputs"]
        return outputs


def schema(task: Task, encoder: Encoder, report: dict[str, Any]) -> dict[str, Any]:
    """Describe a version to its clients."""
    return {
        "task": task.name,
        "title": task.title,
        "version": report["version"],
        "problem": task.problem,
        "instance": encoder.json_schema(),
        "prediction": task.kind.json_schema(task.target),
        "limits": {"max_instances": task.serve.max_instances, "max_body_bytes": task.serve.max_body_bytes},
        "example": task.serve.example,
        "metrics": report["metrics"],
        "card": summary(task, report),
    }


def _proof(task: Task, version: str, rows: int, difference: float) -> dict[str, Any]:
    """Return what was proven, and with which tools."""
    tools = {name: importlib.metadata.version(name) for name in ("bentoml", "onnxruntime", "numpy")}
    return {"bento": f"{task.name}:{version}", "rows": rows, "largest_difference": difference, "with": tools}
