"""Peer for the serving benchmark: an MLServer runtime with the Open Inference Protocol (V2)."""

from __future__ import annotations

from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from session import open_sessions, run_model


class Peer(MLModel):  # type: ignore[misc]
    """One model, named in model-settings.json."""

    async def load(self) -> bool:
        """Open the model."""
        self.session: Any = open_sessions()[self.name]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict encoded features."""
        import numpy as np

        features = NumpyCodec.decode_input(payload.inputs[0])
        outputs = np.array(run_model(self.session, features))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("predictions", outputs)])
