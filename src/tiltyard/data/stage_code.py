"""Fingerprints of the installed code of each stage: dependencies in a project without the source tree.

In the tool's own repository dvc.yaml names packages of src/tiltyard. In another project its stages depend on the
keys of out/code.json, which the stage `code`, and every use of DVC by `tiltyard`, keeps current.
"""

from __future__ import annotations

import functools
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from tiltyard import files, plugins
from tiltyard.workspace import PACKAGE, TEMPLATES, Workspace

CODE = "out/code.json"
OWN = "src/tiltyard/"  # where the code is in the repository of the tool


def stages() -> dict[str, Any]:
    """Return the stages of the tool's own dvc.yaml, of which the package has a copy."""
    read: dict[str, Any] = yaml.safe_load((TEMPLATES / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return read


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


def write(workspace: Workspace) -> dict[str, str]:
    """Write the fingerprints if they have changed; return them."""
    path, current = workspace.root / CODE, fingerprints()
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
