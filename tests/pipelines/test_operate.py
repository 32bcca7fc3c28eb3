"""The watch as a Prefect flow on a real server: a run is one look, and its messages are events."""

from __future__ import annotations

from typing import Any

import pytest

from tiltyard.operations.messages import Message
from tiltyard.operations.watcher import Look
from tiltyard.pipelines import operate, schedule
from tiltyard.workspace import Workspace

LOOK = Look("iris", "retrain", "drift", messages=[Message("drift", "iris", "it drifted", "tiltyard monitor iris")])


@pytest.mark.slow
def test_a_run_is_one_look(project: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flow returns what the looks found, emits events for actions and messages, and fails if a look does."""
    events = list[tuple[str, str]]()

    def emit_event(event: str, resource: dict[str, str], payload: dict[str, str]) -> None:
        events.append((event, f"{resource['prefect.resource.id']} {payload.get('command', payload.get('reason'))}"))

    looks = [LOOK]
    monkeypatch.setattr(operate, "emit_event", emit_event)
    monkeypatch.setattr(operate, "look_once", lambda *_: looks)
    state: Any = operate.watch_flow(str(project.root), ["iris"], return_state=True)
    assert state.result() == [LOOK]
    assert events == [
        ("tiltyard.watch.retrain", "tiltyard.task.iris drift"),
        ("tiltyard.message.drift", "tiltyard.task.iris tiltyard monitor iris"),
    ]
    looks.append(Look("sine", error="no champion pointer"))
    failed: Any = operate.watch_flow(str(project.root), ["iris", "sine"], return_state=True)
    assert (failed.is_failed(), failed.message) == (True, "sine: no champion pointer")


@pytest.mark.slow
def test_the_watch_is_a_deployment(project: Workspace) -> None:
    """Its deployment has a name of its own beside that of the pipeline for the same tasks."""
    from prefect.client.orchestration import get_client

    schedule.deployment(project, ["iris"], "*/15 * * * *", flow=operate.watch_flow).apply()
    with get_client(sync_client=True) as client:
        deployed = client.read_deployment_by_name("watch/iris")
    assert deployed.parameters == {"root": str(project.root), "names": ["iris"]}
    assert deployed.entrypoint == "tiltyard.pipelines.operate.watch_flow"
