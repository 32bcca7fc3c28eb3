"""Stopping when a figure is good enough."""

from __future__ import annotations

import keras

from tiltyard.config.train_section import StopAt


class StopAtThreshold(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends training behind the first epoch in which the figure is reached."""

    def __init__(self, wanted: StopAt) -> None:
        super().__init__()
        self.wanted = wanted

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Look at the figure of validation rows, or of training rows if asked."""
        figures, side = logs or {}, "val_" if self.wanted.on == "validation" else ""
        accurate = self.wanted.accuracy is not None and figures[f"{side}accuracy"] >= self.wanted.accuracy
        if accurate or (self.wanted.loss is not None and figures[f"{side}loss"] <= self.wanted.loss):
            self.model.stop_training = True
