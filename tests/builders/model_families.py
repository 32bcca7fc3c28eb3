"""Models of all families: build, train, save and export them in separate processes."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.contracts import models
from tiltyard.contracts.models import VOCABULARY
from tiltyard.modeling.models.base import Branch, Model
from tiltyard.modeling.models.two_tower import Side, Sides, TwoTower
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import keras

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax: uv pip install --group jax")
Json = dict[str, Any]
PICTURE_LOSSES = {"detector": "focal", "unet": "pixel_crossentropy"}
OUTPUT_STEPS = 4  # steps of a generated text
SHAPES = {**models.SHAPES, "mixed": (6 + 12 + 64,)}
BRANCHES = [Branch("note", "text", 2, (12,), VOCABULARY), Branch("photo", "image", 18, (8, 8, 1))]
SIDES = Sides(Side(0, 5, [2, 3]), Side(1, 7, [4, 5]), np.log(np.full(7, 1 / 7, dtype=np.float32)), 0.0)
OTHERS = [0, 1, 14, 15, 16, 17]  # numbers before and between text and image


def model_settings(content: Json) -> Model:
    """Read the `model:` section of a task file."""
    family: Model = plugins.load("models", content["family"]).model_validate(content)
    return family


def build_model(content: Json, shape: tuple[int, ...], units: int = 1, output: str = "linear", words: int = 0) -> Any:
    """Build the Keras model of a `model:` section, from features to output."""
    import keras

    keras.utils.set_random_seed(0)
    family = model_settings(content)
    features = keras.Input(flat(shape) if family.translates else shape, name="features")
    if family.code_path:
        family.inherit(Workspace(Path(__file__).parent))
    if family.adapts:
        family.adapt(draw_features(shape, "table"))
    if isinstance(family, TwoTower):
        family.locate_sides(SIDES)
    if family.modalities == ("mixed",):
        family.lay_out(BRANCHES, OTHERS)
    if family.translates:  # the last steps are the decoder's input: the right output of the step before
        source, words = features[:, :-OUTPUT_STEPS], VOCABULARY
        source = keras.layers.Reshape(shape)(source) if len(shape) > 1 else source
        x = family.translate(source, features[:, -OUTPUT_STEPS:], (words, words))
    else:
        x = family.build(features, words)
    return keras.Model(features, family.head(x, units, output))


def flat(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a row with a decoder's input behind it: pixels side by side; ids hold it already."""
    return (math.prod(shape) + OUTPUT_STEPS,) if len(shape) > 1 else shape


def draw_features(shape: tuple[int, ...], modality: str, rows: int = 32) -> Array:
    """Return random features: word ids of texts of all lengths, or numbers."""
    features = models.draw_features(shape, modality, rows)
    if modality == "mixed":
        features[:, BRANCHES[0].start : BRANCHES[0].stop] = models.draw_features((12,), "text", rows)
    return features


def train_and_export(content: Json, shape: tuple[int, ...], modality: str, folder: str, *, onnx: bool = True) -> Json:
    """Build, train, save, load and export a model; return losses and differences."""
    from tiltyard.training.losses import OWN

    model, x, y = model_and_data(content, shape, modality)
    loss: Any = "sparse_categorical_crossentropy" if model.output_shape[-1] > 1 else "mse"
    if content["family"] in PICTURE_LOSSES:
        loss = OWN[PICTURE_LOSSES[content["family"]]]
    return models.train_and_export(model, (x, y), loss, Path(folder), onnx=onnx)


def model_and_data(content: Json, shape: tuple[int, ...], modality: str) -> tuple[keras.Model, Array, Array]:
    """Return a model of a family, features and targets."""
    heads = {"lenet5": (4, "softmax"), **dict.fromkeys(("seq2seq", "captioner"), (VOCABULARY, "softmax"))}
    heads |= {"unet": (3, "softmax"), "detector": (7, "sigmoid")}
    model = build_model(
        content, shape, *heads.get(content["family"], (1, "linear")), VOCABULARY if modality == "text" else 0
    )
    x = draw_features(shape, modality)
    if content["family"] == "captioner":
        x = np.concatenate([x.reshape(len(x), -1), draw_features((OUTPUT_STEPS,), "text", len(x))], axis=1)
    if content["family"] == "two_tower":
        x[:, :2] = np.arange(len(x))[:, None] % [SIDES.user.ids, SIDES.item.ids]
    if len(model.output_shape) == 3:
        return model, x, x[:, -OUTPUT_STEPS:]
    if content["family"] == "detector":
        return model, x, np.tile(np.array([[[1, 0.2, 0.2, 0.6, 0.7], [-1, 0, 0, 0, 0]]], np.float32), (len(x), 1, 1))
    if content["family"] == "unet":
        return model, x, np.digitize(x[..., 0], [0.3, 0.6])
    target = x.reshape(len(x), -1).mean(axis=1) + 1
    target = target / target.mean() if modality == "mixed" else target  # ids of words are large
    if model.output_shape[-1] > 1:
        target = np.digitize(target, np.quantile(target, [0.25, 0.5, 0.75]))
    return model, x, target
