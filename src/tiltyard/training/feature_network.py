"""Train the classifier whose features compare samples with real rows; all seeds of a task share it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.modeling.inference.feature_network import FILE, WIDTH, FeatureNetwork
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

FILTERS, KERNEL = (16, 32), 3
MAX_ROWS, EPOCHS, BATCH, RATE, SEED = 20_000, 8, 128, 1e-3, 0
FLOOR = 1e-2  # of outputs: smaller differences of ONNX and Keras are relative to it
FACTS = "features.json"


def open_feature_network(workspace: Workspace, parts: TrainingRows, labels: list[str]) -> Path:
    """Return the folder with the classifier for these rows; train it if no training has done so before."""
    import keras

    settings = f"{FILTERS} {KERNEL} {WIDTH} {MAX_ROWS} {EPOCHS} {BATCH} {RATE} {SEED} {len(labels)}"
    libraries = f"{keras.__version__} {keras.backend.backend()}"
    digest = hashlib.sha256(f"{settings} {libraries} {parts.digest}".encode()).hexdigest()[:16]
    path = workspace.features(digest)
    if not (path / FILE).is_file():
        with files.atomic_folder(path) as folder:
            train_feature_network(folder, parts, len(labels))
    return path


def copy_feature_network(source: Path, folder: Path) -> dict[str, float]:
    """Put the classifier beside a trained model; return what is known of it."""
    shutil.copy(source / FILE, folder / FILE)
    facts: dict[str, float] = files.read_json(source / FACTS)
    return facts


def train_feature_network(folder: Path, parts: TrainingRows, classes: int) -> None:
    """Train it on training rows and write it with its accuracy on validation rows."""
    import keras

    keras.utils.set_random_seed(SEED)
    pixels, truth = sample_rows(parts.train, MAX_ROWS)
    network = build(pixels.shape[1:], float(pixels.max()) or 1.0, classes)
    classifier = keras.Model(network.input, network.output[:, WIDTH:])
    classifier.compile("adam", "sparse_categorical_crossentropy")
    classifier.optimizer.learning_rate = RATE
    labels = truth.astype(np.int32)
    for epoch in range(EPOCHS):
        order = np.random.default_rng([SEED, epoch]).permutation(len(pixels))
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            classifier.train_on_batch(pixels[places], labels[places])
    _export(network, folder, pixels[:BATCH])
    later, expected = sample_rows(parts.validation, MAX_ROWS)
    right = float(np.mean(FeatureNetwork.load(folder).describe(later).labels == expected))
    files.write_json(folder / FACTS, {"accuracy": right, "rows": len(pixels), "parameters": network.count_params()})


def _export(network: keras.Model, folder: Path, pixels: Array) -> None:
    """Write the classifier as ONNX, so that evaluation needs no Keras, and compare both."""
    from tiltyard.training.onnx import export

    with files.temporary_folder("tiltyard-features") as temporary:
        expected = export.write(network, temporary, Path(FILE).stem, pixels)
        shutil.move(temporary / FILE, folder / FILE)
    export.parity(expected, FeatureNetwork.load(folder).outputs(pixels), FLOOR)


def build(shape: tuple[int, ...], brightest: float, classes: int) -> keras.Model:
    """Build convolutions to the features, and the layer to the classes beside them."""
    import keras
    from keras import layers, ops

    inputs = keras.Input(shape, name="features")
    x = layers.Rescaling(1 / brightest, dtype="float32")(inputs)
    for filters in FILTERS:
        x = layers.Conv2D(filters, KERNEL, 2, padding="same", activation="relu")(x)
    features = layers.Dense(WIDTH, activation="relu", dtype="float32")(layers.Flatten()(x))
    probabilities = layers.Dense(classes, activation="softmax", dtype="float32")(features)
    return keras.Model(inputs, ops.concatenate([features, probabilities], axis=-1))
