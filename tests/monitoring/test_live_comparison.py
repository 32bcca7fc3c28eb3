"""Live comparison: champion and challenger are compared by ground truth, paired or unpaired."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import random_models
from starlette.applications import Starlette
from starlette_client import TestClient

from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.monitoring import traffic
from tiltyard.monitoring.live_comparison import agreement, compare
from tiltyard.monitoring.live_quality import load_live_quality
from tiltyard.monitoring.records import RECORD_KINDS
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.workspace import Workspace

ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]
OLD, NEW = "a" * 12, "b" * 12
CLASSES = ("setosa", "versicolor", "virginica")


def write_predictions(
    space: Workspace, version: str, right: int, ids: range, *, arm: str = "champion", since: float = 0
) -> None:
    """Write predictions like a worker, with the given number of correct ones; the truth is always setosa."""
    spool = AppendLog(space.records / "iris" / RECORD_KINDS[0])
    for index, name in enumerate(ids):
        label = CLASSES[index >= right]
        prediction = {"label": label, "probabilities": {one: float(one == label) for one in CLASSES}}
        line = {"id": f"r{name}", "time": since + index, "ms": 1.0, "arm": arm, "version": version}
        spool.add(json.dumps({**line, "instances": [random_models.IRIS], "predictions": [prediction]}).encode())
    spool.close()


def write_truths(space: Workspace, ids: range) -> None:
    """Write truths like a worker."""
    spool = AppendLog(space.records / "iris" / RECORD_KINDS[1])
    truths = [{"id": f"r{name}", "instance": 0, "truth": "setosa"} for name in ids]
    spool.add(json.dumps({"time": 9.0, "truths": truths}).encode())
    spool.close()


@pytest.fixture
def task(champions_project: Workspace) -> Task:
    """Return iris, with accuracy as its metric."""
    loaded = loader.load(champions_project, "iris")
    return loaded.model_copy(update={"gate": loaded.gate.model_copy(update={"metric": "accuracy"})})


def test_shadow_is_compared_on_paired_rows(task: Task, tmp_path: Path) -> None:
    """With paired rows, five more correct predictions of 100 are a significant gain."""
    space = Workspace(tmp_path)
    write_predictions(space, OLD, 80, range(100))
    write_predictions(space, NEW, 90, range(100), arm="shadow")
    write_truths(space, range(100))
    quality = load_live_quality(space, task)
    comparison = compare(quality, NEW, OLD)
    assert comparison is not None
    assert (comparison.truths, comparison.same) == (100, True)
    assert (comparison.gain.new, comparison.gain.old) == (0.9, 0.8)
    assert comparison.gain.low > 0
    assert agreement(quality, NEW, OLD) == {"answers": 100, "equal": 0.9}
    assert "live accuracy 0.9 against the champion's 0.8 by 100 truths of the same requests" in comparison.describe(
        task.gate
    )


def test_canary_is_compared_on_unpaired_rows_of_the_same_period(task: Task, tmp_path: Path) -> None:
    """With unpaired rows, the same gain is not significant; the champion's other days are excluded."""
    space = Workspace(tmp_path)
    write_predictions(space, OLD, 80, range(100), since=1e6)
    write_predictions(space, OLD, 0, range(200, 300))
    write_predictions(space, NEW, 90, range(100, 200), arm="canary", since=1e6)
    write_truths(space, range(300))
    quality = load_live_quality(space, task)
    comparison = compare(quality, NEW, OLD)
    assert comparison is not None
    assert (comparison.truths, comparison.same) == (100, False)
    assert comparison.gain.value == pytest.approx(0.1)
    assert comparison.gain.low == pytest.approx(0.1 - 1.96 * np.sqrt((0.9 * 0.1 + 0.8 * 0.2) / 100), abs=0.02)
    assert agreement(quality, NEW, OLD) is None


def test_no_comparison_with_fewer_than_twenty_truths(task: Task, tmp_path: Path) -> None:
    """Below twenty truths there is no comparison."""
    space = Workspace(tmp_path)
    assert compare(load_live_quality(space, task), NEW, OLD) is None
    write_predictions(space, OLD, 9, range(100))
    write_predictions(space, NEW, 9, range(100), arm="shadow")
    write_truths(space, range(19))
    assert compare(load_live_quality(space, task), NEW, OLD) is None


def test_repeated_request_id_counts_once(task: Task, tmp_path: Path) -> None:
    """If a client repeats an id, its last prediction counts, and no truth is used twice."""
    space = Workspace(tmp_path)
    write_predictions(space, OLD, 0, range(30))
    write_predictions(space, OLD, 30, range(30), since=100)
    write_truths(space, range(30))
    quality = load_live_quality(space, task).quality(OLD)
    assert quality is not None
    assert (quality["truths"], quality["value"]) == (30, 1.0)


def test_agreement_of_numbers_is_their_mean_and_p99_distance(champions_project: Workspace, tmp_path: Path) -> None:
    """For numbers, the agreement is the mean and the 99th percentile of their distance."""
    space, task = Workspace(tmp_path), loader.load(champions_project, "diabetes")
    for version, value in ((OLD, 100.0), (NEW, 103.0)):
        spool = AppendLog(space.records / "diabetes" / RECORD_KINDS[0])
        line = {"id": "a", "time": 1.0, "ms": 1.0, "arm": "champion", "version": version, "predictions": [value, value]}
        spool.add(json.dumps({**line, "instances": [{}, {}]}).encode())
        spool.close()
    assert agreement(load_live_quality(space, task), NEW, OLD) == {"answers": 2, "apart": 3.0, "apart_p99": 3.0}


def test_traffic_report_has_both_arms_agreement_and_gain(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a shadow with feedback, the report has both arms, their agreement, and the gain."""
    from click.testing import CliRunner

    from tiltyard.cli.main import cli

    space, (first, second, _), app, watcher = served_project
    task = loader.load(space, "iris")
    traffic.start_rollout(space, task, (second, "shadow"), 1.0)
    assert traffic.traffic(space, task)["report"]["arms"] == []
    watcher.poll()
    recorder = app.state.recorder = Recorder(space.records)
    with TestClient(app) as client:
        for _ in range(5):
            response = client.post("/v1/models/iris:predict", json={"instances": [random_models.IRIS] * 6})
            one = {
                "id": response.headers["x-request-id"],
                "token": response.headers["x-feedback-token"],
                "truth": "setosa",
            }
            items: list[dict[str, Any]] = [{**one, "instance": index} for index in range(6)]
            client.post("/v1/models/iris:feedback", json={"feedback": items})
    recorder.sender.finish()
    report = traffic.traffic(space, task)["report"]
    assert {row["arm"]: row["instances"] for row in report["arms"]} == {"champion": 30, "shadow": 30}
    assert {row["version"] for row in report["arms"]} == {first, second}
    assert all(0 < row["p50_ms"] <= row["p99_ms"] for row in report["arms"])
    assert report["agreement"]["answers"] == 30
    assert (report["match"]["truths"], report["match"]["same"]) == (30, True)
    monkeypatch.chdir(space.root)
    output = CliRunner().invoke(cli, ["traffic", "iris"]).output
    assert "on the same 30 instances" in output
    assert "by 30 truths of the same requests" in output
