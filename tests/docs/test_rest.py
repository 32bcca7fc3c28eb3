"""The OpenAPI document of the example task in the docs equals that of the service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from workspaces import ROOT

from tiltyard.serving.http.openapi_v1 import openapi
from tiltyard.serving.model.loaded_model import LoadedModel

DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"


def _of_the_service(package: Path) -> Any:
    """Return the document with the same version whatever the weights are."""
    model = LoadedModel.load(package)
    text = json.dumps(openapi({"iris": {model.version: model}}))
    return json.loads(re.sub(r"\b[0-9a-f]{12}\b", "0123456789ab", text))


def test_openapi_document_of_the_docs_is_current(packages: dict[str, Path], tmp_path: Path) -> None:
    """The document is committed, since only a packaged model has one."""
    current = _of_the_service(packages["iris"])
    (tmp_path / "openapi.json").write_text(json.dumps(current, indent=1) + "\n", encoding="utf-8")
    assert json.loads(DOCUMENT.read_text(encoding="utf-8")) == current, f"cp {tmp_path}/openapi.json {DOCUMENT}"
