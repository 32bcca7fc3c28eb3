"""A trained model ready to answer: the ONNX file that is judged, packaged and served, with its encoder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import deadline, files
from tiltyard.arrays import Array, Rows, count, take
from tiltyard.errors import RegistryError, TrainingError
from tiltyard.modeling.inference.encoder import Encoder

if TYPE_CHECKING:
    import onnxruntime

BATCH = 1024  # rows a call: memory stays flat however many there are
STOPPABLE = 32  # rows a call where time is limited: a call cannot be stopped
FAST = 0.002  # seconds of a call from which a row is as dear as a call
PAIRS = 1 << 23  # of words that may look at each other in a call: a Transformer holds several numbers for each


def version(folder: Path) -> str:
    """Name a model by its content: the same bytes are the same version, everywhere and always."""
    return files.sha256(folder / "model.onnx", folder / "encoder.json")[:12]


@dataclass(frozen=True)
class Predictor:
    """model.onnx and encoder.json of one folder."""

    encoder: Encoder
    session: onnxruntime.InferenceSession

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        """Open a folder that `train` or `package` made."""
        import onnxruntime

        for name in ("model.onnx", "encoder.json"):
            if not (folder / name).is_file():
                raise RegistryError(f"no model in {folder}: expected {name}", hint="make one: tiltyard train TASK")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a worker is a core; more threads only wait for each other
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        return cls(Encoder.load(folder / "encoder.json"), session)

    @cached_property
    def input(self) -> str:
        """What the graph calls its input."""
        name: str = self.session.get_inputs()[0].name
        return name

    def outputs(self, rows: Rows) -> Array:
        """Return the model's outputs, a row each."""
        return np.concatenate([self.run(self.encoder.encode(part)) for part in _parts(rows)])

    def condensed(self, rows: Rows, truth: Array) -> Array:
        """Return what metrics look at of the outputs, for rows whose truth is known."""
        return self.condense(truth, (self.encoder.encode(part) for part in _parts(rows)))

    def condense(self, truth: Array, features: Iterable[Array]) -> Array:
        """Return the same for encoded features that come in parts; where the model gives no number, there is none."""
        problem, found, start = self.encoder.problem, [], 0
        for part in features:
            outputs = self.run(part)
            if wrong := int((~np.isfinite(outputs.reshape(len(outputs), -1))).any(axis=1).sum()):
                task = self.encoder.task
                raise TrainingError(
                    f"the model of {task} gives NaN or infinity on {wrong} of {len(outputs)} rows; expected none",
                    hint=f"lower train.learning_rate or set train.clip_norm in tasks/{task}.yaml",
                )
            found.append(problem.condense(self.encoder, truth[start : start + len(part)], outputs))
            start += len(part)
        return np.concatenate(found)

    def run(self, features: Array) -> Array:
        """Return the outputs for encoded features; of long texts few at a time."""
        name, most = self.input, BATCH
        if len(features) * (width := features.shape[1]) ** 2 > PAIRS and self.encoder.vocabulary_size:
            most = max(1, min(BATCH, PAIRS // width**2))
        if deadline.limited():
            most = min(most, STOPPABLE)
        elif len(features) <= most:  # as nearly always; each microsecond counts for a request
            whole: Array = self.session.run(None, {name: features.astype(np.float32, copy=False)})[0]
            return whole
        parts = [features[start : start + most] for start in range(0, len(features), most)]
        outputs: list[Array] = [
            self.session.run(None, {name: part.astype(np.float32, copy=False)})[0]
            for part in deadline.paced(parts or [features])
        ]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    @cached_property
    def pace(self) -> tuple[float, float]:
        """Seconds that a call takes, and each of its rows; measured on rows of zeros, the best of three."""
        (_, *shape) = self.session.get_inputs()[0].shape
        row = np.zeros([1, *(size if isinstance(size, int) else 1 for size in shape)], dtype=np.float32)
        one = self._timed(row)
        if one > FAST:
            return 0.0, one
        each = max(0.0, self._timed(np.repeat(row, 8, axis=0)) - one) / 7
        return one, each

    def _timed(self, features: Array) -> float:
        found = []
        for _ in range(3):
            begun = time.perf_counter()
            self.run(features)
            found.append(time.perf_counter() - begun)
        return min(found)

    def seconds(self, rows: int) -> float:
        """Estimate what it takes to answer so many rows."""
        call, row = self.pace
        return call + rows * row

    def respond(self, rows: Rows) -> list[Any]:
        """Answer parsed rows."""
        return self.encoder.problem.respond(self.encoder, self.outputs, rows)

    def predict(self, instances: object) -> list[Any]:
        """Answer instances as a client sends them."""
        return self.respond(self.encoder.parse(instances))


def _parts(rows: Rows) -> Iterator[Rows]:
    for start in range(0, count(rows), BATCH):
        yield take(rows, np.arange(start, min(start + BATCH, count(rows))))
