"""Build the optimizer and its learning-rate schedule."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tiltyard.config.train_section import CLIP_ARGUMENTS, WITH_MOMENTUM, Train


class Rate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A stateless learning rate: it depends only on the optimizer's step, which a resumed run restores."""

    def __init__(self, train: Train, steps: int) -> None:
        self.train = train
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Warm up linearly if configured, then follow the schedule."""
        schedule, batch = self.train.schedule, ops.cast(step, "float32")
        warmup_steps, epochs_left = schedule.warmup * self.steps, self.train.epochs - schedule.warmup
        steps_since = ops.maximum(batch - warmup_steps, 0.0)
        share = schedule.share(steps_since / self.steps, epochs_left, steps_since)
        warmup = ops.minimum((batch + 1) / warmup_steps, 1.0) if warmup_steps else 1.0
        return self.train.rate * warmup * share


def optimizer(train: Train, steps: int) -> keras.Optimizer:
    """Build the optimizer; `steps` is the number of batches per epoch."""
    config = {"learning_rate": _rate(train, steps), "weight_decay": train.weight_decay}
    config |= {keras_name: getattr(train, setting) for setting, keras_name in CLIP_ARGUMENTS.items()}
    if train.optimizer in WITH_MOMENTUM:
        default = 0.0 if train.optimizer == "rmsprop" else 0.9
        config["momentum"] = default if train.momentum is None else train.momentum
    if train.optimizer == "nesterov":
        config["nesterov"] = True
    name = "sgd" if train.optimizer in ("momentum", "nesterov") else train.optimizer
    built = keras.optimizers.get({"class_name": name, "config": config})
    if train.weight_decay:
        built.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])  # biases and scales are not decayed
    return built


def _rate(train: Train, steps: int) -> Any:
    """Return a constant rate if a callback or nothing changes it, else the schedule."""
    by_batch = train.schedule.kind not in ("constant", "plateau") or train.schedule.warmup
    return Rate(train, steps) if by_batch else train.rate
