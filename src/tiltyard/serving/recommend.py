"""The command recommend: recommendations and similar items of a task's champion, without a server."""

from __future__ import annotations

from typing import Any

import msgspec

from tiltyard.config.task import Task
from tiltyard.errors import DataError, RequestError
from tiltyard.serving.predict import load_champion
from tiltyard.serving.requests import recommend_request
from tiltyard.serving.requests.message import RequestMessage
from tiltyard.workspace import Workspace


def recommend(workspace: Workspace, task: Task, verb: str, content: dict[str, Any]) -> dict[str, Any]:
    """Return the answer of the service to a request: recommend, similar or find."""
    model, message = load_champion(workspace, task), RequestMessage(verb, msgspec.json.encode(content))
    try:
        response = recommend_request.respond(model, message)
    except RequestError as error:
        text = f"{error.field}: {error.message}" if error.field else error.message
        raise DataError(text, hint=f"search for names: tiltyard recommend {task.name} --find TEXT") from None
    answer: dict[str, Any] = msgspec.json.decode(response.content)
    return answer
