"""Tensors: names, datatypes and shapes of a model's inputs and outputs, and conversion from and to arrays."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import RequestError
from tiltyard.files import Json
from tiltyard.modeling.inference.encoder import Encoder

DTYPES = {  # numpy dtypes by datatype of the Open Inference Protocol, little-endian
    "BOOL": "?",
    **{f"{kind}{bits}": f"<{kind[0].lower()}{bits // 8}" for kind in ("UINT", "INT") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}
DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
RECONSTRUCTION = "reconstruction"  # the property of a prediction that is a row again
PYTHON_DATATYPES = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


@dataclass(frozen=True)
class Tensor:
    """Name, datatype and shape of an array, without the first dimension, which counts rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def metadata(self) -> Json:
        """The metadata of the Open Inference Protocol; -1 stands for any number of rows."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1, *self.shape]}


def input_tensors(encoder: Encoder) -> list[Tensor]:
    """Return the input tensors of a model, one for each column."""
    return [Tensor(name, *_datatype_and_shape(column.json_schema())) for name, column in encoder.columns.items()]


def output_tensors(schema: Json) -> list[Tensor]:
    """Return the output tensors of a model: one, or one for each property of a prediction."""
    prediction = schema["prediction"]
    parts = prediction.get("properties", {"prediction": prediction})
    return [tensor for name, part in parts.items() for tensor in _output_tensors(name, part)]


def _output_tensors(name: str, schema: Json) -> list[Tensor]:
    """Return the tensor of a property; of a reconstructed row of a table, one for each column."""
    if name != RECONSTRUCTION or schema["type"] != "object":
        return [Tensor(name, *_datatype_and_shape(schema))]
    columns = schema["properties"].items()
    return [Tensor(f"{name}.{column}", *_datatype_and_shape(part)) for column, part in columns]


def _datatype_and_shape(schema: Json) -> tuple[str, tuple[int, ...]]:
    """Return the datatype and shape of a value by its JSON Schema; of alternatives the first."""
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return _datatype_and_shape(schema[key][0])
    if "enum" in schema:
        return PYTHON_DATATYPES[type(next(value for value in schema["enum"] if value is not None))], ()
    if schema["type"] == "array":
        return _of_list(schema)
    if schema["type"] == "object":  # numbers by name
        return "FP64", (len(schema["properties"]),)
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return DATATYPES[next(type_name for type_name in types if type_name != "null")], ()


def _of_list(schema: Json) -> tuple[str, tuple[int, ...]]:
    """Return the datatype and shape of a list."""
    if "enum" in schema["items"]:  # a flag for each label, since lists differ in length
        return "BOOL", (len(schema["items"]["enum"]),)
    if schema["items"].get("type") == "object":  # a list of objects, as JSON
        return "BYTES", ()
    datatype, shape = _datatype_and_shape(schema["items"])
    return datatype, (schema["minItems"], *shape)


def check_inputs(expected: Sequence[Tensor], received: Sequence[tuple[str, Sequence[int]]]) -> None:
    """Check the names and shapes of a request's tensors before arrays are created; raise RequestError."""
    remaining = {tensor.name: tensor for tensor in expected}
    for name, shape in received:
        if name in remaining:
            _check_shape(remaining.pop(name), shape)
        elif any(tensor.name == name for tensor in expected):
            raise RequestError("wrong_type", "expected each input once", f"inputs.{name}")
        else:
            raise RequestError(
                "unknown_field", f"expected {', '.join(tensor.name for tensor in expected)}", f"inputs.{name}"
            )


def _check_shape(tensor: Tensor, shape: Sequence[int]) -> None:
    """Raise RequestError if a shape differs from the tensor's; dimensions of size 1 are ignored."""
    if not shape or not _same_shape(shape[1:], tensor.shape):
        text = f"expected the shape {[-1, *tensor.shape]}; received {[*shape]}"
        raise RequestError("wrong_shape", text, f"inputs.{tensor.name}")


def to_columns(expected: Sequence[Tensor], arrays: dict[str, Array]) -> dict[str, list[Any]]:
    """Return arrays as lists of values by column, as in a JSON request."""
    names = [tensor.name for tensor in expected]
    if unknown := arrays.keys() - {*names}:
        raise RequestError("unknown_field", f"expected {', '.join(names)}", f"inputs.{min(unknown)}")
    columns = {}
    for tensor in expected:
        if tensor.name not in arrays:
            raise RequestError("missing_field", f"expected {', '.join(names)}", f"inputs.{tensor.name}")
        columns[tensor.name] = _values(tensor, arrays[tensor.name])
    if len({len(values) for values in columns.values()}) > 1:
        counts = ", ".join(f"{len(values)} of {name}" for name, values in columns.items())
        raise RequestError(
            "wrong_shape", f"expected the same number of rows in each input; received {counts}", "inputs"
        )
    return columns


def _values(tensor: Tensor, array: Array) -> list[Any]:
    """Return the rows of one array."""
    _check_shape(tensor, array.shape)
    if array.dtype.kind == "f" and not tensor.shape and np.isnan(array).any():  # NaN in an array is a missing value
        return [None if value != value else value for value in array.reshape(-1).tolist()]  # noqa: PLR0124 - NaN
    values: list[Any] = array.reshape(len(array), *tensor.shape).tolist()
    return values


def _same_shape(received: Sequence[int], expected: Sequence[int]) -> bool:
    return [size for size in received if size != 1] == [size for size in expected if size != 1]


def from_outputs(encoder: Encoder, outputs: Sequence[Tensor], values: Array) -> dict[str, Array]:
    """Return a model's outputs as arrays by output tensor, as `from_predictions` returns them for predictions."""
    arrays = encoder.problem.decode_arrays(values, encoder.classes)
    if arrays is None:
        return from_predictions(outputs, encoder.decode(values))
    pairs = zip(outputs, arrays, strict=True)
    return {tensor.name: array.reshape(len(array), *tensor.shape) for tensor, array in pairs}


def from_predictions(outputs: Sequence[Tensor], predictions: list[Any]) -> dict[str, Array]:
    """Return predictions as arrays by output tensor."""
    arrays = {}
    for tensor in outputs:
        values = [_tensor_value(tensor.name, prediction) for prediction in predictions]
        dtype = "O" if tensor.datatype == "BYTES" else DTYPES[tensor.datatype]
        arrays[tensor.name] = np.array(values, dtype=dtype).reshape(len(values), *tensor.shape)
    return arrays


def _tensor_value(name: str, prediction: Any) -> Any:
    """Return a property of a prediction, or the prediction itself: probabilities as a list, labels as flags."""
    if isinstance(prediction, dict) and name not in prediction:  # a column of a reconstructed row
        value = prediction[RECONSTRUCTION][name.removeprefix(f"{RECONSTRUCTION}.")]
        return "" if value is None else value
    part = prediction[name] if isinstance(prediction, dict) else prediction
    if name == "labels" and isinstance(part, list):
        return [label in part for label in prediction["probabilities"]]
    if name == "objects":
        return json.dumps(part)
    return [*part.values()] if isinstance(part, dict) else part
