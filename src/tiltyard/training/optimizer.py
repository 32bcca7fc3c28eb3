"""The optimizer of a training, and the learning rate that its schedule gives for a batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from tiltyard.config.train_section import CLIP_ARGUMENTS, WITH_MOMENTUM, Train


class Rate(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate without memory: a resumed run has it back with the optimizer's count of batches."""

    def __init__(self, train: Train, steps: int) -> None:
        self.train = train
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Rise from nothing, if asked, then let the schedule go over what is left."""
        schedule, batch = self.train.schedule, ops.cast(step, "float32")
        rising, left = schedule.warmup * self.steps, self.train.epochs - schedule.warmup
        behind = ops.maximum(batch - rising, 0.0)
        share = schedule.share(behind / self.steps, left, behind)
        warm = ops.minimum((batch + 1) / rising, 1.0) if rising else 1.0
        return self.train.rate * warm * share


def optimizer(train: Train, steps: int) -> keras.Optimizer:
    """Build the optimizer; `steps` batches make an epoch."""
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
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])  # shifts and scales are no weights
    return made


def _rate(train: Train, steps: int) -> Any:
    """Return a number where a callback, or nothing, changes it."""
    by_batch = train.schedule.kind not in ("constant", "plateau") or train.schedule.warmup
    return Rate(train, steps) if by_batch else train.rate
