"""Peer for the serving benchmark: BentoML's usual API with an ONNX session, or with model.predict of Keras."""

from __future__ import annotations

import json
import os
from typing import Any

import bentoml
from session import open_sessions, run_model


@bentoml.service(name="api")
class Api:
    """The ONNX session as an endpoint."""

    def __init__(self) -> None:
        """Open all models."""
        self.models = open_sessions()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, name: str, instances: list[Any]) -> list[Any]:
        """Predict encoded features."""
        return run_model(self.models[name], instances)


@bentoml.service(name="naive")
class Naive:
    """model.predict as an endpoint, the usual first implementation. KERAS_MODELS names the models."""

    def __init__(self) -> None:
        """Load all models."""
        import keras

        files = json.loads(os.environ["KERAS_MODELS"])
        self.models = {name: keras.models.load_model(path) for name, path in files.items()}

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, name: str, instances: list[Any]) -> list[Any]:
        """Predict encoded features; even encoding is left to the client."""
        import numpy as np

        outputs: list[Any] = self.models[name].predict(np.array(instances, dtype="float32"), verbose=0).tolist()
        return outputs
