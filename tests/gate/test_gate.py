"""The gate on real data: each check can change a verdict, and statistical corrections follow their formulas."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import duels
import numpy as np
import pytest
from duels import FACTS, ORIGIN, baseline_model, build_duel, cancer, diabetes, linear_model
from pydantic import ValidationError
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from tiltyard import plugins
from tiltyard.config.gate_section import Behaviour, Slice
from tiltyard.data.sources.ratings import Ratings
from tiltyard.evaluation import slices
from tiltyard.gate import perturbation
from tiltyard.gate.checks import behaviour
from tiltyard.gate.duel import Duel
from tiltyard.gate.verdict import decide
from tiltyard.modeling.columns.boolean import Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.metrics.bootstrap import Gain
from tiltyard.monitoring.live_comparison import LiveComparison


def _champion_with_fewer_correct_labels(fewer: int) -> Duel:
    """Return a duel whose champion has `right` correct labels fewer than the challenger, and no others more."""
    duel = build_duel(cancer(), linear_model(cancer()), metric="accuracy")
    indices = np.flatnonzero(duel.challenger.argmax(axis=1) == duel.truth)[:fewer]
    champion = duel.challenger.copy()
    champion[indices] = champion[indices, ::-1]
    return dataclasses.replace(duel, champion=champion)


def _facts(**other: Any) -> Duel:
    return build_duel(cancer(), linear_model(cancer()), more={"facts": {**FACTS, **other}})


def _with_samples(**found: Any) -> Duel:
    """Build a duel whose evaluation has found this of samples."""
    usual = {"variety": 0.9, "nearest": {"samples": 5.0, "rows": 5.0}, "copies": {"share": 0, "limit": 1, "rows": 500}}
    return build_duel(cancer(), linear_model(cancer()), more={"samples": {**usual, **found}})


def _variant(**more: Any) -> Duel:
    """Build the duel of a variant that predicts what its origin predicts, twice as fast unless `more` differs."""
    facts = {**FACTS, "variant": {"of": "origin", "kind": "int8"}}
    fast = {"facts": facts, "time_ratios": {1: 0.5}, **more}
    return build_duel(cancer(), linear_model(cancer()), linear_model(cancer()), fast)


CASES: dict[str, Callable[[], Duel]] = {
    "approval": lambda: build_duel(cancer(), linear_model(cancer()), approval=True),
    "baseline": lambda: build_duel(cancer(), baseline_model(cancer()), min_recall=0.0),
    "behaviour": lambda: build_duel(
        diabetes(),
        RandomForestRegressor(min_samples_leaf=5, random_state=0),
        more={"reference": None},
        behaviours=[{"vary": "bmi", "by": 2.0, "never": "lower"}],
    ),
    "calibration": lambda: build_duel(
        cancer(), DecisionTreeClassifier(random_state=0), metric="accuracy", calibration=0.03
    ),
    "model_card": lambda: _facts(empty=["Metrics"]),
    "champion": lambda: build_duel(cancer(), linear_model(cancer()), linear_model(cancer())),
    "collapse": lambda: build_duel(cancer(), linear_model(cancer()), min_recall=0.97),
    "drift": lambda: build_duel(
        cancer(), linear_model(cancer()), more={"drift": [{"feature": "worst_area", "psi": 0.9, "drifted": True}]}
    ),
    "fairness": lambda: build_duel(cancer(), linear_model(cancer()), sensitive=["side"], favourable="benign"),
    "generalization_gap": lambda: build_duel(diabetes(), RandomForestRegressor(random_state=0)),
    "latency": lambda: build_duel(cancer(), linear_model(cancer()), more={"latency_ms": 30.0}),
    "live_quality": lambda: build_duel(
        cancer(),
        linear_model(cancer()),
        baseline_model(cancer()),
        {"live": LiveComparison(Gain(0.3, 0.2, -0.1, -0.2, -0.05), 400, same=True)},
    ),
    "memorization": lambda: _with_samples(copies={"share": 0.4, "limit": 0.3, "rows": 500}),
    "sample_variety": lambda: _with_samples(active_units={"active": 0, "of": 20}),
    "mcnemar": lambda: _champion_with_fewer_correct_labels(5),
    "parity": lambda: _facts(parity=0.01),
    "popularity": lambda: duels.duel_of_ratings(
        Ratings(kind="ratings", users=150, items=60, each=25), Path(tempfile.mkdtemp())
    ),
    "provenance": lambda: _facts(origin={**ORIGIN, "data": None}),
    "required_metrics": lambda: build_duel(cancer(), linear_model(cancer()), require={"accuracy": 0.999}),
    "robustness": lambda: build_duel(cancer(), linear_model(cancer()), metric="accuracy", noise=2.0),
    "reference": lambda: build_duel(cancer(), DecisionTreeClassifier(max_depth=1)),
    "size": lambda: _facts(size_mb=900.0),
    "stand_in": lambda: _facts(stand_in="made-up pictures stand in for tumours"),
    "slices": lambda: build_duel(cancer(), linear_model(cancer()), slices=["side"], slice_floor=0.05),
    "test_reuse": lambda: build_duel(cancer(), linear_model(cancer()), more={"uses": 51}),
    "variant_speed": lambda: _variant(time_ratios={1: 1.2}),
}


@pytest.mark.parametrize("name", plugins.names("checks"))
def test_each_check_changes_a_verdict(name: str) -> None:
    """Without the check the verdict would be different, and its sentence gives the reason."""
    without, judged, outcome = duels.verdicts_without_and_with(CASES[name](), name)
    assert without != judged, outcome
    assert outcome.state == "failed"
    assert "expected" in outcome.text


def test_good_model_passes_all_checks() -> None:
    """A linear model of tumours is promoted if there is no champion, under reasonable requirements."""
    terms: dict[str, Any] = {
        "slices": ["side", {"column": "worst_area", "high": 700.0}, {"column": "side", "values": ["large"]}],
        "slice_floor": 0.5,
        "require": {"accuracy": 0.9, "brier": 0.2},
        "behaviours": [{"vary": "worst_area", "by": 50.0, "never": "higher", "label": "benign"}],
    }
    duel = build_duel(cancer(), linear_model(cancer()), baseline_model(cancer()), **terms)
    outcomes = [plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")]
    assert not [outcome.text for outcome in outcomes if outcome.state == "failed"]


def test_variant_must_be_no_worse_and_faster() -> None:
    """A variant with the champion's predictions is promoted, unlike another challenger; a worse variant is held."""
    verdict = decide([plugins.load("checks", name)().outcome(_variant()) for name in plugins.names("checks")])
    assert verdict == "PROMOTE"
    other = build_duel(cancer(), linear_model(cancer()), linear_model(cancer()))
    assert plugins.load("checks", "champion")().outcome(other).state == "failed"
    duel = _variant()
    assert duel.champion is not None
    noise = np.random.default_rng(0).normal(0, 0.2, len(duel.truth))
    blurred = np.clip(duel.champion[:, 1] + noise, 0.01, 0.99)
    worse = dataclasses.replace(duel, challenger=np.column_stack([1 - blurred, blurred]))
    outcome = plugins.load("checks", "champion")().outcome(worse)
    assert (outcome.state, "expected of a variant an interval of at least -" in outcome.text) == ("failed", True)


def test_repeated_evaluation_raises_the_confidence_level() -> None:
    """The error probabilities of all evaluations sum to 1.65 times that of the first, however many there are."""
    duel = build_duel(cancer(), linear_model(cancer()))
    assert duel.confidence == pytest.approx(0.95)
    chances = [1 - dataclasses.replace(duel, uses=uses).confidence for uses in range(2000)]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(0.05 * np.pi**2 / 6, rel=1e-3)


def test_extreme_interval_ends_follow_the_normal_distribution() -> None:
    """A thousand resamples contain no value as extreme as one in ten thousand."""
    truth = np.random.default_rng(0).standard_normal(400)
    outputs = (truth + np.random.default_rng(1).standard_normal(400))[:, None]
    duel = dataclasses.replace(build_duel(diabetes(), linear_model(diabetes())), truth=truth, challenger=outputs)
    near, far = (dataclasses.replace(duel, uses=uses).gain(np.zeros((400, 1))) for uses in (0, 20))
    assert far.low < near.low < near.value < near.high < far.high
    z = NormalDist().inv_cdf
    ratio = (far.high - far.low) / (near.high - near.low)
    assert ratio == pytest.approx(z(1 - 0.025 / 441) / z(0.975), rel=0.1)


def test_detectable_gain_has_a_power_of_80_percent() -> None:
    """At 95 % it is 2.8 deviations, 1.96 for the confidence and 0.84 for the power; the default adds a margin."""
    gain = Gain(0.9, 0.8, 0.1, 0.1 - 1.96, 0.1 + 1.96)
    assert gain.detectable_gain(0.95, 0.8) == pytest.approx(1.96 + 0.84, abs=0.01)
    assert gain.detectable_gain(0.95) == pytest.approx(1.96 + 0.95, abs=0.01)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_mcnemar_fails_if_the_champion_is_significantly_better(metric: str) -> None:
    """McNemar's test is two-sided: a significant difference in favour of the champion fails."""
    won, plain = _champion_with_fewer_correct_labels(10), build_duel(cancer(), linear_model(cancer()), metric=metric)
    assert won.champion is not None
    lost = dataclasses.replace(plain, challenger=won.champion, champion=won.challenger)
    outcome = plugins.load("checks", "mcnemar")().outcome(lost)
    assert outcome.state == "failed"
    assert outcome.text.startswith(
        "only the challenger is right on 0 rows, only the champion on 10 (p-value 0.00195); expected"
    )


def test_slices_are_categories_quartiles_and_ranges() -> None:
    """Each slice has its rows; slices with few rows are omitted."""
    duel = build_duel(cancer(), linear_model(cancer()))
    indices = {part.name: part.indices for part in slices.parts(["side", "worst_area"], duel.task.columns, duel.rows)}
    assert [*indices][:2] == ["side large", "side small"]
    assert sum(map(len, indices.values())) == 2 * len(duel.truth)
    assert len(indices) == 6
    value_range = Slice(column="worst_area", low=500, high=900)
    (part,) = slices.parts([value_range], duel.task.columns, duel.rows)
    assert part.name == "worst_area from 500 below 900"
    assert ((duel.rows["worst_area"][part.indices] >= 500) & (duel.rows["worst_area"][part.indices] < 900)).all()
    assert not [*slices.parts([Slice(column="worst_area", high=-1)], duel.task.columns, duel.rows)]


def test_behaviour_rule_may_require_every_row() -> None:
    """A linear model moves in one direction everywhere, so its share of 1 satisfies a required share of 1."""
    rule = {"vary": "worst_area", "by": 50.0, "never": "higher", "label": "benign", "share": 1.0}
    outcome = plugins.load("checks", "behaviour")().outcome(
        build_duel(cancer(), linear_model(cancer()), behaviours=[rule])
    )
    assert (outcome.state, outcome.observed, outcome.limit) == ("passed", 1.0, 1.0)


def test_slice_that_gets_worse_is_named() -> None:
    """A gain on all rows does not hide a slice that gets worse."""
    duel = build_duel(cancer(), linear_model(cancer()), linear_model(cancer()), slices=["side"])
    worse = np.where((duel.rows["side"] == "small")[:, None], 0.5, duel.challenger)
    outcome = plugins.load("checks", "slices")().outcome(dataclasses.replace(duel, challenger=worse))
    assert outcome.state == "failed"
    assert "side small; expected a loss of at most 0" in outcome.text
    assert "side large" not in outcome.text


def test_perturbed_rows_stay_within_bounds() -> None:
    """Numbers stay within their bounds and pixels within bytes; only measured values are perturbed."""
    generator = np.random.default_rng(0)
    columns = {"a": Number(bounds=(0, 1)), "b": Category(values=["x"]), "c": Image(height=2, width=2, channels=1)}
    rows = {
        "a": np.linspace(0, 1, 50),
        "b": np.array(["x"] * 50),
        "c": generator.integers(0, 256, (50, 2, 2, 1), dtype=np.uint8),
    }
    noisy = perturbation.add_noise(rows, columns, 3.0, generator)
    assert noisy is not None
    assert noisy["a"].min() == 0
    assert noisy["a"].max() == 1
    assert noisy["c"].dtype == np.uint8
    assert (noisy["c"] != rows["c"]).mean() > 0.5
    assert noisy["b"] is rows["b"]
    assert perturbation.add_noise({"b": rows["b"]}, columns, 1.0, generator) is None
    assert perturbation.mask_missing(rows, columns, generator) is None


def test_only_optional_values_are_masked() -> None:
    """A tenth of them are replaced by the column's value for missing."""
    columns = {
        "a": Number(missing="median"),
        "b": Category(values=["x"], missing="bucket"),
        "c": Number(),
    }
    rows = {"a": np.ones(1000), "b": np.array(["x"] * 1000), "c": np.ones(1000)}
    masked = perturbation.mask_missing(rows, columns, np.random.default_rng(0))
    assert masked is not None
    assert 0.05 < np.isnan(masked["a"]).mean() < 0.15
    assert 0.05 < (masked["b"] == "").mean() < 0.15
    assert masked["c"] is rows["c"]


def test_masked_texts_are_encoded_as_missing_ones() -> None:
    """A masked text is one unknown word, as an empty text that a client sends."""
    column = Text(missing="empty")
    values = column.parse(["good day", "bad day"] * 50, "note")
    masked = perturbation.mask_missing({"note": values}, {"note": column}, np.random.default_rng(0))
    assert masked is not None
    encoded = column.encode(masked["note"], column.fit(values))
    empty = encoded[:, 0] == 1
    assert 0 < empty.sum() < 50
    assert not encoded[empty, 1:].any()


def test_worst_perturbation_is_chosen_per_row() -> None:
    """Of several outputs, the one with the largest error is taken for each row."""
    truth = np.zeros(4)
    first, second = np.array([[0.0], [5.0], [0.0], [1.0]]), np.array([[3.0], [0.0], [0.0], [-2.0]])
    assert perturbation.worst_case(truth, [first, second], labels=False).ravel().tolist() == [3.0, 5.0, 0.0, -2.0]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"require": {"speed": 1}}, "gate.require: expected one of accuracy"),
        ({"slices": ["weight"]}, "gate.slices: expected a column of type"),
        ({"slices": [{"column": "side", "low": 1.0}]}, "gate.slices.column: expected a column of type number"),
        ({"slices": [{"column": "side"}]}, "expected either values, or low or high or both"),
        ({"slices": [{"column": "side", "values": ["round"]}]}, "gate.slices.values: side: expected one of"),
        (
            {"behaviours": [{"vary": "side", "to": "round", "never": "another"}]},
            "gate.behaviours.to: side: expected one",
        ),
        ({"sensitive": ["worst_area"]}, "gate.sensitive: expected a column of type category or boolean: side"),
        ({"favourable": "rich"}, "gate.favourable: expected one of malignant, benign; received rich"),
        ({"behaviours": [{"vary": "side", "by": 1.0, "never": "another"}]}, "gate.behaviours.vary: expected a column"),
        ({"behaviours": [{"vary": "side", "never": "another"}]}, "expected either by, for a number, or to, for a name"),
        (
            {"behaviours": [{"vary": "worst_area", "by": 1.0, "never": "lower"}]},
            "gate.behaviours.label: expected the label whose probability is compared; received none: worst_area +1",
        ),
    ],
)
def test_invalid_gate_settings_are_rejected(terms: dict[str, Any], message: str) -> None:
    """The error says what was expected, before any training."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        duels.duel_task(cancer(), **terms)


def test_boolean_columns_work_in_slices_and_rules() -> None:
    """A boolean can define a slice or be changed by a rule, in the notation of YAML or of a file."""
    data = cancer()
    boolean_data = dataclasses.replace(data, rows={**data.rows, "side": data.rows["side"] == "large"})
    columns = {**duels.duel_task(data).columns, "side": Boolean(type="boolean")}
    rows = {**boolean_data.rows, "side": boolean_data.rows["side"].astype(np.float64)}
    for value in (True, 1, "yes"):
        ((name, indices),) = slices.parts([Slice(column="side", values=[value])], columns, rows)
        assert len(indices) == boolean_data.rows["side"].sum()
        assert name == f"side {value}"
    rule = Behaviour(vary="side", to=False, never="another", label=data.classes[0])
    duel = build_duel(data, linear_model(data), behaviours=[{"vary": "side", "to": "small", "never": "another"}])
    boolean_duel = dataclasses.replace(duel, task=duel.task.model_copy(update={"columns": columns}), rows=rows)
    changed, changed_rows = behaviour._changed(boolean_duel, rule)
    assert not changed["side"].any()
    assert len(changed_rows) == rows["side"].sum()


def test_high_accuracy_with_missed_positives_is_rejected() -> None:
    """With 99 % accuracy and half of the sick missed, the baseline check and the required recall fail."""
    sick = np.array([1, 1] + [0] * 98)
    predicted = np.array([1, 0] + [0] * 98)
    duel = dataclasses.replace(
        build_duel(cancer(), linear_model(cancer()), metric="accuracy", require={"balanced_accuracy": 0.9}),
        truth=sick,
        challenger=np.eye(2)[predicted] * 0.98 + 0.01,
        baseline=np.tile([0.98, 0.02], (100, 1)),
        reference=None,
        ask=None,
        train=0.99,
    )
    outcomes = {name: plugins.load("checks", name)().outcome(duel) for name in plugins.names("checks")}
    failed = {name for name, outcome in outcomes.items() if outcome.state == "failed"}
    assert failed == {"baseline", "required_metrics"}
    assert decide([*outcomes.values()]) == "REJECT"
    assert "balanced_accuracy 0.75; expected at least 0.9" in outcomes["required_metrics"].text
