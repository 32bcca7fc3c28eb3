"""Fast path as middleware: ordinary requests to champions are answered before routing.

JSON rows (V1) are answered by compiled requests, numeric tensors (V2) by the tensor path.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tiltyard.serving.http.api_keys import Headers
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request, table_body, tensor_path, v2_codec
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage
from tiltyard.serving.traffic.traffic_split import assign, is_recorded

V1_PREFIX, V1_SUFFIX = "/v1/models/", ":predict"
V2_PREFIX, V2_SUFFIX = "/v2/models/", "/infer"
NON_JSON_TYPES = tuple(kind.encode() for kind in table_body.MEDIA_TYPES)  # media types of table bodies
BINARY_TYPE = (b"content-type", b"application/octet-stream")
LENGTH_HEADER = v2_codec.LENGTH_HEADER.lower().encode()


class FastRoute(NamedTuple):
    """The model and the protocol of a request that the fast path may answer."""

    model: LoadedModel
    protocol: str
    json_length: str | None = None  # V2: how many bytes of the body are JSON


class FastResponse(NamedTuple):
    """A response body, the model that computed it, its number of instances, and the headers that describe it."""

    content: bytes
    model: LoadedModel
    instances: int
    headers: list[tuple[bytes, bytes]]


class FastPathMiddleware:
    """ASGI middleware that passes all requests that it cannot answer on to the routes, unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond by the fast path, or call the app."""
        if scope["type"] != "http" or not (route := _find_route(scope)):
            await self.app(scope, receive, send)
            return
        message = await receive()
        is_complete = message["type"] == "http.request" and not message.get("more_body")
        if is_complete and (response := try_respond(scope["app"].state, route, message.get("body", b""), scope)):
            scope["model"], scope["instances"] = response.model, response.instances
            await send({"type": "http.response.start", "status": 200, "headers": response.headers})
            await send({"type": "http.response.body", "body": response.content})
        else:
            await self.app(scope, _replay(message, receive), send)


def _find_route(scope: Scope) -> FastRoute | None:
    is_post = scope["method"] == "POST"
    return find_route(scope["app"].state, scope["path"], scope["headers"]) if is_post else None


def find_route(state: Any, path: str, headers: Headers) -> FastRoute | None:
    """Return the champion that a path names; None if the fast path cannot read the body or has no such model."""
    if path.startswith(V1_PREFIX) and path.endswith(V1_SUFFIX):
        model: LoadedModel | None = state.models.get(path[len(V1_PREFIX) : -len(V1_SUFFIX)])
        readable = model and model.compiled_request and not any(_is_unreadable(*pair) for pair in headers)
        return FastRoute(model, "v1") if model and readable else None
    if path.startswith(V2_PREFIX) and path.endswith(V2_SUFFIX):
        return _find_v2_route(state.models.get(path[len(V2_PREFIX) : -len(V2_SUFFIX)]), headers)
    return None


def _is_unreadable(name: bytes, value: bytes) -> bool:
    return name == b"content-encoding" or (name == b"content-type" and value.strip().lower().startswith(NON_JSON_TYPES))


def _find_v2_route(model: LoadedModel | None, headers: Headers) -> FastRoute | None:
    if not model or not model.compiled_request or not model.compiled_request.is_numeric:
        return None
    length = None
    for name, value in headers:
        if name == b"content-encoding":
            return None
        if name == LENGTH_HEADER and length is None:  # the first one counts, as for the routes
            length = value.decode("latin-1")
    return FastRoute(model, "v2", length)


def try_respond(state: Any, route: FastRoute, body: bytes, scope: Scope) -> FastResponse | None:
    """Return the response; None if the general path must handle the request. Record it as that path would.

    The scope needs headers, client and key name, by which the request is assigned, and its id.
    """
    if not state.fast_path or state.admission.is_full:
        return None
    assignment = assign(state, route.model, scope, named=False)
    model, recorder = assignment.model, state.recorder
    recorded = recorder is not None and (assignment.record or recorder.is_due)
    if len(body) > model.max_body_bytes or (recorded and route.protocol == "v2"):
        return None
    message = RequestMessage(route.protocol, body, "", route.json_length)
    if route.protocol == "v1":
        response = predict_request.respond_compiled(model, body)
    else:
        response = tensor_path.respond(model, message, tensor_path.INLINE)
    if response and is_recorded(state, assignment):
        recorder.record(scope, assignment, message, response)
    return _fast_response(model, response) if response else None


def _fast_response(model: LoadedModel, response: ResponseMessage) -> FastResponse:
    """Return a response with the headers that the routes would send, in their order."""
    headers = [(b"content-length", b"%d" % len(response.content)), (b"content-type", b"application/json")]
    if response.json_length is not None:
        headers = [(LENGTH_HEADER, b"%d" % response.json_length), headers[0], BINARY_TYPE]
    return FastResponse(response.content, model, response.count, headers)


def _replay(message: Message, receive: Receive) -> Receive:
    """Return a receive function that returns a message again before the following ones."""
    unread = [message]

    async def received() -> Message:
        return unread.pop() if unread else await receive()

    return received
