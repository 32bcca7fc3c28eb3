"""A task taken the whole road: validated, prepared, trained, evaluated, packaged and served."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from starlette.applications import Starlette
from starlette_client import TestClient
from workspaces import fetch_raw, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.evaluation.evaluated import read_evaluated
from tiltyard.preparation.prepare import prepare
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import package
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


@dataclass(frozen=True)
class ServedProject:
    """A trained, evaluated and packaged task, and the app that serves it."""

    workspace: Workspace
    task: Task
    model: LoadedModel
    app: Starlette

    @classmethod
    def of(cls, workspace: Workspace, name: str, *, record: bool = True) -> Self:
        """Take a task the whole road; with `record`, the app records every request."""
        fetch_raw(workspace, name)
        task = loader.load(workspace, name)
        validate(workspace, task)
        prepare(workspace, task)
        train_tasks(workspace, name)
        evaluate(workspace, task)
        folder = workspace.root / "package"
        package.write(workspace, task, folder, read_evaluated(workspace, task))
        model, app = LoadedModel.load(folder), create_app()
        if record:
            app.state.recorder = Recorder(workspace.records, 1.0)
        install(app, [model])
        return cls(workspace, task, model, app)

    @property
    def folder(self) -> Path:
        """The package."""
        return self.workspace.root / "package"

    @property
    def report(self) -> dict[str, Any]:
        """The evaluation."""
        report: dict[str, Any] = files.read_json(self.workspace.out(self.task.name, "evaluate") / "report.json")
        return report

    def ask(self, path: str, body: Any, status: int = 200) -> Any:
        """Send a body to a route of the task; return the content of the response."""
        with TestClient(self.app) as client:
            response = client.post(f"/{path.format(self.task.name)}", json=body)
        assert response.status_code == status, response.text
        return response.json()
