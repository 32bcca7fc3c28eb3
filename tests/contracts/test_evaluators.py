"""Contract of all evaluators: perfect scores, baselines with known scores, and finite results."""

from __future__ import annotations

import json

import numpy as np
import pytest
from problem_cases import CLASSES, KNOWN, case, problem

from tiltyard import plugins
from tiltyard.arrays import Array, Rows
from tiltyard.modeling.evaluators.base import Evaluator
from tiltyard.modeling.evaluators.reconstruction import FEATURES
from tiltyard.modeling.evaluators.sampling import BASELINE
from tiltyard.modeling.evaluators.segmentation import Segmentation, pixels_by_level
from tiltyard.modeling.metrics.predictions import Predictions

PERFECT = {
    "rmse": 0,
    "mae": 0,
    "mase": 0,
    "log_loss": 0,
    "bits": 0,
    "error_rate": 0,
    "brier": 0,
    "calibration_error": 0,
    "hamming_loss": 0,
    "mse": 0,
    "inertia": 0,
    "psnr": 100,
    "id_switches": 0,
    "false_alarm_rate": 0,
    "frechet": 0,
}  # 1 for all others


def evaluator(name: str) -> Evaluator:
    """Return an instance of the evaluator."""
    instance: Evaluator = plugins.load("evaluators", name)()
    return instance


def with_one_bad_row(name: str, outputs: Array, index: int) -> Array:
    """Return a copy in which one row is much worse."""
    outputs = outputs.copy()
    if name == "captioning":
        outputs[index] = ("oops", 0.0, 4.0, 4.0, 1.0, *[0.0] * 5)
    elif outputs.dtype.names:
        outputs[index] = ("oops", 0.0, 4.0, 4.0)
    elif name in ("detection", "tracking"):
        outputs[index] = 0
    elif name == "segmentation":
        outputs[index] = np.roll(outputs[index], 1, axis=1)
    elif name in ("generation", "masked"):
        outputs[index] = 50.0, 0.0, 4.0
    elif name == "multilabel":
        outputs[index] = 1 - outputs[index]
    else:
        outputs[index] = np.roll(outputs[index], 1) if name == "classification" else outputs[index] + 50
    return outputs


def baseline(kind: Evaluator, truth: Array, rows: Rows) -> Array:
    """Return the outputs of the baseline; one without a target is fitted to the features."""
    if isinstance(kind, Segmentation):
        return kind.baseline(pixels_by_level(rows["picture"], truth, len(CLASSES)), rows, "mean_iou")
    return kind.baseline(rows.get(FEATURES, rows.get(KNOWN, truth)), rows, "rmse")


def predictions(kind: Evaluator, outputs: Array, truth: Array, rows: Rows) -> Predictions:
    """Return the outputs together with those of the baseline."""
    numbers = np.arange(len(truth)) + 100
    return Predictions(truth, outputs, baseline(kind, truth, rows), numbers, CLASSES, "y (cm)")


def test_perfect_predictions_have_perfect_scores(evaluator_name: str) -> None:
    """The truth gets the best value of every metric."""
    kind = evaluator(evaluator_name)
    truth, outputs, _ = case(problem(evaluator_name))
    scores = kind.scores(truth, outputs, kind.context(truth))
    assert scores == pytest.approx({name: PERFECT.get(name, 1) for name in kind.metrics})


def test_context_comes_from_the_training_targets(evaluator_name: str) -> None:
    """Forecasting needs the naive error of the training targets as a divisor, and classification the rarest class."""
    truth, _, _ = case(problem(evaluator_name))
    needed = [*evaluator(evaluator_name).context(truth)]
    assert needed == ({"forecasting": ["naive_mae"], "classification": ["rare"]}.get(evaluator_name, []))


def test_better_score_is_a_gain(evaluator_name: str) -> None:
    """Perfect predictions have a positive gain over the baseline in every metric, and the baseline a negative one."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    context = kind.context(truth)
    best, simple = (kind.scores(truth, o, context) for o in (outputs, baseline(kind, truth, rows)))
    for name, metric in kind.metrics.items():
        if name == "false_alarm_rate":  # a baseline that raises no alarm has none that is false
            assert metric.gain(best[name], simple[name]) == 0
            continue
        assert metric.gain(best[name], simple[name]) > 0 > metric.gain(simple[name], best[name])


def test_baseline_scores_match_formulas(evaluator_name: str) -> None:
    """RMSE of the mean is the deviation, accuracy of the majority its share, MAE of persistence the mean step."""
    kind = evaluator(evaluator_name)
    truth, _, rows = case(problem(evaluator_name))
    scores = kind.scores(truth, baseline(kind, truth, rows), kind.context(truth))
    if evaluator_name == "regression":
        expected = {"rmse": truth.std(), "r2": 0.0}
    elif evaluator_name == "forecasting":
        expected = {"mae": np.abs(truth - np.roll(truth, 1)).mean()}
    else:  # translation: one extra letter first, one missing last; generation, masked: see test_language, test_masked
        expected = {
            "classification": {"accuracy": 14 / 40, "balanced_accuracy": 1 / 3, "roc_auc": 0.5},
            "translation": {"exact": 26 / 40, "error_rate": 14 * 2 / 160},
            "captioning": {
                "exact": 26 / 40,
                "token_accuracy": 26 * 4 / 160,
                "bleu": (146 / 160 * 106 / 120 * 66 / 80 * 26 / 40) ** 0.25,
            },
            "clustering": {},  # k-means: see tests/modeling/test_clustering.py
            "generation": {},
            "masked": {},
            "detection": {"recall": 34 / 60, "precision": 34 / 60},
            "tracking": {"recall": 32 / 80, "precision": 32 / 80, "id_switches": 30},
            "segmentation": {"pixel_accuracy": 1 - 14 * 120 / (40 * 32 * 32)},
            "sampling": {"precision": 0.5, "frechet": _distance_from_zero(rows)},
            "reconstruction": {"mse": _smallest_variance(rows) / 2},
            "recommendation": {"recall_at_10": 0, "mrr": (1 / 19 + 1 / 20) / 2},
            "anomaly": {"roc_auc": 0.5, "average_precision": 10 / 40, "detection_rate": 0.0},
            "multilabel": {"subset_accuracy": 7 / 40, "hamming_loss": 44 / 120, "micro_f1": 100 / 144},
        }[evaluator_name]
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


def _distance_from_zero(rows: Rows) -> float:
    """Return the Fréchet distance of features from samples that are all 0: their squared mean and their variances."""
    features = rows[BASELINE][:, 6:8] if BASELINE in rows else np.zeros((2, 2))
    return float(np.square(features.mean(axis=0)).sum() + features.var(axis=0, ddof=1).sum())


def _smallest_variance(rows: Rows) -> float:
    """Return the variance of two features along the direction that PCA with one number leaves out."""
    return float(np.linalg.eigvalsh(np.cov(rows[FEATURES].T, bias=True))[0]) if FEATURES in rows else 0.0


def test_test_part_of_one_class_is_handled(evaluator_name: str) -> None:
    """With only one class or value, scores and details are finite JSON, and undefined values are null."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    indices = np.flatnonzero((truth == truth[0]).reshape(len(truth), -1).all(axis=1))
    subset = predictions(
        kind, outputs[indices], truth[indices], {name: values[indices] for name, values in rows.items()}
    )
    scores = kind.scores(subset.truth, subset.outputs, kind.context(truth))
    assert np.isfinite(list(scores.values())).all()
    json.dumps(kind.details(subset), allow_nan=False)


def test_details_and_plots_are_finite_and_refer_to_raw_rows(evaluator_name: str) -> None:
    """Worst rows have their number in the raw data; all columns of a plot have one length."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    evaluated = predictions(kind, with_one_bad_row(evaluator_name, outputs, 3), truth, rows)
    details = kind.details(evaluated)
    json.dumps(details, allow_nan=False)
    assert details["worst"]
    assert all(100 <= record["row"] < 140 for record in details["worst"])
    for columns in kind.plots(evaluated).values():
        assert len({len(values) for values in columns.values()}) == 1
        assert all(isinstance(leaf, int | float | str) for values in columns.values() for leaf in values)


def test_worst_row_comes_first(evaluator_name: str) -> None:
    """The row with by far the largest error is the first of the list."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    assert (
        kind.details(predictions(kind, with_one_bad_row(evaluator_name, outputs, 7), truth, rows))["worst"][0]["row"]
        == 107
    )


def test_every_figure_can_be_shown(evaluator_name: str) -> None:
    """There is at least one figure; each has a unique title, a sentence, and data as valid JSON."""
    kind = evaluator(evaluator_name)
    truth, outputs, rows = case(problem(evaluator_name))
    shown = kind.figures(predictions(kind, outputs, truth, rows))
    assert shown
    assert len({one.title for one in shown}) == len(shown)
    assert all(one.text.endswith(".") for one in shown)
    json.dumps([one.data for one in shown], allow_nan=False)


@pytest.mark.parametrize("with_interval", [False, True])
def test_end_of_a_long_series_is_shown(with_interval: bool) -> None:
    """The last 200 test rows are shown by index, each with value, forecast, baseline and interval."""
    kind, rows = evaluator("forecasting"), 250
    truth = np.arange(rows, dtype=np.float64)
    outputs = np.stack([truth, truth - 1, truth + 1], axis=1)[:, :, None] if with_interval else truth[:, None]
    evaluated = Predictions(truth, outputs, truth[:, None], np.arange(rows), [], "y")
    time_plot, last = kind.figures(evaluated)[0].data, list(range(50, 250))
    for line in time_plot["lines"]:
        assert (line["x"], line["y"]) == (last, last)
    if with_interval:
        assert time_plot["band"]["x"] == last
        assert time_plot["band"]["low"] == [i - 1 for i in last]
        assert time_plot["band"]["high"] == [i + 1 for i in last]


def test_steps_are_plotted_for_several_steps() -> None:
    """A forecast of one step has no table of steps; one of three steps has a table of three rows."""
    kind = evaluator("forecasting")
    one, three = (
        kind.plots(Predictions(truth, np.zeros((9, steps)), np.zeros((9, steps)), np.arange(9), [], "y"))
        for truth, steps in ((np.zeros(9), 1), (np.zeros((9, 3)), 3))
    )
    assert "steps" not in one
    assert three["steps"]["step"] == [1, 2, 3]


def test_absolute_error_baseline_is_the_median() -> None:
    """With few large values, the mean is too weak a baseline for the mean absolute error."""
    kind, truth = evaluator("regression"), np.array([0.0] * 9 + [100.0])
    constants = {name: float(kind.baseline(truth, {"x": truth}, name)[0, 0]) for name in ("rmse", "mae", "r2")}
    assert constants == {"rmse": 10.0, "mae": 0.0, "r2": 10.0}


def test_every_metric_has_an_explanation(evaluator_name: str) -> None:
    """Each metric has a distinct explanation for readers."""
    meanings = [metric.meaning for metric in evaluator(evaluator_name).metrics.values()]
    assert all(len(meaning) > 20 and not meaning.endswith(".") for meaning in meanings)
    assert len({*meanings}) == len(meanings)
