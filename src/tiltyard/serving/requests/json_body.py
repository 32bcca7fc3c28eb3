"""The JSON of a :predict request: decoded, and refused in our words if it is none."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from tiltyard.errors import RequestError, shown

NON_FINITE = re.compile(rb"[\[:,\s]-?(NaN|Infinity)\b")
EXPLAIN = "explain"
EXPECTED = 'expected {"instances": [...]}'

decoder = msgspec.json.Decoder()


def decode(body: bytes) -> object:
    """Decode JSON; its type is not asked for, as TensorFlow Serving does not: plain `curl -d` works."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise RequestError("malformed_json", "nested too deeply") from None
    except ValueError as error:  # msgspec's own error and a bad UTF-8 string are both of this kind
        if NON_FINITE.search(body):
            raise RequestError("not_finite", "expected finite numbers: JSON has no NaN and no Infinity") from None
        raise RequestError("malformed_json", f"expected JSON: {error}") from None


class PredictRequest(NamedTuple):
    """The instances of a request, and how they are to be answered."""

    instances: object
    columns: bool = False  # they came by columns, as `inputs`, and answers are to go so, too
    explain: bool = False


def parse_json(body: bytes, single: str = "") -> PredictRequest:
    """Read a request. `single` is the column whose value is the instance, where there is but one.

    The one other key of the convention names the default signature; `explain` is ours.
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
        raise RequestError("wrong_type", f"expected true or false; received {shown(explain)}", EXPLAIN)
    if ("instances" in content) == ("inputs" in content):
        raise RequestError("missing_field", EXPECTED, "instances")
    if "instances" in content:
        return PredictRequest(content["instances"], explain=explain)
    return PredictRequest(_rows(content["inputs"], single), columns=True, explain=explain)


def _rows(inputs: object, single: str) -> object:
    """Return the rows of columns by name; of a single column, which needs no name, the values are the rows."""
    if not isinstance(inputs, dict):
        return inputs
    if inputs.keys() == {single}:
        return inputs[single]
    if not all(isinstance(column, list) for column in inputs.values()):
        raise RequestError("wrong_type", "expected a list for each name", "inputs")
    if len({len(column) for column in inputs.values()}) > 1:
        raise RequestError("wrong_shape", "expected lists of one length", "inputs")
    return [dict(zip(inputs, row, strict=True)) for row in zip(*inputs.values(), strict=True)]
