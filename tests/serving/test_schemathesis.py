"""Schemathesis: a running service behaves as its OpenAPI document says, for valid and invalid requests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tiltyard.serving import serve
from tiltyard.serving.http import api_keys
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER

HERE = Path(__file__).parent
SETTINGS = """\
# Too many instances and too large bodies are refused by 413, which schemathesis does not expect.
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "404", "405", "413", "415"]
"""


KEY = """
[auth.openapi.key]
api_key = "{key}"
[auth.openapi.bearer]
bearer = "{key}"
"""


def run_schemathesis(folder: Path, url: str, key: str) -> int:
    """Run all checks of schemathesis; return the number of requests, or fail with its findings."""
    (folder / "schemathesis.toml").write_text(SETTINGS + (KEY.format(key=key) if key else ""))
    document = httpx.get(f"{url}/v1/openapi.json", headers={"X-API-Key": key}).raise_for_status()
    (folder / "openapi.json").write_bytes(document.content)
    words = ["--url", url, "--include-path-regex", "^/v[12]", "--phases", "examples,coverage,fuzzing"]
    words += ["--max-examples", "20", "--seed", "1", "--continue-on-failure", "--suppress-health-check", "all"]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", *words, "--warnings", "off"],
        cwd=folder,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "repaired",
            "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
            "REPAIRED_URL": "" if key else url,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated
    return int(generated[1])


@pytest.mark.smoke
@pytest.mark.parametrize("locked", [pytest.param(False, marks=pytest.mark.nightly), True], ids=["open", "with keys"])
def test_service_matches_its_openapi_document(packages: dict[str, Path], tmp_path: Path, locked: bool) -> None:
    """Responses match the document, for valid and invalid bodies and methods, with and without API keys."""
    pytest.importorskip("schemathesis")
    key = api_keys.add(tmp_path / "keys", "robot") if locked else ""
    options = (
        {"PACKAGES": str(packages["iris"]), "KEYS": str(tmp_path / "keys")}
        if locked
        else serve.fixed_packages(packages)
    )
    environment = serve.environment({**options, "RECORDS": str(tmp_path / "records"), "RECORD": "1"}, tmp_path)
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        assert run_schemathesis(tmp_path, server.url, key) > (300 if locked else 2000)
