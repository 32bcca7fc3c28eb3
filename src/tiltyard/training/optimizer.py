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
        rising, left = schedule.warmup * self.steps, self.train.epochs - schedule.warmup
        behind = ops.maximum(batch - rising, 0.0)
        share = schedule.share(behind / self.steps, left, behind)
        warm = ops.minimum((batch + 1) / rising, 1.0) if rising else 1.0
        return self.train.rate * warm * share


def optimizer(train: Train, steps: int) -> keras.Optimizer:
    """Build the optimizer; `steps` is the number of batches per epoch."""
    config = {"learning_rate": _rate(train, steps), "weight_decay": train.weight_decay}
    config |= {keras_name: getattr(train, ours) for ours, keras_name in CLIP_ARGUMENTS.items()}
    if train.optimizer in WITH_MOMENTUM:
        usual = 0.0 if train.optimizer == "rmsprop" else 0.9
        config["momentum"] = usual if train.momentum is None else train.momentum
    if train.optimizer == "nesterov":
        config["nesterov"] = True
    name = "sgd" if train.optimizer in ("momentum", "nesterov") else train.optimizer
    made = keras.optimizers.get({"class_name": name, "config": config})
    if train.weight_decay:
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])  # biases and scales are not decayed
    return made


def _rate(train: Train, steps: int) -> Any:
    """Return a constant rate if a callback or nothing changes it, else the schedule."""
    by_batch = train.schedule.kind not in ("constant", "plateau") or train.schedule.warmup
    return Rate(train, steps) if by_batch else train.rate
