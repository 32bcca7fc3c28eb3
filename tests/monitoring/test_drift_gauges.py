"""Drift gauges: shifted inputs raise the gauge of their feature, and only that one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import prometheus_client
import pytest
import random_models
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.modeling.inference.drift_reference import count, distance, from_instances, per_column
from tiltyard.monitoring.monitor import monitor
from tiltyard.preparation.array_file import read_part
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.http.prometheus import RequestMetrics
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.recording import drift_gauges
from tiltyard.serving.recording.drift_gauges import DriftGauges
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.workspace import Workspace

ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]


def sample_training_rows(space: Workspace, model: LoadedModel, rows: int) -> list[Any]:
    """Return instances that are distributed like the training rows of iris."""
    features, _ = read_part(space.out("iris", "prepare") / "train.npz")
    drawn = features[np.random.default_rng(0).integers(0, len(features), rows)].astype(float).round(3)
    return [dict(zip(model.predictor.encoder.columns, row, strict=True)) for row in drawn.tolist()]


def test_only_the_gauge_of_the_shifted_feature_rises(served_project: ServedProject) -> None:
    """A shift of half a centimetre in petals raises the gauge of that feature only; unshifted inputs raise none."""
    space, (first, second, _), app, _ = served_project
    model, registry = app.state.models["iris"], prometheus_client.CollectorRegistry()
    gauges = DriftGauges(RequestMetrics(registry=registry).set_drift)

    def psi(feature: str, version: str = first) -> float | None:
        labels = {"model": "iris", "version": version, "feature": feature}
        return registry.get_sample_value("tiltyard_feature_psi", labels)

    same = sample_training_rows(space, model, 600)
    gauges.observe(lambda: model, same[: drift_gauges.MIN_ROWS - 1])
    gauges.measure()
    assert psi("petal_width") is None
    gauges.observe(lambda: model, same)
    gauges.measure()
    values = {name: psi(name) for name in random_models.IRIS}
    assert all(value is not None and value < 0.2 for value in values.values()), values
    shifted = [{**row, "petal_width": row["petal_width"] + 0.5} for row in same]
    for _ in range(4):
        gauges.observe(lambda: model, shifted)
    gauges.measure()
    assert (psi("petal_width") or 0) > 0.5
    assert (psi("petal_length") or 1) < 0.2
    other = LoadedModel.load(space.package("iris", second))
    gauges.observe(lambda: other, same)
    gauges.measure()
    assert math.isnan(psi("petal_width") or 0)
    assert (psi("petal_width", second) or 1) < 0.2


def test_sample_size_is_bounded(served_project: ServedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the latest rows are kept, as numbers."""
    monkeypatch.setattr(drift_gauges, "MAX_ROWS", 50)
    model = served_project[2].state.models["iris"]
    gauges = DriftGauges(lambda *_: None)
    for _ in range(20):
        gauges.observe(lambda: model, [random_models.IRIS] * 30)
    _, columns = gauges.samples["iris"]
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(random_models.IRIS, 50)


@pytest.mark.parametrize("name", random_models.TASKS)
def test_training_rows_have_no_drift_from_themselves(
    packages: dict[str, Path], tiny_workspace: Workspace, name: str
) -> None:
    """For tables, images and series, training rows have no drift from themselves, and other rows have."""
    model = LoadedModel.load(packages[name])
    features, _ = read_part(tiny_workspace.out(name, "prepare") / "train.npz")
    for column, values in per_column(model.predictor.encoder, features).items():
        assert distance(model.reference[column], values).value == pytest.approx(0)
        assert sum(model.reference[column]["counts"]) == len(features)
        assert distance(model.reference[column], np.full(300, values.max())).value > 0.5
    assert {*from_instances(model.predictor.encoder, [model.schema["example"]])} == {*model.reference}
    assert len((packages[name] / "reference.json").read_text()) < 10_000


def test_missing_values_and_rare_categories_have_their_own_bins() -> None:
    """Missing values have a separate bin; rare categories share a bin, which also counts unseen ones."""
    spread: dict[str, Any] = {"edges": [1.0, 2.0], "counts": []}
    assert count(spread, np.array([0.5, 1.0, 1.5, 9.0, np.nan])).tolist() == [2, 1, 1, 1]
    places: dict[str, Any] = {"places": [3, 0], "counts": []}
    assert count(places, np.array([3, 3, 0, 7, -1])).tolist() == [2, 1, 2]


def test_package_without_reference_has_no_gauges(packages: dict[str, Path]) -> None:
    """A package of an earlier release without a reference is served without gauges."""
    model = LoadedModel.load(packages["iris"])
    object.__setattr__(model, "reference", {})
    gauges = DriftGauges(lambda *_: pytest.fail("nothing is known"))
    gauges.observe(lambda: model, [random_models.IRIS] * 300)
    gauges.measure()


def test_monitor_names_drifting_features(served_project: ServedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """`monitor` reports drifting features from logs and Parquet, with the command to type, or that there are none."""
    from click.testing import CliRunner

    space, _, app, _ = served_project
    task, model = loader.load(space, "iris"), app.state.models["iris"]
    recorder = app.state.recorder = Recorder(space.records, 1.0)
    same = sample_training_rows(space, model, 400)

    def predict(rows: list[Any]) -> dict[str, dict[str, Any]]:
        with TestClient(app) as client:
            assert client.post("/v1/models/iris:predict", json={"instances": rows}).status_code == 200
        recorder.sender.finish()
        return {row["feature"]: row for row in monitor(space, task)["drift"]}

    assert predict(same[:10]) == {}
    assert not any(row["drifted"] for row in predict(same).values())
    recorder.sender.close()
    drift = predict([{**row, "sepal_width": row["sepal_width"] + 1.0} for row in same])
    assert [name for name, row in drift.items() if row["drifted"]] == ["sepal_width"]
    assert drift["sepal_width"]["rows"] == 810
    monkeypatch.chdir(space.root)
    output = CliRunner().invoke(cli, ["monitor", "iris"]).output
    assert "next: tiltyard check iris --against .tiltyard/records/iris/answers/FILE.parquet" in output


def test_recorded_series_are_read_back(packages: dict[str, Path], tmp_path: Path) -> None:
    """Recorded windows of a series are converted to Parquet, and the latest ones are returned."""
    from tiltyard.monitoring import records

    model = LoadedModel.load(packages["sine"])
    app = create_app()
    install(app, [model])
    space = Workspace(tmp_path)
    recorder = app.state.recorder = Recorder(space.records, 1.0)
    with TestClient(app) as client:
        client.post("/v1/models/sine:predict", json={"instances": [model.schema["example"]] * 3})
    recorder.sender.close()
    task = loader.load(Workspace(packages["sine"].parents[3]), "sine")
    assert records.compact(space, task) == 1
    assert records.latest(space, task, 2) == [model.schema["example"]] * 2


def test_reference_holds_bins_and_counts_only(packages: dict[str, Path]) -> None:
    """The reference holds bin edges and counts of each column, and no rows."""
    content = files.read_json(packages["diabetes"] / "reference.json")
    assert all(spread.keys() in ({"edges", "counts"}, {"places", "counts"}) for spread in content.values())
