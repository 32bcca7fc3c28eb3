"""`"explain": true`: what each column adds to an answer, over REST; and requests without it are what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import text_writer
from random_models import IRIS
from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import new_workspace

from tiltyard.errors import RequestError
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests import attributions
from tiltyard.serving.requests.message import RequestMessage

PREDICT = "/v1/models/{}:predict"


def asked(client: TestClient, name: str, body: Any) -> Any:
    """Ask one model."""
    return client.post(PREDICT.format(name), content=json.dumps(body))


def refused(response: Any) -> tuple[int, str, str]:
    """Return status, code and field of a refusal."""
    error = response.json()["error"]
    assert error["message"]
    return response.status_code, error["code"], error["field"]


def example(app: Starlette, name: str) -> Any:
    """Return a model's own example."""
    return app.state.models[name].schema["example"]


def test_numbers_are_base_and_contributions(client: TestClient, app: Starlette) -> None:
    """One explanation an instance, of all columns, that adds up to the number that is answered."""
    rows = [{**example(app, "diabetes"), "age": age} for age in (20, 50)]
    body = asked(client, "diabetes", {"instances": rows, "explain": True}).json()
    assert [*body] == ["predictions", "explanations", "model", "version"]
    assert len(body["explanations"]) == 2
    for number, one in zip(body["predictions"], body["explanations"], strict=True):
        assert [*one] == ["base", "of", "contributions"]
        assert one["of"] is None
        assert [*one["contributions"]] == [*rows[0]]
        assert one["base"] + sum(one["contributions"].values()) == pytest.approx(number, rel=1e-5)


def test_labels_are_explained_by_their_probability(client: TestClient) -> None:
    """It is said of which label; the base is the mean over golden rows."""
    body = asked(client, "iris", {"instances": [IRIS], "explain": True}).json()
    (answer,), (one,) = body["predictions"], body["explanations"]
    assert one["of"] == answer["label"]
    share = answer["probabilities"][one["of"]]
    assert one["base"] + sum(one["contributions"].values()) == pytest.approx(share, rel=1e-5)


def test_the_base_is_what_golden_rows_get(client: TestClient, app: Starlette) -> None:
    """Nothing else is packaged for it."""
    model: LoadedModel = app.state.models["diabetes"]
    (one,) = asked(client, "diabetes", {"instances": [example(app, "diabetes")], "explain": True}).json()[
        "explanations"
    ]
    assert one["base"] == pytest.approx(np.mean(model.predict(model.background)), rel=1e-5)


def test_a_line_is_explained_exactly(client: TestClient, app: Starlette) -> None:
    """The small model is linear: a column adds its weight times its distance from the golden rows' mean."""
    row = example(app, "diabetes")
    model: LoadedModel = app.state.models["diabetes"]
    (one,) = asked(client, "diabetes", {"instances": [row], "explain": True}).json()["explanations"]
    more = model.predict([{**row, "bmi": row["bmi"] + 1}])[0] - model.predict([row])[0]
    mean = np.mean([golden["bmi"] for golden in model.background])
    assert one["contributions"]["bmi"] == pytest.approx(more * (row["bmi"] - mean), rel=1e-2)


def test_the_same_is_explained_alike(client: TestClient, app: Starlette) -> None:
    """Twice, and whichever its place among others."""
    row = example(app, "diabetes")
    other = {**row, "age": 21}
    first, again, place = (
        asked(client, "diabetes", {"instances": rows, "explain": True}).json()["explanations"]
        for rows in ([row], [row], [other, row])
    )
    assert first == again
    assert place[1]["contributions"] == pytest.approx(first[0]["contributions"], rel=1e-4, abs=1e-6)


def test_columns_are_explained_as_rows_are(client: TestClient) -> None:
    """`inputs` with `outputs`, and explanations beside them."""
    columns = {name: [value] for name, value in IRIS.items()}
    body = asked(client, "iris", {"inputs": columns, "explain": True}).json()
    assert [*body] == ["outputs", "explanations", "model", "version"]
    rows = asked(client, "iris", {"instances": [IRIS], "explain": True}).json()
    assert body["explanations"] == rows["explanations"]


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits", "sine"])
def test_without_it_answers_are_what_they_were(client: TestClient, app: Starlette, name: str) -> None:
    """The bytes of a request that does not ask, or says false, are those of the usual way."""
    body = {"instances": [example(app, name)]}
    usual, unasked = asked(client, name, body), asked(client, name, {**body, "explain": False})
    assert usual.status_code == unasked.status_code == 200
    assert usual.content == unasked.content
    assert b"explanations" not in usual.content


@pytest.mark.parametrize("value", [1, 0, None, "true", [True], {}])
def test_anything_but_true_and_false_is_refused(client: TestClient, value: Any) -> None:
    """Even what Python would take for them."""
    response = asked(client, "iris", {"instances": [IRIS], "explain": value})
    assert refused(response) == (400, "wrong_type", "explain")


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_what_is_no_table_is_refused(client: TestClient, app: Starlette, name: str) -> None:
    """A picture and a series have no columns; the sentence says so."""
    response = asked(client, name, {"instances": [example(app, name)], "explain": True})
    assert refused(response) == (400, "not_explained", "explain")
    assert name in response.json()["error"]["message"]


def test_answers_that_are_texts_are_refused(tmp_path: Path) -> None:
    """There is no number to share out."""
    app = create_app()
    install(app, [text_writer.scribe(new_workspace(tmp_path))])
    with TestClient(app) as client:
        response = asked(client, "song", {"instances": ["green"], "explain": True})
    assert refused(response) == (400, "not_explained", "explain")
    assert "generates text" in response.json()["error"]["message"]


def test_what_overflows_on_the_way_is_refused(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON has no infinity: the instance is named at which columns of two rows together were too much."""
    monkeypatch.setattr(attributions, "shapley", lambda *_: (np.array([np.inf, 0, 0, 0]), 0.0))
    iris: LoadedModel = app.state.models["iris"]
    with pytest.raises(RequestError, match="too large for the model") as refusal:
        attributions.attributions(iris, [IRIS], iris.predict([IRIS]))
    assert (refusal.value.code, refusal.value.field) == ("out_of_bounds", "instances[0]")


def test_too_many_are_refused(client: TestClient) -> None:
    """64 are explained, 65 are not, and without explanations they are answered."""
    for count, status in ((64, 200), (65, 413)):
        response = asked(client, "iris", {"instances": [IRIS] * count, "explain": True})
        assert response.status_code == status
    assert refused(response) == (413, "too_many", "instances")
    assert "64" in response.json()["error"]["message"]
    assert asked(client, "iris", {"instances": [IRIS] * 65}).status_code == 200


def test_bad_instances_are_refused_as_ever(client: TestClient) -> None:
    """The field is named, and nothing is explained."""
    response = asked(client, "iris", {"instances": [{**IRIS, "petal_width": "x"}], "explain": True})
    assert refused(response) == (400, "wrong_type", "instances[0].petal_width")
    assert refused(asked(client, "iris", {"instances": 1, "explain": True})) == (400, "wrong_type", "instances")


def test_a_package_without_golden_rows_says_so(app: Starlette) -> None:
    """Older ones may have none."""
    iris: LoadedModel = app.state.models["iris"]
    bare = create_app()
    install(bare, [LoadedModel(iris.schema, iris.predictor)])  # no other process could open it
    with TestClient(bare) as client:
        response = asked(client, "iris", {"instances": [IRIS], "explain": True})
    assert refused(response) == (400, "not_explained", "explain")
    assert "golden rows" in response.json()["error"]["message"]


def test_fewer_are_explained_where_columns_are_many(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the model may be asked for one request has a limit, and one instance is always within it."""
    model: LoadedModel = app.state.models["iris"]
    assert attributions.max_instances(model) == 64
    monkeypatch.setattr(attributions, "MAX_MODEL_VALUES", 16 * len(model.background) * 4 * 10)
    assert attributions.max_instances(model) == 10
    monkeypatch.setattr(attributions, "MAX_MODEL_VALUES", 1)
    assert attributions.max_instances(model) == 1


@pytest.mark.parametrize("key", [b"explain", b"\\u0065xplain", b"e\\u0078plai\\u006e"])
def test_explaining_holds_nobody_up(
    client: TestClient, app: Starlette, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done in a process beside the service, however small the body, and however the key is spelled."""
    seen: list[RequestMessage] = []
    ask = app.state.pool.submit

    def watched(model: LoadedModel, question: RequestMessage, *given: Any, **more: Any) -> Any:
        seen.append(question)
        return ask(model, question, *given, **more)

    monkeypatch.setattr(app.state.pool, "submit", watched)
    content = b'{"instances": [%s], "%s": true}' % (json.dumps(IRIS).encode(), key)
    assert "explanations" in client.post(PREDICT.format("iris"), content=content).json()
    assert asked(client, "iris", {"instances": [IRIS]}).status_code == 200
    assert [question.body for question in seen] == [content]


def test_the_document_tells_of_it(client: TestClient) -> None:
    """Who explains takes true, with fewer instances; who does not says why."""
    paths = client.get("/v1/openapi.json").json()["paths"]
    iris, digits = (paths[PREDICT.format(name)]["post"] for name in ("iris", "digits"))
    bodies = iris["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert [body["properties"]["explain"]["const"] for body in bodies] == [False, False, True, True]
    assert [body["properties"]["instances"]["maxItems"] for body in bodies[::2]] == [1000, 64]
    assert [body["required"] for body in bodies] == [
        ["instances"],
        ["inputs"],
        ["instances", "explain"],
        ["inputs", "explain"],
    ]
    answers = iris["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert all(
        "explanations" in answer["properties"] and "explanations" not in answer["required"] for answer in answers
    )
    (rows, columns) = digits["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert "no columns" in rows["properties"]["explain"]["description"]
    assert columns["properties"]["explain"]["const"] is False
