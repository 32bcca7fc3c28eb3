"""The command package: build a Bento of the evaluated model, and verify that it predicts what the evaluation did."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import PackageError
from tiltyard.evaluation.evaluated import Evaluated, read_evaluated
from tiltyard.files import Json
from tiltyard.modeling.inference.drift_reference import reference
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.predictor import model_files
from tiltyard.modeling.problems.clustering import CLUSTERS
from tiltyard.modeling.problems.sampling import Facts
from tiltyard.preparation.array_file import open_part, sample_blocks
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.registry import manifest
from tiltyard.registry.queries import recorded_override
from tiltyard.serving.model.golden_rows import choose_golden_rows
from tiltyard.serving.model.loaded_model import PACKAGE_FORMAT, LoadedModel
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.packaging.model_card import card, ran_on, summary
from tiltyard.serving.requests.golden_samples import golden_samples
from tiltyard.workspace import Workspace

log = logging.getLogger(__name__)


def package(
    workspace: Workspace,
    task: Task,
    evaluated: Evaluated | None = None,
    *,
    override: Json | None = None,
    builder: bento.Builder | None = None,
) -> str:
    """Package and smoke-test the evaluated version unless that was done already; return the version.

    Pass `evaluated` if the evaluation was read already, a person's word that is not in the ledger yet, and a builder
    that was started before.
    """
    evaluated = evaluated or read_evaluated(workspace, task)
    version: str = evaluated.report["version"]
    folder = workspace.package(task.name, version)
    proof_path, pointer = folder / "proven.json", folder.with_name(f"{version}.dvc")
    bento_exists = bento.folder(workspace, task.name, version).is_dir()
    if proof_path.is_file():
        manifest.check(folder)
    if proof_path.is_file() and bento_exists and pointer.is_file():
        return version
    if not proof_path.is_file():
        log.info("%s: write package %s", task.name, version)
        write(workspace, task, folder, evaluated, override or recorded_override(workspace, task.name, version))
    if not pointer.is_file():  # DVC is imported while this process waits for others
        threading.Thread(target=importlib.import_module, args=("dvc.repo",), daemon=True).start()
    log.info("%s: build Bento %s:%s", task.name, task.name, version)
    if builder:
        builder.build(version)
    else:
        bento.build(workspace, task.name, version)
    log.info("%s: start it and replay golden rows", task.name)
    rows = files.read_json(folder / "golden.json")
    difference = smoke_test.prove(workspace, task.name, version, rows)
    if not proof_path.is_file():  # otherwise it was pulled from the remote, where only tested packages are
        proof = _proof(task.name, version, len(rows["instances"]), difference)
        files.write_json(proof_path, {**proof, manifest.FILES_KEY: manifest.hashes(folder)})
    if not pointer.is_file():
        dvc.add(workspace, folder)
    return version


def write(workspace: Workspace, task: Task, folder: Path, evaluated: Evaluated, override: Json | None = None) -> None:
    """Write the package folder of the evaluated version atomically."""
    files.remove_abandoned(folder.parent)  # of other versions, too: they may never be packaged again
    report, test, train, predictor = evaluated.report, evaluated.test, evaluated.train, evaluated.predictor
    training = files.read_json(train / "training.json")
    predictions = workspace.out(task.name, "evaluate") / "predictions.npz"
    prepared = workspace.out(task.name, "prepare")
    with files.atomic_folder(folder) as target:
        for path in model_files(train):
            shutil.copy(path, target)
        described = schema(task, predictor.encoder, report)
        golden = choose_golden_rows(predictor, test, _outputs(predictions, test))
        files.write_json(target / "schema.json", described)
        files.write_json(target / "golden.json", {**golden, **golden_samples(LoadedModel(described, predictor))})
        files.write_json(target / "reference.json", _reference(prepared / "train.npz", predictor.encoder))
        files.write_text(target / "card.md", card(task, report, training, ran_on(train), override))


def _reference(path: Path, encoder: Encoder) -> dict[str, Any]:
    """Return the drift reference: histograms of the training rows, or of a sample of them."""
    features, truths = open_part(path)
    return reference(encoder, np.concatenate([features[part] for part in sample_blocks(len(truths))]))


def _outputs(predictions: Path, test: TestRows) -> Array:
    """Return the outputs that the evaluation recorded; raise PackageError if they are not for these test rows."""
    with np.load(predictions, allow_pickle=False) as arrays:
        if not np.array_equal(arrays["number"], test.number):
            raise PackageError("predictions.npz is about other rows than the sealed test rows")
        outputs: Array = arrays["outputs"]
        return outputs


def schema(task: Task, encoder: Encoder, report: dict[str, Any]) -> dict[str, Any]:
    """Return schema.json: instances, predictions, limits, metrics and card, as clients of the service read them."""
    between = task.target.interaction
    return {
        "format": PACKAGE_FORMAT,
        "task": task.name,
        "title": task.title,
        "version": report["version"],
        "problem": task.problem,
        "instance": encoder.json_schema(),
        **({"derived": _derived(task)} if task.derived else {}),
        "prediction": encoder.problem.json_schema(task.target),
        **({"recommendation": {"user": between.user, "item": between.item}} if between else {}),
        **({CLUSTERS: encoder.target[CLUSTERS]} if CLUSTERS in encoder.target else {}),
        **({"sampling": _sampling(encoder)} if task.problem_type.generates else {}),
        **_threshold(task, encoder),
        "limits": {"max_instances": task.serve.max_instances, "max_body_bytes": task.serve.max_body_bytes},
        "example": task.serve.example,
        "metrics": report["metrics"],
        **({"stand_in": report["stand_in"]} if "stand_in" in report else {}),
        "card": summary(task, report),
    }


def _sampling(encoder: Encoder) -> dict[str, Any]:
    """Return what clients can ask samples for."""
    facts = Facts.of(encoder)
    labels = encoder.target["labels"] if facts.conditional else []
    return {"code": facts.code, "prior": facts.prior, "classes": labels, "encodes": facts.encodes}


def _threshold(task: Task, encoder: Encoder) -> dict[str, Any]:
    """Return the threshold if the task says how it is chosen, or finds anomalies by it."""
    shown = encoder.problem.threshold and (task.train.threshold or task.problem == "anomaly")
    return {"threshold": encoder.problem.threshold} if shown else {}


def _derived(task: Task) -> dict[str, Any]:
    """Return the features that a client does not send, since the model computes them."""
    return {
        name: {"formula": derived.formula, "of": derived.of, "description": "computed by the model; do not send it"}
        for name, derived in task.derived.items()
    }


def _proof(task: str, version: str, rows: int, difference: float) -> dict[str, Any]:
    """Return the content of proven.json: what was tested, and with which versions of the tools."""
    tools = {name: importlib.metadata.version(name) for name in ("bentoml", "onnxruntime", "numpy")}
    return {"bento": f"{task}:{version}", "rows": rows, "largest_difference": difference, "with": tools}
