"""OpenAPI document: it describes every route, and responses and errors match it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import random_models
from starlette.applications import Starlette
from starlette.routing import Route
from starlette_client import TestClient

from tiltyard.serving.http import api_keys, page
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.http.openapi_v1 import PUBLIC_PATHS
from tiltyard.serving.traffic.recorder import Recorder

UNDOCUMENTED = {
    *page.FILES,
    "/healthz",
    "/v1/{rest:path}",
    "/v2/{rest:path}",
}  # an alias, catch-all routes


@pytest.fixture(scope="module")
def document(client: TestClient) -> dict[str, Any]:
    """Return the document of all four tasks."""
    found: dict[str, Any] = client.get("/v1/openapi.json").json()
    return found


def valid(document: dict[str, Any], schema: Any, value: Any) -> None:
    """Assert that a value matches a schema of the document."""
    jsonschema.Draft202012Validator({**document, **schema}).validate(value)


def resolved(document: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a reference, or the schema itself."""
    found: dict[str, Any] = answer
    if "$ref" in answer:
        found = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    return found


def test_every_route_is_described(document: dict[str, Any], app: Starlette) -> None:
    """The document has exactly the routes of the app, for each model."""
    routes = {route.path for route in app.routes if isinstance(route, Route)} - UNDOCUMENTED
    expected = {route.replace("{name}", name) for route in routes for name in random_models.TASKS}
    assert set(document["paths"]) == expected


def proven(document: dict[str, Any], client: TestClient, path: str, example: Any) -> dict[str, Any]:
    """Put the id and token of a response into the example of feedback."""
    path = path.replace(":feedback", ":predict")
    content = document["paths"][path]["post"]["requestBody"]["content"]
    headers = client.post(path, json=content["application/json"]["example"]).headers
    proof = {"id": headers["x-request-id"], "token": headers["x-feedback-token"]}
    return {"feedback": [{**item, **proof} for item in example["feedback"]]}


def test_what_is_described_answers_so(
    document: dict[str, Any], app: Starlette, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each GET and each example of a POST returns 200 with a body that matches the schema."""
    monkeypatch.setitem(app.state._state, "recorder", Recorder(tmp_path, 1.0))
    for path, item in document["paths"].items():
        filled = path
        for one in item.get("parameters", []):
            filled = filled.replace(f"{{{one['name']}}}", one["schema"]["enum"][0])
        (method, told), *_ = ((method, item[method]) for method in ("get", "post") if method in item)
        body = told["requestBody"]["content"]["application/json"] if method == "post" else {"schema": True}
        if path.endswith(":feedback"):
            body["example"] = proven(document, client, path, body["example"])
        answer = client.request(method, filled, json=body.get("example"))
        assert answer.status_code == 200, f"{filled}: {answer.text}"
        kind = answer.headers["content-type"].partition(";")[0]
        answered = told["responses"]["200"]["content"][kind]
        valid(document, answered["schema"], answer.json() if kind == "application/json" else answer.text)
        if method == "post":
            valid(document, body["schema"], body["example"])


@pytest.mark.parametrize("name", random_models.TASKS)
def test_bodies_of_both_kinds_fit_their_schema(document: dict[str, Any], client: TestClient, name: str) -> None:
    """Bodies by rows or by columns match; those with both, neither or another key do not, and are refused."""
    told = document["paths"][f"/v1/models/{name}:predict"]["post"]
    schema = told["requestBody"]["content"]["application/json"]["schema"]
    rows = told["requestBody"]["content"]["application/json"]["example"]["instances"]
    columns: Any = {key: [value] for key, value in rows[0].items()} if isinstance(rows[0], dict) else rows
    body: Any
    for body in ({"instances": rows}, {"inputs": columns}, {"inputs": rows, "signature_name": "serving_default"}):
        valid(document, schema, body)
        answer = client.post(f"/v1/models/{name}:predict", json=body)
        assert answer.status_code == 200
        valid(document, told["responses"]["200"]["content"]["application/json"]["schema"], answer.json())
    for body in ({}, {"instances": rows, "inputs": columns}, {"instances": []}, {"instances": rows, "more": 1}, []):
        with pytest.raises(jsonschema.ValidationError):
            valid(document, schema, body)
        refusal = client.post(f"/v1/models/{name}:predict", json=body)
        answer_told = resolved(document, told["responses"][str(refusal.status_code)])
        valid(document, answer_told["content"]["application/json"]["schema"], refusal.json())


def test_columns_of_tables_alone_come_as_tables(document: dict[str, Any]) -> None:
    """CSV and Parquet are described only for models that accept them."""
    for name, expected in {"iris": 3, "diabetes": 3, "digits": 1, "sine": 1}.items():
        content = document["paths"][f"/v1/models/{name}:predict"]["post"]["requestBody"]["content"]
        assert len(content) == expected


def test_keys_are_told_of_where_they_are_asked_for(app: Starlette, document: dict[str, Any], tmp_path: Path) -> None:
    """Security schemes are described if keys are required, with the paths that need none."""
    assert "security" not in document
    assert "securitySchemes" not in document["components"]
    own = api_keys.add(tmp_path / "keys", "robot")
    locked = create_app(Limits(keys=api_keys.read(tmp_path / "keys")))
    install(locked, app.state.models.values())
    with TestClient(locked, headers={"X-API-Key": own}) as client:
        told = client.get("/v1/openapi.json").json()
    assert told["security"] == [{"bearer": []}, {"key": []}]
    assert set(told["components"]["securitySchemes"]) == {"bearer", "key"}
    assert all(told["paths"][path]["get"]["security"] == [] for path in PUBLIC_PATHS)
