"""The routes of the service, from the OpenAPI document of the example task, which tests compare with the code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import markdown_text as markdown

DOCUMENT = Path(__file__).parents[1] / "reference" / "openapi.json"
INTRODUCTION = """`tiltyard serve` answers at `http://localhost:3000`. The routes below are those of the example
task `iris`; every served task has the same. `GET /v1/openapi.json` returns the document for your own models, with
the types and bounds of their columns; [the one of the example](openapi.json).

An invalid request gets a 4xx status, and a body `{"error": {"code", "message", "field"}}` (V1) or `{"error":
"..."}` (V2). Requests that are too many at a time get 429, and may be sent again."""
GROUPS = {
    "V1 (TensorFlow Serving, KServe V1)": "/v1/",
    "V2 (Open Inference Protocol)": "/v2",
    "Health and metrics": "/",
}
VARIANTS = ("/versions/", "/labels/")  # the same routes for a version or a label


def page() -> str:
    """Return the page: each route with its example and statuses."""
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    parts, left = [INTRODUCTION, *_errors(document["components"]["responses"])], dict(document["paths"])
    for title, prefix in GROUPS.items():
        found = [path for path in left if path.startswith(prefix)]
        parts.append(f"## {title}")
        for path in found:
            operations = left.pop(path)
            if not any(variant in path for variant in VARIANTS):
                parts += [
                    text for method in ("get", "post") for text in _operation(method, path, operations.get(method))
                ]
        if variants := [markdown.code(path) for path in found if any(variant in path for variant in VARIANTS)]:
            parts.append(f"The same for one version, or for a label: {', '.join(variants)}.")
    return markdown.page("REST", *parts)


def _operation(method: str, path: str, operation: Any) -> Iterator[str]:
    """Yield heading, summary, an example and the statuses of a route."""
    if operation is None:
        return
    yield f"### {method.upper()} {path}"
    yield f"{operation['summary']}."
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if "example" in content:
            example = content["example"]
            yield f"Example of a body, `{kind}`:"
            yield markdown.block(example if isinstance(example, str) else json.dumps(example, indent=2), "json")
    errors = [status for status, response in operation["responses"].items() if "$ref" in response]
    for status, response in operation["responses"].items():
        if "$ref" not in response:
            yield f"{status}: {response['description']}." + (f" Errors: {', '.join(errors)}." if errors else "")


def _errors(responses: Any) -> Iterator[str]:
    """Yield the statuses of errors, which are the same for all routes."""
    meanings = {name.partition("-")[2]: response["description"] for name, response in responses.items()}
    yield "## Errors"
    yield markdown.table(("status", "meaning"), sorted(meanings.items()))
