"""Contract of all references: they learn, are the same each time, and respect the bounds of rows and features."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from reference_subjects import CASES, case, lagging

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.modeling.references import base
from tiltyard.modeling.references.boosted_trees import BoostedTrees, rounded_down
from tiltyard.modeling.references.linear import Linear, fit_linear
from tiltyard.modeling.references.recent_changes import RecentChanges


@pytest.mark.parametrize("name", CASES)
def test_references_learn_and_are_the_same_each_time(name: str) -> None:
    """Each has finite scores, equal when fitted again, and the best has less loss than a constant."""
    subject, features, truth = case(name)
    train, later = (features[:-60], truth[:-60]), (features[-60:], truth[-60:])
    first, second = (list(base.candidates(subject, train)) for _ in range(2))
    assert first
    for reference, again in zip(first, second, strict=True):
        scores = reference.scores(later[0])
        assert scores.shape == (60, subject.units)
        assert np.isfinite(scores).all()
        assert np.array_equal(scores, again.scores(later[0]))
        assert reference.name.endswith(f"fitted to {len(train[1])} training rows")
    best = min(subject.loss(later[1], reference.scores(later[0])) for reference in first)
    assert best < 0.8 * subject.loss(later[1], _constant(subject, train[1])) or name == "only label"


def _constant(subject: base.Subject, truth: np.ndarray) -> np.ndarray:
    """Return the scores of the best constant for 60 rows."""
    if subject.several:
        shares = np.clip(truth.mean(axis=0), 1e-9, 1 - 1e-9)
        return np.tile(np.log(shares / (1 - shares)), (60, 1))
    if not subject.classes:
        return np.tile(subject.targets(truth).mean(axis=0), (60, 1))
    shares = np.bincount(truth, minlength=subject.classes) / len(truth)
    return np.tile(np.log(np.maximum(shares, 1e-9)), (60, 1))


def test_every_reference_is_in_a_case() -> None:
    """No plug-in is left out of the test above."""
    fitted = {type(r.model).__name__ for name in CASES for r in base.candidates(*_split(name))}
    assert fitted == {plugins.load("references", name).__name__ for name in plugins.names("references")}


def _split(name: str) -> tuple[base.Subject, tuple[Array, Array]]:
    subject, features, truth = case(name)
    return subject, (features, truth)


def test_label_without_training_rows_has_no_probability() -> None:
    """A label that no training row has gets a probability near 0, and the others sum to 1."""
    subject, part = _split("absent label")
    for reference in base.candidates(subject, part):
        shares = reference.outputs(part[0])
        assert shares[:, 1].max() < 1e-6
        assert np.allclose(shares.sum(axis=1), 1)


def test_only_as_many_rows_as_allowed_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last rows are used, and the name says how many of how many."""
    subject, (features, truth) = _split("values")
    monkeypatch.setattr(Linear, "max_rows", 100)
    monkeypatch.setattr(BoostedTrees, "max_cells", 200)
    linear, trees = (
        {type(r.model): r for r in base.candidates(subject, (features, truth))}[k] for k in (Linear, BoostedTrees)
    )
    assert linear.name == "a linear model fitted to 100 of 240 training rows"
    assert trees.name == "boosted trees fitted to 50 of 240 training rows"
    (alone,) = (r for r in base.candidates(subject, (features[-100:], truth[-100:])) if isinstance(r.model, Linear))
    assert np.array_equal(alone.scores(features), linear.scores(features))


@pytest.mark.parametrize(("name", "again"), [("n-grams", True), ("images", True), ("labels", False)])
def test_references_of_texts_and_images_are_fitted_again(name: str, again: bool) -> None:
    """To training and validation rows, which the name says; those of tables stay as they are."""
    subject, (features, truth) = _split(name)
    train, validation = (features[:-30], truth[:-30]), (features[-30:], truth[-30:])
    fitted = next(r for r in base.candidates(subject, train) if not isinstance(r.model, Linear))
    refitted = base.refitted(fitted, train, validation)
    assert (refitted is not fitted) == again
    if again:
        assert refitted.name == f"{fitted.model.title} fitted to {len(truth)} training and validation rows"
        whole = next(r for r in base.candidates(subject, (features, truth)) if type(r.model) is type(fitted.model))
        assert np.allclose(refitted.scores(features), whole.scores(features))


def test_rows_of_a_second_fit_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """All validation rows and the last training rows, as many as the bounds allow."""
    subject, (features, truth) = _split("n-grams")
    train, validation = (features[:-30], truth[:-30]), (features[-30:], truth[-30:])
    (fitted,) = base.candidates(subject, train)
    monkeypatch.setattr(type(fitted.model), "max_rows", 100)
    refitted = base.refitted(fitted, train, validation)
    assert refitted.extent == f"100 of {len(truth)} training and validation rows"
    (last,) = base.candidates(subject, (features[-100:], truth[-100:]))
    assert np.array_equal(refitted.scores(features), last.scores(features))
    monkeypatch.setattr(type(fitted.model), "max_rows", 20)
    (last,) = base.candidates(subject, (features[-20:], truth[-20:]))
    assert np.array_equal(base.refitted(fitted, train, validation).scores(features), last.scores(features))


def test_a_reference_is_left_out_by_name() -> None:
    """The network's settings may say that one does not suit the data."""
    subject, part = _split("images")
    titles = [{r.model.title for r in base.candidates(subject, part, without)} for without in ((), ("image_grids",))]
    assert titles[0] - titles[1] == {"colours and edges by place with a linear model"}


def test_too_many_features_are_not_fitted() -> None:
    """A reference does not apply to more features than its bound."""
    subject, _ = _split("labels")
    assert BoostedTrees(subject).applies(2048)
    assert not BoostedTrees(subject).applies(2049)


def test_balanced_classes_weigh_rare_labels_more() -> None:
    """With class_weights: balanced, more rows are predicted as the rare label than without."""
    subject, (features, truth) = _split("labels")
    rare = [
        (list(base.candidates(base.Subject("table", subject.encoder, 1, weights), (features, truth)))[1], weights)
        for weights in ("none", "balanced")
    ]
    none, balanced = ((reference.scores(features).argmax(axis=1) == 2).sum() for reference, _ in rare)
    assert balanced > none


def test_forecasts_of_trees_follow_a_trend() -> None:
    """Trees forecast values above all of the training rows, since they learn differences."""
    subject, (features, truth) = _split("walk")
    order = np.argsort(features[:, -1, 0])
    low, high = order[:180], order[-20:]
    (trees,) = (r for r in base.candidates(subject, (features[low], truth[low])) if isinstance(r.model, BoostedTrees))
    assert trees.outputs(features[high]).mean() > truth[low].max()


def test_linear_models_of_series_learn_ratios() -> None:
    """On prices, linear models see changes: what a ratio of the last two prices tells is found, as by a network."""
    subject, features, truth = lagging(2000)
    train, (later, label) = (features[:1500], truth[:1500]), (features[1500:], truth[1500:])
    fitted = {type(r.model): r for r in base.candidates(subject, train)}
    areas = {kind: _auc(label, fitted[kind].outputs(later)[:, 1]) for kind in (Linear, RecentChanges)}
    assert areas[RecentChanges] > 0.65, areas
    assert areas[Linear] > 0.6, areas
    levels = features.reshape(len(features), -1).astype(np.float64)
    standardised = (levels - levels.mean(axis=0)) / levels.std(axis=0)
    weights, _ = fit_linear(standardised[:1500], train[1], 2, None)
    assert _auc(label, (standardised[1500:] @ weights)[:, 1]) < areas[Linear]


def _auc(truth: Array, scores: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))


def test_window_of_one_step_has_no_changes() -> None:
    """References of a series with a window of one step use its value."""
    values = np.random.default_rng(0).normal(size=(240, 1))
    subject, _, _ = case("walk")
    features, truth = values[:, :, None].astype(np.float32), np.concatenate([values, values], axis=1)
    for reference in base.candidates(subject, (features, truth)):
        assert np.isfinite(reference.scores(features)).all()


THREADS = """
from tiltyard.modeling.references.base import one_thread
with one_thread():
    from sklearn.ensemble import HistGradientBoostingClassifier
    import threadpoolctl
    print({library["num_threads"] for library in threadpoolctl.threadpool_info()})
"""


def test_the_first_fit_of_a_process_has_one_thread() -> None:
    """The limit holds though the fit itself imports the estimator."""
    command = [sys.executable, "-c", THREADS]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "{1}\n"


def test_threshold_is_rounded_down() -> None:
    """A float32 value is not above the threshold in float32 exactly if it is not above it in float64."""
    generator = np.random.default_rng(0)
    values = np.concatenate([generator.normal(size=500), [0.0, 1e-40, -1e-40, 3e38]]).astype(np.float32)
    for value in values:
        up, down = (np.nextafter(value, np.float32(end)) for end in (np.inf, -np.inf))
        for threshold in ((float(value) + float(up)) / 2, float(value), (float(value) + float(down)) / 2):
            single = rounded_down(threshold)
            for x in (down, value, up):
                assert (x <= single) == (float(x) <= threshold)
