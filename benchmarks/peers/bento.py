"""BentoML's ordinary API around the same session, and around model.predict of the Keras file."""

from __future__ import annotations

import json
import os
from typing import Any

import bentoml
from session import answered, opened


@bentoml.service(name="api")
class Api:
    """The ONNX session behind an endpoint."""

    def __init__(self) -> None:
        """Open every model."""
        self.models = opened()

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, name: str, instances: list[Any]) -> list[Any]:
        """Answer encoded features."""
        return answered(self.models[name], instances)


@bentoml.service(name="naive")
class Naive:
    """model.predict behind an endpoint: the way as first written by most. Models are named in KERAS_MODELS."""

    def __init__(self) -> None:
        """Load every model."""
        import keras

        files = json.loads(os.environ["KERAS_MODELS"])
        self.models = {name: keras.models.load_model(path) for name, path in files.items()}

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, name: str, instances: list[Any]) -> list[Any]:
        """Answer encoded features: even the encoding is left to the client."""
        import numpy as np

        answer: list[Any] = self.models[name].predict(np.array(instances, dtype="float32"), verbose=0).tolist()
        return answer
