"""gRPC server: inference.GRPCInferenceService in the event loop of the HTTP server; a call passes the app as ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from tiltyard.errors import PackageError, RequestError
from tiltyard.serving.grpc import codec
from tiltyard.serving.grpc.codec import SERVICE
from tiltyard.serving.requests import v2_codec

REQUIRED = ("grpc", "google.protobuf")
MAX_STREAMS = 64  # calls at a time of one connection
MAX_WAITING = 64  # calls whose message has not arrived: each may hold a part of it in memory
MAX_METADATA_BYTES = 32_768  # of one call
MESSAGE_OVERHEAD = 65_536  # bytes of a message beside its tensors
MAX_IDLE_MS, MAX_AGE_MS, AGE_GRACE_MS = 300_000, 600_000, 60_000  # of a connection
CODES = {
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}  # names of status codes by HTTP status; of all others INVALID_ARGUMENT
LENGTH_HEADER = v2_codec.LENGTH_HEADER.lower()
OWN_HEADERS = {"content-length", "content-type", "content-encoding", "transfer-encoding", LENGTH_HEADER}
METADATA_HEADERS = (b"x-request-id", b"x-feedback-token")  # headers of the response that become trailing metadata
PEER_PATTERN = re.compile(r"ipv[46]:\[?([^\]]*?)\]?:(\d+)")
METHODS = {  # paths of the calls without tensors
    "ServerLive": "/v2/health/live",
    "ServerReady": "/v2/health/ready",
    "ServerMetadata": "/v2",
    "ModelReady": "/ready",
    "ModelMetadata": "",
}

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Bounds:
    """Limits of the server that do not depend on the model."""

    body_bytes: int  # of a request; each model has a limit of its own, which is no higher
    calls: int  # at a time, beside MAX_WAITING whose message has not arrived
    seconds: float  # that a call may take, and its message until it has arrived


def check(address: str, *, shared: bool = False) -> None:
    """Raise PackageError if gRPC is not installed, or if the address is taken; several workers share it."""
    if not all(map(importlib.util.find_spec, REQUIRED)):
        hint = "install it: uv pip install 'tiltyard[grpc]', or leave out --grpc"
        raise PackageError("gRPC is enabled, but grpcio is not installed", hint=hint)
    host, _, port = address.rpartition(":")
    with contextlib.ExitStack() as stack:
        if not port.isdecimal():
            raise PackageError(f"TILTYARD_GRPC: expected HOST:PORT; received {address!r}")
        try:
            probe = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("[]"), int(port)))
        except (OSError, OverflowError) as error:
            hint = "choose another port: tiltyard serve --grpc 8001"
            raise PackageError(f"cannot listen on {address} for gRPC: {error}", hint=hint) from None


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, address: str, bounds: Bounds, *, shared: bool = False) -> AsyncIterator[int]:
    """Serve the app over gRPC during the block; yield the port. Several workers may share an address."""
    import grpc.aio

    options = [
        ("grpc.max_receive_message_length", bounds.body_bytes + MESSAGE_OVERHEAD),
        ("grpc.max_concurrent_streams", MAX_STREAMS),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.max_connection_idle_ms", MAX_IDLE_MS),
        ("grpc.max_connection_age_ms", MAX_AGE_MS),
        ("grpc.max_connection_age_grace_ms", AGE_GRACE_MS),
        ("grpc.so_reuseport", int(shared)),
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=bounds.calls + 2 * MAX_WAITING)
    server.add_generic_rpc_handlers([_handlers(app, CallLimits(bounds))])
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(bounds.seconds + 1)


class CallLimits:
    """Limits on calls at a time, and on calls that wait for their message: the longest waiting one is ended."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds, self.active = bounds, 0
        self.waiting: dict[asyncio.Future[None], None] = {}  # in order; done if the call must end

    async def message(self, messages: Any) -> bytes:
        """Return the message of a call, within the time of a call."""
        loop, read = asyncio.get_running_loop(), asyncio.ensure_future(anext(messages))
        end: asyncio.Future[None] = loop.create_future()
        self.waiting[end] = None
        if len(self.waiting) > MAX_WAITING:
            (oldest := next(iter(self.waiting))).set_result(None)
            del self.waiting[oldest]
        try:
            await asyncio.wait((read, end), timeout=self.bounds.seconds, return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                raise RequestError("timeout", "expected the message of the call sooner", status=503)
            content: bytes = read.result()
        except StopAsyncIteration:
            raise RequestError("malformed_message", "expected one message; received none") from None
        finally:
            read.cancel()
            self.waiting.pop(end, None)
        return content

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places of calls that are answered; raise RequestError if all are taken."""
        if self.active >= self.bounds.calls:
            raise RequestError("too_many_requests", f"expected at most {self.bounds.calls} calls at a time", status=429)
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1


def _handlers(app: ASGIApp, limits: CallLimits) -> Any:
    """Return the handlers of all methods; messages stay bytes, so that invalid ones get a response of ours.

    A handler reads the message of its call itself, as of a stream: only so can the time until it arrives be limited.
    """
    import grpc

    def handler(answer: Callable[[bytes, Any], Awaitable[bytes]]) -> Any:
        async def handle(messages: Any, context: Any) -> bytes:
            return await _result(context, _answer(messages, context))

        async def _answer(messages: Any, context: Any) -> bytes:
            content = await limits.message(messages)
            with limits.slot():
                return await answer(content, context)

        return grpc.stream_unary_rpc_method_handler(handle)

    methods = {
        "ModelInfer": partial(_infer, app),
        **{name: partial(_call_without_tensors, app, name) for name in METHODS},
    }
    return grpc.method_handlers_generic_handler(SERVICE, {name: handler(method) for name, method in methods.items()})


async def _result(context: Any, pending: Any) -> bytes:
    """Return the result of a call; end it with the status of a RequestError."""
    import grpc

    try:
        response: bytes = await pending
    except RequestError as error:
        name = "DEADLINE_EXCEEDED" if error.code == "timeout" else CODES.get(error.status, "INVALID_ARGUMENT")
        field = f"{error.field}: " if error.field else ""
        await context.abort(grpc.StatusCode[name], f"{error.code}: {field}{error.message}")
    return response


async def _infer(app: ASGIApp, content: bytes, context: Any) -> bytes:
    request = codec.parse("ModelInferRequest", content)
    body, length = codec.body(request)
    path = f"{_model_path(request.model_name, request.model_version)}/infer"
    headers = [*_headers(context), (LENGTH_HEADER.encode(), b"%d" % length)]
    response = _checked(await call(app, path, headers, _client(context), body))
    trailing_metadata = [
        (name.decode(), response.headers[name].decode()) for name in METADATA_HEADERS if name in response.headers
    ]
    context.set_trailing_metadata(tuple(trailing_metadata))
    json_length = int(response.headers[LENGTH_HEADER.encode()])
    return codec.response(response.body, json_length, typed=not request.raw_input_contents)


async def _call_without_tensors(app: ASGIApp, name: str, content: bytes, context: Any) -> bytes:
    """Answer a call without tensors; a server or model that is not ready is no error."""
    request, path = codec.parse(f"{name}Request", content), METHODS[name]
    if name.startswith("Model"):
        path = _model_path(request.name, request.version) + path
    response = await call(app, path, _headers(context), _client(context))
    if name == "ServerReady" and response.status == 503:
        return codec.from_json("ServerReadyResponse", b'{"ready": false}')
    return codec.from_json(f"{name}Response", _checked(response).body)


def _model_path(name: str, version: str) -> str:
    if not name or "/" in name + version:
        raise RequestError("unknown_model", f"expected the name of a model; received {name!r}", "model", status=404)
    return f"/v2/models/{name}" + (f"/versions/{version}" if version else "")


def _headers(context: Any) -> Headers:
    """Return the metadata of a call as headers: API keys, request ids and traces are sent alike."""
    return [
        (name.lower().encode(), value.encode(errors="replace") if isinstance(value, str) else value)
        for name, value in context.invocation_metadata() or ()
        if name.lower() not in OWN_HEADERS
    ]


def _client(context: Any) -> tuple[str, int]:
    """Return address and port of the client."""
    match = PEER_PATTERN.fullmatch(unquote(context.peer()))
    return (match[1], int(match[2])) if match else ("", 0)


def _checked(response: Response) -> Response:
    """Return a response; raise the error that it contains."""
    if response.status == 200:
        return response
    text = codec.error(response.body)
    code, _, message = text.partition(": ")
    raise RequestError(code, message, status=response.status)


class Response(NamedTuple):
    """The response to a request."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


async def call(
    app: ASGIApp, path: str, headers: Headers, client: tuple[str, int], body: bytes | None = None
) -> Response:
    """Return the response of the app to a GET request, or to a POST request with a body."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": "GET" if body is None else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": client,
        "server": None,
    }
    exchange = _Exchange(body or b"")
    with contextlib.suppress(Exception):  # the app has responded with 500 and logged it
        await app(scope, exchange.receive, exchange.send)
    return Response(exchange.status, exchange.headers, exchange.content)


class _Exchange:
    """The messages of one request."""

    def __init__(self, body: bytes) -> None:
        self.messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self.status, self.headers, self.content = 500, dict[bytes, bytes](), b""

    async def receive(self) -> Message:
        """Return the body; then wait, since gRPC cancels the call if the client leaves."""
        return self.messages.pop() if self.messages else await asyncio.get_running_loop().create_future()

    async def send(self, message: Any) -> None:
        """Keep the response."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.content += message.get("body", b"")
