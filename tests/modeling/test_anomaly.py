"""Anomalies: labels and parts, thresholds, answers, outlier detectors, and what a task file may not ask for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from machines import TASK, write_machines
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.sections import Split
from tiltyard.errors import DataError, TaskError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.series import Series
from tiltyard.modeling.evaluators.anomaly import Anomaly as Evaluator
from tiltyard.modeling.evaluators.anomaly import misplaced
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.outlier_detectors import base
from tiltyard.modeling.problems.anomaly import Anomaly, alarm_threshold
from tiltyard.modeling.problems.base import Target
from tiltyard.preparation.modalities._normal_labels import (
    ANOMALY,
    NEAR_ANOMALY,
    NORMAL,
    UNKNOWN,
    label_windows,
    parse_labels,
)
from tiltyard.preparation.normal_rows import split_task
from tiltyard.preparation.split import SplitInputs
from tiltyard.workspace import Workspace

LABELS = {"column": "state", "normal": ["ok"]}
FINDS: dict[str, Any] = {"problem": "anomaly", "target": LABELS, "gate": {"metric": "roc_auc"}}


def test_labels_are_normal_or_anomalies_or_unknown() -> None:
    """Labels are compared as text; a row without one is neither normal nor an anomaly."""
    assert parse_labels(["ok", "1"], ["ok", 1, "broken", None, "", float("nan")]).tolist() == [0, 0, 1, -1, -1, -1]


@pytest.mark.parametrize(
    ("span", "expected"),
    [("last", [NORMAL, NEAR_ANOMALY, ANOMALY, UNKNOWN]), ("window", [NORMAL, ANOMALY, ANOMALY, UNKNOWN])],
)
def test_windows_are_judged_by_the_last_step_or_by_any(span: Any, expected: list[int]) -> None:
    """A normal last step after an anomaly is normal, but not for training."""
    windows = np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]])
    assert label_windows(windows, span).tolist() == expected


def _task(workspace: Workspace, **changes: Any) -> Any:
    write_machines(workspace, **{**FINDS, **changes})
    return loader.load(workspace, "machines")


@pytest.mark.parametrize("kind", ["random", "chronological"])
def test_training_and_validation_rows_are_normal(workspace: Workspace, kind: str) -> None:
    """Anomalies are test rows or left out; rows without a label are for training only."""
    task = _task(workspace, split={"kind": kind, "test": 0.3, "validation": 0.2})
    truth = np.random.default_rng(0).choice([NORMAL, ANOMALY, UNKNOWN, NEAR_ANOMALY], 1000, p=[0.7, 0.1, 0.1, 0.1])
    keys = np.random.default_rng(1).permutation(1000).astype(np.uint64) << np.uint64(50)
    parts = split_task(task, SplitInputs(keys), truth, 0)
    for name in ("train", "validation"):
        assert {*truth[parts[name]].tolist()} == {NORMAL, UNKNOWN}
    assert {*truth[parts["test"]].tolist()} == {NORMAL, ANOMALY, NEAR_ANOMALY}
    tested = (truth[parts["test"]] == ANOMALY).sum() / (truth == ANOMALY).sum()
    assert tested == 1 if kind == "random" else 0.2 < tested < 0.4
    assert len({*np.concatenate([*parts.values()]).tolist()}) == sum(map(len, parts.values()))


def test_an_anomaly_that_equals_a_training_row_is_left_out(workspace: Workspace) -> None:
    """No test row is identical to a training row."""
    task = _task(workspace)
    truth = np.array([NORMAL] * 40 + [ANOMALY] * 40)
    keys = np.concatenate([np.random.default_rng(1).permutation(40)] * 2).astype(np.uint64) << np.uint64(50)
    parts = split_task(task, SplitInputs(keys), truth, 0)
    learned = {*keys[np.concatenate([parts["train"], parts["validation"]])].tolist()}
    assert not learned & {*keys[parts["test"]].tolist()}
    assert (truth[parts["test"]] == ANOMALY).any()


@pytest.mark.parametrize(
    ("kinds", "text"),
    [
        ([NORMAL], "received 20 normal rows and 0 anomalies"),
        ([ANOMALY], "received only anomalies"),
        ([UNKNOWN], "no labels"),
    ],
)
def test_test_rows_of_one_kind_are_refused(workspace: Workspace, kinds: list[int], text: str) -> None:
    """Scores of one kind of rows can be ranked in any way."""
    keys = np.random.default_rng(1).permutation(100).astype(np.uint64) << np.uint64(50)
    with pytest.raises(DataError, match=text):
        split_task(_task(workspace), SplitInputs(keys), np.array(kinds * 100), 0)


@pytest.mark.parametrize(("rows", "share", "above"), [(999, 0.01, 9), (99, 0.01, 0), (10, 0.01, 0), (200, 0.1, 19)])
def test_threshold_admits_at_most_the_accepted_false_alarms(rows: int, share: float, above: int) -> None:
    """Of 999 rows nine are above it, so that a new row is with a probability of 1 %; of too few, none is."""
    scores = np.random.default_rng(0).permutation(rows).astype(np.float64)
    threshold = alarm_threshold(scores, share)
    assert (scores > threshold).sum() == above
    assert threshold in scores


def test_new_rows_exceed_the_threshold_at_the_accepted_rate() -> None:
    """Over many samples, the rate of false alarms among new rows is the accepted one."""
    rng = np.random.default_rng(0)
    rates = [(rng.normal(size=1000) > alarm_threshold(rng.normal(size=199), 0.05)).mean() for _ in range(300)]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.004)


def _encoder(columns: dict[str, Column], threshold: float = 0.5) -> Encoder:
    fitted = {"mean": 0.0, "std": 2.0}
    bare = len(columns) == 1
    problem = Anomaly()
    state = dict.fromkeys(columns, fitted)
    return Encoder("t", problem, columns, state, {"threshold": threshold}, [], bare=bare, max_instances=9)


@pytest.mark.parametrize(
    ("columns", "width", "expected"),
    [
        ({"a": Number(), "b": Number()}, 2, {"a": 0.0, "b": 1.0}),
        ({"x": Image(height=2, width=1)}, 2, [[0.0], [1.0]]),
        ({"x": Image(height=1, width=1, channels=3)}, 3, [[5.0]]),
        ({"x": Series(window=3)}, 3, [0.0, 1.0, 4.0]),
        ({"x": Series(window=2), "y": Series(window=2)}, 4, {"x": 4.0, "y": 10.0}),
    ],
)
def test_answers_say_where_the_errors_are(columns: dict[str, Column], width: int, expected: Any) -> None:
    """Errors are squared differences by column, pixel or step, and add up to the whole; tensors hold the same."""
    encoder = _encoder(columns)
    outputs = np.array([[*range(width), 0.5], [*range(width), 0.75]], dtype=np.float32)
    first, second = encoder.decode(outputs)
    assert first == {"score": 0.5, "anomaly": False, "errors": expected}
    assert second["anomaly"]
    arrays = encoder.problem.decode_arrays(outputs, [])
    assert arrays is not None
    assert arrays[1].tolist() == [False, True]
    assert (
        np.ravel(arrays[2][0]).tolist()
        == np.ravel([*expected.values()] if isinstance(expected, dict) else expected).tolist()
    )
    assert arrays[2][0].sum() == np.square(outputs[0, :-1]).sum()


def test_nothing_is_flagged_without_a_threshold() -> None:
    """Scores of a model that is not finished yet raise no alarm."""
    problem = Anomaly(_encoder({"a": Number(), "b": Number()}))
    problem.threshold = None
    assert [row["anomaly"] for row in problem.decode(np.array([[0, 0, 9.0]]), [])] == [False]


def _scored(rows: int = 300) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    truth = (rng.random(rows) < 0.2).astype(np.int64)
    score = np.round(rng.normal(size=rows) + truth, 1)  # with ties
    return truth, np.stack([np.abs(rng.normal(size=rows)), score], axis=1)


def test_metrics_agree_with_scikit_learn() -> None:
    """AUROC and average precision, also with ties; rates are shares of rows above the threshold."""
    truth, outputs = _scored()
    found = Evaluator().scores(truth, outputs, {"threshold": 1.0})
    assert found["roc_auc"] == pytest.approx(roc_auc_score(truth, outputs[:, 1]))
    assert found["average_precision"] == pytest.approx(average_precision_score(truth, outputs[:, 1]))
    assert found["detection_rate"] == (outputs[truth == 1, 1] > 1).mean()
    assert found["false_alarm_rate"] == (outputs[truth == 0, 1] > 1).mean()
    assert found["mse"] == pytest.approx(outputs[truth == 0, 0].mean())


def test_without_labels_only_errors_and_alarms_are_measured() -> None:
    """AUROC is not available: neither measured nor a metric that the gate may use."""
    kind = Evaluator().of(Target(column=""))
    truth, outputs = _scored()
    assert [*kind.scores(np.zeros_like(truth), outputs, {})] == ["mse", "false_alarm_rate"]


def test_worst_rows_are_those_on_the_wrong_side() -> None:
    """A normal row above all anomalies, and an anomaly below all normal rows, come first."""
    truth = np.array([0, 0, 0, 1, 1, 1])
    outputs = np.array([[0, 1.0], [0, 9.0], [0, 2.0], [0, 3.0], [0, 0.5], [0, 4.0]])
    assert misplaced(truth, outputs)[:2].tolist() == [1, 4]
    assert sorted(misplaced(truth, outputs).tolist()) == [*range(6)]
    assert misplaced(np.zeros(6), outputs).tolist() == [1, 5, 3, 2, 0, 4]


def test_worst_case_of_versions_is_that_with_the_wrong_score() -> None:
    """Of disturbed normal rows the highest score counts, of anomalies the lowest."""
    truth, versions = np.array([0, 1]), [np.array([[0, 1.0], [0, 1.0]]), np.array([[0, 2.0], [0, 2.0]])]
    assert Evaluator().worst_case(truth, versions)[:, 1].tolist() == [2.0, 1.0]


@pytest.fixture(scope="module")
def pixels() -> tuple[Array, Array]:
    """Digits: rows to fit detectors to, and others."""
    rows = (load_digits().data / 16).astype(np.float32)
    return rows[:500], rows[500:]


def _expected(name: str, train: Array, later: Array) -> Array:
    """Return what scikit-learn computes."""
    if name == "pca":
        model = PCA(8, svd_solver="full").fit(train)
        scores = np.square(later - model.inverse_transform(model.transform(later))).mean(axis=1)
    elif name == "nearest_neighbours":
        scores = NearestNeighbors(n_neighbors=5).fit(train).kneighbors(later)[0].mean(axis=1)
    else:
        scores = -IsolationForest(random_state=0).fit(train).score_samples(later)
    return np.asarray(scores)


@pytest.mark.parametrize("name", plugins.names("outlier_detectors"))
def test_detectors_agree_with_scikit_learn(name: str, pixels: tuple[Array, Array], monkeypatch: Any) -> None:
    """Scores are those of scikit-learn, whatever the number of rows at once."""
    monkeypatch.setattr(base, "CHUNK_ROWS", 100)
    detector = plugins.load("outlier_detectors", name)(8)
    detector.fit_to(pixels[0])
    assert np.allclose(detector.scores(pixels[1]), _expected(name, *pixels), atol=1e-4)
    assert detector.extent == "500 training rows"


def test_detectors_are_fitted_to_a_bounded_sample(pixels: tuple[Array, Array], monkeypatch: Any) -> None:
    """The sample is the same each time, and the extent says how many rows of how many."""
    kind = plugins.load("outlier_detectors", "nearest_neighbours")
    monkeypatch.setattr(kind, "max_rows", 100)
    first, second = kind(8), kind(8)
    for detector in (first, second):
        detector.fit_to(pixels[0])
    assert first.extent == "100 of 500 training rows"
    assert np.array_equal(first.scores(pixels[1]), second.scores(pixels[1]))


def test_only_errors_compare_without_labels(pixels: tuple[Array, Array]) -> None:
    """Distances of neighbours are no errors of a reconstruction."""
    assert [found.title for found in base.fitted(pixels[0], 8, errors_only=True)] == ["PCA"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"target": {"column": "state"}}, "target: expected a column with normal, the labels of normal rows"),
        ({"target": {**LABELS, "classes": ["ok", "bad"]}}, "target: expected column and normal"),
        ({"target": {**LABELS, "column": "kind"}}, "columns.kind: expected features only; this is the target"),
        ({"target": {**LABELS, "span": "window"}}, "target.span: expected window only for a series"),
        ({"split": {"kind": "complete"}}, "split"),
        ({"split": {"kind": "stratified"}}, "split.kind: expected random"),
        ({"model": {"family": "mlp"}}, "model.family: expected autoencoder for anomaly; received mlp"),
        (
            {"gate": {"metric": "psnr"}},
            "expected one of roc_auc, average_precision, detection_rate, false_alarm_rate, mse",
        ),
        (
            {"target": {}, "gate": {"metric": "roc_auc"}},
            "expected one of mse, false_alarm_rate for anomaly; received roc_auc",
        ),
        ({"train": {"epochs": 1, "anomaly": {"false_alarms": 0}}}, "train.anomaly.false_alarms"),
        (
            {
                "problem": "reconstruction",
                "target": {},
                "gate": {"metric": "mse"},
                "train": {"epochs": 1, "anomaly": {}},
            },
            "train.anomaly: expected only for the problem anomaly; received it for reconstruction",
        ),
    ],
)
def test_task_files_that_make_no_sense_are_refused(workspace: Workspace, changes: dict[str, Any], text: str) -> None:
    """The message names the key, the expected and the received."""
    with pytest.raises(TaskError) as caught:
        _task(workspace, **changes)
    assert text in str(caught.value)


def test_the_labels_need_not_be_named_without_a_target(workspace: Workspace) -> None:
    """A task without labels is judged by the error of its reconstructions."""
    task = _task(workspace, target={}, gate={"metric": "mse"})
    assert task.target.names == []
    assert Split(kind="random") == task.split
    assert TASK["columns"].keys() == task.columns.keys()
