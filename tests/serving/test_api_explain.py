"""Explanations over REST (`"explain": true`): contributions of columns to each prediction."""

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
    """Send a request to a model."""
    return client.post(PREDICT.format(name), content=json.dumps(body))


def refused(response: Any) -> tuple[int, str, str]:
    """Return status, code and field of an error."""
    error = response.json()["error"]
    assert error["message"]
    return response.status_code, error["code"], error["field"]


def example(app: Starlette, name: str) -> Any:
    """Return the example of a model."""
    return app.state.models[name].schema["example"]


def test_numbers_are_base_and_contributions(client: TestClient, app: Starlette) -> None:
    """Each instance has an explanation with all columns, which adds up to the predicted number."""
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
    """The explanation names its label; the base is its mean probability over the golden rows."""
    body = asked(client, "iris", {"instances": [IRIS], "explain": True}).json()
    (answer,), (one,) = body["predictions"], body["explanations"]
    assert one["of"] == answer["label"]
    share = answer["probabilities"][one["of"]]
    assert one["base"] + sum(one["contributions"].values()) == pytest.approx(share, rel=1e-5)


def test_the_base_is_what_golden_rows_get(client: TestClient, app: Starlette) -> None:
    """The base is the mean prediction over the golden rows."""
    model: LoadedModel = app.state.models["diabetes"]
    (one,) = asked(client, "diabetes", {"instances": [example(app, "diabetes")], "explain": True}).json()[
        "explanations"
    ]
    assert one["base"] == pytest.approx(np.mean(model.predict(model.background)), rel=1e-5)


def test_a_line_is_explained_exactly(client: TestClient, app: Starlette) -> None:
    """For a linear model, a contribution is the weight times the distance from the golden rows' mean."""
    row = example(app, "diabetes")
    model: LoadedModel = app.state.models["diabetes"]
    (one,) = asked(client, "diabetes", {"instances": [row], "explain": True}).json()["explanations"]
    more = model.predict([{**row, "bmi": row["bmi"] + 1}])[0] - model.predict([row])[0]
    mean = np.mean([golden["bmi"] for golden in model.background])
    assert one["contributions"]["bmi"] == pytest.approx(more * (row["bmi"] - mean), rel=1e-2)


def test_the_same_is_explained_alike(client: TestClient, app: Starlette) -> None:
    """An instance has the same explanation each time and at any index."""
    row = example(app, "diabetes")
    other = {**row, "age": 21}
    first, again, place = (
        asked(client, "diabetes", {"instances": rows, "explain": True}).json()["explanations"]
        for rows in ([row], [row], [other, row])
    )
    assert first == again
    assert place[1]["contributions"] == pytest.approx(first[0]["contributions"], rel=1e-4, abs=1e-6)


def test_columns_are_explained_as_rows_are(client: TestClient) -> None:
    """Requests with `inputs` get explanations together with `outputs`."""
    columns = {name: [value] for name, value in IRIS.items()}
    body = asked(client, "iris", {"inputs": columns, "explain": True}).json()
    assert [*body] == ["outputs", "explanations", "model", "version"]
    rows = asked(client, "iris", {"instances": [IRIS], "explain": True}).json()
    assert body["explanations"] == rows["explanations"]


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits", "sine"])
def test_without_it_answers_are_what_they_were(client: TestClient, app: Starlette, name: str) -> None:
    """Without `explain`, or with false, the response is the same to the byte."""
    body = {"instances": [example(app, name)]}
    usual, unasked = asked(client, name, body), asked(client, name, {**body, "explain": False})
    assert usual.status_code == unasked.status_code == 200
    assert usual.content == unasked.content
    assert b"explanations" not in usual.content


@pytest.mark.parametrize("value", [1, 0, None, "true", [True], {}])
def test_anything_but_true_and_false_is_refused(client: TestClient, value: Any) -> None:
    """Values other than true and false are refused, even those that Python treats as such."""
    response = asked(client, "iris", {"instances": [IRIS], "explain": value})
    assert refused(response) == (400, "wrong_type", "explain")


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_what_is_no_table_is_refused(client: TestClient, app: Starlette, name: str) -> None:
    """Images and series are refused, since they have no columns."""
    response = asked(client, name, {"instances": [example(app, name)], "explain": True})
    assert refused(response) == (400, "not_explained", "explain")
    assert name in response.json()["error"]["message"]


def test_answers_that_are_texts_are_refused(tmp_path: Path) -> None:
    """Models that generate text have no explanations."""
    app = create_app()
    install(app, [text_writer.song_model(new_workspace(tmp_path))])
    with TestClient(app) as client:
        response = asked(client, "song", {"instances": ["green"], "explain": True})
    assert refused(response) == (400, "not_explained", "explain")
    assert "generates text" in response.json()["error"]["message"]


def test_what_overflows_on_the_way_is_refused(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a mixture of two rows overflows, the error names the instance."""
    monkeypatch.setattr(attributions, "shapley", lambda *_: (np.array([np.inf, 0, 0, 0]), 0.0))
    iris: LoadedModel = app.state.models["iris"]
    with pytest.raises(RequestError, match="too large for the model") as refusal:
        attributions.attributions(iris, [IRIS], iris.predict([IRIS]))
    assert (refusal.value.code, refusal.value.field) == ("out_of_bounds", "instances[0]")


def test_too_many_are_refused(client: TestClient) -> None:
    """64 instances are explained; 65 are refused with `explain` and predicted without."""
    for count, status in ((64, 200), (65, 413)):
        response = asked(client, "iris", {"instances": [IRIS] * count, "explain": True})
        assert response.status_code == status
    assert refused(response) == (413, "too_many", "instances")
    assert "64" in response.json()["error"]["message"]
    assert asked(client, "iris", {"instances": [IRIS] * 65}).status_code == 200


def test_bad_instances_are_refused_as_ever(client: TestClient) -> None:
    """An invalid instance is refused with its field, as without `explain`."""
    response = asked(client, "iris", {"instances": [{**IRIS, "petal_width": "x"}], "explain": True})
    assert refused(response) == (400, "wrong_type", "instances[0].petal_width")
    assert refused(asked(client, "iris", {"instances": 1, "explain": True})) == (400, "wrong_type", "instances")


def test_a_package_without_golden_rows_says_so(app: Starlette) -> None:
    """An older package without golden rows is refused with the reason."""
    iris: LoadedModel = app.state.models["iris"]
    bare = create_app()
    install(bare, [LoadedModel(iris.schema, iris.predictor)])  # without a package for a compute process
    with TestClient(bare) as client:
        response = asked(client, "iris", {"instances": [IRIS], "explain": True})
    assert refused(response) == (400, "not_explained", "explain")
    assert "golden rows" in response.json()["error"]["message"]


def test_fewer_are_explained_where_columns_are_many(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many columns reduce the maximum number of instances, but never below one."""
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
    """Explanations are computed in a compute process, whatever the size of the body."""
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
    """The OpenAPI document has `explain` with fewer instances, or the reason why it is refused."""
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
