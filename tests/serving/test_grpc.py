"""The Open Inference Protocol over gRPC: Triton's client, the same limits as over HTTP, hostile messages."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.types import ASGIApp

from tiltyard.cli import main as cli
from tiltyard.errors import PackageError
from tiltyard.serving.grpc import codec, server
from tiltyard.serving.http import api_keys
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import from_predictions
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.variables import SERVER

grpc = pytest.importorskip("grpc", reason="needs gRPC: uv pip install 'tiltyard[grpc]'")
triton = pytest.importorskip("tritonclient.grpc", reason="needs Triton's client: uv pip install 'tritonclient[grpc]'")

INFER = f"/{codec.SERVICE}/ModelInfer"
MAX_BODY = 4_000_000


@contextlib.contextmanager
def serve_grpc(app: ASGIApp, calls: int = 512) -> Iterator[str]:
    """Serve an app over gRPC in a thread; yield its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    service = server.serving(app, "127.0.0.1:0", server.Bounds(MAX_BODY, calls, 1.0))
    port = asyncio.run_coroutine_threadsafe(service.__aenter__(), loop).result(20)
    yield f"127.0.0.1:{port}"
    asyncio.run_coroutine_threadsafe(service.__aexit__(None, None, None), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


@contextlib.contextmanager
def serve_models(app: Starlette, limits: Limits | None = None) -> Iterator[tuple[Starlette, str]]:
    """Serve the models of an app by another app with its own limits and metrics."""
    own = create_app(limits)
    install(own, app.state.models.values())
    own.state.registry = CollectorRegistry()
    own.state.metrics = RequestMetrics(registry=own.state.registry)
    with serve_grpc(own) as address:
        yield own, address
    own.state.pool.close()


@pytest.fixture(scope="module")
def address(app: Starlette) -> Iterator[str]:
    """Return the address of the app."""
    with serve_models(app) as (_, found):
        yield found


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    """Return a client of Triton."""
    with triton.InferenceServerClient(address) as found:
        yield found


def inputs_of(model: LoadedModel, rows: int) -> list[Any]:
    """Return the example repeated, as inputs of Triton's client."""
    example, encoder = model.schema["example"], model.predictor.encoder
    parts = {next(iter(encoder.columns)): example} if encoder.bare else example
    found = []
    for name in encoder.columns:
        values = np.array([parts[name]] * rows)
        found.append(triton.InferInput(name, list(values.shape), "INT64" if values.dtype.kind == "i" else "FP64"))
        found[-1].set_data_from_numpy(values)
    return found


def test_fields_are_those_of_triton() -> None:
    """Every message has the fields of Triton's definition with the same numbers and types, and none that it lacks."""
    theirs = triton.service_pb2.DESCRIPTOR.message_types_by_name
    for name in codec.FIELDS:
        first, _, inner = name.partition(".")
        expected = theirs[first].nested_types_by_name[inner] if inner else theirs[first]
        known = {(field.name, field.number, field.type) for field in expected.fields}
        found = {(field.name, field.number, field.type) for field in codec.message_class(name).DESCRIPTOR.fields}
        assert found == known


def test_triton_client_gets_health_and_metadata(client: Any, app: Starlette) -> None:
    """Triton's client gets health, extensions, versions, tensors and shapes."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "tiltyard"
    for name in random_models.TASKS:
        version = app.state.models[name].version
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, version)
        assert [*client.get_model_metadata(name).versions] == [version]
    (image,) = client.get_model_metadata("digits").inputs
    assert (image.name, image.datatype, [*image.shape]) == ("image", "FP64", [-1, 8, 8])


@pytest.mark.parametrize("name", random_models.TASKS)
@pytest.mark.parametrize("rows", [1, 32])
def test_triton_client_gets_the_same_predictions_as_v1(client: Any, app: Starlette, name: str, rows: int) -> None:
    """Tensors get the same predictions as V1 instances."""
    model: LoadedModel = app.state.models[name]
    response = client.infer(name, inputs_of(model, rows), model.version, request_id="seven")
    assert (response.get_response().model_version, response.get_response().id) == (model.version, "seven")
    for output, values in from_predictions(model.outputs, model.predict([model.schema["example"]] * rows)).items():
        received = response.as_numpy(output)
        if values.dtype.kind == "O":
            assert [text.decode() for text in received] == values.tolist()
        else:
            assert np.array_equal(received, values)


def call(address: str, content: bytes, *metadata: tuple[str, str], method: str = INFER) -> bytes:
    """Send bytes as a message; return the bytes of the response."""
    with grpc.insecure_channel(address) as channel:
        found: bytes = channel.unary_unary(method)(content, metadata=metadata, timeout=20)
        return found


def iris_request(**changes: Any) -> Any:
    """Return a request for iris with typed contents."""
    request = codec.message_class("ModelInferRequest")(model_name="iris", **changes)
    for name, value in random_models.IRIS.items():
        added = request.inputs.add(name=name, datatype="FP64", shape=[1])
        added.contents.fp64_contents.append(value)
    return request


def test_typed_contents_get_typed_contents(address: str, app: Starlette) -> None:
    """A request with typed contents gets a response with typed contents, of the requested outputs."""
    request = iris_request(id="seven")
    request.outputs.add(name="label")
    response = codec.message_class("ModelInferResponse").FromString(call(address, request.SerializeToString()))
    (expected,) = app.state.models["iris"].predict([random_models.IRIS])
    assert [output.name for output in response.outputs] == ["label"]
    assert [*response.outputs[0].contents.bytes_contents] == [expected["label"].encode()]
    assert (response.id, [*response.raw_output_contents]) == ("seven", [])


def bad_requests() -> dict[str, tuple[Any, str, str]]:
    """Return invalid requests, each with the name of its status and a part of its message."""
    unknown, both, few = iris_request(), iris_request(raw_input_contents=[b""]), iris_request()
    unknown.model_name = "rose"
    for one in few.inputs:
        one.ClearField("contents")
    few.raw_input_contents.append(bytes(8))
    strange, large, path = iris_request(), iris_request(), iris_request()
    strange.inputs[0].datatype = "FP8"
    large.inputs[0].datatype = "INT8"
    large.inputs[0].contents.int_contents.append(999)
    path.model_name = "iris/versions/0"
    shape = iris_request()
    shape.inputs[0].shape.append(2**40)
    return {
        "unknown model": (unknown, "NOT_FOUND", "unknown_model: model: expected one of"),
        "wrong version": (iris_request(model_version="0"), "NOT_FOUND", "unknown_version: version: expected"),
        "path": (path, "NOT_FOUND", "unknown_model: model: expected the name"),
        "raw and typed": (both, "INVALID_ARGUMENT", "expected raw_input_contents for each input or for none"),
        "too few": (few, "INVALID_ARGUMENT", "received 1 for 4"),
        "datatype": (strange, "INVALID_ARGUMENT", "wrong_type: inputs.sepal_length: expected one of"),
        "out of bounds": (large, "INVALID_ARGUMENT", "out_of_bounds: inputs.sepal_length: expected values of INT8"),
        "shape": (shape, "INVALID_ARGUMENT", "wrong_shape: inputs.sepal_length"),
        "empty": (codec.message_class("ModelInferRequest")(model_name="iris"), "INVALID_ARGUMENT", "missing_field"),
        "no model": (codec.message_class("ModelInferRequest")(), "NOT_FOUND", "unknown_model"),
    }


@pytest.mark.parametrize("name", bad_requests())
def test_invalid_request_is_refused(address: str, name: str) -> None:
    """Invalid requests get a status and the message of the error."""
    request, status, message = bad_requests()[name]
    with pytest.raises(grpc.RpcError) as caught:
        call(address, request.SerializeToString())
    assert (caught.value.code().name, message in caught.value.details()) == (status, True)


@given(content=st.binary(max_size=200), method=st.sampled_from(["ModelInfer", *server.METHODS]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_get_a_status(address: str, content: bytes, method: str) -> None:
    """No bytes cause a failure of the service."""
    with contextlib.suppress(grpc.RpcError):
        call(address, content, method=f"/{codec.SERVICE}/{method}")
        return
    with pytest.raises(grpc.RpcError) as caught:
        call(address, content, method=f"/{codec.SERVICE}/{method}")
    assert caught.value.code().name in ("INVALID_ARGUMENT", "NOT_FOUND")


@given(offset=st.integers(0, 1000), removed=st.integers(0, 4), added=st.binary(max_size=4), typed=st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_requests_get_a_status(address: str, offset: int, removed: int, added: bytes, typed: bool) -> None:
    """A valid request with a part replaced gets a response or an error, never a failure of the service."""
    request = iris_request()
    if not typed:
        for one in request.inputs:
            request.raw_input_contents.append(np.array([*one.contents.fp64_contents]).tobytes())
            one.ClearField("contents")
    whole = request.SerializeToString()
    offset %= len(whole)
    try:
        call(address, whole[:offset] + added + whole[offset + removed :])
    except grpc.RpcError as error:
        assert error.code().name in ("INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED")  # noqa: PT017 - or none


def test_large_messages_are_refused(address: str) -> None:
    """A message above the limit of a body is refused by the model's limit, a larger one by the server's."""
    for size, message in ((MAX_BODY, "body_too_large"), (MAX_BODY + server.MESSAGE_OVERHEAD, "larger than max")):
        request = codec.message_class("ModelInferRequest")(model_name="iris", id="x" * size)
        with pytest.raises(grpc.RpcError) as caught:
            call(address, request.SerializeToString())
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message in caught.value.details()


def test_keys_limits_metrics_and_request_ids_are_those_of_http(app: Starlette, tmp_path: Path) -> None:
    """API keys and the concurrency limit apply, requests are counted, and their ids returned."""
    path = tmp_path / "keys"
    key = api_keys.add(path, "anna")
    content = iris_request().SerializeToString()
    with serve_models(app, Limits(concurrency=1, keys=api_keys.read(path))) as (own, address):
        with pytest.raises(grpc.RpcError) as refused:
            call(address, content)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        with grpc.insecure_channel(address) as channel:
            metadata = (("authorization", f"Bearer {key}"), ("x-request-id", "mine"))
            _, done = channel.unary_unary(INFER).with_call(content, metadata=metadata, timeout=20)
        assert ("x-request-id", "mine") in [tuple(pair) for pair in done.trailing_metadata()]
        own.state.admission.active = 1
        with pytest.raises(grpc.RpcError) as full:
            call(address, content, ("x-api-key", key))
        assert full.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        counted = generate_latest(own.state.registry)
        assert b'tiltyard_requests_total{model="iris",status="200"' in counted


def test_calls_at_once_are_all_answered(address: str) -> None:
    """More calls at once than a connection may have streams are all answered."""
    content = iris_request().SerializeToString()
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor(16) as pool:
        method = channel.unary_unary(INFER)
        calls = [pool.submit(method, content, timeout=30) for _ in range(3 * server.MAX_STREAMS)]
        assert len({call.result() for call in calls}) == 1


def test_calls_beyond_the_limit_are_refused() -> None:
    """While as many calls wait as are allowed, another one is refused at once."""
    entered, leave = threading.Semaphore(0), threading.Event()

    async def waiting(_scope: Any, _receive: Any, send: Any) -> None:
        entered.release()
        await asyncio.to_thread(leave.wait, 20)
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b'{"error": "busy: later"}'})

    content = iris_request().SerializeToString()
    with serve_grpc(waiting, calls=2) as address, ThreadPoolExecutor(2) as pool:
        held = [pool.submit(call, address, content) for _ in range(2)]
        assert all(entered.acquire(timeout=20) for _ in held)
        with pytest.raises(grpc.RpcError) as refused:
            call(address, content)
        leave.set()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        for one in held:
            error = one.exception(20)
            assert isinstance(error, grpc.RpcError)
            assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "busy: later")


def test_calls_without_a_message_do_not_keep_others_out(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of calls whose message does not arrive few may wait; the others end at once, and these after the time of a call.

    Before, 512 of them kept all others out for ten minutes.
    """
    monkeypatch.setattr(server, "MAX_WAITING", 2)
    leave, content = threading.Event(), iris_request().SerializeToString()

    def silent() -> Iterator[bytes]:
        leave.wait(60)
        yield from ()

    with contextlib.ExitStack() as stack:
        stack.callback(leave.set)
        channel = stack.enter_context(grpc.insecure_channel(address))
        waiting = [channel.stream_unary(INFER).future(silent()) for _ in range(20)]
        assert call(address, content)
        for one in waiting:
            error = one.exception(20)
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            assert "expected the message of the call sooner" in error.details()
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError, match="expected one message") as none:
        channel.stream_unary(INFER)(iter(()), timeout=20)
    assert none.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_recorded_calls_return_a_feedback_token(app: Starlette, tmp_path: Path) -> None:
    """A recorded call is written with its instances, and returns the token for feedback."""
    with serve_models(app) as (own, address):
        own.state.recorder = Recorder(tmp_path, 1.0)
        with grpc.insecure_channel(address) as channel:
            _, done = channel.unary_unary(INFER).with_call(iris_request().SerializeToString(), timeout=20)
        own.state.recorder.sender.finish()
    assert "x-feedback-token" in dict([tuple(pair) for pair in done.trailing_metadata()])
    assert any(path.is_file() and "sepal_length" in path.read_text("utf-8") for path in tmp_path.rglob("*.jsonl*"))


def test_missing_package_and_taken_address_are_errors(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """Without grpcio, with a taken port or without a port, an error says what to do."""
    with pytest.raises(PackageError, match="cannot listen on") as taken:
        server.check(address)
    assert "--grpc" in taken.value.hint
    with pytest.raises(PackageError, match="expected HOST:PORT; received 'here'"):
        server.check("here")
    monkeypatch.setattr(server, "REQUIRED", ("grpc_that_is_missing",))
    with pytest.raises(PackageError, match="grpcio is not installed") as missing:
        server.check("127.0.0.1:1")
    assert "tiltyard[grpc]" in missing.value.hint


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_option_of_the_command_line_sets_the_address(monkeypatch: pytest.MonkeyPatch, host: str, shown: str) -> None:
    """`tiltyard serve --grpc PORT` passes host and port to the service; without it, nothing is passed."""
    given: list[dict[str, str]] = []
    monkeypatch.setattr("tiltyard.serving.serve.serve", lambda *arguments: given.append(arguments[3]))
    port = smoke_test.free_port()
    for more in ([], ["--grpc", str(port)]):
        done = CliRunner().invoke(cli.cli, ["serve", "--host", host, *more])
        assert done.exit_code == 0, done.output
    assert "GRPC" not in given[0]
    assert given[1]["GRPC"] == f"{shown}:{port}"
    assert f"gRPC: {shown}:{port}" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_service_serves_both_protocols(packages: dict[str, Path], tmp_path: Path, workers: str) -> None:
    """`TILTYARD_GRPC` starts gRPC beside HTTP, with one worker and with several."""
    own = {"PACKAGES": str(packages["iris"]), "WORKERS": workers, "GRPC": f"127.0.0.1:{smoke_test.free_port()}"}
    environment = {**bento.clean(), **{f"TILTYARD_{name}": value for name, value in own.items()}}
    with smoke_test.running(SERVER, environment, tmp_path / "home") as running:
        assert running.ask("/v2")["name"] == "tiltyard"
        assert call(own["GRPC"], iris_request().SerializeToString())
