"""Learning-rate schedules: what the rate is multiplied with as batches go by; `train.schedule` names one."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tiltyard.settings import Settings

Name = Literal["constant", "cosine", "exponential", "inverse", "one_cycle", "plateau", "step"]


class Schedule(Settings):
    """A schedule; `share` gives a part of the learning rate for a time in epochs that may be a tensor."""

    kind: Name
    warmup: int = Field(0, ge=0, description="Epochs in which the rate rises from nothing to the learning rate.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Return what part of the rate holds; `epoch` counts from the end of the warm-up, `epochs` are left then."""
        raise NotImplementedError


class Constant(Schedule):
    """The learning rate, always."""

    kind: Literal["constant"]

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """All of it."""
        return 1.0


class Cosine(Schedule):
    """Down to the floor over all epochs, along half a cosine."""

    kind: Literal["cosine"]
    floor: float = Field(0.0, ge=0, lt=1, description="Part of the rate that is left at the end.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """From 1 to the floor."""
        return self.floor + (1 - self.floor) * _fall(epoch / epochs)


class Exponential(Schedule):
    """A constant factor an epoch, batch by batch."""

    kind: Literal["exponential"]
    factor: float = Field(0.95, gt=0, lt=1, description="Of each epoch.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Powers of the factor."""
        from keras import ops

        return ops.power(self.factor, epoch)


class Inverse(Schedule):
    """Divided by 1 + decay x batches: what optimizers of old called `decay`."""

    kind: Literal["inverse"]
    decay: float = Field(gt=0, description="A batch.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """One over what has grown."""
        return 1 / (1 + self.decay * batch)


class OneCycle(Schedule):
    """Up to the learning rate along half a cosine, then down to almost nothing along another."""

    kind: Literal["one_cycle"]
    warmup: Literal[0] = Field(0, description="None: the rise is part of the cycle.")
    rise: float = Field(0.3, gt=0, lt=1, description="Share of the epochs in which the rate rises.")
    start: float = Field(0.04, gt=0, lt=1, description="Part of the rate at the beginning.")
    floor: float = Field(0.0001, ge=0, lt=1, description="Part of the rate that is left at the end.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """From the start to 1 to the floor."""
        from keras import ops

        done = epoch / epochs
        rising = 1 - (1 - self.start) * _fall(done / self.rise)
        falling = self.floor + (1 - self.floor) * _fall((done - self.rise) / (1 - self.rise))
        return ops.where(done < self.rise, rising, falling)


class Step(Schedule):
    """A factor every so many epochs."""

    kind: Literal["step"]
    factor: float = Field(0.5, gt=0, lt=1)
    every: int = Field(10, ge=1, description="Epochs.")

    def share(self, epoch: Any, epochs: float, batch: Any) -> Any:
        """Stairs; the small number keeps a division that should be whole from ending just below."""
        from keras import ops

        return ops.power(self.factor, ops.floor(epoch / self.every + 1e-5))


class Plateau(Schedule):
    """A factor whenever the monitored figure has not become better for a while; a callback does it."""

    kind: Literal["plateau"]
    warmup: Literal[0] = Field(0, description="None: what has not started to fall cannot be judged.")
    factor: float = Field(0.5, gt=0, lt=1)
    patience: int | None = Field(
        None, ge=1, description="Epochs without improvement; a third of train.patience, at least 2, or 5 if unset."
    )

    def wait(self, patience: int | None) -> int:
        """Return the patience, known that of early stopping."""
        return self.patience or (max(2, patience // 3) if patience else 5)


def _fall(done: Any) -> Any:
    """Half a cosine, from 1 at 0 to 0 at 1; flat outside."""
    from keras import ops

    return 0.5 * (1 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0)))


def _spelled(value: Any) -> Any:
    """Let the name alone stand for a schedule with its usual settings."""
    return {"kind": value} if isinstance(value, str) else value


_Any = Annotated[
    Constant | Cosine | Exponential | Inverse | OneCycle | Plateau | Step,
    Field(discriminator="kind"),
]
AnySchedule = Annotated[_Any, BeforeValidator(_spelled, json_schema_input_type=Name | _Any)]
