"""Open Inference Protocol (V2): Triton's client, tensors as JSON and binary data, hostile bodies."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import random_models
import tritonclient.http as triton
from asgi_server import serve_app
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import DTYPES, from_predictions, to_columns
from tiltyard.serving.requests import predict_request, v2_codec
from tiltyard.serving.requests.message import RequestMessage

LENGTH = "Inference-Header-Content-Length"
IRIS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
INFER = "/v2/models/iris/infer"


@pytest.fixture(scope="module")
def address(app: Starlette) -> Iterator[str]:
    """Return the address of the app."""
    with serve_app(app) as address:
        yield address


@pytest.fixture
def triton_client(address: str) -> Iterator[triton.InferenceServerClient]:
    """Return a client of Triton."""
    with triton.InferenceServerClient(address) as client:
        yield client


def served(app: Starlette, name: str) -> LoadedModel:
    """Return the model of a task."""
    model: LoadedModel = app.state.models[name]
    return model


def columns(model: LoadedModel, rows: int) -> list[tuple[str, np.ndarray[Any, Any]]]:
    """Return the example repeated, by column."""
    example = model.schema["example"]
    encoder = model.predictor.encoder
    parts = {next(iter(encoder.columns)): example} if encoder.bare else example
    return [(name, np.array([parts[name]] * rows)) for name in encoder.columns]


def number_tensor(name: str, value: float, **more: Any) -> dict[str, Any]:
    """Return a tensor with one number."""
    return {"name": name, "shape": [1], "datatype": "FP64", "data": [value], **more}


def test_triton_client_gets_server_and_model_metadata(
    triton_client: triton.InferenceServerClient, app: Starlette
) -> None:
    """Triton's client gets health, extensions, versions, tensors and shapes."""
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    for name in random_models.TASKS:
        assert triton_client.is_model_ready(name)
        assert triton_client.get_model_metadata(name)["versions"] == [served(app, name).version]
        assert triton_client.is_model_ready(name, served(app, name).version)
    assert not triton_client.is_model_ready("rose")
    assert not triton_client.is_model_ready("iris", "0")
    assert triton_client.get_model_metadata("digits")["inputs"] == [
        {"name": "image", "datatype": "FP64", "shape": [-1, 8, 8]}
    ]
    assert triton_client.get_model_metadata("iris")["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
    ]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("name", random_models.TASKS)
def test_triton_client_gets_the_same_predictions_as_v1(
    triton_client: triton.InferenceServerClient, app: Starlette, name: str, binary: bool
) -> None:
    """Arrays as binary data or JSON get the same predictions as V1."""
    model, rows = served(app, name), 3
    inputs = []
    for column, values in columns(model, rows):
        datatype = "INT64" if values.dtype.kind == "i" else "FP64"
        inputs.append(triton.InferInput(column, list(values.shape), datatype))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    expected = from_predictions(model.outputs, model.predict([model.schema["example"]] * rows))
    outputs = [triton.InferRequestedOutput(output, binary_data=binary) for output in expected]
    response = triton_client.infer(name, inputs, model.version, outputs, request_id="seven")
    assert response.get_response()["model_version"] == model.version
    assert response.get_response()["id"] == "seven"
    for output, values in expected.items():
        received = response.as_numpy(output)
        if values.dtype.kind == "O":
            assert [text.decode() if isinstance(text, bytes) else text for text in received] == values.tolist()
        else:
            assert np.array_equal(received, values)


def test_triton_client_gets_error_details(triton_client: triton.InferenceServerClient) -> None:
    """Triton's client gets the code, field, expected and received values of an error."""
    invalid = triton.InferInput("sepal_length", [1, 2], "FP32")
    invalid.set_data_from_numpy(np.zeros((1, 2), np.float32))
    with pytest.raises(Exception, match=r"wrong_shape: inputs.sepal_length: expected the shape \[-1\]; received"):
        triton_client.infer("iris", [invalid])
    with pytest.raises(Exception, match=r"unknown_model: model: expected one of .*; received 'rose'"):
        triton_client.get_model_metadata("rose")


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64", "INT8", "UINT8", "INT16", "UINT32", "INT64"])
def test_every_numeric_datatype_is_accepted(client: TestClient, datatype: str) -> None:
    """Every numeric datatype is accepted, as JSON and binary, with or without a last dimension of 1."""
    values = dict(zip(IRIS, [6, 3, 4, 2], strict=True))
    plain = [{"name": name, "shape": [1, 1], "datatype": datatype, "data": [[value]]} for name, value in values.items()]
    responses = [client.post(INFER, json={"inputs": plain}).json()]
    raw = [np.array([value], DTYPES[datatype]).tobytes() for value in values.values()]
    tensor_headers = [
        {"name": name, "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": len(part)}}
        for name, part in zip(IRIS, raw, strict=True)
    ]
    head = json.dumps({"inputs": tensor_headers}).encode()
    response = client.post(INFER, content=head + b"".join(raw), headers={LENGTH: str(len(head))})
    assert [*responses, response.json()] == [responses[0]] * 2
    assert responses[0]["outputs"][0]["data"]


def test_texts_are_accepted_as_json_and_binary() -> None:
    """Texts are accepted as JSON, and as binary data after their length."""
    texts = ["a", "", "zwölf"]
    raw = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)
    tensor_header = {"name": "text", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor_header]}).encode()
    _, arrays = v2_codec.parse(head + raw, str(len(head)))
    assert arrays["text"].tolist() == texts
    request, from_json = v2_codec.parse(
        json.dumps({"inputs": [{"name": "text", "shape": [3], "datatype": "BYTES", "data": texts}]}).encode(), None
    )
    assert from_json["text"].tolist() == texts
    request.parameters = {"binary_data_output": True}
    body, length = v2_codec.write(request, ("a", "1"), {"text": arrays["text"]})
    assert length is not None
    assert body[length:] == raw
    assert json.loads(body[:length])["outputs"][0]["parameters"] == {"binary_data_size": len(raw)}


GOOD = [number_tensor(name, 3.0) for name in IRIS]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": 3}, "malformed_json: expected a request of the Open Inference Protocol"),
        ({"inputs": GOOD[:3]}, "missing_field: inputs.petal_width"),
        ({"inputs": [*GOOD, number_tensor("rose", 1)]}, "unknown_field: inputs.rose"),
        ({"inputs": [*GOOD, GOOD[0]]}, "wrong_type: inputs.sepal_length: expected each input once"),
        ({"inputs": [{**GOOD[0], "datatype": "FP8"}, *GOOD[1:]]}, "wrong_type: inputs.sepal_length: expected one of"),
        ({"inputs": [{**GOOD[0], "shape": [2]}, *GOOD[1:]]}, "expected [2] values; received 1"),
        ({"inputs": [{**GOOD[0], "shape": [-1]}, *GOOD[1:]]}, "expected [-1] values; received 1"),
        ({"inputs": [{**GOOD[0], "shape": [1] * 99}, *GOOD[1:]]}, "wrong_shape: inputs.sepal_length"),
        ({"inputs": [{**GOOD[0], "shape": [], "data": []}, *GOOD[1:]]}, "wrong_shape: inputs.sepal_length"),
        ({"inputs": [{**GOOD[0], "shape": [0, 2**62, 2**62], "data": []}, *GOOD[1:]]}, "wrong_shape: inputs.sepal"),
        ({"inputs": [{**GOOD[0], "shape": [0, 2**64], "data": []}, *GOOD[1:]]}, "wrong_shape: inputs.sepal_length"),
        (
            {"inputs": [{**GOOD[0], "shape": [2], "data": [1, 2]}, *GOOD[1:]]},
            "expected the same number of rows in each input",
        ),
        ({"inputs": [{**GOOD[0], "data": [[1], 2]}, *GOOD[1:]]}, "expected lists of equal depth"),
        (
            {"inputs": [{**GOOD[0], "data": [[3.0]]}, *GOOD[1:]]},
            "expected lists of equal depth, no deeper than the shape",
        ),
        ({"inputs": [{**GOOD[0], "data": [[]] * 600}, *GOOD[1:]]}, "no deeper than the shape"),
        ({"inputs": [{**GOOD[0], "shape": [1, 1], "data": [[[3.0]]]}, *GOOD[1:]]}, "no deeper than the shape"),
        # Unknown inputs are refused by name and shape before datatypes and data are checked.
        (
            {"inputs": [{**GOOD[0], "datatype": "FP8"}, number_tensor("rose", 1)]},
            "unknown_field: inputs.rose: expected sepal",
        ),
        (
            {"inputs": [{**GOOD[0], "datatype": "FP8"}, GOOD[1], GOOD[1]]},
            "inputs.sepal_width: expected each input once",
        ),
        (
            {"inputs": [{**GOOD[0], "datatype": "FP8"}, {**GOOD[1], "shape": [1, 2]}]},
            "inputs.sepal_width: expected the sh",
        ),
        ({"inputs": [{**GOOD[0], "data": ["x"]}, *GOOD[1:]]}, "expected values of FP64"),
        ({"inputs": [{**GOOD[0], "data": [True]}, *GOOD[1:]]}, "expected values of FP64"),
        ({"inputs": [{**GOOD[0], "datatype": "INT8", "data": [999]}, *GOOD[1:]]}, "out_of_bounds"),
        ({"inputs": [{**GOOD[0], "datatype": "INT8", "data": [2.5]}, *GOOD[1:]]}, "expected values of INT8"),
        ({"inputs": [{**GOOD[0], "datatype": "FP16", "data": [1e9]}, *GOOD[1:]]}, "not_finite"),
        ({"inputs": [{**GOOD[0], "data": None}, *GOOD[1:]]}, "expected data, or binary_data"),
        (
            {"inputs": [number_tensor("sepal_length", 3, parameters={"binary_data_size": 8})]},
            "expected data, or binary_data",
        ),
        ({"inputs": GOOD, "outputs": [{"name": "colour"}]}, "unknown_field: outputs.colour: expected label, prob"),
        ({"inputs": [{**tensor, "shape": [0], "data": []} for tensor in GOOD]}, "no_instances"),
    ],
)
def test_invalid_request_is_refused(client: TestClient, body: dict[str, Any], message: str) -> None:
    """Invalid requests get a 400 with one text, as the protocol defines it."""
    response = client.post(INFER, json=body)
    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]


def test_large_bodies_are_handled_by_a_compute_process() -> None:
    """V2 bodies of 2 kB or more are handled by a compute process."""
    assert predict_request.is_small(RequestMessage("v2", bytes(2047)))
    assert not predict_request.is_small(RequestMessage("v2", bytes(2048)))
    assert predict_request.is_small(RequestMessage("v1", bytes(2048)))


@pytest.mark.parametrize(("length", "size"), [("x", 8), ("-1", 8), ("9" * 30, 8), (None, -8), (None, 99), (None, 7)])
def test_wrong_binary_lengths_are_refused(client: TestClient, length: str | None, size: int) -> None:
    """Invalid lengths, incomplete values and unclaimed bytes are refused."""
    tensor_header = {
        "name": "sepal_length",
        "shape": [1],
        "datatype": "FP64",
        "parameters": {"binary_data_size": size},
    }
    head = json.dumps({"inputs": [tensor_header, *GOOD[1:]]}).encode()
    response = client.post(INFER, content=head + bytes(8), headers={LENGTH: length or str(len(head))})
    assert response.status_code == 400
    with_extra_bytes = client.post(
        INFER, content=json.dumps({"inputs": GOOD}).encode() + bytes(8), headers={LENGTH: "1"}
    )
    assert with_extra_bytes.status_code == 400


def test_nan_is_a_missing_value(app: Starlette) -> None:
    """NaN is a missing value, which a column accepts or refuses as over V1."""
    model_inputs = served(app, "iris").inputs
    arrays = {tensor.name: np.array([1.0, np.nan]) for tensor in model_inputs}
    assert to_columns(model_inputs, arrays) == {name: [1.0, None] for name in IRIS}


def test_unknown_paths_methods_and_versions_are_refused(client: TestClient, app: Starlette) -> None:
    """Unknown paths are 404 and wrong methods 405; loaded versions have all routes."""
    for method, path, status in (
        ("GET", "/v2/rose", 404),
        ("GET", "/v2/models/iris/versions/0", 404),
        ("POST", "/v2/models/iris/versions/0/infer", 404),
        ("GET", INFER, 405),
        ("POST", "/v2", 405),
    ):
        response = client.request(method, path)
        assert response.status_code == status
        assert isinstance(response.json()["error"], str)
    model = served(app, "iris")
    body = {"instances": [model.schema["example"]]}
    by_version = client.post(f"/v1/models/iris/versions/{model.version}:predict", json=body)
    assert by_version.json() == client.post("/v1/models/iris:predict", json=body).json()
    assert client.get(f"/v1/models/iris/versions/{model.version}").json()["version"] == model.version
    refused = client.post("/v1/models/iris/versions/0:predict", json=body)
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "unknown_version"


PIECE = st.sampled_from([b"{", b"}", b"[", b"]", b":", b",", b"1", b'"inputs"', b'"shape"', b"null", b"\xff"])


@given(body=st.one_of(st.binary(max_size=200), st.lists(PIECE, max_size=20).map(b"".join)), length=st.integers(-1, 300))
@settings(max_examples=150, deadline=None)
@pytest.mark.usefixtures("client")
def test_any_bytes_get_a_valid_response(client: TestClient, body: bytes, length: int) -> None:
    """No bytes cause a failure."""
    response = client.post(INFER, content=body, headers={LENGTH: str(length)})
    assert response.status_code in (400, 413)


@given(parts=st.lists(st.tuples(st.sampled_from([*DTYPES, "BYTES", "?"]), st.integers(0, 40)), max_size=5))
@settings(max_examples=150, deadline=None)
def test_any_tensors_get_a_valid_response(client: TestClient, parts: list[tuple[str, int]]) -> None:
    """No types and shapes of tensors cause a failure."""
    tensor_headers = [
        {"name": name, "shape": [1], "datatype": datatype, "parameters": {"binary_data_size": size}}
        for name, (datatype, size) in zip(IRIS, parts, strict=False)
    ]
    head = json.dumps({"inputs": tensor_headers}).encode()
    content = head + bytes(sum(size for _, size in parts[:4]))
    assert client.post(INFER, content=content, headers={LENGTH: str(len(head))}).status_code in (200, 400)
