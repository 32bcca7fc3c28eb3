"""The `evaluate:` section of a task file: further ways to evaluate a forecast, beside the metrics of the gate."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from tiltyard.config.train_section import Train
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.models._solved import SolvedModel
from tiltyard.modeling.models.base import Model
from tiltyard.settings import Settings


class WalkForward(Settings):
    """Train again on all rows known so far, forecast the next test rows, and go on."""

    every: int = Field(1, ge=1, description="Test rows from one training to the next.")


class Evaluate(Settings):
    """Further evaluations of a forecast; the gate uses the metrics of the trained model on the sealed rows."""

    walk_forward: WalkForward | None = Field(
        None,
        description="Also train again while going through the test rows, each time on all rows known by then.",
    )
    rollout: int | None = Field(
        None,
        ge=2,
        le=1000,
        description="Also forecast so many steps ahead, with each forecast as an input of the next.",
    )

    @property
    def requested(self) -> list[str]:
        """The names of the evaluations in use."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


def find_error(evaluate: Evaluate, problem: str, columns: Mapping[str, Column], model: Model, train: Train) -> str:
    """Return why a task cannot be evaluated so: key, expected, received; empty if it can."""
    for name in evaluate.requested:
        if problem != "forecasting":
            return f"evaluate.{name}: expected only for forecasting; received it for {problem}"
        if any(isinstance(column, Series) and column.group for column in columns.values()):
            return f"evaluate.{name}: expected one series; received several, by columns.group"
    if evaluate.rollout and len(columns) > 1:
        expected = "expected the forecast series alone, since only its next values are forecast"
        return f"evaluate.rollout: {expected}; received {', '.join(columns)}"
    return _walk_forward_error(model, train) if evaluate.walk_forward else ""


def _walk_forward_error(model: Model, train: Train) -> str:
    """Return the first setting that needs validation rows, which a training on all known rows does not have."""
    unsupported = {
        f"model.family {model.family}": not model.trained_by_epochs or isinstance(model, SolvedModel),
        "model.family python, whose code runs in training only": bool(model.code_path),
        "model.blend_references": model.blend_references,
        "train.members": train.members > 1,
        "train.restarts": train.restarts > 0,
        "train.then": train.then is not None,
        "model.base": bool(model.base_task),
    }
    name = next((name for name, used in unsupported.items() if used), "")
    return f"evaluate.walk_forward: expected one network, trained in one phase; received {name}" if name else ""
