"""Shared parts of the routes: finding the model, computing a prediction, allowed methods, error responses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tiltyard.errors import RequestError
from tiltyard.serving.compute.pool import ComputePool
from tiltyard.serving.http.body_limit import read_body
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request, recommend_request, tensor_path
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.traffic.traffic_split import TrafficSplit, assign, client, is_recorded

Handler = Callable[[Request], Awaitable[Response]]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LABELS = ("champion", "previous")
MAX_MESSAGE_CHARACTERS = 300  # of a message, which may quote what the client sent
ERROR_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}

VERSION_PARAMETERS = {"version", "label"}  # path parameters that name a version

encoder = msgspec.json.Encoder()


def find_model(request: Request) -> LoadedModel:
    """Return the model that a path names: the champion, or a loaded version or label; raise RequestError."""
    models: dict[str, LoadedModel] = request.app.state.models
    name, version = request.path_params["name"], request.path_params.get("version")
    if name not in models:
        names = ", ".join(sorted(models)) or "none"
        raise RequestError("unknown_model", f"expected one of {names}; received {name!r}", "model", status=404)
    if "label" in request.path_params:
        return _find_label(request, name, request.path_params["label"])
    if version is None:
        return models[name]
    loaded = _warm_versions(request, name)
    if version not in loaded:
        text = f"expected {' or '.join(loaded)}; received {version!r}"
        raise RequestError("unknown_version", text, "version", status=404)
    return loaded[version]


def _find_label(request: Request, name: str, label: str) -> LoadedModel:
    """Return the model with a label: champion, previous or challenger."""
    labels = dict(zip(LABELS, request.app.state.versions[name].values(), strict=False))
    split: TrafficSplit | None = request.app.state.splits.get(name)
    labels |= {"challenger": split.challenger} if split else {}
    if label not in labels:
        text = f"expected {' or '.join(labels)}; received {label!r}"
        raise RequestError("unknown_label", text, "label", status=404)
    model: LoadedModel = labels[label]
    return model


def _warm_versions(request: Request, name: str) -> dict[str, LoadedModel]:
    """Return the loaded models by version, the champion first, including the challenger."""
    split: TrafficSplit | None = request.app.state.splits.get(name)
    return {**request.app.state.versions[name], **({split.challenger.version: split.challenger} if split else {})}


def versions(request: Request) -> list[str]:
    """Return the version that a path names, or all loaded ones, the champion first."""
    model = find_model(request)
    return (
        [model.version] if VERSION_PARAMETERS & request.path_params.keys() else [*_warm_versions(request, model.task)]
    )


async def predict(request: Request, protocol: str, json_length: str | None = None) -> ResponseMessage:
    """Read the body and predict: in the event loop if that is fast, otherwise in a compute process."""
    scope, state = request.scope, request.app.state
    assignment = assign(state, find_model(request), scope, named=bool(VERSION_PARAMETERS & request.path_params.keys()))
    model = scope["model"] = assignment.model
    record = is_recorded(state, assignment)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with read_body(request, model.max_body_bytes) as body:
        with state.admission.request_slot():
            message = RequestMessage(protocol, body, media_type, json_length)
            response = (
                None if record or not state.fast_path else tensor_path.respond(model, message, tensor_path.INLINE)
            )
            response = response or predict_request.respond_if_fast(model, message, record=record)
            if not response:
                response = await _compute(request, model, message, record=record)
    scope["instances"] = response.count
    if record:
        state.recorder.record(scope, assignment, message, response)
    return response


async def recommend(request: Request, protocol: str) -> ResponseMessage:
    """Read the body and recommend: in the event loop if that is fast, otherwise in a compute process."""
    scope, state = request.scope, request.app.state
    named = bool(VERSION_PARAMETERS & request.path_params.keys())
    model = scope["model"] = assign(state, find_model(request), scope, named=named).model
    recommend_request.recommender(model)  # a model that recommends nothing is refused before the body is read
    async with read_body(request, min(model.max_body_bytes, recommend_request.MAX_BODY_BYTES)) as body:
        with state.admission.request_slot():
            message = RequestMessage(protocol, body)
            response = recommend_request.respond_if_fast(model, message)
            response = response or await _compute(request, model, message)
    scope["instances"] = response.count
    return response


async def generate(request: Request, protocol: str) -> ResponseMessage:
    """Draw samples or encode rows in a compute process; they are not recorded."""
    scope, state, model = request.scope, request.app.state, find_model(request)
    scope["model"] = model
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with read_body(request, model.max_body_bytes) as body:
        with state.admission.request_slot():
            message = RequestMessage(protocol, body, media_type)
            response = await _compute(request, model, message)
    scope["instances"] = response.count
    return response


async def _compute(
    request: Request, model: LoadedModel, message: RequestMessage, *, record: bool = False
) -> ResponseMessage:
    """Wait for the response of a compute process; cancel the request if the client disconnects."""
    pool: ComputePool = request.app.state.pool
    port = str((request.scope.get("client") or ("", 0))[1])
    response = asyncio.wrap_future(pool.submit(model, message, client(request.scope), port, record=record))
    disconnect = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((response, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not response.done():
            raise ClientDisconnect
        return response.result()
    finally:
        response.cancel()
        disconnect.cancel()


async def _disconnect(request: Request) -> None:
    """Wait until the client disconnects; a half-closed connection can still receive a response."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def allow(method: str, handler: Handler) -> Handler:
    """Return a handler that refuses other methods with 405; the router would fall through to the catch-all route."""
    allowed = {"GET": {"GET", "HEAD"}, "POST": {"POST"}}[method]

    async def checked(request: Request) -> Response:
        if request.method not in allowed:
            raise HTTPException(405, f"expected {method}; received {request.method}", {"Allow": ", ".join(allowed)})
        return await handler(request)

    return checked


def error_response(path: str, error: RequestError) -> Response:
    """Return an error in the format of V1 or V2; long texts, which may quote the request, are cut off."""
    fields = {
        key: text[:MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()
        for key, text in error.body()["error"].items()
    }
    prefix = f"{fields['field']}: " if fields["field"] else ""
    content = f"{fields['code']}: {prefix}{fields['message']}" if path.startswith("/v2") else fields
    response = json_response(encoder.encode({"error": content}), error.status)
    response.headers.update(ERROR_HEADERS.get(error.status, {}))
    return response


def json_response(content: bytes, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(content, status, media_type="application/json")
