"""Hooks for schemathesis: repair generated bodies in respects that JSON Schema cannot express.

Only bodies that are meant to be valid are repaired: columns get equal lengths, texts of images become images, tables
get the column names, shapes match data, and feedback gets a valid token. All other bodies are sent unchanged.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import schemathesis
from PIL import Image as Pillow

LENGTH = "Inference-Header-Content-Length"
Json = dict[str, Any]


@schemathesis.hook  # type: ignore[untyped-decorator]
def before_call(context: Any, case: Any, kwargs: Json) -> None:  # noqa: ARG001 - schemathesis's shape
    """Repair a body that is meant to be valid."""
    request_body = case.operation.definition.raw.get("requestBody")
    if request_body is None or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    example = request_body["content"]["application/json"]["example"]
    case.headers.pop(LENGTH, None)
    if case.media_type == "application/octet-stream":
        case.body = json.dumps(example).encode()
    elif case.path.endswith("/infer"):
        case.body = {**case.body, "inputs": example["inputs"]}
    elif case.path.endswith(":feedback"):
        case.body = {"feedback": [{**item, **_truth_fields(case)} for item in case.body["feedback"][:4]]}
    elif case.media_type == "application/json":
        case.body = _with_images(_equal_lengths(case.body))
    else:
        case.body = _table(example["instances"], case.media_type)


def _truth_fields(case: Any) -> Json:
    """Get a recorded prediction, and return the fields that a truth needs; with an API key none are needed."""
    if not (url := os.environ["REPAIRED_URL"]):
        return {}
    path = case.path.replace(":feedback", ":predict")
    request_body = case.operation.schema.raw_schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    response = httpx.post(url + path, json=request_body["example"])
    return {"id": response.headers["x-request-id"], "token": response.headers["x-feedback-token"], "instance": 0}


def _equal_lengths(body: Json) -> Json:
    """Cut columns to the length of the shortest."""
    columns = body.get("inputs")
    if not isinstance(columns, dict):
        return body
    shortest = min(map(len, columns.values()))
    return {**body, "inputs": {name: values[:shortest] for name, values in columns.items()}}


def _with_images(value: Any) -> Any:
    """Replace each text that should be an image by one."""
    if isinstance(value, dict):
        return {key: _png() if key == "b64" else _with_images(nested) for key, nested in value.items()}
    return [_with_images(nested) for nested in value] if isinstance(value, list) else value


def _png() -> str:
    file = io.BytesIO()
    Pillow.new("L", (8, 8), 7).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _table(rows: list[Json], kind: str) -> str | bytes:
    if kind == "text/csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()
