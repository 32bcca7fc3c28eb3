"""Rollouts (canary or shadow): a challenger receives a share of a task's requests, or a copy of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tiltyard import files
from tiltyard.errors import PackageError, RegistryError
from tiltyard.settings import Settings

VERSION = "^[0-9a-f]{12}$"  # another value could lead out of the packages folder


class Rollout(Settings):
    """The content of serving/traffic/TASK.json; the rollout ends when the champion changes."""

    task: str
    version: str = Field(pattern=VERSION)
    way: Literal["shadow", "canary"]
    share: float = Field(gt=0, le=1)
    champion: str = Field(pattern=VERSION)
    since: str
    who: str = ""


def read(path: Path) -> Rollout | None:
    """Read the rollout of a task, if there is one."""
    if not path.is_file():
        return None
    try:
        return Rollout.model_validate(files.read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        received = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (ValueError, RecursionError) as error:
        received = f"expected one JSON object; {error}"
    raise RegistryError(f"{path} is not a rollout: {received}", hint=f"end it: tiltyard traffic {path.stem} --off")


def require_proof(folder: Path) -> None:
    """Require the files that `tiltyard package` writes after verification: anyone can copy a model into a folder."""
    for name in ("proven.json", "golden.json"):
        if not (folder / name).is_file():
            raise PackageError(f"{folder} was not verified: expected {name}", f"tiltyard package {folder.parent.name}")


def write(path: Path, challenge: Rollout) -> None:
    """Write it atomically; running workers notice the change."""
    files.write_json(path, challenge.model_dump(mode="json"))
