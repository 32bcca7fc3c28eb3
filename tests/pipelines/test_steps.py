"""Steps that run although DVC would skip them: a base has other weights or another vocabulary now."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tiltyard.config import base_tasks, loader
from tiltyard.workspace import Workspace

BASES: dict[str, dict[str, Any]] = {
    "transfer": {"family": "transfer", "base": "digits"},
    "pretrained": {"family": "pretrained", "base": "digits"},
}


@pytest.mark.parametrize(
    ("family", "stale", "expected"),
    [
        ("transfer", True, {"train"}),
        ("pretrained", True, {"prepare", "train"}),
        ("pretrained", False, set()),
    ],
)
def test_stages_that_use_a_changed_base_run_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, family: str, stale: bool, expected: set[str]
) -> None:
    """Weights are used in training; texts are encoded with the vocabulary of the base, so they are prepared again."""
    content = yaml.safe_load(workspace.task_file("digits").read_text(encoding="utf-8"))
    content["model"], content["train"]["augment"] = BASES[family], None
    if family == "pretrained":
        content |= {"columns": {"text": {"type": "text"}}, "serve": {"example": "a text"}}
        content["gate"] = {"metric": "accuracy"}
        content["expect"] = []
    workspace.task_file("few").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr(base_tasks, "is_stale", lambda *_: stale)
    task, stages = loader.load(workspace, "few"), ("validate", "prepare", "train", "evaluate")
    assert {stage for stage in stages if base_tasks.is_stage_stale(workspace, task, stage)} == expected
