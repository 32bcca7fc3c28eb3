"""Predictor: an ONNX model with its encoder, for evaluation and serving alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiltyard import files
from tiltyard.arrays import Array, Rows, row_count, take_rows
from tiltyard.errors import RegistryError, TrainingError
from tiltyard.modeling import deadline
from tiltyard.modeling.inference import vector_index
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.inference.vector_index import VectorIndex
from tiltyard.runtime import threads

if TYPE_CHECKING:
    import onnxruntime

BATCH = 1024  # rows per call: bounds the memory
DEADLINE_BATCH = 32  # rows per call under a deadline: a call cannot be interrupted
PART_BYTES = 1 << 22  # of rows as they are stored, encoded at once
MAX_VALUES = 1 << 26  # outputs of a batch
MAX_BATCHES = 16  # batches per part
MAX_CALL_SECONDS = 0.002  # of one row; above, each row is assumed to cost as much
PAIRS = 1 << 23  # token pairs per call: attention stores several numbers for each


DECODER_FILE = "decoder.onnx"  # of a generative model
MODEL_FILES = ("model.onnx", "encoder.json", DECODER_FILE, vector_index.FILE)
DECODED = 16  # codes per call, with zeros in place of missing ones: last digits depend on how many there are


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model, which its version covers: some have a decoder, or vectors of users and items."""
    others = [folder / name for name in MODEL_FILES[2:]]
    return [*(folder / name for name in MODEL_FILES[:2]), *(path for path in others if path.is_file())]


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one worker per core; more threads would only compete
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def version(folder: Path) -> str:
    """Return the version of a model: a hash of its files."""
    return files.sha256(*model_files(folder))[:12]


class Features(Protocol):
    """Encoded features in memory or in a file, which is read by slices."""

    @property
    def nbytes(self) -> int:
        """Return the size in memory."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, rows: slice, /) -> Array:
        """Return rows."""


@dataclass(frozen=True)
class Predictor:
    """The model.onnx and encoder.json of one folder, and its vectors of users and items, if it recommends."""

    encoder: Encoder
    session: onnxruntime.InferenceSession
    index: VectorIndex | None = None  # of users and items, if the model recommends
    decoder: onnxruntime.InferenceSession | None = None  # of a generative model: from codes to rows

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        """Load the model from a folder that `train` or `package` wrote."""
        for name in ("model.onnx", "encoder.json"):
            if not (folder / name).is_file():
                raise RegistryError(f"no model in {folder}: expected {name}", hint="make one: tiltyard train TASK")
        session, *decoder = (open_session(path) for path in model_files(folder) if path.suffix == ".onnx")
        path = folder / vector_index.FILE
        index = VectorIndex.load(path) if path.is_file() else None
        return cls(Encoder.load(folder / "encoder.json"), session, index, *decoder)

    @cached_property
    def input(self) -> str:
        """Return the name of the graph's input."""
        name: str = self.session.get_inputs()[0].name
        return name

    def outputs(self, rows: Rows) -> Array:
        """Return the outputs of the model, one row each."""
        return np.concatenate([self.run(self.encoder.encode(part)) for part in _parts(rows)])

    def condensed(self, rows: Rows, truth: Array) -> Array:
        """Return the outputs reduced to what metrics need, for rows with known truth."""

        def condense_part(part_rows: range) -> Array:
            part = slice(part_rows.start, part_rows.stop)
            features = self.encoder.encode({name: values[part] for name, values in rows.items()})
            return self._condense_part(truth[part], features)

        stored_bytes = sum(values.nbytes for values in rows.values())
        condensed = self._concatenate_parts(condense_part, part_ranges(row_count(rows), stored_bytes))
        return self.encoder.problem.gathered(truth, condensed)

    def condense(self, truth: Array, features: Features) -> Array:
        """Return the reduced outputs for encoded features; raise TrainingError if outputs are not finite."""

        def condense_part(part_rows: range) -> Array:
            part = slice(part_rows.start, part_rows.stop)
            return self._condense_part(truth[part], features[part])

        condensed = self._concatenate_parts(condense_part, part_ranges(len(features), features.nbytes))
        return self.encoder.problem.gathered(truth, condensed)

    def _concatenate_parts(self, condense_part: Callable[[range], Array], parts: list[range]) -> Array:
        """Compute parts on all cores; under a deadline, which applies to one thread, one after another."""
        outputs = map(condense_part, parts) if deadline.is_limited() else threads.ordered(condense_part, parts)
        return np.concatenate([*outputs])

    def _condense_part(self, truth: Array, features: Array) -> Array:
        """Run the model in batches of a fixed size, since the last digits of outputs may depend on it."""
        condensed, rows = [], self._batch_rows
        for start in range(0, len(features), rows):
            batch = slice(start, start + rows)
            outputs = self.run(features[batch])
            if invalid := int((~np.isfinite(outputs.reshape(len(outputs), -1))).any(axis=1).sum()):
                task = self.encoder.task
                raise TrainingError(
                    f"the model of {task} gives NaN or infinity on {invalid} of {len(outputs)} rows; expected none",
                    hint=f"lower train.learning_rate or set train.clip_norm in tasks/{task}.yaml",
                )
            condensed.append(self.encoder.problem.condense(self.encoder, truth[batch], outputs))
        return np.concatenate(condensed)

    def run(self, features: Array) -> Array:
        """Return the outputs for encoded features, in small batches for long texts."""
        name, batch = self.input, BATCH
        width = features.shape[1] if self.encoder.bare else self.longest_text
        if len(features) * width**2 > PAIRS and self.encoder.vocabulary_size:
            batch = max(1, min(BATCH, PAIRS // width**2))
        if deadline.is_limited():
            batch = min(batch, DEADLINE_BATCH)
            if "pace" in self.__dict__:  # measured when the model was loaded for a service
                deadline.check(self.seconds(min(batch, len(features))))  # else the process must be killed in the call
        elif len(features) <= batch:  # the usual case of a request, where microseconds count
            result: Array = self.session.run(None, {name: features.astype(np.float32, copy=False)})[0]
            return result
        parts = [features[start : start + batch] for start in range(0, len(features), batch)]
        outputs: list[Array] = [
            self.session.run(None, {name: part.astype(np.float32, copy=False)})[0]
            for part in deadline.stepwise(parts or [features])
        ]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)

    def decode_codes(self, codes: Array, size: int = DECODED) -> Array:
        """Return the rows that the decoder makes of codes, standardised and flat; in calls of a fixed size."""
        if self.decoder is None:
            raise RegistryError(f"the model of {self.encoder.task} has no {DECODER_FILE}: it draws no samples")
        name, decoded = self.decoder.get_inputs()[0].name, []
        for start in deadline.stepwise(range(0, len(codes), size)):
            part = codes[start : start + size].astype(np.float32, copy=False)
            filled = np.concatenate([part, np.zeros((size - len(part), codes.shape[1]), dtype=np.float32)])
            decoded.append(self.decoder.run(None, {name: filled})[0][: len(part)])
        return np.concatenate(decoded)

    def decoding_seconds(self, codes: int) -> float:
        """Estimate the seconds in which so many codes are decoded."""
        return -(-codes // DECODED) * self._decoding_pace

    @cached_property
    def _decoding_pace(self) -> float:
        """Return the seconds of one call of the decoder, measured on zeros."""
        if self.decoder is None:
            return 0.0
        zeros = np.zeros((DECODED, self.decoder.get_inputs()[0].shape[1]), dtype=np.float32)
        start = time.perf_counter()
        self.decode_codes(zeros)
        return time.perf_counter() - start

    @cached_property
    def longest_text(self) -> int:
        """Return the most ids of a text among the columns of a row."""
        return self.encoder.longest_text

    @cached_property
    def _batch_rows(self) -> int:
        """Return how many rows of outputs are in memory: fewer if each has a probability for many words."""
        sizes = [size for size in self.session.get_outputs()[0].shape[1:] if isinstance(size, int)]
        return max(1, min(BATCH, MAX_VALUES // math.prod(sizes)))

    @cached_property
    def pace(self) -> tuple[float, float]:
        """Return the seconds per call and per row, measured on zeros (best of three)."""
        (_, *shape) = self.session.get_inputs()[0].shape
        row = np.zeros([1, *(size if isinstance(size, int) else 1 for size in shape)], dtype=np.float32)
        per_call = self._timed(row)
        if per_call > MAX_CALL_SECONDS:
            return 0.0, per_call
        per_row = max(0.0, self._timed(np.repeat(row, 8, axis=0)) - per_call) / 7
        return per_call, per_row

    def _timed(self, features: Array) -> float:
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            self.run(features)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def seconds(self, rows: int) -> float:
        """Estimate the seconds for a number of rows."""
        call, row = self.pace
        return call + rows * row

    def respond(self, rows: Rows) -> list[Any]:
        """Predict parsed rows."""
        return self.encoder.problem.respond(self.encoder, self.outputs, rows)

    def predict(self, instances: object) -> list[Any]:
        """Predict instances as a client sends them."""
        return self.respond(self.encoder.parse(instances))


def part_ranges(rows: int, stored_bytes: int) -> list[range]:
    """Divide rows into parts of whole batches, which are encoded at once; features may take more than stored bytes."""
    batches = PART_BYTES * rows // (BATCH * max(stored_bytes, 1))
    step = BATCH * min(max(batches, 1), MAX_BATCHES)
    return [range(start, min(start + step, rows)) for start in range(0, max(rows, 1), step)]


def _parts(rows: Rows) -> Iterator[Rows]:
    for start in range(0, row_count(rows), BATCH):
        yield take_rows(rows, np.arange(start, min(start + BATCH, row_count(rows))))
