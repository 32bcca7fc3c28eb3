"""The notebooks of the docs run from the first cell to the last, and show tables."""

from __future__ import annotations

import json
from pathlib import Path

import notebooks
import pytest
from asgi_server import serve_app
from workspaces import ROOT

from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

FOLDER = ROOT / "docs" / "tutorials"
ALL = sorted(FOLDER.glob("*.ipynb"))


@pytest.fixture
def project(champions_project: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project with champions, as the working directory."""
    monkeypatch.chdir(champions_project.root)
    return champions_project


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    """Outputs change with each run, and hold paths and times of a machine; every code cell parses."""
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    for cell in notebooks.code_cells(path):
        compile(cell, path.name, "exec")


@pytest.mark.usefixtures("project")
def test_versions_are_compared_and_predictions_explained() -> None:
    """History and comparison are tables; base and contributions add up to a probability."""
    shown = notebooks.run(FOLDER / "compare-and-explain.ipynb")
    assert "Tiltyard project" in shown[0]
    assert all("<table" in panel for panel in shown[1:-1])
    assert "contribution_petal_width" in shown[5]


def test_a_running_service_is_asked(project: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    """Names, versions, predictions and explanations come from the service; a wrong request names its field."""
    app = create_app()
    packages = [path.parent for path in (project.serving / "packages").glob("*/*/schema.json")]
    install(app, [LoadedModel.load(path) for path in packages])
    with serve_app(app) as address:
        shown = notebooks.run(FOLDER / "ask-a-service.ipynb", url=f"http://{address}")
    assert "'iris'" in shown[0]
    assert "probability_setosa" in shown[2]
    assert "contribution_petal_width" in shown[3]
    assert "400 instances[0].petal_width" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.smoke
def test_a_data_frame_becomes_a_champion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quickstart runs in a folder that is no project; its champion has a card, metrics and predictions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TILTYARD_ROOT", raising=False)
    shown = notebooks.run(FOLDER / "quickstart.ipynb")
    assert "('regression'" in shown[2]
    assert "PROMOTE" in shown[3]
    assert "<table" in shown[4]
    assert "rmse" in shown[5]
