"""Run epochs: compiled loops over batches, in calls of a fraction of a second, with Keras' callbacks between epochs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiltyard.arrays import Array
from tiltyard.training.batches import Batches, Rows

if TYPE_CHECKING:
    import keras

SECONDS_A_CALL = 0.25  # long enough to make calls cheap, short enough for Ctrl-C to end the training at once
Run = Callable[[Rows, int, int], bool]  # rows, first and last step; returns whether the loss is finite


class Steps(Protocol):
    """Compiled loops of one model; they stop at a loss that is not finite."""

    @property
    def train(self) -> Run:
        """Make training steps."""

    @property
    def test(self) -> Run:
        """Make test steps."""

    def load(self, arrays: tuple[Array, ...]) -> tuple[Any, ...]:
        """Convert arrays to the type that the loops expect."""

    def finish(self) -> None:
        """Update the variables of the model after the last call."""


class Pace:
    """The number of steps of a call. It does not change results: each call continues where the previous one ended."""

    def __init__(self, fixed: int | None) -> None:
        self.fixed = fixed
        self.steps = fixed or 1
        self.compiled = False

    def note(self, steps: int, seconds: float) -> None:
        """Choose the number of steps of the next call by the time of this one."""
        if self.compiled and not self.fixed:
            self.steps = max(1, int(steps * SECONDS_A_CALL / max(seconds, 1e-6)))
        self.compiled = True  # the first call includes the compilation, so its time is not used


class Pass:
    """A pass over batches in each epoch, forward only or with training."""

    def __init__(self, steps: Steps, call: Run, batches: Batches, fixed: int | None) -> None:
        self.steps = steps
        self.call = call
        self.batches = batches
        self.pace = Pace(fixed)
        self.loaded = steps.load(batches.all_rows) if batches.all_rows else None

    def run(self) -> None:
        """Make all steps of an epoch, or those until the loss is not finite."""
        for rows in self._rows():
            first, last = 0, -(-len(rows.order) // self.batches.size)
            while first < last:
                started, end = time.perf_counter(), min(first + self.pace.steps, last)
                if not self.call(rows, first, end):
                    return
                self.pace.note(end - first, time.perf_counter() - started)
                first = end

    def _rows(self) -> Iterator[Rows]:
        if self.loaded is not None:
            yield Rows(self.loaded, self.batches.order)
        else:
            yield from (Rows(self.steps.load(rows.arrays), rows.order) for rows in self.batches.assembled())


@dataclass(frozen=True)
class Epochs:
    """The epochs of one compiled model."""

    model: keras.Model
    train: Batches
    validation: Batches | None  # None if nothing is chosen by validation rows
    steps_per_call: int | None = None
    epochs_before: int = 0  # epochs of earlier phases: the order of rows depends on them

    def run(self, epochs: range, callbacks: list[keras.callbacks.Callback]) -> None:
        """Train like `model.fit`, from the first of these epochs to the last or until a callback stops the training."""
        import keras

        self.model.stop_training = False
        callback_list = keras.callbacks.CallbackList(
            callbacks, model=self.model, epochs=epochs.stop, steps=len(self.train)
        )
        self._build_metrics()
        steps = compiled_steps(self.model, self.train.size)
        train = Pass(steps, steps.train, self.train, self.steps_per_call)
        validation = self.validation
        test = None if validation is None else Pass(steps, steps.test, validation, self.steps_per_call)
        callback_list.on_train_begin()
        for epoch in epochs:
            self.train.deal(self.epochs_before + epoch)
            callback_list.on_epoch_begin(epoch)
            metrics, test_metrics = self._metrics(train), self._metrics(test) if test else {}
            callback_list.on_epoch_end(
                epoch, {**metrics, **{f"val_{name}": value for name, value in test_metrics.items()}}
            )
            if self.model.stop_training:
                break
        callback_list.on_train_end()

    def _metrics(self, batch_pass: Pass) -> dict[str, float]:
        """Run a pass and return its mean loss and metrics."""
        self.model.reset_metrics()
        batch_pass.run()
        batch_pass.steps.finish()
        return {name: float(value) for name, value in self.model.get_metrics_result().items()}

    def _build_metrics(self) -> None:
        """Create the variables of the metrics, since a compiled function must not create any."""
        targets = self.train.other_arrays[0][:1]
        self.model.compute_metrics(None, targets, np.zeros((1, *self.model.output_shape[1:]), np.float32), None)
        self.model.reset_metrics()


def compiled_steps(model: keras.Model, size: int) -> Steps:
    """Return the loops for the backend that Keras has loaded."""
    import keras

    if keras.backend.backend() == "jax":
        from tiltyard.training.jax_steps import JaxSteps

        return JaxSteps(model, size)
    from tiltyard.training.tensorflow_steps import TensorFlowSteps

    return TensorFlowSteps(model, size)
