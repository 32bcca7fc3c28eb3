"""The pipeline of one task by the command line, as a new user types it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from workspaces import ROOT, edit_task, new_workspace

from tiltyard import files
from tiltyard.data import dvc
from tiltyard.serving.packaging import smoke_test
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.smoke

EXAMPLE = '{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}'


def _run(workspace: Workspace, *words: str, status: int = 0) -> str:
    """Run a command in the project; return its output."""
    environment = _environment(workspace)
    result = subprocess.run(
        words, cwd=workspace.root, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert result.returncode == status, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def _environment(workspace: Workspace) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    homes = {
        "PREFECT_HOME": str(workspace.prefect),
        "BENTOML_HOME": str(workspace.bentos),
    }  # not those of an earlier test
    without_coverage = {
        name: value for name, value in os.environ.items() if not name.startswith("COV")
    }  # other tests measure coverage
    return {**without_coverage, **homes, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def test_pipeline_of_one_task(tmp_path: Path) -> None:
    """A first run promotes, a second does nothing, a worse challenger is held, corrupted data stop."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    edit_task(workspace, "iris", {"train.epochs": 40, "gate.latency_ms": 500})

    out = _run(workspace, "tiltyard", "run", "iris")
    assert "PROMOTE" in out
    assert "tiltyard serve" in out.split("next:")[1]
    champion = workspace.champion("iris").read_bytes()
    version = json.loads(champion)["version"]
    stages = [f"{verb}@iris" for verb in dvc.STAGES]
    assert "up to date" in _run(workspace, "dvc", "status", *stages)
    assert "didn't change, skipping" in _run(workspace, "dvc", "repro", "evaluate@iris")

    before = {path: files.sha256(path) for path in (tmp_path / "out", tmp_path / "serving", tmp_path / "dvc.lock")}
    out = _run(workspace, "tiltyard", "run", "iris")
    assert "every step is skipped" in out
    assert "unchanged" in out
    assert {path: files.sha256(path) for path in before} == before

    prediction = json.loads(_run(workspace, "tiltyard", "predict", "iris", "--json", EXAMPLE))
    assert prediction[0]["label"] == "setosa"
    assert version in _run(workspace, "tiltyard", "status")

    edit_task(workspace, "iris", {"train.epochs": 8})
    out = _run(workspace, "tiltyard", "run", "iris", status=3)
    assert "HOLD" in out
    assert "iris: fit: " in out
    assert "next: tiltyard why iris" in out
    assert "against the champion's" in out
    held = json.loads(workspace.champion("iris").read_bytes())
    assert held["version"] == version
    assert held["decision"] == json.loads(champion)["decision"]
    assert len(held["ledger"]["hashes"]) == len(json.loads(champion)["ledger"]["hashes"]) + 1  # the HOLD decision
    champion = workspace.champion("iris").read_bytes()
    assert len(json.loads(_run(workspace, "tiltyard", "history", "iris", "--json"))) == 2

    table = workspace.raw("iris") / "table.csv"
    table.write_text(table.read_text().replace("5.1,3.5", "abc,3.5", 1))
    out = _run(workspace, "tiltyard", "run", "iris", status=1)
    assert "sepal_length: expect_column_values_to_not_be_null" in out
    assert "prepare" not in out.split("validate")[1].split("stopped")[0]
    assert workspace.champion("iris").read_bytes() == champion


def _write_customers(path: Path) -> None:
    """Write a table with an id, numbers, names, empty cells and a target."""
    dice = random.Random(0)  # noqa: S311 - no secret
    rows = ["customer_id;age;country;income;left"]
    for number in range(400):
        age, country = dice.randint(18, 90), dice.choice(["Austria", "Italy", "Spain"])
        income = "" if number % 11 == 0 else f"{dice.lognormvariate(10, 1):.2f}"
        left = age + 15 * (country == "Italy") + dice.gauss(0, 8) > 60
        rows.append(f"{7000 + number};{age};{country};{income};{'yes' if left else 'no'}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.nightly
def test_new_table_is_trained_and_served(tmp_path: Path) -> None:
    """Three commands lead from a table to a REST service; no file is edited."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    _write_customers(tmp_path / "customers.csv")
    out = _run(workspace, "tiltyard", "init", "churn", "--data", "customers.csv", "--target", "left")
    assert "semicolons as delimiter" in out
    assert "tiltyard run churn" in out
    assert "PROMOTE" in _run(workspace, "tiltyard", "run", "churn")
    assert "diabetes" in _run(workspace, "tiltyard", "status")

    port = smoke_test.free_port()
    environment = _environment(workspace)
    command = ["tiltyard", "serve", "churn", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            instances = [{"age": age, "country": "Italy", "income": None} for age in (20, 85)]
            response = _predict_when_ready(f"http://127.0.0.1:{port}", {"instances": instances})
        finally:
            process.terminate()
    assert [prediction["label"] for prediction in response["predictions"]] == ["no", "yes"]


def _predict_when_ready(address: str, body: dict[str, Any]) -> Any:
    """Send a request as soon as the service is ready."""
    deadline = time.monotonic() + 120
    while True:
        try:
            response = httpx.post(f"{address}/v1/models/churn:predict", json=body, timeout=30)
            return response.raise_for_status().json()
        except httpx.ConnectError:
            assert time.monotonic() < deadline, "the service never answered"
            time.sleep(0.1)
