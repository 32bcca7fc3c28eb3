"""The command quantize: judges a variant of the champion with fewer bits, and promotes it if it wins.

A variant cannot be more accurate than its origin. So the gate requires that it is no worse and that it is faster
(Duel.is_variant).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import RegistryError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.gate.promote import promote
from tiltyard.gate.verdict import Verdict
from tiltyard.modeling.inference import vector_index
from tiltyard.modeling.inference.predictor import DECODER_FILE, version
from tiltyard.preparation.array_file import open_part
from tiltyard.registry.registry import Registry
from tiltyard.training.onnx import variants
from tiltyard.workspace import Workspace

COPIED = ("encoder.json", "device.json", vector_index.FILE)  # of the training, beside the model


@dataclass(frozen=True)
class VariantWorkspace(Workspace):
    """A workspace in which the trained model of each task is a variant; all else is the project's."""

    kind: str = ""

    def out(self, task: str, verb: str) -> Path:
        """Return the output folder of a stage; those of a variant do not replace those of the stages."""
        folder = super().out(task, verb)
        return folder.parent / "variants" / self.kind / verb if verb in ("train", "evaluate") else folder


def quantize(workspace: Workspace, task: Task, kind: str, *, dry_run: bool = False, again: bool = False) -> Verdict:
    """Write a variant of the champion, evaluate it on the sealed rows, and judge and promote it."""
    champion, source = Registry(workspace).champion(task.name), workspace.out(task.name, "train")
    if champion is None:
        raise RegistryError(f"no champion yet of {task.name}", hint=f"make one: tiltyard run {task.name}")
    received = version(source) if (source / "model.onnx").is_file() else "no model"
    if received != champion.version:
        text = f"{source.relative_to(workspace.root)}: expected the champion {champion.version}; received {received}"
        raise RegistryError(text, hint=f"restore the outputs of its training: dvc pull train@{task.name}")
    varied = VariantWorkspace(workspace.root, kind)
    _write(varied, task, source, champion.version)
    evaluate(varied, task)
    # Its origin is champion, so a stand-in was allowed before.
    return promote(varied, task, dry_run=dry_run, again=again, allow_stand_in=True)


def _write(workspace: VariantWorkspace, task: Task, source: Path, origin: str) -> None:
    """Write the variant in place of the trained model."""
    features, _ = open_part(workspace.out(task.name, "prepare") / "train.npz")
    training = files.read_json(source / "training.json")
    training.pop("parity", None)  # of the origin; what a variant may differ by is judged on the sealed rows
    training["variant"] = {"of": origin, "kind": workspace.kind}
    with files.atomic_folder(workspace.out(task.name, "train")) as folder:
        for name in COPIED:
            if (source / name).is_file():
                shutil.copy(source / name, folder)
        if (source / DECODER_FILE).is_file():
            raise RegistryError(
                f"{task.name}: expected a model of one graph; received a generative one, which has a decoder as well",
                hint="serve it as it is: variants of decoders are not built",
            )
        rows = features[: variants.CALIBRATION_ROWS]
        variants.write(workspace.kind, source / "model.onnx", folder / "model.onnx", rows)
        files.write_json(folder / "training.json", training)
