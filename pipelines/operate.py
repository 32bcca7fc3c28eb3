"""The watch as a Prefect flow: each run is one look at the operated tasks; its messages are events for automations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.events import emit_event
from prefect.states import Completed, Failed

from tiltyard.operations.watch import look_once
from tiltyard.operations.watcher import Look
from tiltyard.pipelines import schedule
from tiltyard.workspace import Workspace


# The name is stored in Prefect's databases and in deployments as watch/TASKS: it must stay.
@flow(name="watch", persist_result=False, validate_parameters=False)
def watch_flow(root: str, names: list[str]) -> Any:
    """Look at each task once; the run fails if a look does, after the others."""
    looks = look_once(Workspace(Path(root)), names)
    for look in looks:
        emit(look)
    failed = [f"{look.task}: {look.error}" for look in looks if look.error]
    return Failed(message="; ".join(failed), data=looks) if failed else Completed(data=looks)


def emit(look: Look) -> None:
    """Emit an event for each action and each message, by which an automation can be triggered."""
    resource = {"prefect.resource.id": f"tiltyard.task.{look.task}"}
    if look.action != "none":
        payload = {"reason": look.reason, "result": look.result}
        emit_event(event=f"tiltyard.watch.{look.action}", resource=resource, payload=payload)
    for message in look.messages:
        emit_event(event=f"tiltyard.message.{message.event}", resource=resource, payload=message.to_json())


def operate(workspace: Workspace, names: list[str], clock: tuple[str, str], ready: Callable[[], None]) -> int:
    """Serve the deployment of the watch until a signal arrives; return the signal's number."""
    return schedule.schedule(workspace, names, clock, ready, watch_flow)
