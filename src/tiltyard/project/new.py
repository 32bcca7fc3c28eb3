"""The command `new`: write the files of a project, and later those again that nobody has edited."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.data import dvc, stage_code
from tiltyard.errors import WorkspaceError
from tiltyard.workspace import TEMPLATES, Workspace

WRITTEN = ".tiltyard-files.json"  # hashes of the files as they were written, by which edited ones are known
EXAMPLE = "iris"
USERS = {"README.md", "params.yaml", f"tasks/{EXAMPLE}.yaml"}  # written once: these are the user's from then on
DVC_HEADER = """\
# The stages of each task in params.yaml, which `tiltyard run` and `dvc repro` run. Written by Tiltyard: `tiltyard new
# --update` writes it again for another version, unless it was edited.
"""


@dataclass
class Written:
    """What was done with each file of a project."""

    root: Path
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)  # edited by the user, and different from what would be written


def new(folder: Path, *, example: bool = True) -> Written:
    """Make a project in a new folder, or in one that holds no file of the same names."""
    contents = _contents(folder.name, example=example)
    if taken := [name for name in contents if (folder / name).exists()]:
        raise WorkspaceError(
            f"{folder}: expected a folder without {taken[0]}; it is there",
            hint="choose another folder; or write again what was not edited: tiltyard new --update",
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", folder.name):
        raise WorkspaceError(
            f"{folder.name!r}: expected a name of letters, digits, - and _", hint="for example: tiltyard new shop"
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = _write(folder, contents, skip=set())
    _git_init(folder)
    dvc.init(Workspace(folder))
    return written


def update(workspace: Workspace) -> Written:
    """Write the files again, except those that were edited since and those of the user."""
    if not (workspace.root / WRITTEN).is_file():
        raise WorkspaceError(
            f"{workspace.root}: expected {WRITTEN}, which `tiltyard new` writes; there is none",
            hint="make a project in another folder, and copy tasks/ and params.yaml: tiltyard new shop",
        )
    known = files.read_json(workspace.root / WRITTEN)
    edited = {name for name, digest in known.items() if _digest_of(workspace.root / name) not in (digest, None)}
    contents = _contents(workspace.root.name, example=False)
    return _write(workspace.root, contents, skip=edited | USERS)


def _write(folder: Path, contents: dict[str, str], skip: set[str]) -> Written:
    done, path = Written(folder), folder / WRITTEN
    known: dict[str, str] = files.read_json(path) if path.is_file() else {}
    for name, text in contents.items():
        place = folder / name
        if name in skip:
            if name not in USERS and place.read_text(encoding="utf-8") != text:
                done.kept.append(name)
            continue
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            place.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(place, text)
            done.written.append(name)
        known[name] = _digest(text.encode())
    files.write_json(path, known)
    return done


def _contents(name: str, *, example: bool) -> dict[str, str]:
    """Return the files of a new project, with or without an example task."""
    task = f"tasks/{EXAMPLE}.yaml"
    return {
        **({task: _template(task)} if example else {}),
        "README.md": _template("README.md", NAME=name),
        "pyproject.toml": _template("project.toml", NAME=name.lower(), VERSION=metadata.version("tiltyard")),
        "params.yaml": f"tasks: [{EXAMPLE if example else ''}]\n",
        "dvc.yaml": dvc_yaml(),
        "tasks/schema.json": json.dumps(loader.json_schema(), indent=2, ensure_ascii=False) + "\n",
        ".gitignore": _template("gitignore"),
        ".dvcignore": _template("dvcignore"),
        ".github/workflows/tiltyard.yml": _template("workflow.yml"),
    }


def _template(name: str, **values: str) -> str:
    text = (TEMPLATES / name).read_text(encoding="utf-8")
    for key, value in values.items():
        text = re.sub(rf"\b{key}\b", value, text)
    return text


def dvc_yaml() -> str:
    """Return the stages of a project, which depend on fingerprints where those of the tool's own name source files."""
    code = {"cmd": "tiltyard code", "always_changed": True, "outs": [{stage_code.CODE: {"cache": False}}]}
    stages = {"code": code} | {verb: _of_a_project(verb, stage) for verb, stage in stage_code.stages().items()}
    content = yaml.safe_dump({"vars": ["params.yaml"], "stages": stages}, sort_keys=False, width=120)
    return DVC_HEADER + content


def _of_a_project(verb: str, stage: dict[str, Any]) -> dict[str, Any]:
    deps = [name for name in stage["deps"] if not name.startswith(stage_code.OWN)]
    rest = {key: value for key, value in stage.items() if key not in ("matrix", "cmd", "deps", "params")}
    first = {"matrix": stage["matrix"], "cmd": stage["cmd"], "deps": deps}
    keys = [key for tracked in stage.get("params", []) for key in tracked[stage_code.CODE]]
    return {**first, "params": [{stage_code.CODE: [verb, *keys]}], **rest}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of(path: Path) -> str | None:
    return _digest(path.read_bytes()) if path.is_file() else None


def _git_init(folder: Path) -> None:
    """Make a git repository, unless the folder is in one or there is no git: verdicts name the commit."""
    inside = any((parent / ".git").exists() for parent in (folder, *folder.resolve().parents))
    if not inside and shutil.which("git"):
        subprocess.run(["git", "init", "--quiet", str(folder)], check=False, capture_output=True)
