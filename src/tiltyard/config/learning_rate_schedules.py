"""Learning-rate schedules: the factor of the learning rate over the training; `train.schedule` names one."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tiltyard.settings import Settings

Name = Literal["constant", "cosine", "exponential", "inverse", "multi_cycle", "one_cycle", "plateau", "step"]


class Schedule(Settings):
    """Base class of schedules."""

    kind: Name = Field(description="The schedule.")
    warmup: int = Field(0, ge=0, description="Epochs in which the rate rises from 0 to the learning rate.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return the factor of the learning rate; `epoch` counts from the end of the warm-up to `epochs`."""
        raise NotImplementedError


class Constant(Schedule):
    """A constant learning rate."""

    kind: Literal["constant"]

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return 1."""
        return 1.0


class Cosine(Schedule):
    """Cosine decay to the floor over all epochs."""

    kind: Literal["cosine"]
    floor: float = Field(0.0, ge=0, lt=1, description="Final learning rate, as a factor of train.learning_rate.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return a factor that falls from 1 to the floor."""
        return self.floor + (1 - self.floor) * _half_cosine(epoch / epochs)


class Exponential(Schedule):
    """Exponential decay by a constant factor per epoch, applied batch by batch."""

    kind: Literal["exponential"]
    factor: float = Field(0.95, gt=0, lt=1, description="Factor per epoch.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return a power of the factor."""
        from keras import ops

        return ops.power(self.factor, epoch)


class Inverse(Schedule):
    """Inverse-time decay: the rate divided by 1 + decay x batches, as `decay` in older Keras optimizers."""

    kind: Literal["inverse"]
    decay: float = Field(gt=0, description="Decay per batch.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return 1 / (1 + decay * batch)."""
        return 1 / (1 + self.decay * batch)


class MultiCycle(Schedule):
    """Cycles between 0 and the learning rate, each twice as long as the one before (coslog of RealMLP)."""

    kind: Literal["multi_cycle"]
    cycles: int = Field(4, ge=1, le=16, description="Number of cycles.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return a factor that rises from 0 to 1 and falls to 0 in each cycle."""
        from keras import ops

        cycle = ops.log2(1 + (2**self.cycles - 1) * ops.clip(epoch / epochs, 0.0, 1.0))
        return 0.5 * (1 - ops.cos(2 * math.pi * cycle))


class OneCycle(Schedule):
    """One-cycle schedule: a cosine rise to the learning rate, then a cosine decay to almost 0."""

    kind: Literal["one_cycle"]
    warmup: Literal[0] = Field(0, description="None: the rise is part of the cycle.")
    rise: float = Field(0.3, gt=0, lt=1, description="Share of the epochs in which the rate rises.")
    start: float = Field(0.04, gt=0, lt=1, description="Initial learning rate, as a factor of train.learning_rate.")
    floor: float = Field(0.0001, ge=0, lt=1, description="Final learning rate, as a factor of train.learning_rate.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return a factor that rises from the start to 1 and falls to the floor."""
        from keras import ops

        progress = epoch / epochs
        rising = 1 - (1 - self.start) * _half_cosine(progress / self.rise)
        falling = self.floor + (1 - self.floor) * _half_cosine((progress - self.rise) / (1 - self.rise))
        return ops.where(progress < self.rise, rising, falling)


class Step(Schedule):
    """Step decay: a factor every `every` epochs."""

    kind: Literal["step"]
    factor: float = Field(0.5, gt=0, lt=1, description="What the learning rate is multiplied by at each reduction.")
    every: int = Field(10, ge=1, description="Number of epochs between two reductions.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return a power of the factor; 1e-5 compensates for rounding below a whole number of steps."""
        from keras import ops

        return ops.power(self.factor, ops.floor(epoch / self.every + 1e-5))


class Plateau(Schedule):
    """Reduce on plateau: a factor whenever the monitored metric has not improved for a while, by a callback."""

    kind: Literal["plateau"]
    warmup: Literal[0] = Field(0, description="None: a plateau cannot be detected during a warm-up.")
    factor: float = Field(0.5, gt=0, lt=1, description="What the learning rate is multiplied by at each reduction.")
    patience: int | None = Field(
        None, ge=1, description="Epochs without improvement; a third of train.patience, at least 2, or 5 if unset."
    )

    def wait(self, patience: int | None) -> int:
        """Return the patience of the schedule, by default derived from that of early stopping."""
        return self.patience or (max(2, patience // 3) if patience else 5)


def _half_cosine(progress: Any) -> Any:
    """Return half a cosine, from 1 at 0 to 0 at 1; constant outside."""
    from keras import ops

    return 0.5 * (1 + ops.cos(math.pi * ops.clip(progress, 0.0, 1.0)))


def _expand_name(value: Any) -> Any:
    """Expand a name alone to a schedule with default settings."""
    return {"kind": value} if isinstance(value, str) else value


_Any = Annotated[
    Constant | Cosine | Exponential | Inverse | MultiCycle | OneCycle | Plateau | Step,
    Field(discriminator="kind"),
]
AnySchedule = Annotated[_Any, BeforeValidator(_expand_name, json_schema_input_type=Name | _Any)]
