"""The body of a :predict request: read up to a limit, decoded, and refused in our words if it is not one."""

from __future__ import annotations

import re

import msgspec
from starlette.requests import Request

from tiltyard.errors import RequestError

NO_NUMBER = re.compile(rb"[\[:,\s]-?(NaN|Infinity)\b")
EXPECTED = 'expected {"instances": [...]}'

decoder = msgspec.json.Decoder()


async def read(request: Request, limit: int) -> bytes:
    """Read the body, and stop as soon as it is too large."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RequestError("unsupported_encoding", "expected a body that is not compressed", status=415)
    body = bytearray()
    if _declared(request) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise RequestError("body_too_large", f"expected at most {limit} bytes", status=413)


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


def _parse(body: bytes) -> object:
    """Decode JSON; its type is not asked for, as TensorFlow Serving does not: plain `curl -d` works."""
    try:
        return decoder.decode(body)
    except RecursionError:
        raise RequestError("malformed_json", "nested too deeply") from None
    except ValueError as error:  # msgspec's own error and a bad UTF-8 string are both of this kind
        if NO_NUMBER.search(body):
            raise RequestError("not_finite", "expected finite numbers: JSON has no NaN and no Infinity") from None
        raise RequestError("malformed_json", f"expected JSON: {error}") from None


def instances(body: bytes) -> object:
    """Give the instances of a request; the one other key of the convention names the default signature."""
    content = _parse(body)
    if not isinstance(content, dict):
        raise RequestError("wrong_type", EXPECTED)
    for key in content:
        if key not in {"instances", "signature_name"}:
            raise RequestError("unknown_field", EXPECTED, key)
    if content.get("signature_name", "serving_default") != "serving_default":
        raise RequestError("unknown_signature", "expected serving_default, the only one", "signature_name", 404)
    if "instances" not in content:
        raise RequestError("missing_field", EXPECTED, "instances")
    return content["instances"]
