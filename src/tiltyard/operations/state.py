"""The state of an operated task: the action in progress and the trial. It is one file, replaced atomically.

The ledger, not this file, has what budgets are counted by. Without the file, a trial in progress is left to a person.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from tiltyard import files
from tiltyard.errors import WorkspaceError
from tiltyard.registry.rollout import VERSION
from tiltyard.settings import Settings
from tiltyard.workspace import Workspace

Action = Literal["retrain", "shadow", "canary", "promote", "end", "rollback"]
ACTIONS: tuple[Action, ...] = ("retrain", "shadow", "canary", "promote", "end", "rollback")


class Pending(Settings):
    """An action that was decided; it stays here until it is done, so that it is carried out after a kill."""

    id: str  # that of its decision in the ledger
    action: Action
    reason: str
    champion: str  # when it was decided
    version: str = ""  # the challenger, or the version that returns
    share: float = 0.0  # of a canary
    seconds: float = 0.0  # a retraining has taken so far
    limit: float = 0.0  # the seconds that a retraining may take


class Trial(Settings):
    """A challenger that passed the gate and is tried on live requests."""

    version: str = Field(pattern=VERSION)
    champion: str = Field(pattern=VERSION)
    since: float
    step_since: float
    begun: bool = False  # whether its first step has begun
    asked: bool = False  # whether a person must approve it now


class State(Settings):
    """The content of the file."""

    format: Literal[1] = 1
    task: str
    pending: Pending | None = None
    trial: Trial | None = None
    counted: dict[str, Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(
        default_factory=dict
    )  # by version: requests and failed ones when the present count began
    told: dict[str, float] = Field(default_factory=dict)  # when each message was sent last
    decided: int = 0  # lines of the ledger whose verdicts were looked at

    def with_(self, **changes: Any) -> State:
        """Return the state with other values, validated."""
        return State.model_validate({**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


def path(workspace: Workspace, task: str) -> Path:
    """Return the file of a task's state."""
    return workspace.state(task, "watch") / "state.json"


def read(workspace: Workspace, task: str) -> State:
    """Read the state of a task; a new one if there is none."""
    place = path(workspace, task)
    if not place.is_file():
        return State(task=task)
    try:
        return State.model_validate(files.read_json(place))
    except (ValidationError, ValueError, RecursionError):
        shown = place.relative_to(workspace.root)
        raise WorkspaceError(
            f"{shown} is not the state of `tiltyard watch` as this version writes it",
            hint=f"end a trial, if one runs: tiltyard traffic {task} --off; then: rm {shown}",
        ) from None


def write(workspace: Workspace, state: State) -> None:
    """Replace the state of a task."""
    files.write_json(path(workspace, state.task), state.model_dump(mode="json"))
