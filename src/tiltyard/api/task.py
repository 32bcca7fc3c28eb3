"""A task: its settings, champion, metrics, history, runs and comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.api import frames, html
from tiltyard.api.champion import Champion
from tiltyard.api.outside import TrainingRows, training_rows
from tiltyard.config import loader
from tiltyard.config.task import Task as TaskFile
from tiltyard.errors import RegistryError
from tiltyard.registry import queries
from tiltyard.registry.registry import Registry
from tiltyard.runtime.task_lock import task_lock
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class Task:
    """One model of a project."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name

    @property
    def settings(self) -> TaskFile:
        """The task file, with defaults filled in; read again at each use."""
        return loader.load(self.workspace, self.name)

    @property
    def champion(self) -> Champion:
        """The version that serves; raise RegistryError if there is none yet."""
        champion = Registry(self.workspace).champion(self.name)
        if champion is None:
            raise RegistryError(f"no champion yet of {self.name}", hint=f"make one: project[{self.name!r}].run()")
        return Champion(self.workspace, self.name, champion.decision)

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the model that was evaluated last, on the sealed test rows."""
        path = self.workspace.out(self.name, "evaluate") / "report.json"
        if not path.is_file():
            raise RegistryError(f"{self.name} was not evaluated yet", hint=f"run it: project[{self.name!r}].run()")
        metrics: dict[str, float] = files.read_json(path)["metrics"]
        return metrics

    @property
    def card(self) -> str:
        """The model card of the champion, in Markdown."""
        return self.champion.card

    def run(self, *, allow_stand_in: bool = False) -> pd.DataFrame:
        """Run the pipeline for this task, from source to packaged champion; return the verdict."""
        from tiltyard.api.project import Project

        return Project(self.workspace).run(self.name, allow_stand_in=allow_stand_in)

    def evaluate(self) -> dict[str, float]:
        """Evaluate the model that was trained last on the sealed test rows; return its metrics."""
        from tiltyard.evaluation.evaluate import evaluate

        with task_lock(self.workspace, self.name):
            metrics: dict[str, float] = evaluate(self.workspace, self.settings)["metrics"]
        return metrics

    def training_rows(self) -> TrainingRows:
        """Return features and truth of training and validation rows, for a model of your own: see `ty.from_keras`."""
        return training_rows(self.workspace, self.settings)

    def history(self) -> pd.DataFrame:
        """Return every verdict on the task, oldest first."""
        shown = ("time", "verdict", "version", "champion", "metric", "value", "reasons", "who")
        rows = queries.history(self.workspace, self.settings)
        with_value = [{**row, "value": row["metrics"].get(row["metric"])} for row in rows]
        return frames.read_frame([{name: row[name] for name in shown} for row in with_value], shown)

    def why(self, version: str | None = None) -> dict[str, Any]:
        """Return the last decision about a version, or the last of all, with the outcome of each check."""
        return queries.why(self.workspace, self.settings, version)

    def compare(self, first: str = "challenger", second: str = "champion") -> pd.DataFrame:
        """Compare two versions on the sealed test rows, metric by metric."""
        return frames.read_frame(queries.compare(self.workspace, self.settings, first, second)["metrics"], ())

    def explain(self, *rows: int, only: tuple[str, ...] = ()) -> dict[str, Any]:
        """Explain the model that was trained last, and single sealed rows by their number in the raw data."""
        from tiltyard.explain.explain import ExplainRequest, explain

        with task_lock(self.workspace, self.name, reading=True):
            return explain(self.workspace, self.settings, ExplainRequest(rows, only), lambda _: None)

    def __repr__(self) -> str:
        """Return name, problem and model family."""
        settings = self.settings
        return f"Task({self.name!r}, {settings.problem} by {settings.model.family})"

    def _repr_html_(self) -> str:
        return html.table(self.history(), f"{self.name}: {self.settings.title}")
