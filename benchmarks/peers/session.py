"""Shared by all peers: ONNX sessions, opened as in the service, which predict encoded features."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np


def open_sessions() -> dict[str, Any]:
    """Open the models that PEER_MODELS names, as JSON from name to file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    files = json.loads(os.environ["PEER_MODELS"])
    return {name: onnxruntime.InferenceSession(file, options, ["CPUExecutionProvider"]) for name, file in files.items()}


def run_model(session: Any, instances: Any) -> list[Any]:
    """Run a model without any check."""
    features = np.array(instances, dtype=np.float32)
    outputs: list[Any] = session.run(None, {session.get_inputs()[0].name: features})[0].tolist()
    return outputs
