"""Contract of all problems: predictions are JSON that fits the schema, and the model card describes them."""

from __future__ import annotations

from typing import Any

import jsonschema
import numpy as np
import pytest
from problem_cases import CLASSES, case, decodable, problem
from workspaces import ROOT

from tiltyard.config import loader
from tiltyard.contracts import problems
from tiltyard.modeling.problems.detection import Detection
from tiltyard.workspace import Workspace


def test_predictions_are_json(problem_name: str) -> None:
    """Predictions are plain numbers and text, one for each instance."""
    kind = problem(problem_name)
    truth, outputs, _ = case(kind, rows=3)
    predictions = problems.predictions(kind, decodable(kind, truth, outputs), CLASSES)
    labels = int(truth.sum()) if kind.targets == "labels" else 3
    there = int((truth[:, :, 0] >= 0).sum()) if kind.targets == "objects" else 0
    of_objects = {there * (6 + len(kind.more_properties()))} if isinstance(kind, Detection) else set()
    count = len(problems.leaves(predictions))
    assert count in of_objects | ({15} if kind.clusters else {labels, labels + 3, labels + 9})


@pytest.mark.parametrize("with_interval", [False, True])
@pytest.mark.parametrize("horizon", [1, 3])
def test_forecasts_fit_the_published_schema(horizon: int, with_interval: bool) -> None:
    """A forecast is a number, a list of the horizon's length, or three lists with intervals; others are invalid."""
    task = loader.load(Workspace(ROOT), "sine")
    target = task.target.model_copy(update={"horizon": horizon, "interval": 0.8 if with_interval else None})
    kind, outputs = problem("forecasting"), np.ones((2, 3, horizon) if with_interval else (2, horizon))
    schema = kind.json_schema(target)
    for prediction in kind.decode(outputs, []):
        jsonschema.validate(prediction, schema)
    other = kind.decode(np.ones((1, 3, horizon) if not with_interval else (1, horizon)), [])[0]
    for wrong in (other, kind.decode(np.ones((1, horizon + 1)), [])[0]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(
    ("name", "target", "text"),
    [
        ("regression", {"unit": ""}, "the number `progression`"),
        ("regression", {"unit": "cm"}, "the number `progression` (cm)"),
        ("forecasting", {"unit": "cm", "horizon": 1}, "the next value of `progression` (cm)"),
        (
            "forecasting",
            {"unit": "", "horizon": 3, "interval": 0.8},
            "the next 3 values of `progression`, each with a prediction interval of 80%",
        ),
    ],
)
def test_card_states_what_is_predicted(name: str, target: dict[str, Any], text: str) -> None:
    """The unit and the interval are stated only if the task has them."""
    task = loader.load(Workspace(ROOT), "diabetes")
    assert problem(name).purpose(task.target.model_copy(update=target)) == text


def test_predictions_fit_their_schema(problem_name: str) -> None:
    """The schema accepts predictions, but neither null nor an empty object."""
    kind, task = problem(problem_name), loader.load(Workspace(ROOT), "sine")
    target = task.target.model_copy(update={"classes": CLASSES})
    schema = kind.json_schema(target)
    truth, outputs, _ = case(kind, rows=3)
    for prediction in kind.decode(decodable(kind, truth, outputs), CLASSES):
        jsonschema.validate(prediction, schema)
    for wrong in (None, dict[str, Any]()):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
