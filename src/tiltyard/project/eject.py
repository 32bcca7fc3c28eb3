"""The command `eject`: copy files of the package into the project, to be edited there."""

from __future__ import annotations

import shutil
from pathlib import Path

from tiltyard import files
from tiltyard.errors import WorkspaceError
from tiltyard.serving.packaging import wheel
from tiltyard.workspace import TEMPLATES, Workspace

SOURCE_LINE = "COPY src/tiltyard /app/tiltyard"  # of the Containerfile in the tool's own repository
WHEEL_LINES = """\
COPY serving/wheels /tmp/wheels
RUN /opt/venv/bin/python -m zipfile -e /tmp/wheels/tiltyard-*.whl /app"""


def eject_serving(workspace: Workspace, *, force: bool = False) -> list[str]:
    """Copy the service, the container file and the manifests into serving/, with a wheel of the code that they run."""
    target = workspace.serving
    source = TEMPLATES / "serving"
    paths = (path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    names = sorted(path.relative_to(source).as_posix() for path in paths)
    if taken := [] if force else [name for name in names if (target / name).exists()]:
        raise WorkspaceError(
            f"serving/{taken[0]} exists already", hint="to overwrite it: tiltyard eject serving --force"
        )
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(source / name, target / name)
    shutil.rmtree(target / "wheels", ignore_errors=True)
    written = wheel.write(target / "wheels")
    return [*(f"serving/{name}" for name in names), f"serving/wheels/{written.name}"]


def _copy(source: Path, target: Path) -> None:
    text = source.read_text(encoding="utf-8")
    if source.name == "Containerfile":
        text = text.replace(SOURCE_LINE, WHEEL_LINES)
    files.write_text(target, text)
