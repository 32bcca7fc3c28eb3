"""Drift: how far what clients sent lately lies from the training rows, as gauges; from a sample, beside the answers."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tiltyard.modeling.inference.reference import distance, from_instances
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.traffic.queue import TOLD
from tiltyard.serving.traffic.recorder import RecordedAnswer

ROWS = 2000  # of each model: the latest of what was recorded
MIN_ROWS = 200  # of less, chance alone moves the index too far
EVERY = 15.0  # seconds

log = logging.getLogger("bentoml.tiltyard")
Gauge = Callable[[tuple[str, str, str], float], None]  # by model, version and feature


class DriftGauges:
    """A sliding sample of each model's inputs, and the thread that measures it now and then."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.seen: dict[str, tuple[LoadedModel, dict[str, deque[Any]]]] = {}
        self.fresh: set[str] = set()
        self.lock = threading.Lock()
        self.told = -TOLD

    def start(self) -> None:
        """Measure until the process ends."""
        threading.Thread(target=self._run, name="drift", daemon=True).start()

    def see(self, told: RecordedAnswer) -> None:
        """Take up what a request brought; what cannot be looked at is recorded all the same."""
        try:
            self._take(told)
        except Exception as error:  # noqa: BLE001 - the record must not lack it for that
            self._tell(error)

    def _take(self, told: RecordedAnswer) -> None:
        """Take it up; of another version than before nothing else is kept."""
        model, task = told.model, told.model.task
        if told.arm != "champion" or not model.reference:
            return
        brought = told.looked or _looked_at(model, told.instances)
        with self.lock:
            before, columns = self.seen.get(task, (model, {}))
            if before.version != model.version:
                self._forget(before)
                columns = {}
            for name, values in brought.items():
                columns.setdefault(name, deque(maxlen=ROWS)).extend(values)
            self.seen[task] = model, columns
            self.fresh.add(task)

    def measure(self) -> None:
        """Set the gauges of models that were asked since the last time."""
        with self.lock:
            due = [
                (model, name, np.array(values))
                for task, (model, columns) in self.seen.items()
                for name, values in columns.items()
                if task in self.fresh and len(values) >= MIN_ROWS
            ]
            self.fresh.clear()
        for model, name, values in due:
            self.gauge((model.task, model.version, name), distance(model.reference[name], values).value)

    def _forget(self, model: LoadedModel) -> None:
        """Set the gauges of a version that answers no more to NaN; what several processes set cannot be removed."""
        for name in model.reference:
            self.gauge((model.task, model.version, name), math.nan)

    def _run(self) -> None:
        while True:
            try:
                time.sleep(EVERY)
                self.measure()
            except BaseException as error:  # noqa: BLE001 - the next look may succeed; no answer depends on it
                self._tell(error)

    def _tell(self, error: BaseException) -> None:
        if time.monotonic() - self.told >= TOLD:
            self.told = time.monotonic()
            log.error("drift: %s: %s", type(error).__name__, error)


def _looked_at(model: LoadedModel, instances: list[Any]) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in from_instances(model.predictor.encoder, instances).items()}
