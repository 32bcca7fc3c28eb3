"""The service by itself and under BentoML: health, metrics, page, and imports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from workspaces import ROOT

from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.variables import SERVER

IRIS = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
HEAVY = ["tensorflow", "keras", "pandas", "dvc", "prefect", "great_expectations", "sklearn", "matplotlib"]
pytestmark = pytest.mark.slow


BENTO = ["-m", "bentoml", "serve", "service:Tiltyard", "--working-dir", str(ROOT / "serving")]


@pytest.fixture(scope="module", params=[SERVER, BENTO], ids=["alone", "bentoml"])
def url(
    request: pytest.FixtureRequest, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Run a service of all four tasks with two workers."""
    named = os.pathsep.join(map(str, packages.values()))
    environment = {**bento.clean(), "TILTYARD_PACKAGES": named, "TILTYARD_WORKERS": "2"}
    with smoke_test.running(request.param, environment, tmp_path_factory.mktemp("service")) as server:
        yield server.url


def test_predictions_and_errors_are_the_same_under_bentoml(url: str) -> None:
    """Predictions and errors are the same under BentoML, one after the other."""
    with httpx.Client(base_url=url) as client:
        for body, status in (
            (b"{", 400),
            (b'{"instances": [NaN]}', 400),
            (b" " * 4_000_001, 413),
            (json.dumps({"instances": [IRIS] * 1001}).encode(), 413),
            (json.dumps({"instances": [IRIS]}).encode(), 200),
        ):
            assert client.post("/v1/models/iris:predict", content=body).status_code == status
        for method, path, status in (
            ("GET", "/v1/models/iris:predict", 405),
            ("PATCH", "/v1/models/iris", 405),
            ("POST", "/v1/models/rose:predict", 404),
            ("GET", "/v1/none", 404),
            ("GET", "/v1/models/sine/schema", 200),
        ):
            response = client.request(method, path)
            assert response.status_code == status
            if status >= 400:
                assert set(response.json()["error"]) == {"code", "message", "field"}


def test_health_paths_respond_and_requests_are_counted(url: str) -> None:
    """The health paths respond, and every request is counted, whichever worker handles it."""
    with httpx.Client(base_url=url) as client:
        assert {client.get(path).status_code for path in ("/readyz", "/livez", "/healthz")} == {200}
        assert client.post("/livez").status_code == 405
        version = client.get("/v1/models/digits").json()["version"]
        for _ in range(20):
            with httpx.Client(base_url=url) as another:
                another.post("/v1/models/digits:predict", content=b"{}")
        counted = f'tiltyard_requests_total{{model="digits",status="400",version="{version}"}} 20.0'
        metrics_text = client.get("/metrics").text
        assert counted in metrics_text
        assert 'endpoint="/v1/' not in metrics_text  # BentoML would count requests that pass its middleware


def test_page_links_the_openapi_document(url: str) -> None:
    """The page at / consists of the service's own files, and links the OpenAPI document."""
    with httpx.Client(base_url=url) as client:
        page = client.get("/").text
        assert "http" not in page
        assert "static_content" not in page
        for path in re.findall(r'(?:src|href)="([^#].*?)"', page):
            assert client.get(path).status_code == 200
        assert "/v1/models/iris:predict" in client.get("/v1/openapi.json").json()["paths"]


def test_service_imports_no_training_libraries(packages: dict[str, Path]) -> None:
    """The service imports no TensorFlow, pandas, DVC, Prefect or scikit-learn."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import service; from starlette.testclient import TestClient;"
        "service.Tiltyard.inner(); client = TestClient(service.app);"
        "answer = client.post('/v1/models/iris:predict', content=sys.argv[2]); assert answer.status_code == 200;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(ROOT / "serving"), json.dumps({"instances": [IRIS]})],
        env={**bento.clean(), "TILTYARD_PACKAGES": os.pathsep.join(map(str, packages.values()))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
