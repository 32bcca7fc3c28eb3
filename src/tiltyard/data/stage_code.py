"""Fingerprints of the installed code of each stage: dependencies in a project without the source tree.

In the tool's own repository dvc.yaml names packages of src/tiltyard. In another project its stages depend on the
keys of out/code.json, which the stage `code`, and every use of DVC by `tiltyard`, keeps current. Under the key `models`
it has the hash of the Python file that a task names, which the stage `train` depends on everywhere.
"""

from __future__ import annotations

import functools
import hashlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tiltyard import files, plugins
from tiltyard.workspace import PACKAGE, TEMPLATES, Workspace

CODE = "out/code.json"
OWN = "src/tiltyard/"  # where the code is in the repository of the tool
MODELS = "models"  # key of the hashes by task; it is no verb
NAMED = re.compile(r"[A-Za-z0-9_./-]+[.]py(?=:[A-Za-z_])")  # a file in the text of a task: model.path, FILE.py:FUNCTION


def stages() -> dict[str, Any]:
    """Return the stages of the tool's own dvc.yaml, of which the package has a copy."""
    read: dict[str, Any] = yaml.safe_load((TEMPLATES / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {verb: stage for verb, stage in read.items() if "matrix" in stage}


@functools.cache
def fingerprints() -> dict[str, str]:
    """Return for each stage the hash of the code that it depends on."""
    return {verb: _digest(stage["deps"]) for verb, stage in stages().items()}


def _digest(names: list[str]) -> str:
    digest = hashlib.sha256()
    for name in sorted(name.removeprefix(OWN) for name in names if name.startswith(OWN)):
        for path in _files(PACKAGE / name):
            digest.update(f"{path.relative_to(PACKAGE).as_posix()} {files.file_digest(path).hex()}\n".encode())
        for path in _plugin_files(name):
            digest.update(f"{path.name} {files.file_digest(path).hex()}\n".encode())
    return digest.hexdigest()


def _plugin_files(name: str) -> list[Path]:
    """Return the modules of other packages that add plug-ins to a part of ours."""
    places = {folder: package.replace(".", "/") for folder, package in plugins.FOLDERS.items()}
    below = [folder for folder, place in places.items() if f"{place}/".startswith(f"{name}/")]
    specs = [find_spec(point.module) for folder in below for point in plugins.others(folder).values()]
    return sorted(Path(spec.origin) for spec in specs if spec and spec.origin)


def _files(place: Path) -> list[Path]:
    """Return a file, or the files of a package without those that Python writes into it."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def models(workspace: Workspace) -> dict[str, str]:
    """Return for each task the hash of the Python files that it names; empty for a task that names none.

    The text is searched and not parsed: a run asks for all tasks many times, and most name none. A name in a comment
    costs at most a training too many.
    """
    return {name: _named(workspace, workspace.task_file(name)) for name in workspace.tasks()}


def _named(workspace: Workspace, path: Path) -> str:
    try:
        names = sorted({*NAMED.findall(path.read_text(encoding="utf-8"))})
    except (OSError, ValueError):  # the error is raised where the task is read
        return ""
    places = [workspace.root / name for name in names]
    return hashlib.sha256(b"".join(_content(place) for place in places)).hexdigest() if places else ""


def _content(place: Path) -> bytes:
    """Return the hash of a file, or nothing if it cannot be read: the stage that reads it raises the error."""
    return files.file_digest(place) if place.is_file() else b"none"


def write(workspace: Workspace) -> dict[str, Any]:
    """Write the fingerprints and hashes if they have changed; return them."""
    path, current = workspace.root / CODE, {**fingerprints(), MODELS: models(workspace)}
    if not path.is_file() or _read(path) != current:
        files.write_json(path, current)
    return current


def _read(path: Path) -> Any:
    try:
        return files.read_json(path)
    except ValueError:  # half a file
        return None


def is_used(workspace: Workspace) -> bool:
    """Whether stages of the project depend on the fingerprints."""
    path = workspace.root / "dvc.yaml"
    return path.is_file() and CODE in path.read_text(encoding="utf-8")
