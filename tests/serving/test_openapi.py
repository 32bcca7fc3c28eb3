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
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.requests.recommend_request import PROTOCOLS
from tiltyard.serving.requests.sample_request import ENCODE, SAMPLE

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


def assert_matches_schema(document: dict[str, Any], schema: Any, value: Any) -> None:
    """Assert that a value matches a schema of the document."""
    jsonschema.Draft202012Validator({**document, **schema}).validate(value)


def resolve_reference(document: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a reference, or the schema itself."""
    found: dict[str, Any] = response
    if "$ref" in response:
        found = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return found


def test_every_route_is_described(document: dict[str, Any], app: Starlette) -> None:
    """The document has exactly the routes of the app, for each model; none of these recommends or draws samples."""
    routes = {route.path for route in app.routes if isinstance(route, Route)} - UNDOCUMENTED
    routes = {path for path in routes if not path.endswith(tuple(f":{verb}" for verb in (*PROTOCOLS, SAMPLE, ENCODE)))}
    expected = {route.replace("{name}", name) for route in routes for name in random_models.TASKS}
    assert set(document["paths"]) == expected


def with_feedback_token(document: dict[str, Any], client: TestClient, path: str, example: Any) -> dict[str, Any]:
    """Put the id and token of a response into the example of feedback."""
    path = path.replace(":feedback", ":predict")
    content = document["paths"][path]["post"]["requestBody"]["content"]
    headers = client.post(path, json=content["application/json"]["example"]).headers
    truth_fields = {"id": headers["x-request-id"], "token": headers["x-feedback-token"]}
    return {"feedback": [{**item, **truth_fields} for item in example["feedback"]]}


def test_examples_return_what_is_described(
    document: dict[str, Any], app: Starlette, client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each GET and each example of a POST returns 200 with a body that matches the schema."""
    monkeypatch.setitem(app.state._state, "recorder", Recorder(tmp_path, 1.0))
    for path, item in document["paths"].items():
        concrete_path = path
        for one in item.get("parameters", []):
            concrete_path = concrete_path.replace(f"{{{one['name']}}}", one["schema"]["enum"][0])
        (method, operation), *_ = ((method, item[method]) for method in ("get", "post") if method in item)
        body = operation["requestBody"]["content"]["application/json"] if method == "post" else {"schema": True}
        if path.endswith(":feedback"):
            body["example"] = with_feedback_token(document, client, path, body["example"])
        response = client.request(method, concrete_path, json=body.get("example"))
        assert response.status_code == 200, f"{concrete_path}: {response.text}"
        kind = response.headers["content-type"].partition(";")[0]
        response_content = operation["responses"]["200"]["content"][kind]
        assert_matches_schema(
            document, response_content["schema"], response.json() if kind == "application/json" else response.text
        )
        if method == "post":
            assert_matches_schema(document, body["schema"], body["example"])


@pytest.mark.parametrize("name", random_models.TASKS)
def test_bodies_by_rows_and_columns_match_their_schema(document: dict[str, Any], client: TestClient, name: str) -> None:
    """Bodies by rows or by columns match; those with both, neither or another key do not, and are refused."""
    operation = document["paths"][f"/v1/models/{name}:predict"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    rows = operation["requestBody"]["content"]["application/json"]["example"]["instances"]
    columns: Any = {key: [value] for key, value in rows[0].items()} if isinstance(rows[0], dict) else rows
    body: Any
    for body in ({"instances": rows}, {"inputs": columns}, {"inputs": rows, "signature_name": "serving_default"}):
        assert_matches_schema(document, schema, body)
        response = client.post(f"/v1/models/{name}:predict", json=body)
        assert response.status_code == 200
        assert_matches_schema(
            document, operation["responses"]["200"]["content"]["application/json"]["schema"], response.json()
        )
    for body in ({}, {"instances": rows, "inputs": columns}, {"instances": []}, {"instances": rows, "more": 1}, []):
        with pytest.raises(jsonschema.ValidationError):
            assert_matches_schema(document, schema, body)
        refusal = client.post(f"/v1/models/{name}:predict", json=body)
        described_response = resolve_reference(document, operation["responses"][str(refusal.status_code)])
        assert_matches_schema(document, described_response["content"]["application/json"]["schema"], refusal.json())


def test_csv_and_parquet_are_described_for_tables_only(document: dict[str, Any]) -> None:
    """CSV and Parquet are described only for models that accept them."""
    for name, expected in {"iris": 3, "diabetes": 3, "digits": 1, "sine": 1}.items():
        content = document["paths"][f"/v1/models/{name}:predict"]["post"]["requestBody"]["content"]
        assert len(content) == expected


def test_security_schemes_are_described_if_keys_are_required(
    app: Starlette, document: dict[str, Any], tmp_path: Path
) -> None:
    """Security schemes are described if keys are required, with the paths that need none."""
    assert "security" not in document
    assert "securitySchemes" not in document["components"]
    key = api_keys.add(tmp_path / "keys", "robot")
    app_with_keys = create_app(Limits(keys=api_keys.read(tmp_path / "keys")))
    install(app_with_keys, app.state.models.values())
    with TestClient(app_with_keys, headers={"X-API-Key": key}) as client:
        document_with_keys = client.get("/v1/openapi.json").json()
    assert document_with_keys["security"] == [{"bearer": []}, {"key": []}]
    assert set(document_with_keys["components"]["securitySchemes"]) == {"bearer", "key"}
    assert all(document_with_keys["paths"][path]["get"]["security"] == [] for path in PUBLIC_PATHS)
