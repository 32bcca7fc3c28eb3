"""Peer for the serving benchmark: LitServe: python lit.py PORT. It evaluates annotations, so they cannot be text."""

import sys
from typing import Any

import litserve
from session import open_sessions, run_model


class Peer(litserve.LitAPI):  # type: ignore[misc]
    """One endpoint for all models."""

    def setup(self, device: str) -> None:
        """Open the models in the worker."""
        self.models = open_sessions()

    def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the decoded JSON unchanged."""
        return request

    def predict(self, request: dict[str, Any]) -> list[Any]:
        """Predict encoded features."""
        return run_model(self.models[request["name"]], request["instances"])

    def encode_response(self, output: list[Any]) -> dict[str, Any]:
        """Return the outputs with their names."""
        return {"predictions": output}


if __name__ == "__main__":
    server = litserve.LitServer(Peer(), accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(sys.argv[1]), host="127.0.0.1", num_api_servers=1, log_level="warning", generate_client_file=False
    )
