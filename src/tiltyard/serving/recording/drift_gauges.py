"""Drift metrics: the population stability index of recent inputs against the training rows, as gauges."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from tiltyard.modeling.inference.drift_reference import distance, from_instances
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.traffic.queue import FailureLog

MAX_ROWS = 2000  # of each model: the latest recorded ones
MIN_ROWS = 200  # with fewer, the index is mostly noise
MEASURE_SECONDS = 15.0  # between measurements
BATCH_ROWS = 64  # whose inputs are encoded at once, which takes little longer than for one

Gauge = Callable[[tuple[str, str, str], float], None]  # by model, version and feature


class DriftGauges:
    """A sliding sample of each model's inputs, and the thread that measures their drift."""

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.samples: dict[str, tuple[LoadedModel, dict[str, deque[Any]]]] = {}
        self.changed: set[str] = set()
        self.waiting: dict[str, tuple[LoadedModel, list[Any]]] = {}  # instances to encode, by task
        self.lock = threading.RLock()
        self.log_failure = FailureLog("drift")

    def start(self) -> None:
        """Measure until the process ends."""
        threading.Thread(target=self._run, name="drift", daemon=True).start()

    def observe(
        self, load: Callable[[], LoadedModel], instances: list[Any], drift_values: dict[str, list[Any]] | None = None
    ) -> None:
        """Add the inputs of a champion's request to the sample; log failures, since it is recorded all the same."""
        try:
            self._add(load(), instances, drift_values)
        except Exception as error:  # noqa: BLE001 - recording must go on
            self.log_failure(error)

    def _add(self, model: LoadedModel, instances: list[Any], drift_values: dict[str, list[Any]] | None) -> None:
        """Add inputs to the sample; a new version starts a new one."""
        task = model.task
        if not model.reference:
            return
        if drift_values:
            self._extend(model, drift_values)
            return
        with self.lock:
            if task in self.waiting and self.waiting[task][0].version != model.version:
                self._encode(task)
            rows = self.waiting.setdefault(task, (model, []))[1]
            rows += instances
            if len(rows) >= BATCH_ROWS:
                self._encode(task)

    def _encode(self, task: str) -> None:
        """Add the waiting instances of a task to its sample; the caller holds the lock."""
        model, instances = self.waiting.pop(task)
        self._extend(model, _drift_values(model, instances))

    def _extend(self, model: LoadedModel, inputs: dict[str, list[Any]]) -> None:
        """Add the inputs of some rows to the sample of their task."""
        with self.lock:
            previous, columns = self.samples.get(model.task, (model, {}))
            if previous.version != model.version:
                self._clear(previous)
                columns = {}
            for name, values in inputs.items():
                columns.setdefault(name, deque(maxlen=MAX_ROWS)).extend(values)
            self.samples[model.task] = model, columns
            self.changed.add(model.task)

    def measure(self) -> None:
        """Set the gauges of models with new inputs since the last measurement."""
        with self.lock:
            for task in [*self.waiting]:
                self._encode(task)
            changed_columns = [
                (model, name, np.array(values))
                for task, (model, columns) in self.samples.items()
                for name, values in columns.items()
                if task in self.changed and len(values) >= MIN_ROWS
            ]
            self.changed.clear()
        for model, name, values in changed_columns:
            self.gauge((model.task, model.version, name), distance(model.reference[name], values).value)

    def _clear(self, model: LoadedModel) -> None:
        """Set the gauges of a replaced version to NaN; gauges of several processes cannot be removed."""
        for name in model.reference:
            self.gauge((model.task, model.version, name), math.nan)

    def _run(self) -> None:
        while True:
            try:
                time.sleep(MEASURE_SECONDS)
                self.measure()
            except BaseException as error:  # noqa: BLE001 - the next measurement may succeed
                self.log_failure(error)


def _drift_values(model: LoadedModel, instances: list[Any]) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in from_instances(model.predictor.encoder, instances).items()}
