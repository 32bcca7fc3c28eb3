"""A trained model ready to answer: the ONNX file that is judged, packaged and served, with its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.column import Array, Rows, count, take
from tiltyard.encoder import Encoder
from tiltyard.errors import RegistryError

if TYPE_CHECKING:
    import onnxruntime

BATCH = 1024  # rows a call: memory stays flat however many there are


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

    def outputs(self, rows: Rows) -> Array:
        """Give the model's outputs, (rows, units)."""
        starts = range(0, count(rows), BATCH)
        parts = (take(rows, np.arange(start, min(start + BATCH, count(rows)))) for start in starts)
        return np.concatenate([self.run(self.encoder.encode(part)) for part in parts])

    def run(self, features: Array) -> Array:
        """Give the outputs for encoded features."""
        inputs = {self.session.get_inputs()[0].name: features.astype(np.float32, copy=False)}
        outputs: Array = self.session.run(None, inputs)[0]
        return outputs

    def predict(self, instances: object) -> list[Any]:
        """Answer instances as a client sends them."""
        return self.encoder.answer(self.outputs(self.encoder.parse(instances)))
