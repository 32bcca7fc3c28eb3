"""Train the network by whose features samples are compared with real rows; all trainings of a task share it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.modeling.inference.feature_network import FILE, WIDTH, FeatureNetwork
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

FILTERS, KERNEL = (16, 32), 3
MAX_ROWS, STEPS, BATCH, RATE, SEED = 20_000, 1_250, 128, 1e-3, 0  # 8 epochs of 20,000 rows
SCALE_ROWS = 5_000  # by which features are scaled, and principal components found if there are no labels
FLOOR = 0.1  # of outputs of unit scale: smaller differences of ONNX and Keras are relative to it
FACTS = "features.json"


def open_feature_network(workspace: Workspace, parts: TrainingRows) -> Path:
    """Return the folder with the network for these rows; train it if no training has done so before."""
    import keras

    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()  # a changed network is another one
    settings = f"{code} {WIDTH} {keras.__version__} {keras.backend.backend()} {parts.digest}"
    digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
    path = workspace.features(digest)
    if not (path / FILE).is_file():
        with files.atomic_folder(path) as folder:
            write_feature_network(folder, parts)
    return path


def copy_feature_network(source: Path, folder: Path) -> dict[str, Any]:
    """Put the network beside a trained model; return what is known of it."""
    shutil.copy(source / FILE, folder / FILE)
    facts: dict[str, Any] = files.read_json(source / FACTS)
    return facts


def write_feature_network(folder: Path, parts: TrainingRows) -> None:
    """Write the network, and how well it classifies validation rows; principal components without labels."""
    import keras

    keras.utils.set_random_seed(SEED)
    brightest = _brightest(parts)
    (pixels, truth), (later, expected) = (
        (rows / np.float32(brightest), labels)
        for rows, labels in (sample_rows(part, MAX_ROWS) for part in (parts.train, parts.validation))
    )
    facts: dict[str, Any] = {"rows": len(pixels), "width": WIDTH}
    spread, checked = (sample_rows((pixels, truth), count)[0] for count in (SCALE_ROWS, BATCH))  # of all labels
    if classes := len(parts.encoder.target.get("labels", ())):
        network = classifier((pixels, truth), spread, classes)
        _export(network, folder, checked)
        facts["accuracy"] = float(np.mean(FeatureNetwork.load(folder).describe(later).labels == expected))
    else:
        _export(components(spread), folder, checked)
    files.write_json(folder / FACTS, facts)


def _brightest(parts: TrainingRows) -> float:
    return float(parts.encoder.scaling()[1][0])


def classifier(rows: tuple[Array, Array], spread: Array, classes: int) -> keras.Model:
    """Train convolutions on pictures and their labels; outputs are the features, then a probability for each class."""
    pixels, truth = rows
    import keras
    from keras import layers, ops

    inputs = keras.Input(pixels.shape[1:], name="features")
    x = inputs
    for filters in FILTERS:
        x = layers.Conv2D(filters, KERNEL, 2, padding="same", activation="relu")(x)
    features = layers.Dense(WIDTH, activation="relu")(layers.Flatten()(x))
    probabilities = layers.Dense(classes, activation="softmax")(features)
    learner = keras.Model(inputs, probabilities)
    learner.compile(keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy")
    labels = truth.astype(np.int32)
    for step in range(STEPS):
        places = np.random.default_rng([SEED, step]).choice(len(pixels), min(BATCH, len(pixels)), replace=False)
        learner.train_on_batch(pixels[places], labels[places])
    scaled = standardised(keras.Model(inputs, features), spread)(features)
    return keras.Model(inputs, ops.concatenate([scaled, probabilities], axis=-1))


def standardised(network: keras.Model, pixels: Array) -> keras.layers.Layer:
    """Return a layer after which features of these pictures have a mean of 0 and, on average, a variance of 1.

    One scale for all keeps their geometry; without any, distances would depend on how long the classifier learned.
    """
    import keras

    features = network.predict_on_batch(pixels).astype(np.float64)
    scale = 1 / max(float(np.sqrt(features.var(axis=0).mean())), 1e-6)
    return keras.layers.Rescaling(scale, (-scale * features.mean(axis=0)).tolist(), dtype="float32")


def components(pixels: Array) -> keras.Model:
    """Return the principal components of pictures as a network, whose features are the codes."""
    import keras
    from keras import layers

    rows = pixels.reshape(len(pixels), -1)
    mean = rows.mean(axis=0)
    directions = np.linalg.svd(rows - mean, full_matrices=False)[2][:WIDTH].T
    inputs = keras.Input(pixels.shape[1:], name="features")
    layer = layers.Dense(directions.shape[1])
    network = keras.Model(inputs, layer(layers.Flatten()(inputs)))
    layer.set_weights([directions, -mean @ directions])
    return keras.Model(inputs, standardised(network, pixels)(network.output))


def _export(network: keras.Model, folder: Path, pixels: Array) -> None:
    """Write the network as ONNX, so that evaluation needs no Keras, and compare both."""
    from tiltyard.training.onnx import export

    with files.temporary_folder("tiltyard-features") as temporary:
        expected = export.write(network, temporary, Path(FILE).stem, pixels)
        shutil.move(temporary / FILE, folder / FILE)
    export.parity(expected, FeatureNetwork.load(folder).outputs(pixels), FLOOR)
