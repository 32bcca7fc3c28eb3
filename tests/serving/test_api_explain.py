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


def post_predict(client: TestClient, name: str, body: Any) -> Any:
    """Send a request to a model."""
    return client.post(PREDICT.format(name), content=json.dumps(body))


def error_fields(response: Any) -> tuple[int, str, str]:
    """Return status, code and field of an error."""
    error = response.json()["error"]
    assert error["message"]
    return response.status_code, error["code"], error["field"]


def example(app: Starlette, name: str) -> Any:
    """Return the example of a model."""
    return app.state.models[name].schema["example"]


def test_base_and_contributions_add_up_to_the_number(client: TestClient, app: Starlette) -> None:
    """Each instance has an explanation with all columns, which adds up to the predicted number."""
    rows = [{**example(app, "diabetes"), "age": age} for age in (20, 50)]
    body = post_predict(client, "diabetes", {"instances": rows, "explain": True}).json()
    assert [*body] == ["predictions", "explanations", "model", "version"]
    assert len(body["explanations"]) == 2
    for number, one in zip(body["predictions"], body["explanations"], strict=True):
        assert [*one] == ["base", "of", "contributions"]
        assert one["of"] is None
        assert [*one["contributions"]] == [*rows[0]]
        assert one["base"] + sum(one["contributions"].values()) == pytest.approx(number, rel=1e-5)


def test_explanation_of_a_label_adds_up_to_its_probability(client: TestClient) -> None:
    """The explanation names its label; the base is its mean probability over the golden rows."""
    body = post_predict(client, "iris", {"instances": [IRIS], "explain": True}).json()
    (prediction,), (one,) = body["predictions"], body["explanations"]
    assert one["of"] == prediction["label"]
    share = prediction["probabilities"][one["of"]]
    assert one["base"] + sum(one["contributions"].values()) == pytest.approx(share, rel=1e-5)


def test_base_is_the_mean_prediction_of_the_golden_rows(client: TestClient, app: Starlette) -> None:
    """The base is the mean prediction over the golden rows."""
    model: LoadedModel = app.state.models["diabetes"]
    (one,) = post_predict(client, "diabetes", {"instances": [example(app, "diabetes")], "explain": True}).json()[
        "explanations"
    ]
    assert one["base"] == pytest.approx(np.mean(model.predict(model.background)), rel=1e-5)


def test_linear_model_is_explained_exactly(client: TestClient, app: Starlette) -> None:
    """For a linear model, a contribution is the weight times the distance from the golden rows' mean."""
    row = example(app, "diabetes")
    model: LoadedModel = app.state.models["diabetes"]
    (one,) = post_predict(client, "diabetes", {"instances": [row], "explain": True}).json()["explanations"]
    weight = model.predict([{**row, "bmi": row["bmi"] + 1}])[0] - model.predict([row])[0]
    mean = np.mean([golden["bmi"] for golden in model.background])
    assert one["contributions"]["bmi"] == pytest.approx(weight * (row["bmi"] - mean), rel=1e-2)


def test_same_instance_has_the_same_explanation(client: TestClient, app: Starlette) -> None:
    """An instance has the same explanation each time and at any index."""
    row = example(app, "diabetes")
    other = {**row, "age": 21}
    first, again, by_index = (
        post_predict(client, "diabetes", {"instances": rows, "explain": True}).json()["explanations"]
        for rows in ([row], [row], [other, row])
    )
    assert first == again
    assert by_index[1]["contributions"] == pytest.approx(first[0]["contributions"], rel=1e-4, abs=1e-6)


def test_inputs_by_column_are_explained_like_rows(client: TestClient) -> None:
    """Requests with `inputs` get explanations together with `outputs`."""
    columns = {name: [value] for name, value in IRIS.items()}
    body = post_predict(client, "iris", {"inputs": columns, "explain": True}).json()
    assert [*body] == ["outputs", "explanations", "model", "version"]
    rows = post_predict(client, "iris", {"instances": [IRIS], "explain": True}).json()
    assert body["explanations"] == rows["explanations"]


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits", "sine"])
def test_responses_without_explain_are_unchanged(client: TestClient, app: Starlette, name: str) -> None:
    """Without `explain`, or with false, the response is the same to the byte."""
    body = {"instances": [example(app, name)]}
    without_explain, explain_false = (
        post_predict(client, name, body),
        post_predict(client, name, {**body, "explain": False}),
    )
    assert without_explain.status_code == explain_false.status_code == 200
    assert without_explain.content == explain_false.content
    assert b"explanations" not in without_explain.content


@pytest.mark.parametrize("value", [1, 0, None, "true", [True], {}])
def test_explain_must_be_true_or_false(client: TestClient, value: Any) -> None:
    """Values other than true and false are refused, even those that Python treats as such."""
    response = post_predict(client, "iris", {"instances": [IRIS], "explain": value})
    assert error_fields(response) == (400, "wrong_type", "explain")


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_images_and_series_are_not_explained(client: TestClient, app: Starlette, name: str) -> None:
    """Images and series are refused, since they have no columns."""
    response = post_predict(client, name, {"instances": [example(app, name)], "explain": True})
    assert error_fields(response) == (400, "not_explained", "explain")
    assert name in response.json()["error"]["message"]


def test_generated_texts_are_not_explained(tmp_path: Path) -> None:
    """Models that generate text have no explanations."""
    app = create_app()
    install(app, [text_writer.song_model(new_workspace(tmp_path))])
    with TestClient(app) as client:
        response = post_predict(client, "song", {"instances": ["green"], "explain": True})
    assert error_fields(response) == (400, "not_explained", "explain")
    assert "generates text" in response.json()["error"]["message"]


def test_overflow_during_explanation_is_refused(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a mixture of two rows overflows, the error names the instance."""
    monkeypatch.setattr(attributions, "shapley", lambda *_: (np.array([np.inf, 0, 0, 0]), 0.0))
    iris: LoadedModel = app.state.models["iris"]
    with pytest.raises(RequestError, match="too large for the model") as refusal:
        attributions.attributions(iris, [IRIS], iris.predict([IRIS]))
    assert (refusal.value.code, refusal.value.field) == ("out_of_bounds", "instances[0]")


def test_too_many_instances_to_explain_are_refused(client: TestClient) -> None:
    """64 instances are explained; 65 are refused with `explain` and predicted without."""
    for count, status in ((64, 200), (65, 413)):
        response = post_predict(client, "iris", {"instances": [IRIS] * count, "explain": True})
        assert response.status_code == status
    assert error_fields(response) == (413, "too_many", "instances")
    assert "64" in response.json()["error"]["message"]
    assert post_predict(client, "iris", {"instances": [IRIS] * 65}).status_code == 200


def test_invalid_instances_are_refused(client: TestClient) -> None:
    """An invalid instance is refused with its field, as without `explain`."""
    response = post_predict(client, "iris", {"instances": [{**IRIS, "petal_width": "x"}], "explain": True})
    assert error_fields(response) == (400, "wrong_type", "instances[0].petal_width")
    assert error_fields(post_predict(client, "iris", {"instances": 1, "explain": True})) == (
        400,
        "wrong_type",
        "instances",
    )


def test_package_without_golden_rows_has_no_explanations(app: Starlette) -> None:
    """An older package without golden rows is refused with the reason."""
    iris: LoadedModel = app.state.models["iris"]
    bare = create_app()
    install(bare, [LoadedModel(iris.schema, iris.predictor)])  # without a package for a compute process
    with TestClient(bare) as client:
        response = post_predict(client, "iris", {"instances": [IRIS], "explain": True})
    assert error_fields(response) == (400, "not_explained", "explain")
    assert "golden rows" in response.json()["error"]["message"]


def test_many_columns_reduce_the_number_of_explained_instances(app: Starlette, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many columns reduce the maximum number of instances, but never below one."""
    model: LoadedModel = app.state.models["iris"]
    assert attributions.max_instances(model) == 64
    monkeypatch.setattr(attributions, "MAX_MODEL_VALUES", 16 * len(model.background) * 4 * 10)
    assert attributions.max_instances(model) == 10
    monkeypatch.setattr(attributions, "MAX_MODEL_VALUES", 1)
    assert attributions.max_instances(model) == 1


@pytest.mark.parametrize("key", [b"explain", b"\\u0065xplain", b"e\\u0078plai\\u006e"])
def test_explanations_are_computed_in_a_compute_process(
    client: TestClient, app: Starlette, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Explanations are computed in a compute process, whatever the size of the body."""
    messages: list[RequestMessage] = []
    submit = app.state.pool.submit

    def recording_submit(model: LoadedModel, question: RequestMessage, *arguments: Any, **options: Any) -> Any:
        messages.append(question)
        return submit(model, question, *arguments, **options)

    monkeypatch.setattr(app.state.pool, "submit", recording_submit)
    content = b'{"instances": [%s], "%s": true}' % (json.dumps(IRIS).encode(), key)
    assert "explanations" in client.post(PREDICT.format("iris"), content=content).json()
    assert post_predict(client, "iris", {"instances": [IRIS]}).status_code == 200
    assert [question.body for question in messages] == [content]


def test_openapi_document_describes_explain(client: TestClient) -> None:
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
    responses = iris["responses"]["200"]["content"]["application/json"]["schema"]["anyOf"]
    assert all(
        "explanations" in response["properties"] and "explanations" not in response["required"]
        for response in responses
    )
    (rows, columns) = digits["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert "no columns" in rows["properties"]["explain"]["description"]
    assert columns["properties"]["explain"]["const"] is False
