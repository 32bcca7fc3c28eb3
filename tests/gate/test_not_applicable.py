"""Checks that do not apply: they say so with a reason, and neither pass nor fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from duels import FACTS, Data, baseline_model, build_duel, cancer, diabetes, linear_model

from tiltyard import plugins
from tiltyard.config.sections import Split
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Duel

Make = Callable[[], Duel]


def labels(challenger: Callable[[Data], Any] = linear_model, **options: Any) -> Make:
    """Return a function that makes a classification duel."""
    return lambda: build_duel(cancer(), challenger(cancer()), **options)


def numbers() -> Duel:
    """Make a regression duel with a champion."""
    return build_duel(diabetes(), linear_model(diabetes()), linear_model(diabetes()))


def complete(*champions: Any) -> Make:
    """Return a function that makes a duel on rows that are all there are."""

    def make() -> Duel:
        duel = build_duel(cancer(), linear_model(cancer()), *champions)
        return dataclasses.replace(duel, task=duel.task.model_copy(update={"split": Split(kind="complete")}))

    return make


def without(fact: str) -> Make:
    """Return a function that makes a duel in which one fact is not recorded."""
    return labels(more={"facts": {name: value for name, value in FACTS.items() if name != fact}})


REASONS: list[tuple[str, Make, str]] = [
    ("generalization_gap", complete(), "the test rows are the training rows: no row is unseen"),
    (
        "mcnemar",
        complete(linear_model(cancer())),
        "the rows are all combinations of the columns' values, not a sample of them",
    ),
    ("test_reuse", complete(), "the rows are all combinations of the columns' values: none could be fresh"),
    ("approval", labels(), "gate.approval does not require one"),
    ("behaviour", labels(), "gate.behaviours names no rule"),
    ("calibration", numbers, "regression has no probabilities of whole rows"),
    ("champion", labels(), "there is no champion yet"),
    ("collapse", numbers, "regression has no classes"),
    ("drift", labels(), "no inputs of clients are recorded"),
    ("drift", labels(more={"inputs": {"why": "they are images"}}), "they are images"),
    ("fairness", labels(), "gate.sensitive names no column"),
    ("generalization_gap", labels(more={"train": 9.0}), "nothing was gained over the baseline on the training rows"),
    (
        "generalization_gap",
        labels(more={"facts": {**FACTS, "blend": {"parts": [{"model": "boosted trees", "weight": 0.3}]}}}),
        "boosted trees know most training rows by heart, and still predict new rows",
    ),
    (
        "generalization_gap",
        labels(more={"facts": {**FACTS, "reference": "boosted trees fitted to 90 training rows"}}),
        "boosted trees know most training rows by heart, and still predict new rows",
    ),
    ("live_quality", labels(), "expected at least 200 ground truths of each version; received too few"),
    ("mcnemar", numbers, "regression has no labels of whole rows"),
    ("mcnemar", labels(), "there is no champion yet"),
    ("model_card", without("empty"), "no model card was written"),
    ("parity", without("parity"), "training recorded no difference between Keras and ONNX"),
    ("provenance", without("origin"), "nothing was recorded"),
    ("required_metrics", labels(), "gate.require names no value"),
    ("robustness", labels(baseline_model), "there is no gain over the baseline to lose"),
    ("robustness", labels(more={"ask": None}), "no column can be perturbed"),
    ("reference", labels(more={"reference": None}), "no reference takes such features"),
    ("size", without("size_mb"), "there is no model file to measure"),
    ("slices", numbers, "gate.slices names none"),
    ("variant_speed", labels(), "it is no variant of the champion"),
    ("slices", labels(slices=["side"]), "there is neither a floor nor a champion"),
]


@pytest.mark.parametrize(("name", "make", "reason"), REASONS, ids=[f"{name}: {why}" for name, _, why in REASONS])
def test_check_that_does_not_apply_gives_a_reason(name: str, make: Make, reason: str) -> None:
    """Only the reason is recorded: no value, no limit, no rows."""
    result: Outcome = plugins.load("checks", name)().outcome(make())
    assert (result.state, result.text) == ("not applicable", reason)
    assert (result.observed, result.limit, result.interval, result.rows) == (None, None, None, None)


@pytest.mark.parametrize(
    ("check", "terms", "reason"),
    [
        ("slices", {"slices": ["side"], "slice_floor": 0.5}, "no slice has 20 rows"),
        ("fairness", {"sensitive": ["side"]}, "no two groups have 20 sealed rows"),
    ],
)
def test_groups_below_20_rows_are_not_judged(check: str, terms: dict[str, Any], reason: str) -> None:
    """Results of so few rows are mostly chance; 20 rows are enough."""
    duel = build_duel(cancer(), linear_model(cancer()), **terms)
    large, small = ((duel.rows["side"] == side).nonzero()[0] for side in ("large", "small"))
    for size, judged in ((19, False), (20, True)):
        indices = [*large[:size], *small[:size]]
        subset = dataclasses.replace(
            duel,
            rows={name: values[indices] for name, values in duel.rows.items()},
            **{name: getattr(duel, name)[indices] for name in ("truth", "challenger", "baseline")},
        )
        result = plugins.load("checks", check)().outcome(subset)
        assert (result.state != "not applicable", result.text == reason) == (judged, not judged)


def test_non_repeatable_checks_are_listed() -> None:
    """Checks that depend on the machine, people or clients are run again; all others follow from the files."""
    changing = {name for name in plugins.names("checks") if not plugins.load("checks", name).repeatable}
    assert changing == {"approval", "drift", "latency", "live_quality", "size", "variant_speed"}
