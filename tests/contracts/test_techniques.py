"""Contract of the techniques that course notes name: each is a setting of a task file, which is loaded here."""

from __future__ import annotations

from typing import Any

import pytest
from workspaces import edit_task

from tiltyard.config import loader
from tiltyard.workspace import Workspace

IMAGES = {"model": {"family": "cnn", "filters": [4]}}
COLOUR = {"columns": {"image": {"type": "image", "height": 8, "width": 8, "channels": 3}}}
Settings = dict[str, Any]

OPTIMIZERS: dict[str, Settings] = {
    name: {"train.optimizer": name}
    for name in ("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamax", "nadam")
}
SCHEDULES: dict[str, Settings] = {
    name: {"train.schedule": name}
    for name in ("constant", "cosine", "exponential", "multi_cycle", "one_cycle", "plateau", "step")
}
SCHEDULES |= {
    "inverse-time decay": {"train.schedule": {"kind": "inverse", "decay": 1e-6}},
    "warm-up": {"train.schedule": {"kind": "cosine", "warmup": 3}},
}
WEIGHTS: dict[str, Settings] = {
    name: {"model.initializer": name}
    for name in ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_normal", "orthogonal", "zeros")
}
WEIGHTS |= {
    "l1": {"model.l1": 0.01},
    "l2": {"model.l2": 0.01},
    "max-norm": {"model.max_norm": 1.0},
    "a regularised output layer": {"model.l2": 0.01, "model.regularize_output": True},
    "dropout": {"model.dropout": 0.5},
    "dropout by layer": {"model.units": [8, 4], "model.dropout": [0.5, 0.2]},
    "batch norm": {"model.batch_norm": True},
    "gradient clipping by norm": {"train.clip_norm": 1.0},
    "by global norm": {"train.clip_global_norm": 1.0},
    "by value": {"train.clip_value": 0.5},
    "weight decay": {"train.weight_decay": 0.01},
}
ACTIVATIONS: dict[str, Settings] = {
    name: {"model.activation": name}
    for name in ("relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "tanh", "sigmoid", "softplus", "linear")
}
TRAINING: dict[str, Settings] = {
    "early stopping": {"train.patience": 5, "train.min_delta": 0.01},
    "best by accuracy": {"train.monitor": "val_accuracy"},
    "stop at a metric": {"train.stop_at": {"accuracy": 0.6}},
    "stop at a loss": {"train.stop_at": {"loss": 0.3, "on": "training"}},
    "warm start": {"train.then": {"epochs": 3, "optimizer": "sgd"}},
    "class weights": {"train.class_weights": "balanced"},
    "weights by label": {"train.class_weights": {"setosa": 2.0}},
    "label smoothing": {"train.label_smoothing": 0.1},
    "MixUp": {"train.augment": {"mixup": 0.2}},
    "k-fold": {"train.folds": 5},
    "restarts": {"train.restarts": 3, "train.stop_at": {"loss": 0.1}},
    "ensemble by seed": {"train.members": 3},
    "weighted ensemble": {"train.members": 3, "train.blend": "weighted"},
    "bagging by bootstrap": {"train.members": 3, "train.member_rows": "bootstrap"},
    "bagging by folds": {"train.members": 3, "train.member_rows": "folds"},
    "ensemble of families": {"ensemble": [{"model": {"family": "tabm"}}]},
    "blend with references": {"model.blend_references": True},
    "TensorBoard": {"train.tensorboard": ["histograms", "graph", "embeddings"]},
    "mixed precision": {"train.mixed_precision": True},
    "hyper-parameter search": {"search": {"train.learning_rate": {"low": 0.0001, "high": 0.1, "log": True}}},
}
PICTURES: dict[str, Settings] = {
    "spatial dropout": {"model": {**IMAGES["model"], "spatial_dropout": 0.2}},
    **{
        f"{name} of images": {**IMAGES, "train.augment": {name: value}}
        for name, value in {
            "flip": "horizontal",
            "crop": 1,
            "rotation": 10,
            "zoom": 0.1,
            "shift": 0.1,
            "brightness": 0.1,
            "contrast": 0.1,
            "noise": 0.1,
            "erasing": 0.2,
            "mixup": 0.2,
            "shear": 10,
            "blur": 1.0,
            "sharpen": 1.0,
            "overlay": 0.2,
        }.items()
    },
    **{
        f"{name} of images": {**COLOUR, **IMAGES, "train.augment": {name: 0.1}, "serve.example": [[[0] * 3] * 8] * 8}
        for name in ("saturation", "hue", "channel_shift")
    },
}
TABLES = OPTIMIZERS | SCHEDULES | WEIGHTS | ACTIVATIONS | TRAINING


@pytest.mark.parametrize("technique", [*TABLES, *PICTURES])
def test_technique_is_a_setting_of_a_task_file(workspace: Workspace, technique: str) -> None:
    """The task file is valid with it, and the setting is not ignored: the task differs from that without it."""
    name = "digits" if technique in PICTURES else "iris"
    if technique == "batch norm" or technique in WEIGHTS:
        edit_task(workspace, name, {"model.units": [8]})
    before = loader.load(workspace, name)
    edit_task(workspace, name, (TABLES | PICTURES)[technique])
    after = loader.load(workspace, name)
    if technique not in ("adam", "constant", "relu"):  # what iris has already
        assert after.model_dump() != before.model_dump()
