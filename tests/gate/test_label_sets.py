"""The gate's checks of models that predict several labels of a row."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import numpy as np
import pytest
from duels import FACTS
from movies import GENRES, STUDIOS, label_sets, movies
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from tiltyard import plugins
from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Task
from tiltyard.evaluation.reference import Reference
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Duel
from tiltyard.modeling.columns._label_cells import multi_hot
from tiltyard.modeling.metrics.scores import row_errors

COUNT = 900


def task(**terms: Any) -> Task:
    """Return a task about films, with settings of the gate."""
    content: dict[str, Any] = {
        "name": "movies",
        "title": "Genres of films",
        "problem": "multilabel",
        "source": {"kind": "file", "path": "movies.csv"},
        "rows": [100, 1000],
        "columns": {
            "budget": {"type": "number"},
            "minutes": {"type": "number"},
            "studio": {"type": "category", "values": STUDIOS},
        },
        "target": {"column": "genres", "separator": "|", "classes": GENRES},
        "split": {"kind": "random"},
        "model": {"family": "mlp"},
        "train": {"epochs": 1},
        "gate": {"metric": "average_precision", "minimum_gain": 0.001, **terms},
        "serve": {"example": {"budget": 1, "minutes": 2, "studio": "Kestrel"}},
    }
    return Task.model_validate(content)


def features(rows: Rows, columns: int) -> Array:
    """Return the first columns of a matrix: budget, minutes, and the place of the studio."""
    places = np.searchsorted(STUDIOS, rows["studio"])
    return np.column_stack([rows["budget"] / 15, rows["minutes"] / 20, places])[:, :columns]


@cache
def outputs_of(columns: int) -> tuple[Rows, Array, Array, Any]:
    """Fit a model to some columns of every other row; return the other rows, truth, outputs and the model."""
    table = movies(COUNT)
    rows = {name: table[name].to_numpy() for name in ("budget", "minutes", "studio")}
    truth = multi_hot(label_sets(COUNT), GENRES)
    model = OneVsRestClassifier(LogisticRegression()).fit(features(rows, columns)[::2], truth[::2])
    later = {name: values[1::2] for name, values in rows.items()}
    return later, truth[1::2], model.predict_proba(features(later, columns)), model


def duel(columns: int = 3, rival: int | None = 1, **terms: Any) -> Duel:
    """Return a duel between models of so many columns; the baseline is the label frequencies."""
    rows, truth, outputs, model = outputs_of(columns)
    made, baseline = task(**terms), np.tile(truth.mean(axis=0), (len(truth), 1))
    return Duel(
        task=made,
        truth=truth,
        challenger=outputs,
        baseline=baseline,
        champion=None if rival is None else outputs_of(rival)[2],
        context={},
        train=made.metric.score(truth, outputs, {}),
        latency_ms=0.1,
        reference=Reference("a linear model", outputs, "9 training rows"),
        rows=rows,
        ask=lambda asked: model.predict_proba(features(asked, columns)),
        facts=FACTS,
    )


def outcome(name: str, one: Duel) -> Outcome:
    """Return the outcome of a check."""
    found: Outcome = plugins.load("checks", name)().outcome(one)
    return found


def test_a_better_model_passes_every_check() -> None:
    """No check fails, and those of labels, groups, slices and rules apply."""
    rule = {"vary": "minutes", "by": 10, "never": "lower", "label": "Drama"}
    terms: dict[str, Any] = {
        "slices": ["studio"],
        "slice_floor": 0.2,
        "behaviours": [rule],
        "require": {"micro_f1": 0.3},
    }
    outcomes = {name: outcome(name, duel(**terms)) for name in plugins.names("checks")}
    assert {name for name, one in outcomes.items() if one.state == "failed"} == set()
    applied = {name for name, one in outcomes.items() if one.state == "passed"}
    assert applied >= {"baseline", "champion", "collapse", "calibration", "mcnemar", "slices", "behaviour"}
    assert applied >= {"reference", "required_metrics", "robustness"}


def test_a_label_that_is_never_raised_has_collapsed() -> None:
    """A model that never gives a label more than its frequency is refused, though the average is good."""
    good = duel()
    flat = good.challenger.copy()
    flat[:, 4] = good.baseline[:, 4] / 2
    assert outcome("collapse", good).state == "passed"
    failed = outcome("collapse", dataclasses.replace(good, challenger=flat))
    assert failed.state == "failed"
    assert failed.text.startswith("recall of War 0 at probabilities above the frequencies of the training rows")


def test_labels_with_few_rows_cannot_collapse() -> None:
    """Of hundreds of labels, most are rare: one with four sealed rows is not judged, one with five is."""
    good = duel()
    for rows, state in ((4, "passed"), (5, "failed")):
        truth, flat = good.truth.copy(), good.challenger.copy()
        truth[:, 4], flat[:, 4] = np.arange(len(truth)) < rows, 0.0
        assert outcome("collapse", dataclasses.replace(good, truth=truth, challenger=flat)).state == state
    none = outcome("collapse", dataclasses.replace(good, truth=np.zeros_like(good.truth)))
    assert (none.state, none.text) == ("not applicable", "no label has 5 sealed rows")


def test_the_worst_label_must_be_calibrated() -> None:
    """Probabilities of one label that are far too extreme are held, and the label is named."""
    good = duel()
    extreme = good.challenger.copy()
    extreme[:, 1] = np.where(np.arange(len(extreme)) % 2, 0.999, 0.001)
    failed = outcome("calibration", dataclasses.replace(good, challenger=extreme))
    assert failed.state == "failed"
    assert failed.text.startswith("Comedy, the label with the largest error: mean confidence 99.9%")


def test_mcnemar_counts_rows_with_all_labels_right() -> None:
    """A challenger that gets fewer rows entirely right is held."""
    passed, failed = outcome("mcnemar", duel(3, 1)), outcome("mcnemar", duel(1, 3))
    assert (passed.state, failed.state) == ("passed", "failed")
    good, rival = duel(3, 1), outputs_of(1)[2]
    right, other = (((outputs >= 0.5) == good.truth).all(axis=1) for outputs in (good.challenger, rival))
    assert f"right on {(right & ~other).sum()} rows, only the champion on {(other & ~right).sum()}" in passed.text


def test_fairness_compares_groups_for_each_label() -> None:
    """War is rarely predicted for one studio, which the check finds; a favourable label can be named."""
    failed = outcome("fairness", duel(sensitive=["studio"]))
    assert failed.state == "failed"
    assert "share predicted as War" in failed.text
    assert "War" not in outcome("fairness", duel(sensitive=["studio"], favourable="Drama")).text


def test_error_of_a_row_is_the_mean_over_its_labels() -> None:
    """The worst of several perturbed versions of a row is the one with the largest mean error."""
    truth = np.array([[True, False], [False, False]])
    outputs = np.array([[0.75, 0.5], [0.0, 0.25]])
    assert row_errors(truth, outputs, labels=False).tolist() == [0.375, 0.125]


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "hamming_loss", "subset_accuracy", "log_loss"])
def test_every_metric_can_decide(metric: str) -> None:
    """The better model beats baseline and champion by any metric."""
    good = duel(metric=metric)
    assert {name: outcome(name, good).state for name in ("baseline", "champion")} == dict.fromkeys(
        ("baseline", "champion"), "passed"
    )
