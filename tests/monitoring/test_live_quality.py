"""The gate's check of live quality: the ground truth collected during a rollout affects the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from linear_challengers import prepared_project, quick_package, write_challenger
from random_models import IRIS
from sklearn.datasets import load_iris

from tiltyard.config.task import Task
from tiltyard.gate.judge import judge
from tiltyard.gate.promote import promote
from tiltyard.registry.registry import Registry
from tiltyard.serving.traffic.append_log import AppendLog
from tiltyard.workspace import Workspace


@pytest.fixture
def champion_and_challenger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, Task, str, str]:
    """Return a weak champion of iris, and a good challenger that was evaluated."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setattr("tiltyard.serving.packaging.package.package", quick_package)
    monkeypatch.setattr("tiltyard.gate.duel_setup.fit_reference", lambda *_: None)  # it beats the weak champion
    monkeypatch.setattr("tiltyard.gate.duel_setup._memory_mb", lambda _: 80.0)
    workspace, task = prepared_project(tmp_path / "arena", "iris")
    old = write_challenger(workspace, task, slice(1, 2))
    assert promote(workspace, task).verdict == "PROMOTE"
    return workspace, task, old, write_challenger(workspace, task, slice(4))


def write_live_records(workspace: Workspace, task: Task, right: dict[str, int]) -> None:
    """Write 300 requests predicted by both versions, with the given shares of correct ones, and their truths."""
    instances = [dict(zip(IRIS, row, strict=True)) for row in load_iris().data.tolist()] * 2
    predictions = AppendLog(workspace.records / "iris" / "answers")
    for version, good in right.items():
        for index in range(300):
            label = task.classes[index % 3 if index < good else (index + 1) % 3]
            prediction = {"label": label, "probabilities": {name: float(name == label) for name in task.classes}}
            line = {"id": f"r{index}", "time": 1.0, "ms": 1.0, "arm": "champion", "version": version}
            predictions.add(json.dumps({**line, "instances": [instances[index]], "predictions": [prediction]}).encode())
    truths = AppendLog(workspace.records / "iris" / "truths")
    items = [{"id": f"r{index}", "instance": 0, "truth": task.classes[index % 3]} for index in range(300)]
    truths.add(json.dumps({"time": 2.0, "truths": items}).encode())


def test_challenger_with_worse_live_quality_is_held(champion_and_challenger: tuple[Workspace, Task, str, str]) -> None:
    """A challenger that is worse live is held despite the sealed rows, and judged again after more truths."""
    workspace, task, old, new = champion_and_challenger
    write_live_records(workspace, task, {old: 280, new: 200})
    verdict = promote(workspace, task)
    assert (verdict.verdict, verdict.version) == ("HOLD", new)
    assert "by 300 truths of the same requests" in verdict.reasons[0]
    assert "expected an interval that includes zero or lies above it" in verdict.reasons[0]
    assert not judge(workspace, task).recorded
    champion = Registry(workspace).champion("iris")
    assert champion is not None
    assert champion.version == old


def test_decision_contains_the_live_comparison(champion_and_challenger: tuple[Workspace, Task, str, str]) -> None:
    """The decision contains the live comparison as a reason and as numbers."""
    workspace, task, old, new = champion_and_challenger
    write_live_records(workspace, task, {old: 200, new: 280})
    verdict = promote(workspace, task)
    assert verdict.verdict == "PROMOTE"
    assert verdict.reasons[-1].startswith("live balanced_accuracy 0.9333 against the champion's 0.6667 by 300 truths")
    decision = Registry(workspace).decisions("iris")[-1]
    assert (decision.version, decision.evidence["live"]["truths"]) == (new, 300)


def test_check_does_not_apply_without_records(champion_and_challenger: tuple[Workspace, Task, str, str]) -> None:
    """Without records the check does not apply, and creates no folder."""
    workspace, task, *_ = champion_and_challenger
    (outcome,) = [outcome for outcome in judge(workspace, task).outcomes if outcome.code == "live_quality"]
    assert outcome.state == "not applicable"
    assert not workspace.records.exists()
