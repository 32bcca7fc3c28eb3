"""Compiled requests: they return the same responses as the general path, or None."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import generated_tasks
import msgspec
import pytest
import random_models
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard import plugins
from tiltyard.errors import RequestError
from tiltyard.serving.http.fast_middleware import FastPathMiddleware
from tiltyard.serving.model.compiled_request import MAX_SMALL_BATCH, compile_request
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import predict_request
from tiltyard.serving.requests.message import RequestMessage

UNUSUAL = [
    "NaN",
    "1e999",
    "-1",
    "1e-400",
    "true",
    "null",
    '"5"',
    "[]",
    "[1]",
    "{}",
    "9" * 400,
    "16",
    "0.5",
    '"\\ud800"',
]


def general_response(model: LoadedModel, body: bytes) -> bytes | None:
    """Return the response of the general path; None if it is an error."""
    try:
        return predict_request.respond(
            model, predict_request.parse(model, RequestMessage("v1", body)), record=False
        ).content
    except RequestError:
        return None


def assert_same_response(model: LoadedModel, body: bytes) -> bool:
    """Assert that the compiled request's response, if any, is equal to the byte; return whether there was one."""
    assert model.compiled_request
    if found := model.compiled_request.respond(body):
        assert found[0] == general_response(model, body)
    return found is not None


@pytest.fixture(scope="module")
def people_model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Return a model of a table with a column of every type."""
    space = new_workspace(tmp_path_factory.mktemp("people"))
    return LoadedModel.load(
        random_models.write_champion(
            space, random_models.write_evaluated(space, generated_tasks.prepare_table(space).name)
        )
    )


@pytest.mark.parametrize("name", random_models.TASKS)
@pytest.mark.parametrize("rows", [1, 3])
def test_ordinary_requests_are_compiled(app: Starlette, name: str, rows: int) -> None:
    """The example is taken, once and three times, with and without the signature's name."""
    model: LoadedModel = app.state.models[name]
    content = {"instances": [model.schema["example"]] * rows}
    assert assert_same_response(model, msgspec.json.encode(content))
    assert assert_same_response(model, msgspec.json.encode({**content, "signature_name": "serving_default"}))


def test_every_column_type_is_compiled(people_model: LoadedModel) -> None:
    """Adjacent numbers and every other type of column are taken, including null where it is allowed."""
    example = people_model.schema["example"]
    others = [{**example, "age": None}, {**example, "income": 0}, {**example, "town": "Rom", "member": False}]
    assert assert_same_response(people_model, msgspec.json.encode({"instances": [example, *others]}))
    assert not assert_same_response(people_model, msgspec.json.encode({"instances": [{**example, "income": None}]}))
    assert not assert_same_response(people_model, msgspec.json.encode({"instances": [{**example, "plan": 3}]}))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(random_models.TASKS),
    unusual=st.sampled_from(UNUSUAL),
    offset=st.integers(0, 400),
    removed=st.integers(0, 3),
)
def test_damaged_requests_get_the_same_response_from_both_paths(
    app: Starlette, name: str, unusual: str, offset: int, removed: int
) -> None:
    """For a valid body with a part replaced, both paths return the same response."""
    model: LoadedModel = app.state.models[name]
    body = json.dumps({"instances": [model.schema["example"]]}).encode()
    offset %= len(body)
    assert_same_response(model, body[:offset] + unusual.encode() + body[offset + removed :])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_table_values_get_the_same_response_from_both_paths(people_model: LoadedModel, data: st.DataObject) -> None:
    """For columns of valid and unusual values, both paths return the same response."""
    example = {name: json.dumps(value) for name, value in people_model.schema["example"].items()}
    row = {name: data.draw(st.just(good) | st.sampled_from(UNUSUAL)) for name, good in example.items()}
    cells = ", ".join(f'"{name}": {cell}' for name, cell in row.items())
    assert_same_response(people_model, f'{{"instances": [{{{cells}}}]}}'.encode())


@pytest.mark.parametrize("content", [{}, {"instances": []}, {"inputs": [1]}, {"instances": [1], "more": 1}])
def test_other_bodies_are_left_to_the_general_path(app: Starlette, content: dict[str, Any]) -> None:
    """Bodies without rows, by columns, with unknown keys or too many rows are left to the general path."""
    model: LoadedModel = app.state.models["iris"]
    assert not assert_same_response(model, msgspec.json.encode(content))
    max_instances = model.predictor.encoder.max_instances
    assert not assert_same_response(
        model, msgspec.json.encode({"instances": [model.schema["example"]] * (max_instances + 1)})
    )


@pytest.mark.parametrize(("name", "supported"), [("regression", True), ("classification", True), ("generation", False)])
def test_text_generation_has_no_compiled_request(app: Starlette, name: str, supported: bool) -> None:
    """Text generation has no compiled request, since it runs the model many times."""
    encoder = SimpleNamespace(**{**vars(app.state.models["iris"].predictor.encoder), "problem": None})
    encoder.problem = plugins.load("problems", name)()
    assert (compile_request(SimpleNamespace(encoder=encoder), "0" * 12) is not None) is supported  # type: ignore[arg-type]


def test_fast_path_responds_before_the_routes(
    app: Starlette, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a broken general path, ordinary requests still get a response, and others fail."""
    monkeypatch.setattr(LoadedModel, "predict", None)
    body = {"instances": [app.state.models["iris"].schema["example"]]}
    response = client.post("/v1/models/iris:predict", json=body)
    assert (response.status_code, response.json()["version"]) == (200, app.state.models["iris"].version)
    assert response.headers["content-type"] == "application/json"
    with pytest.raises(TypeError):
        client.post("/v1/models/iris/labels/champion:predict", json=body)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("header", [(b"accept", b"*/*"), (b"content-type", b"Text/CSV"), (b"content-encoding", b"x")])
def test_fast_path_passes_other_bodies_on_unchanged(app: Starlette, parts: int, header: tuple[bytes, bytes]) -> None:
    """A body in parts, of another type or compressed reaches the routes unchanged."""
    example = json.dumps({"instances": [app.state.models["iris"].schema["example"]]}).encode()
    half = len(example) // parts
    messages = [{"type": "http.request", "body": example[:half], "more_body": parts > 1}]
    messages += [{"type": "http.request", "body": example[half:]}] * (parts - 1)
    received, sent = [], []

    async def routes(_scope: Any, receive: Any, _send: Any) -> None:
        received.extend([await receive() for _ in range(parts)])

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": "/v1/models/iris:predict", "headers": [header], "app": app}
    asyncio.run(FastPathMiddleware(routes)(scope, receive, send))
    handled = parts == 1 and header[0] == b"accept"
    assert bool(sent) is handled
    assert b"".join(message["body"] for message in received) == (b"" if handled else example)


@pytest.mark.parametrize("rows", [1, MAX_SMALL_BATCH, MAX_SMALL_BATCH + 1, 40])
def test_small_and_large_batches_are_encoded_alike(people_model: LoadedModel, app: Starlette, rows: int) -> None:
    """The small-batch encoder returns the same features as numpy, and finds an invalid value at any index."""
    for model, name in ((people_model, "age"), (app.state.models["iris"], "petal_width")):
        example = model.schema["example"]
        instances = [{**example, name: 1 + row / 40} for row in range(rows)]
        assert assert_same_response(model, msgspec.json.encode({"instances": instances}))
        assert not assert_same_response(
            model, msgspec.json.encode({"instances": [*instances[1:], {**example, name: -1}]})
        )
        assert not assert_same_response(
            model, msgspec.json.encode({"instances": [*instances[1:], {**example, name: "one"}]})
        )


def test_compiled_request_is_created_when_a_model_is_loaded(people_model: LoadedModel) -> None:
    """The compiled request is created when a model is loaded, before the first request."""
    fresh = LoadedModel(people_model.schema, people_model.predictor)
    assert "compiled_request" not in vars(fresh)
    assert len(fresh.predict_each_way([people_model.schema["example"]])) == 2
    assert "compiled_request" in vars(people_model)
