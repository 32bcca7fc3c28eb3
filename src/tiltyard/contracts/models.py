"""Contract of model families: a network learns, is the same after loading, and exports to ONNX with parity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.modeling.inference.predictor import open_session
from tiltyard.modeling.models.base import Model, load_network

if TYPE_CHECKING:
    import keras

VOCABULARY = 20  # number of word ids in a text
SHAPES = {"table": (6,), "image": (8, 8, 1), "series": (12, 1), "text": (12,)}
EPOCHS = 4


def draw_features(shape: tuple[int, ...], modality: str, rows: int = 32) -> Array:
    """Return random features: word ids of texts of all lengths, or numbers."""
    rng = np.random.default_rng(0)
    if modality != "text":
        return rng.random((rows, *shape), dtype=np.float32)
    ids = rng.integers(1, VOCABULARY, (rows, *shape))
    return np.where(np.arange(shape[0]) < rng.integers(1, shape[0] + 1, (rows, 1)), ids, 0).astype(np.float32)


def build(family: Model, shape: tuple[int, ...], modality: str) -> keras.Model:
    """Build the network of a family with one linear output."""
    import keras

    keras.utils.set_random_seed(0)
    if family.adapts:
        family.adapt(draw_features(shape, modality))
    features = keras.Input(shape, name="features")
    hidden = family.build(features, VOCABULARY if modality == "text" else 0)
    return keras.Model(features, family.head(hidden, 1, "linear"))


def train_and_export(
    model: keras.Model, rows: tuple[Array, Array], loss: Any, folder: Path, *, onnx: bool = True
) -> dict[str, Any]:
    """Train, save, load and export a network; return losses and differences."""
    import keras

    features, target = rows
    eagerly = keras.backend.backend() == "tensorflow"  # so few steps are not worth the tracing
    model.compile("adam", loss, run_eagerly=eagerly)
    losses = model.fit(features, target, epochs=EPOCHS, batch_size=len(features), verbose=0).history["loss"]
    parameters, reloaded = model.count_params(), _reloaded(model, features, folder)
    results = {"parameters": parameters, "losses": losses, "reloaded": reloaded}
    return {**results, "parity": _parity(model, features, folder)} if onnx else results


def fulfils(results: dict[str, Any]) -> None:
    """The loss falls, and outputs are equal after loading and after export."""
    assert results["losses"][-1] < results["losses"][0], "expected a loss that falls"
    assert results["reloaded"] == 0, "expected the same outputs after saving and loading"
    assert results["parity"] < 1e-5, "expected ONNX to compute the same"


def _reloaded(model: keras.Model, features: Array, folder: Path) -> float:
    import keras

    model.save(folder / "model.keras")
    again = load_network(folder / "model.keras")
    return float(np.abs(keras.ops.convert_to_numpy(again(features) - model(features))).max())


def _parity(model: keras.Model, features: Array, folder: Path) -> float:
    """Return the largest difference between Keras and ONNX, for one row and for many."""
    from tiltyard.training.onnx.canonical import rewrite

    model.export(folder / "model.onnx", format="onnx", verbose=False)
    rewrite(folder / "model.onnx")
    session = open_session(folder / "model.onnx")
    parts = (features[:1], features)
    outputs = ((session.run(None, {"features": part})[0], np.asarray(model(part))) for part in parts)
    return max(float(np.abs(received - expected).max()) for received, expected in outputs)
