"""JSON bodies of :predict requests: decoding and validation."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from tiltyard.errors import RequestError, format_value

NON_FINITE = re.compile(rb"[\[:,\s]-?(NaN|Infinity)\b")
EXPLAIN = "explain"
EXPECTED = 'expected {"instances": [...]}'

decoder = msgspec.json.Decoder()


def decode(body: bytes) -> object:
    """Decode JSON whatever the content type, like TensorFlow Serving, so that plain `curl -d` works."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise RequestError("malformed_json", "nested too deeply") from None
    except ValueError as error:  # includes msgspec's error and invalid UTF-8
        if NON_FINITE.search(body):
            raise RequestError("not_finite", "expected finite numbers: JSON has no NaN and no Infinity") from None
        raise RequestError("malformed_json", f"expected JSON: {error}") from None


class PredictRequest(NamedTuple):
    """The instances of a request and the options of its response."""

    instances: object
    columns: bool = False  # sent by column as `inputs`; predictions are returned by column, too
    explain: bool = False


def parse_json(body: bytes, single_column: str = "") -> PredictRequest:
    """Parse a request. `single_column` is the only column of a model whose instances are bare values.

    `instances`, `inputs` and `signature_name` are keys of TensorFlow Serving; `explain` is an extension.
    """
    content = decode(body)
    if not isinstance(content, dict):
        raise RequestError("wrong_type", EXPECTED)
    for key in content:
        if key not in {"instances", "inputs", "signature_name", EXPLAIN}:
            raise RequestError("unknown_field", EXPECTED, key)
    if content.get("signature_name", "serving_default") != "serving_default":
        raise RequestError("unknown_signature", "expected serving_default, the only one", "signature_name", 404)
    if not isinstance(explain := content.get(EXPLAIN, False), bool):
        raise RequestError("wrong_type", f"expected true or false; received {format_value(explain)}", EXPLAIN)
    if ("instances" in content) == ("inputs" in content):
        raise RequestError("missing_field", EXPECTED, "instances")
    if "instances" in content:
        return PredictRequest(content["instances"], explain=explain)
    return PredictRequest(_rows(content["inputs"], single_column), columns=True, explain=explain)


def _rows(inputs: object, single_column: str) -> object:
    """Convert columns by name to rows; the values of a single column are the rows themselves."""
    if not isinstance(inputs, dict):
        return inputs
    if inputs.keys() == {single_column}:
        return inputs[single_column]
    if not all(isinstance(column, list) for column in inputs.values()):
        raise RequestError("wrong_type", "expected a list for each name", "inputs")
    if len({len(column) for column in inputs.values()}) > 1:
        raise RequestError("wrong_shape", "expected lists of equal length", "inputs")
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
