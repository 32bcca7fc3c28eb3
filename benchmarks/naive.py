"""The naive way to serve a Keras model with BentoML, as first written by most: what benchmarks/rest.py beats."""

from __future__ import annotations

import json
import os
from typing import Any

import bentoml


@bentoml.service(name="naive")
class Naive:
    """model.predict behind an endpoint; models are named in NAIVE_MODELS as JSON, name to file."""

    def __init__(self) -> None:
        """Load every model."""
        import keras

        files = json.loads(os.environ["NAIVE_MODELS"])
        self.models = {name: keras.models.load_model(path) for name, path in files.items()}

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, name: str, instances: list[Any]) -> list[Any]:
        """Answer encoded features: even the encoding is left to the client."""
        import numpy as np

        answer: list[Any] = self.models[name].predict(np.array(instances, dtype="float32"), verbose=0).tolist()
        return answer
