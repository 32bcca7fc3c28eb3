"""REST routes of the Open Inference Protocol (V2), as used by KServe and Triton clients."""

from __future__ import annotations

import importlib.metadata

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tiltyard.errors import RequestError
from tiltyard.serving.http.health import is_ready
from tiltyard.serving.http.routing import METHODS, allow, encoder, find_model, json_response, predict, versions
from tiltyard.serving.requests import v2_codec


def routes() -> list[Route]:
    """Return the routes of the server, and of a model by name or by name and version."""
    all_routes = [
        Route("/v2", allow("GET", _server), methods=METHODS),
        Route("/v2/health/live", allow("GET", _live), methods=METHODS),
        Route("/v2/health/ready", allow("GET", _server_is_ready), methods=METHODS),
    ]
    for path in ("/v2/models/{name}/versions/{version}", "/v2/models/{name}"):
        all_routes += [
            Route(f"{path}/infer", allow("POST", _infer), methods=METHODS),
            Route(f"{path}/ready", allow("GET", _ready), methods=METHODS),
            Route(path, allow("GET", _model), methods=METHODS),
        ]
    return all_routes


async def _server(_: Request) -> Response:
    version = importlib.metadata.version("tiltyard")
    return json_response(encoder.encode({"name": "tiltyard", "version": version, "extensions": ["binary_tensor_data"]}))


async def _live(_: Request) -> Response:
    return json_response(b'{"live":true,"ready":true}')


async def _server_is_ready(request: Request) -> Response:
    """Return 503 if the worker has not checked the champions lately, like /readyz; its models are loaded."""
    if not is_ready(request.app.state):
        raise RequestError("not_ready", "the worker has not checked for new champions lately; see /readyz", status=503)
    return await _live(request)


async def _ready(request: Request) -> Response:
    return json_response(encoder.encode({"name": find_model(request).task, "ready": True}))


async def _model(request: Request) -> Response:
    model = find_model(request)
    facts = {
        "name": model.task,
        "versions": versions(request),
        "platform": "onnxruntime_onnx",
        "inputs": [tensor.metadata for tensor in model.inputs],
        "outputs": [tensor.metadata for tensor in model.outputs],
    }
    return json_response(encoder.encode(facts))


async def _infer(request: Request) -> Response:
    response = await predict(request, "v2", request.headers.get(v2_codec.LENGTH_HEADER))
    if response.json_length is None:
        return json_response(response.content)
    headers = {v2_codec.LENGTH_HEADER: str(response.json_length)}
    return Response(response.content, headers=headers, media_type="application/octet-stream")
