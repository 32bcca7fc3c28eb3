"""What the routes of every protocol share: who is asked, how a body is answered, which methods there are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from tiltyard.errors import RequestError
from tiltyard.serving.http.request_body import read_body
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.traffic.traffic_split import TrafficSplit, assign, client

Handler = Callable[[Request], Awaitable[Response]]

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
LABELS = ("champion", "previous")  # the registry's words
MAX_MESSAGE_CHARACTERS = 300  # characters of a message that may quote what was sent
ERROR_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}

VERSION_PARAMETERS = {"version", "label"}  # by which a path names one of a model's versions

encoder = msgspec.json.Encoder()


def find_model(request: Request) -> LoadedModel:
    """Return the model that a path names: the champion, or the version or label that it names if that is still warm."""
    models: dict[str, LoadedModel] = request.app.state.models
    name, version = request.path_params["name"], request.path_params.get("version")
    if name not in models:
        known = ", ".join(sorted(models)) or "none"
        raise RequestError("unknown_model", f"expected one of {known}; received {name!r}", "model", status=404)
    if "label" in request.path_params:
        return _find_label(request, name, request.path_params["label"])
    if version is None:
        return models[name]
    kept = _warm_versions(request, name)
    if version not in kept:
        text = f"expected {' or '.join(kept)}; received {version!r}"
        raise RequestError("unknown_version", text, "version", status=404)
    return kept[version]


def _find_label(request: Request, name: str, label: str) -> LoadedModel:
    """The registry's words: the champion, and the one before it."""
    labels = dict(zip(LABELS, request.app.state.versions[name].values(), strict=False))
    split: TrafficSplit | None = request.app.state.splits.get(name)
    labels |= {"challenger": split.challenger} if split else {}
    if label not in labels:
        text = f"expected {' or '.join(labels)}; received {label!r}"
        raise RequestError("unknown_label", text, "label", status=404)
    found: LoadedModel = labels[label]
    return found


def _warm_versions(request: Request, name: str) -> dict[str, LoadedModel]:
    """Return what is warm by version, the champion first; a challenger is."""
    split: TrafficSplit | None = request.app.state.splits.get(name)
    return {**request.app.state.versions[name], **({split.challenger.version: split.challenger} if split else {})}


def versions(request: Request) -> list[str]:
    """Return the versions that a path names: one, or all that are warm, the champion first."""
    model = find_model(request)
    return (
        [model.version] if VERSION_PARAMETERS & request.path_params.keys() else [*_warm_versions(request, model.task)]
    )


async def predict(request: Request, protocol: str, json_length: str | None = None) -> ResponseMessage:
    """Read the body and answer it: at once if that is a matter of a moment, in a process beside this one if not."""
    scope, state = request.scope, request.app.state
    assignment = assign(state, find_model(request), scope, named=bool(VERSION_PARAMETERS & request.path_params.keys()))
    model = scope["model"] = assignment.model
    record = assignment.record and state.recorder is not None
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with read_body(request, model.max_body_bytes) as body:
        with state.admission.request_slot():
            message = RequestMessage(protocol, body, type_, json_length)
            done = _predict_inline(model, message, record=record)
            if not done:
                done = await _wait(request, state.pool.submit(model, message, client(scope), record=record))
    scope["instances"] = done.count
    if record:
        state.recorder.record(scope, assignment, message, done)
    return done


async def _wait(request: Request, future: Future[ResponseMessage]) -> ResponseMessage:
    """Wait for an answer from beside this process; a client whose connection breaks takes its message back."""
    answer = asyncio.wrap_future(future)
    left = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        answer.cancel()
        left.cancel()


async def _disconnect(request: Request) -> None:
    """Wait until the connection is broken; one that is closed in one direction only still takes an answer."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _predict_inline(model: LoadedModel, message: RequestMessage, *, record: bool) -> ResponseMessage | None:
    """Answer what takes no longer than a request may hold up the others."""
    if not predict_request.is_small(message):
        return None
    found = predict_request.parse(model, message)
    if not predict_request.is_fast(model, message, found):
        return None
    return predict_request.respond(model, found, record=record)


def allow(method: str, handler: Handler) -> Handler:
    """Refuse other methods here, since the catch-all route would turn a wrong method into a wrong path."""
    allowed = {"GET": {"GET", "HEAD"}, "POST": {"POST"}}[method]

    async def checked(request: Request) -> Response:
        if request.method not in allowed:
            raise HTTPException(405, f"expected {method}; received {request.method}", {"Allow": ", ".join(allowed)})
        return await handler(request)

    return checked


def error_response(path: str, error: RequestError) -> Response:
    """Return a refusal in the shape of V1 or as the text of V2; it quotes only the beginning of what was sent."""
    told = {
        key: text[:MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()
        for key, text in error.body()["error"].items()
    }
    field = f"{told['field']}: " if told["field"] else ""
    short = f"{told['code']}: {field}{told['message']}" if path.startswith("/v2") else told
    response = json_response(encoder.encode({"error": short}), error.status)
    response.headers.update(ERROR_HEADERS.get(error.status, {}))
    return response


def json_response(content: bytes, status: int = 200) -> Response:
    """Return a response of JSON."""
    return Response(content, status, media_type="application/json")
