"""Rollouts as decisions: recorded, signed, verified, and refused for packages that failed the smoke test."""

from __future__ import annotations

import json
from typing import Any

import pytest
import random_models
from starlette.applications import Starlette
from workspaces import edit_task

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import RegistryError
from tiltyard.monitoring import traffic
from tiltyard.registry import rollout, signing
from tiltyard.registry.decision import Decision
from tiltyard.registry.queries import why
from tiltyard.registry.registry import Registry
from tiltyard.registry.verify import verify, verify_tasks
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.workspace import Workspace

ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]


def start_rollout(project: ServedProject, way: str, share: float) -> None:
    """Start a rollout of the second version against the first, like the command."""
    space, versions, *_ = project
    traffic.start_rollout(space, loader.load(space, "iris"), (versions[1], way), share)


@pytest.mark.parametrize("damage", ["proven.json", "golden.json", "no rows"])
def test_challenger_without_smoke_test_is_not_served(
    served_project: ServedProject, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A challenger without a passed smoke test is not served, even by a file written by hand."""
    space, (first, second, _), app, watcher = served_project
    folder = space.package("iris", second)
    if damage == "no rows":
        files.write_json(folder / "golden.json", {"instances": [], "predictions": []})
    else:
        (folder / damage).unlink()
    rollout.write(space.traffic("iris"), make_rollout(first, second))
    watcher.poll()
    assert app.state.splits == {}
    assert "iris: the new challenger is not served" in caplog.text


def make_rollout(champion: str, version: str, **more: Any) -> rollout.Rollout:
    """Return a rollout for all clients, as someone could write it by hand."""
    content = {"task": "iris", "way": "canary", "share": 1.0, "since": "2026-11-28", "version": version}
    return rollout.Rollout.model_validate({**content, "champion": champion, **more})


def rollout_states(space: Workspace) -> dict[str, str]:
    """Return the results of `verify` for the rollout and its package, for all tasks and for iris."""
    (found,) = {
        tuple((row["what"], row["state"]) for row in rows if row["what"].startswith("challenge"))
        for rows in (verify(space, loader.load(space, "iris")), [*verify_tasks(space, ["iris"])])
    }
    return dict(found)


def test_rollout_is_a_decision_that_verify_checks(served_project: ServedProject) -> None:
    """The ledger has start and end of a rollout; `verify` reports files written, changed or restored by hand."""
    space, (first, second, third), *_ = served_project
    path, task = space.traffic("iris"), loader.load(space, "iris")
    assert rollout_states(space) == {}
    start_rollout(served_project, "canary", 0.25)
    valid_content = path.read_bytes()
    assert rollout_states(space) == {"challenge": "same", "challenger": "same"}
    line = Registry(space).decisions("iris")[-1]
    assert (line.verdict, line.version, line.champion) == ("CHALLENGE", second, first)
    assert line.evidence["challenge"] == json.loads(valid_content)
    for changed in (
        {"share": 1.0},
        {"way": "shadow"},
        {"version": third},
        {"champion": third},
        {"who": "anna"},
        {"task": "sine"},
    ):
        rollout.write(path, rollout.Rollout.model_validate(json.loads(valid_content) | changed))
        assert rollout_states(space)["challenge"] == "changed", changed
    path.write_bytes(b"{")
    assert rollout_states(space) == {"challenge": "changed"}
    traffic.end_rollout(space, task)
    assert not path.exists()
    start_rollout(served_project, "canary", 0.25)
    valid_content = path.read_bytes()
    traffic.end_rollout(space, task)
    traffic.end_rollout(space, task)
    assert [one.verdict for one in Registry(space).decisions("iris")[-2:]] == ["CHALLENGE", "END"]
    assert rollout_states(space) == {}
    path.write_bytes(valid_content)
    assert rollout_states(space)["challenge"] == "changed"
    start_rollout(served_project, "canary", 0.25)
    valid_content = path.read_bytes()
    random_models.set_champion(space, first)
    path.write_bytes(valid_content)
    assert rollout_states(space)["challenge"] == "changed"
    assert Registry(space).faults("iris") == []


def test_package_of_a_challenger_is_verified(served_project: ServedProject) -> None:
    """`verify` checks the challenger's package: every byte, its smoke test and its presence."""
    space, (first, second, third), *_ = served_project
    rollout.write(space.traffic("iris"), make_rollout(first, third))
    assert rollout_states(space) == {"challenge": "changed", "challenger": "unknown"}
    start_rollout(served_project, "canary", 0.25)
    folder = space.package("iris", second)
    for name in ("model.onnx", "encoder.json", "card.md", "golden.json", "proven.json", "reference.json"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b"\n")
        assert rollout_states(space) == {"challenge": "same", "challenger": "changed"}, name
        (folder / name).unlink()
        assert rollout_states(space) == {"challenge": "same", "challenger": "changed"}, name
        (folder / name).write_bytes(content)
    folder.rename(folder.with_name("aside"))
    assert rollout_states(space) == {"challenge": "same", "challenger": "unknown"}


def test_why_shows_the_verdict_during_a_rollout(served_project: ServedProject) -> None:
    """`why` explains the verdict even during a rollout; without a verdict it shows the rollout."""
    space, (_, second, _), *_ = served_project
    task = loader.load(space, "iris")
    start_rollout(served_project, "shadow", 1.0)
    assert why(space, task, second)["verdict"] == "CHALLENGE"
    Registry(space).record(Decision(task="iris", verdict="HOLD", version=second, reasons=["a test"]))
    start_rollout(served_project, "canary", 0.1)
    assert why(space, task, second)["verdict"] == "HOLD"


def test_rollout_must_be_signed_if_decisions_must(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where decisions must be signed, a rollout needs a key to start and to end."""
    space, (_, second, _), *_ = served_project
    monkeypatch.setenv("XDG_CONFIG_HOME", str(space.root.parent / "home"))
    edit_task(space, "iris", {"gate.signed": True})
    task = loader.load(space, "iris")
    for action in (
        lambda: traffic.start_rollout(space, task, (second, "canary"), 0.5),
        lambda: traffic.end_rollout(space, task),
    ):
        with pytest.raises(RegistryError, match="must be signed"):
            action()
    signing.create_key(space, "anna")
    start_rollout(served_project, "canary", 0.5)
    traffic.end_rollout(space, task)
    assert [entry.signer for entry in Registry(space).entries("iris")[-2:]] == ["anna", "anna"]
