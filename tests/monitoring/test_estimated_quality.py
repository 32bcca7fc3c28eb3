"""Quality estimated without ground truth: near the truth when inputs shift, and honest about what it cannot know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import changing_world
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from recorded_predictions import write_records, write_truths
from workspaces import ROOT

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.monitoring import estimated_quality
from tiltyard.monitoring.estimated_quality import Estimate, estimate
from tiltyard.monitoring.live_quality import load_live_quality
from tiltyard.monitoring.loss_model import LossModel
from tiltyard.monitoring.monitor import monitor
from tiltyard.monitoring.temperature import Temperatures
from tiltyard.registry.registry import Registry
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.workspace import Workspace

PRICES: dict[str, Any] = {
    "title": "The price of a plot of land",
    "problem": "regression",
    "source": {"kind": "file", "path": "prices.csv"},
    "rows": [100, 10_000],
    "columns": {"size": {"type": "number"}, "slope": {"type": "number"}},
    "target": {"column": "price"},
    "split": {"kind": "random"},
    "model": {"family": "mlp", "units": [4]},
    "train": {"epochs": 1},
    "gate": {"metric": "mae"},
    "serve": {"example": {"size": 0.0, "slope": 0.0}},
}


def prices(rows: int, slope: float, seed: int) -> pd.DataFrame:
    """Return plots of land: the steeper, the less certain is the price."""
    dice = np.random.default_rng(seed)
    sizes, slopes = dice.normal(size=rows), dice.normal(slope, 0.5, rows)
    noise = dice.normal(size=rows) * (0.2 + 0.5 * np.clip(slopes, 0, None))
    return pd.DataFrame({"size": sizes, "slope": slopes, "price": 100 + 10 * sizes + noise}).round(4)


def orders(rows: int, distance: float, seed: int) -> tuple[Array, Array]:
    """Return orders of the first relation: the farther from 0 the distance, the surer the label."""
    dice = np.random.default_rng(seed)
    features = dice.normal([distance, 0.0, 0.0], 1.0, (rows, 3))
    labels = (features @ [2.0, 1.0, 0.0] + dice.logistic(size=rows) > 0).astype(int)
    return features.round(4), labels


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Promote without a Bento."""
    with changing_world.quick_packages():
        yield


def champion(space: Workspace, task: Task) -> LoadedModel:
    """Load the champion's package."""
    found = Registry(space).champion(task.name)
    assert found
    return LoadedModel.load(space.package(task.name, found.version))


def estimated(space: Workspace, task: Task, model: LoadedModel) -> Estimate:
    """Estimate from all records."""
    return estimate(space, load_live_quality(space, task), model.version)


@pytest.mark.parametrize(("distance", "seed"), [(0.0, 5), (1.5, 6)])
def test_accuracy_is_estimated_when_inputs_shift(tmp_path: Path, distance: float, seed: int) -> None:
    """Without truths the estimate is near the accuracy of 2000 new orders; with truths its error is shown."""
    space, task = changing_world.new_world(tmp_path, changing_world.World(shift=99))
    features, labels = orders(2000, distance, seed)
    instances = [dict(zip(changing_world.FEATURES, row, strict=True)) for row in features.tolist()]
    model = champion(space, task)
    write_records(space, model, instances)
    found = estimated(space, task, model)
    right = [answer["label"] for answer in model.predict(instances[:1000]) + model.predict(instances[1000:])]
    truths = [changing_world.LABELS[label] for label in labels]
    accuracy = float(np.mean(np.array(right) == np.array(truths)))
    assert found.value == pytest.approx(accuracy, abs=0.03)
    assert found.low < found.value < found.high
    assert monitor(space, task)["estimated"]["checked"] is None
    write_truths(space, task.name, truths)
    checked = monitor(space, task)["estimated"]["checked"]
    assert checked["error"] == pytest.approx(checked["estimated"] - checked["live"])
    assert abs(checked["error"]) < 0.06
    shown = CliRunner().invoke(cli, ["monitor", task.name], env={"TILTYARD_ROOT": str(tmp_path)}).output
    assert "estimated accuracy without ground truth: 0." in shown
    assert "where ground truth has come" in shown


def test_the_estimate_of_numbers_follows_the_loss(tmp_path: Path) -> None:
    """On steeper slopes prices are less certain: the estimated error rises with the true one, by the loss model."""
    table = prices(1500, 0.5, 0)
    space, task = changing_world.new_champion(tmp_path, "prices", PRICES, table)
    model = champion(space, task)
    found = {}
    for name, slope in (("flat", 0.5), ("steep", 1.5)):
        rows = prices(800, slope, 3)
        instances = rows[["size", "slope"]].to_dict("records")
        errors = np.abs(np.array(model.predict(instances)) - rows["price"])
        write_records(space, model, instances, name=name)
        quality = load_live_quality(space, task)
        latest = estimated_quality.latest(quality, quality.predictions_of(model.version), len(rows))
        found[name] = estimate(space, latest, model.version).value
        assert found[name] == pytest.approx(errors.mean(), rel=0.2), name
    assert found["steep"] > 1.5 * found["flat"]


def test_a_changed_relation_is_not_seen(tmp_path: Path) -> None:
    """When only the labels change, the estimate stays: it is then wrong, which the truths show."""
    space, task = changing_world.new_world(tmp_path, changing_world.World(shift=99))
    features, labels = orders(600, 0.0, 7)
    instances = [dict(zip(changing_world.FEATURES, row, strict=True)) for row in features.tolist()]
    write_records(space, champion(space, task), instances, [changing_world.LABELS[1 - one] for one in labels])
    found = monitor(space, task)["estimated"]
    assert found["value"] > 0.7
    assert found["checked"]["live"] < 0.3
    assert found["checked"]["error"] > 0.4


def test_what_is_fitted_stays_when_the_sealed_rows_change(tmp_path: Path) -> None:
    """The fit of a version is stored; without it, sealed rows of later data do not calibrate it."""
    world = changing_world.World(shift=0)
    space, task = changing_world.new_world(tmp_path, world)
    model = champion(space, task)
    features, _ = orders(100, 0.0, 8)
    write_records(space, model, [dict(zip(changing_world.FEATURES, row, strict=True)) for row in features.tolist()])
    before = estimated(space, task, model)
    assert before.measured
    world.table(3).to_csv(tmp_path / "orders.csv", index=False)
    changing_world.stages(space, task)
    assert estimated(space, task, model) == before
    next(space.state(task.name, "estimate").glob("*.json")).unlink()
    assert "the sealed rows are not those that" in estimated(space, task, model).reason


def test_too_few_predictions_are_not_estimated(tmp_path: Path) -> None:
    """With fewer than twenty predictions, or for a task of another kind, the reason is said."""
    space, task = changing_world.new_world(tmp_path, changing_world.World())
    model = champion(space, task)
    write_records(space, model, [dict.fromkeys(changing_world.FEATURES, 0.0)] * 19)
    assert estimated(space, task, model).reason == "expected 20 recorded predictions; received 19"
    digits = loader.load(Workspace(ROOT), "sine")
    assert estimated_quality.unsupported(digits) == "it is estimated for one label or one number, not for forecasting"


def test_temperature_repairs_confidence(tmp_path: Path) -> None:
    """Probabilities that are too sure are made less sure until drawn labels agree as often as the real ones."""
    dice = np.random.default_rng(0)
    logits = dice.normal(size=(4000, 1)) * [[1.0, -1.0]]
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (dice.random(4000) > true[:, 0]).astype(int)
    sure = true**3 / (true**3).sum(axis=1, keepdims=True)
    fitted = Temperatures.fit(sure, labels, seed=0)
    assert np.mean(fitted.values) == pytest.approx(3.0, rel=0.15)
    drawn = np.mean([(fitted.draw(sure, dice) == sure.argmax(axis=1)).mean() for _ in range(20)])
    assert drawn == pytest.approx((labels == sure.argmax(axis=1)).mean(), abs=0.02)
    fitted.save(tmp_path / "fit.json")
    assert Temperatures.load(tmp_path / "fit.json") == fitted


def test_loss_model_knows_where_errors_are_large(tmp_path: Path) -> None:
    """The predicted size of errors grows with the feature that they depend on, and is bounded far from the rows."""
    dice = np.random.default_rng(0)
    features = dice.normal(size=(2000, 2))
    residuals = dice.normal(size=2000) * (0.5 + features[:, 0] ** 2)
    fitted = LossModel.fit(features, residuals, seed=0)
    near, far, beyond = fitted.sizes(np.array([[0.0, 0.0], [2.0, 0.0], [1e6, 0.0]]), np.array(fitted.weights[0]))
    assert near == pytest.approx(0.8 * 0.5, rel=0.35)
    assert far == pytest.approx(0.8 * 4.5, rel=0.35)
    assert beyond <= 5 * fitted.mean
    drawn = fitted.draw(np.zeros((2000, 1)), features, dice)
    assert np.abs(drawn).mean() == pytest.approx(np.abs(residuals).mean(), rel=0.1)
    fitted.save(tmp_path / "fit.json")
    assert LossModel.load(tmp_path / "fit.json") == fitted
    assert files.read_json(tmp_path / "fit.json").keys() == {"weights", "mean", "ratios"}
