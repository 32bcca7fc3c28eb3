"""Every problem plug-in: answers are JSON that fits its schema, and a card says what is answered."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from problem_cases import CLASSES, case, problem
from workspaces import ROOT

from tiltyard.config import loader
from tiltyard.workspace import Workspace


def leaves(content: Any) -> list[Any]:
    """Return everything in a JSON value that is not a container."""
    if isinstance(content, dict):
        return [leaf for value in content.values() for leaf in leaves(value)]
    return [leaf for value in content for leaf in leaves(value)] if isinstance(content, list) else [content]


def test_answers_are_json(problem_name: str) -> None:
    """What a client receives holds plain numbers and text, one answer an instance."""
    kind = problem(problem_name)
    truth, outputs, _ = case(kind, rows=3)
    answers = kind.decode(truth if kind.targets == "text" else outputs.astype(np.float32), CLASSES)
    json.dumps(answers, allow_nan=False)
    assert len(answers) == 3
    assert len(leaves(answers)) in {3, 12}


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("horizon", [1, 3])
def test_forecasts_fit_the_schema_that_clients_are_told(horizon: int, ends: bool) -> None:
    """A number, a list of as many as the horizon, or three lists with ends; no form passes for another."""
    task = loader.load(Workspace(ROOT), "sine")
    target = task.target.model_copy(update={"horizon": horizon, "interval": 0.8 if ends else None})
    kind, outputs = problem("forecasting"), np.ones((2, 3, horizon) if ends else (2, horizon))
    schema = kind.json_schema(target)
    for answer in kind.decode(outputs, []):
        jsonschema.validate(answer, schema)
    other = kind.decode(np.ones((1, 3, horizon) if not ends else (1, horizon)), [])[0]
    for wrong in (other, kind.decode(np.ones((1, horizon + 1)), [])[0]):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@pytest.mark.parametrize(
    ("name", "target", "said"),
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
def test_the_card_says_what_is_predicted_and_in_which_unit(name: str, target: dict[str, Any], said: str) -> None:
    """A unit only where there is one, and ends only where they were asked for."""
    task = loader.load(Workspace(ROOT), "diabetes")
    assert problem(name).purpose(task.target.model_copy(update=target)) == said


def test_answers_fit_their_schema(problem_name: str) -> None:
    """Clients are told what they receive, and that neither nothing nor an empty object is meant."""
    kind, task = problem(problem_name), loader.load(Workspace(ROOT), "sine")
    target = task.target.model_copy(update={"classes": CLASSES})
    schema = kind.json_schema(target)
    truth, outputs, _ = case(kind, rows=3)
    for answer in kind.decode(truth if kind.targets == "text" else outputs.astype(np.float32), CLASSES):
        jsonschema.validate(answer, schema)
    for wrong in (None, dict[str, Any]()):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
