"""Tensor path: it returns the same responses as the general path, or None."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.errors import RequestError
from tiltyard.modeling.problems.base import Problem
from tiltyard.serving.compute.pool import ComputePool
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import DTYPES, Tensor, from_outputs, from_predictions
from tiltyard.serving.requests import predict_request, tensor_path
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage

NUMERIC = ("iris", "digits", "sine")
VALUES = [0, 1, 2, 15, 16, 255, 256, -1, 0.5, 1e-300, 1e300, float("nan"), float("inf"), 2**63]


def message(arrays: dict[str, Array], datatype: str, *, binary: bool = True, **more: Any) -> RequestMessage:
    """Return a request with an array for each input."""
    inputs, data = [], b""
    for name, array in arrays.items():
        with np.errstate(all="ignore"):
            values = array.astype(DTYPES[datatype])
        content = {"parameters": {"binary_data_size": values.nbytes}} if binary else {"data": values.ravel().tolist()}
        inputs.append({"name": name, "shape": [*values.shape], "datatype": datatype, **content})
        data += values.tobytes() if binary else b""
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": binary}, **more}).encode()
    return RequestMessage("v2", head + data, "", str(len(head)) if binary else None)


def example(model: LoadedModel, rows: int) -> dict[str, Array]:
    """Return the example repeated, by column."""
    encoder, given = model.predictor.encoder, model.schema["example"]
    parts = {next(iter(encoder.columns)): given} if encoder.bare else given
    return {tensor.name: np.array([parts[tensor.name]] * rows, np.float64) for tensor in model.inputs}


def general_response(model: LoadedModel, request: RequestMessage) -> tuple[bytes, int, int | None] | None:
    """Return the response of the general path; None if it is an error."""
    try:
        return _comparable(predict_request.respond(model, predict_request.parse(model, request), record=False))
    except RequestError:
        return None


def _comparable(done: ResponseMessage) -> tuple[bytes, int, int | None]:
    return done.content, done.count, done.json_length


def assert_same_response(model: LoadedModel, request: RequestMessage) -> bool:
    """Assert that the response, if any, is equal to the byte; return whether there was one."""
    found = tensor_path.respond(model, request, tensor_path.ANY)
    assert found is None or _comparable(found) == general_response(model, request)
    return found is not None


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("rows", [1, 32])
def test_numeric_tensors_are_answered(app: Starlette, name: str, rows: int, datatype: str, binary: bool) -> None:
    """Tables of numbers, pictures and series get the response of the general path, with and without an id."""
    model: LoadedModel = app.state.models[name]
    arrays = example(model, rows)
    assert assert_same_response(model, message(arrays, datatype, binary=binary))
    assert assert_same_response(model, message(arrays, datatype, binary=binary, id="seven"))


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(NUMERIC),
    datatype=st.sampled_from([*DTYPES]),
    rows=st.integers(0, 4),
    values=st.lists(st.tuples(st.integers(0, 300), st.sampled_from(VALUES) | st.floats()), max_size=3),
    binary=st.booleans(),
)
def test_any_values_get_the_response_of_the_general_path(
    app: Starlette, *, name: str, datatype: str, rows: int, values: list[tuple[int, float]], binary: bool
) -> None:
    """Any values of any datatype get the response of the general path, or are left to it."""
    model: LoadedModel = app.state.models[name]
    arrays = example(model, rows)
    first = next(iter(arrays.values())).reshape(-1)
    for place, value in values:
        if len(first):
            first[place % len(first)] = value
    assert_same_response(model, message(arrays, datatype, binary=binary))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(NUMERIC),
    replaced=st.sampled_from([b"", b"0", b"-1", b"[", b"]", b'"BYTES"', b"null", b"1e999", b"9" * 30, b'"x"']),
    offset=st.integers(0, 400),
    removed=st.integers(0, 6),
    binary=st.booleans(),
)
def test_damaged_requests_get_the_response_of_the_general_path(
    app: Starlette, *, name: str, replaced: bytes, offset: int, removed: int, binary: bool
) -> None:
    """For a valid body with a part replaced, both paths return the same response."""
    model: LoadedModel = app.state.models[name]
    good = message(example(model, 2), "FP32", binary=binary)
    offset %= len(good.body)
    body = good.body[:offset] + replaced + good.body[offset + removed :]
    assert_same_response(model, RequestMessage("v2", body, "", good.json_length))


def test_other_requests_are_left_to_the_general_path(app: Starlette) -> None:
    """V1, texts, a model with categories, missing inputs and too many rows are left to the general path."""
    iris, diabetes = app.state.models["iris"], app.state.models["diabetes"]
    good = message(example(iris, 1), "FP64")
    assert tensor_path.respond(iris, RequestMessage("v1", good.body), tensor_path.ANY) is None
    assert not assert_same_response(diabetes, message(example(diabetes, 1), "FP64"))
    assert not assert_same_response(iris, message({}, "FP64"))
    assert not assert_same_response(iris, message({"sepal_width": np.ones(1)}, "FP64"))
    assert not assert_same_response(iris, message(example(iris, 1001), "FP64"))
    texts = {"name": "sepal_width", "shape": [1], "datatype": "BYTES", "data": ["1"]}
    assert not assert_same_response(iris, RequestMessage("v2", json.dumps({"inputs": [texts]}).encode()))


@pytest.mark.parametrize(
    "bounds", [tensor_path.Bounds(json_bytes=300), tensor_path.Bounds(binary_bytes=300), tensor_path.Bounds(seconds=0)]
)
def test_large_requests_are_left_to_the_general_path(app: Starlette, bounds: tensor_path.Bounds) -> None:
    """Requests beyond the bounds of the event loop are left to the general path, before their arrays are read."""
    model = app.state.models["iris"]
    request = message(example(model, 1), "FP64")
    assert tensor_path.respond(model, request, tensor_path.INLINE)
    assert tensor_path.respond(model, request, bounds) is None


def test_compute_process_answers_by_the_tensor_path(app: Starlette) -> None:
    """A compute process returns the same response to a request that is too large for the event loop."""
    model: LoadedModel = app.state.models["digits"]
    request = message(example(model, 900), "FP64")
    assert tensor_path.respond(model, request, tensor_path.INLINE) is None
    pool = ComputePool(30.0)
    done = pool.submit(model, request).result(60)
    pool.close()
    assert _comparable(done)[1] == 900
    content = json.loads(done.content[: done.json_length])
    assert [(one["name"], one["shape"]) for one in content["outputs"]] == [
        ("label", [900]),
        ("probabilities", [900, 10]),
    ]


OUTPUTS = {
    "regression": ((5, 1), [Tensor("prediction", "FP64", ())]),
    "classification": ((5, 3), [Tensor("label", "BYTES", ()), Tensor("probabilities", "FP64", (3,))]),
    "sigmoid": ((5, 1), [Tensor("label", "BYTES", ()), Tensor("probabilities", "FP64", (2,))]),
    "multilabel": ((5, 3), [Tensor("labels", "BOOL", (3,)), Tensor("probabilities", "FP64", (3,))]),
    "forecasting": ((5, 1), [Tensor("prediction", "FP64", ())]),
    "steps": ((5, 4), [Tensor("prediction", "FP64", (4,))]),
    "intervals": ((5, 3, 4), [Tensor(name, "FP64", (4,)) for name in ("forecast", "low", "high")]),
}
PROBLEMS = {"sigmoid": "classification", "steps": "forecasting", "intervals": "forecasting"}


@pytest.mark.parametrize("name", OUTPUTS)
def test_arrays_of_outputs_equal_those_of_predictions(name: str) -> None:
    """Each problem's arrays are those of its predictions, with the same types and shapes."""
    shape, tensors = OUTPUTS[name]
    problem: Problem = plugins.load("problems", PROBLEMS.get(name, name))()
    classes = ["a", "b"] if name == "sigmoid" else ["a", "b", "c"]
    values = np.random.default_rng(0).random(shape, np.float32)
    encoder: Any = SimpleNamespace(problem=problem, classes=classes)
    found = from_outputs(encoder, tensors, values)
    expected = from_predictions(tensors, problem.decode(values, classes))
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        assert (found[key].dtype, found[key].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[key], array)
