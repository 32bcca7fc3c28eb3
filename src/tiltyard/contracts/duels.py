"""A duel about irises, of which checks must pass a challenger that is always right and fail a bad one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tiltyard.config import loader
from tiltyard.config.gate_section import Behaviour
from tiltyard.config.task import Task
from tiltyard.evaluation.reference import Reference
from tiltyard.gate.duel import Duel
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.monitoring.live_comparison import LiveComparison
from tiltyard.workspace import TEMPLATES

TRUTH = np.arange(60) % 3
CONFIDENT = np.eye(3)[TRUTH]
UNIFORM = np.full((60, 3), 1 / 3) + np.array([0.01, 0, 0])
GARDEN = np.array(["north", "south"])[np.arange(60) // 3 % 2]
TERMS = {
    "require": {"accuracy": 0.8},
    "slices": ["garden"],
    "behaviours": [Behaviour(vary="petal_length", by=1.0, never="higher", label="setosa")],
    "sensitive": ["garden"],
    "approval": True,
}
ORIGIN = {"data": "d", "test": "t", "version": "v", "seed": 0, "parameters": 131, "commit": None}
FACTS = {"size_mb": 0.1, "memory_mb": 80.0, "parity": 1e-6, "empty": [], "dirty": None, "origin": ORIGIN}
SAMPLES: dict[str, Any] = {  # of a generative model
    "nearest": {"samples": 5.1, "rows": 5.0},
    "copies": {"share": 0.0, "limit": 0.3, "rows": 60},
    "variety": 0.9,
    "classes": {"names": ["a", "b"], "samples": [0.4, 0.6], "rows": [0.5, 0.5], "distance": 0.1},
    "active_units": {"active": 7, "of": 8},
}
# A slow challenger that predicts one class, overfitted, and with incomplete provenance.
BAD: dict[str, Any] = {
    "challenger": UNIFORM,
    "latency_ms": 500.0,
    "time_ratios": {1: 0.8, 32: 1.3},
    "live": LiveComparison(Gain(0.7, 0.8, -0.1, -0.15, -0.05), 300, same=True),
    "ask": lambda _: np.eye(3)[np.zeros(60, int)],
    "drift": [{"feature": "petal_length", "psi": 0.8, "drifted": True}],
    "facts": {
        **FACTS,
        "size_mb": 900.0,
        "parity": 0.1,
        "stand_in": "made-up pictures",
        "empty": ["Slices"],
        "origin": {**ORIGIN, "data": None},
    },
}


def iris_with_gate(**terms: Any) -> Task:
    """Return iris with a category column and other gate settings."""
    path = TEMPLATES / "tasks" / "iris.yaml"
    task = loader.parse(path.read_text(encoding="utf-8"), "iris", "tasks/iris.yaml")
    columns = {**task.columns, "garden": Category(values=["north", "south"])}
    return task.model_copy(update={"columns": columns, "gate": task.gate.model_copy(update=terms)})


def always_right(changes: Mapping[str, Any] | None = None) -> Duel:
    """Return a challenger that is always right, against a champion that is wrong on every fourth row."""
    champion = np.eye(3)[np.where(np.arange(60) % 4 == 0, (TRUTH + 1) % 3, TRUTH)]
    lengths = {name: 4 + np.arange(60) / 30 for name in ("sepal_length", "sepal_width", "petal_length", "petal_width")}
    duel = Duel(
        task=iris_with_gate(**TERMS),
        truth=TRUTH,
        challenger=CONFIDENT,
        baseline=UNIFORM,
        champion=champion,
        context={},
        train=1.0,
        latency_ms=0.1,
        live=LiveComparison(Gain(0.9, 0.8, 0.1, 0.05, 0.15), 300, same=True),
        reference=Reference("a linear model", champion, "9 training rows"),
        rows={**lengths, "garden": GARDEN},
        ask=lambda _: CONFIDENT,
        drift=[{"feature": "petal_length", "psi": 0.01, "drifted": False}],
        facts=FACTS,
        approvals=["anna"],
        samples=SAMPLES,
        time_ratios={1: 0.8, 32: 0.5},
    )
    return dataclasses.replace(duel, **(changes or {}))


def bad(changes: Mapping[str, Any] | None = None) -> Duel:
    """Return the same duel with a bad challenger."""
    return always_right({**BAD, **(changes or {})})
