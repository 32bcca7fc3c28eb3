"""The champion of a task: predictions in this process, from the packaged model that the service would load."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from tiltyard.api import frames, html
from tiltyard.config import loader
from tiltyard.registry.decision import Decision
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.predict import load_champion
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class Champion:
    """A version that won: its predictions, metrics and model card."""

    def __init__(self, workspace: Workspace, task: str, decision: Decision) -> None:
        self._workspace, self._decision = workspace, decision
        self.task, self.version = task, decision.version

    @cached_property
    def _model(self) -> LoadedModel:
        return load_champion(self._workspace, loader.load(self._workspace, self.task))

    @property
    def metrics(self) -> dict[str, float]:
        """Its metrics on the sealed test rows."""
        return dict(self._decision.metrics)

    @property
    def card(self) -> str:
        """Its model card, in Markdown."""
        return self._model.card

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        return [*self._model.predictor.encoder.columns]

    def _instances(self, data: Any) -> list[Any]:
        """Return data as the instances of a request; texts alone if the model reads nothing else."""
        encoder = self._model.predictor.encoder
        rows = frames.instances(data, [] if encoder.bare else self.columns)
        if encoder.bare and rows and isinstance(rows[0], dict) and hasattr(data, "columns"):
            return [row[self.columns[0]] for row in rows]
        return rows

    def predict(self, data: Any) -> pd.DataFrame:
        """Predict the rows of a data frame, or a list of instances as a client would send them."""
        rows, limit = self._instances(data), self._model.schema["limits"]["max_instances"]
        answers: list[Any] = []
        for start in range(0, len(rows), limit):
            answers += self._model.predict(rows[start : start + limit])
        return frames.predictions(answers, getattr(data, "index", None))

    def explain(self, data: Any) -> pd.DataFrame:
        """Return by how much each column raises or lowers the prediction of each row.

        They are Shapley values with golden rows of the package as background, as the service returns them: base and
        contributions add up to the number, or to the probability of the label in the column `explained`.
        """
        from tiltyard.serving.requests import attributions

        answers: list[Any] = []
        for row in self._instances(data):
            attributions.check(self._model, [row])
            answers += attributions.attributions(self._model, [row], self._model.predict([row]))
        return frames.explanations(answers, getattr(data, "index", None))

    def __repr__(self) -> str:
        """Return task, version and the metric of the gate."""
        metric = self._decision.metric
        return f"Champion({self.task!r}, version {self.version}, {metric} {self.metrics.get(metric, float('nan')):.4g})"

    def _repr_html_(self) -> str:
        rows = [{"metric": name, "on sealed test rows": value} for name, value in self.metrics.items()]
        return html.table(frames.read_frame(rows, ("metric", "on sealed test rows")), f"{self.task} {self.version}")
