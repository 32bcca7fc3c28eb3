"""A rollout (canary or shadow): a challenger that gets a share of a task's requests, or a copy of them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from tiltyard import files
from tiltyard.errors import PackageError, RegistryError
from tiltyard.settings import Settings

VERSION = "^[0-9a-f]{12}$"  # a name that is none could lead out of the folder of packages


class Rollout(Settings):
    """What serving/traffic/TASK.json holds; it ends as soon as another champion reigns than the one it names."""

    task: str
    version: str = Field(pattern=VERSION)
    way: Literal["shadow", "canary"]
    share: float = Field(gt=0, le=1)
    champion: str = Field(pattern=VERSION)
    since: str
    who: str = ""


def read(path: Path) -> Rollout | None:
    """Read the challenge of a task, if there is one."""
    if not path.is_file():
        return None
    try:
        return Rollout.model_validate(files.read_json(path))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        said = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
    except (ValueError, RecursionError) as error:
        said = f"expected one JSON object; {error}"
    raise RegistryError(f"{path} is no challenge: {said}", hint=f"end it: tiltyard traffic {path.stem} --off")


def insist_on_proof(folder: Path) -> None:
    """Want what `tiltyard package` leaves when a version has been proven; anybody can copy a model into a folder."""
    for name in ("proven.json", "golden.json"):
        if not (folder / name).is_file():
            raise PackageError(f"{folder} was not proven: expected {name}", f"tiltyard package {folder.parent.name}")


def write(path: Path, challenge: Rollout) -> None:
    """Write it whole; workers take it up by themselves."""
    files.write_json(path, challenge.model_dump(mode="json"))
