"""The base of transfer learning: another task, whose trained network is reused, or the settings of a family."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import plugins
from tiltyard.errors import TrainingError
from tiltyard.modeling.models.base import NETWORK

if TYPE_CHECKING:
    import keras

    from tiltyard.workspace import Workspace


def validated_base(base: Any, modality: str, family: str) -> Any:
    """Validate the settings of a base by the family that they name; `family` is the one that starts from it."""
    if not isinstance(base, dict):
        return base
    families = {name: plugins.load("models", name) for name in plugins.names("models") if name != family}
    family_names = [
        name for name, model in families.items() if modality in model.modalities and model.trained_by_epochs
    ]
    if base.get("family") not in family_names:
        raise ValueError(f"expected the family {', '.join(family_names)}; received {base.get('family')}")
    return plugins.load("models", base["family"]).model_validate(base)


def trained_base(workspace: Workspace, task: str) -> tuple[Path, dict[str, Any]]:
    """Return the model file of a trained base task, and its provenance for the record of the training."""
    from tiltyard.modeling.inference.predictor import version

    folder = workspace.out(task, "train")
    if not all((folder / name).is_file() for name in ("model.keras", "model.onnx", "encoder.json")):
        raise TrainingError(
            f"model.base: expected a trained task; {task} has no model", hint=f"train it: tiltyard run {task}"
        )
    return folder / "model.keras", {"base": {"task": task, "version": version(folder)}}


def network_part(model: keras.Model, task: str) -> keras.Model:
    """Return the network of a trained task, which may be averaged with references."""
    names = [layer.name for layer in model.layers]
    if "standard" not in names and NETWORK not in names:
        raise ValueError(f"base: expected a network; the model of {task} consists of references or of an ensemble")
    return model.get_layer(NETWORK) if NETWORK in names else model
