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

ODD = ["NaN", "1e999", "-1", "1e-400", "true", "null", '"5"', "[]", "[1]", "{}", "9" * 400, "16", "0.5", '"\\ud800"']


def long_way(model: LoadedModel, body: bytes) -> bytes | None:
    """Return the response of the general path; None if it is an error."""
    try:
        return predict_request.respond(
            model, predict_request.parse(model, RequestMessage("v1", body)), record=False
        ).content
    except RequestError:
        return None


def agree(model: LoadedModel, body: bytes) -> bool:
    """Assert that the compiled request's response, if any, is equal to the byte; return whether there was one."""
    assert model.compiled_request
    if found := model.compiled_request.respond(body):
        assert found[0] == long_way(model, body)
    return found is not None


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Return a model of a table with a column of every type."""
    space = new_workspace(tmp_path_factory.mktemp("people"))
    return LoadedModel.load(
        random_models.write_champion(
            space, random_models.write_evaluated(space, generated_tasks.prepare_table(space).name)
        )
    )


@pytest.mark.parametrize("name", random_models.TASKS)
@pytest.mark.parametrize("rows", [1, 3])
def test_usual_requests_are_taken(app: Starlette, name: str, rows: int) -> None:
    """The example is taken, once and three times, with and without the signature's name."""
    model: LoadedModel = app.state.models[name]
    content = {"instances": [model.schema["example"]] * rows}
    assert agree(model, msgspec.json.encode(content))
    assert agree(model, msgspec.json.encode({**content, "signature_name": "serving_default"}))


def test_every_type_of_column_is_taken(people: LoadedModel) -> None:
    """Adjacent numbers and every other type of column are taken, including null where it is allowed."""
    example = people.schema["example"]
    others = [{**example, "age": None}, {**example, "income": 0}, {**example, "town": "Rom", "member": False}]
    assert agree(people, msgspec.json.encode({"instances": [example, *others]}))
    assert not agree(people, msgspec.json.encode({"instances": [{**example, "income": None}]}))
    assert not agree(people, msgspec.json.encode({"instances": [{**example, "plan": 3}]}))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(random_models.TASKS),
    odd=st.sampled_from(ODD),
    place=st.integers(0, 400),
    gone=st.integers(0, 3),
)
def test_damaged_requests_are_answered_alike(app: Starlette, name: str, odd: str, place: int, gone: int) -> None:
    """For a valid body with a part replaced, both paths return the same response."""
    model: LoadedModel = app.state.models[name]
    body = json.dumps({"instances": [model.schema["example"]]}).encode()
    place %= len(body)
    agree(model, body[:place] + odd.encode() + body[place + gone :])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_values_of_a_table_are_answered_alike(people: LoadedModel, data: st.DataObject) -> None:
    """For columns of valid and unusual values, both paths return the same response."""
    example = {name: json.dumps(value) for name, value in people.schema["example"].items()}
    row = {name: data.draw(st.just(good) | st.sampled_from(ODD)) for name, good in example.items()}
    cells = ", ".join(f'"{name}": {cell}' for name, cell in row.items())
    agree(people, f'{{"instances": [{{{cells}}}]}}'.encode())


@pytest.mark.parametrize("content", [{}, {"instances": []}, {"inputs": [1]}, {"instances": [1], "more": 1}])
def test_other_bodies_go_the_long_way(app: Starlette, content: dict[str, Any]) -> None:
    """Bodies without rows, by columns, with unknown keys or too many rows are left to the general path."""
    model: LoadedModel = app.state.models["iris"]
    assert not agree(model, msgspec.json.encode(content))
    most = model.predictor.encoder.max_instances
    assert not agree(model, msgspec.json.encode({"instances": [model.schema["example"]] * (most + 1)}))


@pytest.mark.parametrize(("name", "has"), [("regression", True), ("classification", True), ("generation", False)])
def test_problems_that_ask_more_than_once_have_none(app: Starlette, name: str, has: bool) -> None:
    """Text generation has no compiled request, since it runs the model many times."""
    encoder = SimpleNamespace(**{**vars(app.state.models["iris"].predictor.encoder), "problem": None})
    encoder.problem = plugins.load("problems", name)()
    assert (compile_request(SimpleNamespace(encoder=encoder), "0" * 12) is not None) is has  # type: ignore[arg-type]


def test_the_lane_answers_before_the_routes(
    app: Starlette, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a broken general path, ordinary requests still get a response, and others fail."""
    monkeypatch.setattr(LoadedModel, "predict", None)
    body = {"instances": [app.state.models["iris"].schema["example"]]}
    answer = client.post("/v1/models/iris:predict", json=body)
    assert (answer.status_code, answer.json()["version"]) == (200, app.state.models["iris"].version)
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(TypeError):
        client.post("/v1/models/iris/labels/champion:predict", json=body)


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("header", [(b"accept", b"*/*"), (b"content-type", b"Text/CSV"), (b"content-encoding", b"x")])
def test_the_lane_hands_on_what_it_read(app: Starlette, pieces: int, header: tuple[bytes, bytes]) -> None:
    """A body in parts, of another type or compressed reaches the routes unchanged."""
    example = json.dumps({"instances": [app.state.models["iris"].schema["example"]]}).encode()
    half = len(example) // pieces
    messages = [{"type": "http.request", "body": example[:half], "more_body": pieces > 1}]
    messages += [{"type": "http.request", "body": example[half:]}] * (pieces - 1)
    heard, sent = [], []

    async def routes(_scope: Any, receive: Any, _send: Any) -> None:
        heard.extend([await receive() for _ in range(pieces)])

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "POST", "path": "/v1/models/iris:predict", "headers": [header], "app": app}
    asyncio.run(FastPathMiddleware(routes)(scope, receive, send))
    taken = pieces == 1 and header[0] == b"accept"
    assert bool(sent) is taken
    assert b"".join(message["body"] for message in heard) == (b"" if taken else example)


@pytest.mark.parametrize("rows", [1, MAX_SMALL_BATCH, MAX_SMALL_BATCH + 1, 40])
def test_few_rows_and_many_are_read_alike(people: LoadedModel, app: Starlette, rows: int) -> None:
    """The small-batch encoder returns the same features as numpy, and finds an invalid value at any index."""
    for model, name in ((people, "age"), (app.state.models["iris"], "petal_width")):
        example = model.schema["example"]
        some = [{**example, name: 1 + place / 40} for place in range(rows)]
        assert agree(model, msgspec.json.encode({"instances": some}))
        assert not agree(model, msgspec.json.encode({"instances": [*some[1:], {**example, name: -1}]}))
        assert not agree(model, msgspec.json.encode({"instances": [*some[1:], {**example, name: "1"}]}))


def test_it_is_there_and_warm_before_the_first_request(people: LoadedModel) -> None:
    """The compiled request is created when a model is loaded, before the first request."""
    fresh = LoadedModel(people.schema, people.predictor)
    assert "compiled_request" not in vars(fresh)
    assert len(fresh.predict_each_way([people.schema["example"]])) == 2
    assert "compiled_request" in vars(people)
