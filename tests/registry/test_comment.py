"""The command comment: verdicts as Markdown for a pull request."""

from __future__ import annotations

import json

import pytest
from workspaces import main

from tiltyard.registry.comment import MARKER
from tiltyard.registry.decision import Decision
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

CHECK = {"title": "Better than the baseline", "severity": "HOLD", "repeatable": False}
CHECKS = [
    {**CHECK, "code": "baseline", "state": "failed", "text": "0.6 against `0.7` | <b>"},
    {**CHECK, "code": "size", "title": "Size", "state": "passed", "text": ""},
    {**CHECK, "code": "drift", "title": "Drift", "state": "not applicable", "text": "no records"},
]


def _decide(workspace: Workspace, verdict: str, **more: object) -> None:
    given = {"metric": "accuracy", "metrics": {"accuracy": 0.61234}, "baseline": {"accuracy": 0.7}, **more}
    Registry(workspace).record(Decision(task="iris", verdict=verdict, version="4af", **given))


def test_a_held_task_shows_reasons_and_checks(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The row has verdict and values; failed checks come with their sentence, escaped; others are counted."""
    _decide(workspace, "HOLD", reasons=["worse | than before"], checks=CHECKS)
    assert main(monkeypatch, "comment", "iris", "sine") == 0
    text = capsys.readouterr().out
    assert text.startswith(MARKER)
    assert "| iris | ⏸️ **HOLD** | `4af` | accuracy | 0.6123 | 0.7 |  |" in text
    assert "| sine | not judged yet |" in text
    assert r"> worse \| than before" in text
    assert "iris: 1 of 2 checks failed" in text
    assert r"0.6 against \`0.7\` \| &lt;b&gt;" in text
    assert "Drift" not in text


def test_a_promoted_task_names_the_champion_it_beat(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The champion's value stands beside the challenger's, and the reasons are left out."""
    gain = {"new": 0.61, "old": 0.55, "value": 0.06, "low": 0.01, "high": 0.1}
    _decide(workspace, "PROMOTE", reasons=["better"], checks=CHECKS[1:], evidence={"over_champion": gain})
    assert main(monkeypatch, "comment", "iris", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["tasks"] == ["iris"]
    assert "✅ **PROMOTE** | `4af` | accuracy | 0.6123 | 0.7 | 0.55 |" in printed["markdown"]
    assert "all 1 checks passed" in printed["markdown"]
    assert "better" not in printed["markdown"]
