"""A trained model ready to answer: the ONNX file that is judged, packaged and served, with its encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.column import Array, Rows, count, take
from tiltyard.encoder import Encoder
from tiltyard.errors import RegistryError

if TYPE_CHECKING:
    import onnxruntime

BATCH = 1024  # rows a call: memory stays flat however many there are


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
        name = self.session.get_inputs()[0].name
        parts = []
        for start in range(0, count(rows), BATCH):
            some = take(rows, np.arange(start, min(start + BATCH, count(rows))))
            parts.append(self.session.run(None, {name: self.encoder.encode(some)})[0])
        return np.concatenate(parts)

    def predict(self, instances: object) -> list[Any]:
        """Answer instances as a client sends them."""
        return self.encoder.answer(self.outputs(self.encoder.parse(instances)))
