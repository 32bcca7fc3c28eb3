"""The command sample: draw samples of a task's champion, without a server."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tiltyard import files
from tiltyard.config.task import Task
from tiltyard.errors import RequestError
from tiltyard.serving.predict import load_champion
from tiltyard.serving.requests import sample_request
from tiltyard.workspace import Workspace


def sample(workspace: Workspace, task: Task, request: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the samples of a request, as the service does."""
    model = load_champion(workspace, task)
    try:
        return sample_request.samples(model, sample_request.parse(model, request))
    except RequestError as error:
        field = f"--{error.field}: " if error.field else ""
        raise RequestError(error.code, f"{field}{error.message}", error.field) from None


def write_pictures(samples: list[dict[str, Any]], folder: Path, seed: int) -> list[str]:
    """Write each sample as a PNG file named by its seed and place; return the names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for place, drawn in enumerate(samples):
        label = f"-{_safe(drawn['class'])}" if "class" in drawn else ""
        names.append(f"seed{seed}-{place:03}{label}.png")
        files.write_bytes(folder / names[-1], base64.b64decode(drawn["image"]["b64"]))
    return names


def _safe(label: str) -> str:
    """Return a label as part of a file name."""
    return "".join(letter if letter.isalnum() else "_" for letter in label)
