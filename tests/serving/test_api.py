"""REST routes of V1: predictions, errors and limits."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from typing import Any

import anyio
import numpy as np
import pytest
import random_models
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.serving.model.loaded_model import LoadedModel

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
PREDICT = "/v1/models/iris:predict"


def served(app: Starlette, name: str) -> LoadedModel:
    """Return the model of a task."""
    model: LoadedModel = app.state.models[name]
    return model


def refusal(response: Any) -> dict[str, str]:
    """Return the error of a response, which must be JSON without any other key."""
    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"code", "message", "field"}
    error: dict[str, str] = body["error"]
    return error


@pytest.mark.parametrize("name", random_models.TASKS)
def test_example_is_predicted(client: TestClient, app: Starlette, name: str) -> None:
    """Each task's example is predicted, by the packaged version."""
    example = served(app, name).schema["example"]
    body = client.post(f"/v1/models/{name}:predict", json={"instances": [example, example]}).json()
    assert list(body) == ["predictions", "model", "version"]
    assert body["model"] == name
    assert body["version"] == served(app, name).schema["version"]
    assert body["predictions"] == served(app, name).predict([example, example])


def test_classification_returns_label_and_probabilities(client: TestClient) -> None:
    """The label is the most probable class, and the probabilities sum to 1."""
    (prediction,) = client.post(PREDICT, json={"instances": [IRIS]}).json()["predictions"]
    shares = prediction["probabilities"]
    assert prediction["label"] == max(shares, key=shares.__getitem__)
    assert sum(shares.values()) == pytest.approx(1)


def test_png_and_lists_are_the_same_image(client: TestClient, app: Starlette) -> None:
    """An image as PNG gets the same prediction as the image as a list of numbers."""
    pixels = served(app, "digits").schema["example"]
    file = io.BytesIO()
    Image.fromarray(np.array(pixels, dtype=np.uint8)).save(file, "PNG")
    png = {"b64": base64.b64encode(file.getvalue()).decode()}
    first, second = client.post("/v1/models/digits:predict", json={"instances": [pixels, png]}).json()["predictions"]
    assert first == second


def test_predictions_of_large_batches_are_in_order(client: TestClient) -> None:
    """A body that is too large for the event loop gets the same predictions as its halves."""
    rows = [{**IRIS, "petal_length": 1 + i / 250} for i in range(1000)]
    whole = client.post(PREDICT, json={"instances": rows}).json()["predictions"]
    parts = [client.post(PREDICT, json={"instances": rows[i : i + 10]}).json()["predictions"] for i in (0, 500, 990)]
    for start, part in zip((0, 500, 990), parts, strict=True):
        for one, other in zip(whole[start : start + 10], part, strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], rel=1e-5)


def test_models_are_listed(client: TestClient) -> None:
    """The list of models has all names, in KServe's format."""
    assert client.get("/v1/models").json() == {"models": sorted(random_models.TASKS)}


def test_model_status_follows_kserve_and_tensorflow_serving(client: TestClient, app: Starlette) -> None:
    """The status has KServe's `name` and `ready`, TensorFlow Serving's `model_version_status`, and the metrics."""
    body = client.get("/v1/models/iris").json()
    version = served(app, "iris").schema["version"]
    assert (body["name"], body["ready"], body["state"], body["version"]) == ("iris", True, "AVAILABLE", version)
    assert body["metrics"].keys() >= {"accuracy", "log_loss"}
    (status,) = body["model_version_status"]
    assert (status["version"], status["state"], status["status"]["error_code"]) == (version, "AVAILABLE", "OK")


def test_schema_describes_its_example(client: TestClient) -> None:
    """The schema has exactly the fields of the example."""
    body = client.get("/v1/models/iris/schema").json()
    assert body["instance"]["required"] == list(body["example"])
    assert body["limits"] == {"max_instances": 1000, "max_body_bytes": 4_000_000}


def test_content_type_is_ignored(client: TestClient) -> None:
    """The content type is ignored, as in TensorFlow Serving, so that `curl -d` works."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = client.post(PREDICT, content=json.dumps({"instances": [IRIS]}), headers=headers)
    assert response.status_code == 200


def test_default_signature_name_is_accepted(client: TestClient) -> None:
    """The default signature may be named; other names are refused."""
    assert client.post(PREDICT, json={"instances": [IRIS], "signature_name": "serving_default"}).status_code == 200
    response = client.post(PREDICT, json={"instances": [IRIS], "signature_name": "other"})
    assert response.status_code == 404
    assert refusal(response)["code"] == "unknown_signature"


BAD_BODIES = {
    "malformed": (b'{"instances": [', 400, "malformed_json", ""),
    "empty": (b"", 400, "malformed_json", ""),
    "latin-1": ('{"instances": ["é"]}'.encode("latin-1"), 400, "malformed_json", ""),
    "NaN": (b'{"instances": [{"sepal_length": NaN}]}', 400, "not_finite", ""),
    "Infinity": (b'{"instances": [-Infinity]}', 400, "not_finite", ""),
    "number too large for JSON": (b'{"instances": [1e999]}', 400, "malformed_json", ""),
    "nested too deeply": (b"[" * 100_000, 400, "malformed_json", ""),
    "no object": (b"[1]", 400, "wrong_type", ""),
    "no instances key": (b"{}", 400, "missing_field", "instances"),
    "unknown key": (b'{"instances": [], "features": []}', 400, "unknown_field", "features"),
    "instances no list": (b'{"instances": {}}', 400, "wrong_type", "instances"),
    "no instances": (b'{"instances": []}', 400, "no_instances", "instances"),
    "instance no object": (b'{"instances": [[1, 2]]}', 400, "wrong_type", "instances[0]"),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_invalid_body_is_refused(client: TestClient, case: str) -> None:
    """An invalid body is refused with a code and a field."""
    content, status, code, field = BAD_BODIES[case]
    response = client.post(PREDICT, content=content)
    assert response.status_code == status
    assert (refusal(response)["code"], refusal(response)["field"]) == (code, field)


BAD_VALUES = {
    "text": ("5.1", "wrong_type"),
    "null": (None, "wrong_type"),
    "boolean": (True, "wrong_type"),
    "list": ([5.1], "wrong_type"),
    "too low": (-1, "out_of_bounds"),
    "too high": (1e30, "out_of_bounds"),
    "larger than a float": (10**400, "not_finite"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_invalid_value_is_refused(client: TestClient, case: str) -> None:
    """An invalid number or one out of bounds is refused with its row and field."""
    value, code = BAD_VALUES[case]
    response = client.post(PREDICT, json={"instances": [IRIS, {**IRIS, "sepal_width": value}]})
    assert response.status_code == 400
    assert (refusal(response)["code"], refusal(response)["field"]) == (code, "instances[1].sepal_width")


def test_missing_and_unknown_fields_are_refused(client: TestClient) -> None:
    """The error names the field and lists the known ones."""
    short = {key: value for key, value in IRIS.items() if key != "petal_width"}
    for instance, code, field in ((short, "missing_field", "petal_width"), ({**IRIS, "x": 1}, "unknown_field", "x")):
        error = refusal(client.post(PREDICT, json={"instances": [instance]}))
        assert (error["code"], error["field"]) == (code, f"instances[0].{field}")
        assert "sepal_length, sepal_width, petal_length, petal_width" in error["message"]


def test_unseen_category_is_refused(client: TestClient, app: Starlette) -> None:
    """A category that is not in the list is refused with the list."""
    example = served(app, "diabetes").schema["example"]
    error = refusal(client.post("/v1/models/diabetes:predict", json={"instances": [{**example, "sex": 3}]}))
    assert (error["code"], error["field"]) == ("unseen", "instances[0].sex")
    assert "1, 2" in error["message"]


@pytest.mark.parametrize(
    ("name", "instance", "code"),
    [
        ("sine", [1.0] * 31, "wrong_shape"),
        ("sine", [1.0] * 31 + [99.0], "out_of_bounds"),
        ("digits", [[0] * 8] * 7, "wrong_shape"),
        ("digits", [[0] * 8] * 7 + [[True] * 8], "wrong_shape"),
        ("digits", [[0] * 8] * 7 + [[2**64 - 1] * 8], "out_of_bounds"),
        ("digits", [[0] * 8] * 7 + [[256] * 8], "out_of_bounds"),
        ("digits", {"b64": "no base 64"}, "bad_base64"),
        ("digits", {"b64": "AAAA"}, "bad_image"),
        ("digits", {"png": "AAAA"}, "wrong_type"),
    ],
)
def test_invalid_series_and_images_are_refused(client: TestClient, name: str, instance: object, code: str) -> None:
    """Wrong sizes, values and encodings are refused with the index of the instance."""
    error = refusal(client.post(f"/v1/models/{name}:predict", json={"instances": [instance]}))
    assert error["code"] == code
    assert error["field"].startswith("instances[0]")


def test_long_text_among_many_short_ones_needs_little_memory(client: TestClient) -> None:
    """A fixed-width array of texts would need 4 GB for this body of 140 kB."""
    body = {"instances": [["x" * 100_000] + [""] * 10_000]}
    tracemalloc.start()
    try:
        assert refusal(client.post("/v1/models/digits:predict", json=body))["code"] == "wrong_shape"
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_too_many_instances_are_refused(client: TestClient) -> None:
    """One instance more than the task's limit is refused."""
    response = client.post(PREDICT, json={"instances": [IRIS] * 1001})
    assert response.status_code == 413
    assert refusal(response)["code"] == "too_many"


def test_large_body_is_refused(client: TestClient) -> None:
    """A body larger than the limit is refused, with or without Content-Length."""
    for content in ((b" " * 100_000 for _ in range(41)), b" " * 4_000_001):
        response = client.post(PREDICT, content=content)
        assert response.status_code == 413
        assert refusal(response)["code"] == "body_too_large"


def test_large_body_is_not_read_to_the_end(app: Starlette) -> None:
    """An endless body is read up to the limit only."""
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 100_000
        return {"type": "http.request", "body": b" " * 100_000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": [], "query_string": b""}
    anyio.run(app, scope, receive, send)
    assert sent[0]["status"] == 413
    assert read <= 4_100_000


def test_disconnected_client_is_no_error(app: Starlette) -> None:
    """A connection that closes in the middle of a body raises nothing."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        assert message["type"].startswith("http.response")

    scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": [], "query_string": b""}
    anyio.run(app, scope, receive, send)


def test_compressed_body_is_refused(client: TestClient) -> None:
    """Compressed bodies are refused, since a small one could unpack to a large one."""
    response = client.post(PREDICT, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert response.status_code == 415
    assert refusal(response)["code"] == "unsupported_encoding"


@pytest.mark.parametrize("path", ["/v1/models/roses:predict", "/v1/models/roses", "/v1/models/roses/schema"])
def test_unknown_model_is_refused(client: TestClient, path: str) -> None:
    """An unknown model is a 404 that lists the known ones."""
    response = client.request("POST" if path.endswith("predict") else "GET", path)
    assert response.status_code == 404
    assert refusal(response)["message"] == "expected one of diabetes, digits, iris, sine; received 'roses'"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", PREDICT), ("DELETE", "/v1/models/iris"), ("POST", "/v1/models"), ("BREW", PREDICT)]
)
def test_wrong_method_is_refused(client: TestClient, method: str, path: str) -> None:
    """A wrong method is a 405 with the allowed ones."""
    response = client.request(method, path)
    assert response.status_code == 405
    assert refusal(response)["code"] == "wrong_method"
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/", "/v1/models/iris/versions", "/v1/models/iris:classify"])
def test_unknown_path_is_refused(client: TestClient, path: str) -> None:
    """Any other path below /v1 is a 404 in the same format."""
    response = client.get(path)
    assert response.status_code == 404
    refusal(response)


def test_error_quotes_only_the_beginning_of_a_value(client: TestClient) -> None:
    """An error message is short even if it quotes a long value."""
    response = client.post(PREDICT, json={"instances": [{**IRIS, "sepal_width": "x" * 100_000}]})
    assert len(refusal(response)["message"]) <= 300
    response = client.post(PREDICT, json={"instances": [{**IRIS, "x" * 100_000: 1}]})
    assert len(refusal(response)["field"]) <= 300


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**500)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))
NEARLY_VALID = st.fixed_dictionaries(dict.fromkeys(IRIS, SCALARS | JSON))
MODELS = st.sampled_from(random_models.TASKS)


def assert_valid_response(client: TestClient, name: str, content: bytes) -> None:
    """Assert that the response to a body is a prediction or an error in the service's format."""
    response = client.post(f"/v1/models/{name}:predict", content=content)
    if response.status_code != 200:
        refusal(response)


@settings(max_examples=300, deadline=None)
@given(name=MODELS, content=st.binary(max_size=200))
def test_any_bytes_get_a_valid_response(client: TestClient, name: str, content: bytes) -> None:
    """No bytes cause a failure."""
    assert_valid_response(client, name, content)


@settings(max_examples=300, deadline=None)
@given(name=MODELS, instances=JSON | st.lists(JSON | NEARLY_VALID, max_size=3))
def test_any_json_gets_a_valid_response(client: TestClient, name: str, instances: object) -> None:
    """No JSON as instances causes a failure."""
    assert_valid_response(client, name, json.dumps({"instances": instances}).encode())


@settings(max_examples=200, deadline=None)
@given(
    name=MODELS,
    replacement=st.sampled_from([b"NaN", b"1e999", b'"\\ud800"', b"[]", b"{}", b"9" * 5000, b"-0", b"1e-400", b"0x1"]),
    offset=st.integers(0, 400),
)
def test_damaged_examples_get_a_valid_response(
    app: Starlette, client: TestClient, name: str, replacement: bytes, offset: int
) -> None:
    """A valid body with some bytes overwritten gets a prediction or an error."""
    body = json.dumps({"instances": [served(app, name).schema["example"]]}).encode()
    offset %= len(body)
    assert_valid_response(client, name, body[:offset] + replacement + body[offset + 1 :])
    assert_valid_response(client, name, body[:offset] + replacement + body[offset:])


def test_inputs_by_column_give_outputs_by_column(client: TestClient, app: Starlette) -> None:
    """`inputs` are columns by name, or the values of the only one; `outputs` have the same form."""
    model = served(app, "iris")
    rows = [{**IRIS, "petal_length": 1.4 + row} for row in range(3)]
    body = client.post(PREDICT, json={"inputs": {name: [row[name] for row in rows] for name in IRIS}}).json()
    expected = model.predict(rows)
    assert body["outputs"]["label"] == [one["label"] for one in expected]
    assert body["outputs"]["probabilities"] == [one["probabilities"] for one in expected]
    assert body["version"] == model.version
    window = served(app, "sine").schema["example"]
    for one in ([window], {"value": [window]}):
        response = client.post("/v1/models/sine:predict", json={"inputs": one})
        assert response.json()["outputs"] == served(app, "sine").predict([window])
    invalid: list[tuple[Any, str]] = [
        ({"sepal_length": 1}, "wrong_type"),
        ({"sepal_length": [1], "sepal_width": [1, 2]}, "wrong_shape"),
        ({"sepal_length": [1]}, "missing_field"),
        ({}, "no_instances"),
        (3, "wrong_type"),
    ]
    for inputs, code in invalid:
        assert refusal(client.post(PREDICT, json={"inputs": inputs}))["code"] == code
    both = client.post(PREDICT, json={"inputs": [], "instances": []})
    assert refusal(both)["code"] == "missing_field"


def test_champion_label_is_available(client: TestClient, app: Starlette) -> None:
    """The champion is available by its label; without an earlier version there is no `previous`."""
    body = {"instances": [IRIS]}
    response = client.post("/v1/models/iris/labels/champion:predict", json=body).json()
    assert response["version"] == served(app, "iris").version
    assert refusal(client.get("/v1/models/iris/labels/previous"))["code"] == "unknown_label"


def test_metadata_follow_tensorflow_serving(client: TestClient, app: Starlette) -> None:
    """The metadata have one signature with the type and shape of each tensor."""
    body = client.get("/v1/models/digits/metadata").json()
    assert body["model_spec"] == {"name": "digits", "signature_name": "", "version": served(app, "digits").version}
    signature = body["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["image"]["dtype"] == "DT_DOUBLE"
    assert [dim["size"] for dim in signature["inputs"]["image"]["tensor_shape"]["dim"]] == ["-1", "8", "8"]
    assert signature["outputs"]["label"]["dtype"] == "DT_STRING"
