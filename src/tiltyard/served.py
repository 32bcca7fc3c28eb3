"""A packaged version, loaded and warm: what the service keeps for each task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files
from tiltyard.errors import PackageError, RequestError
from tiltyard.predictor import Predictor, version


@dataclass(frozen=True)
class Served:
    """One model behind one name."""

    schema: dict[str, Any]
    predictor: Predictor

    @classmethod
    def load(cls, folder: Path) -> Served:
        """Open a package, refuse it if its files are not those that were packaged, and answer once to warm up."""
        if not (folder / "schema.json").is_file():
            raise PackageError(f"no package in {folder}: expected schema.json", hint="make one: tiltyard run TASK")
        schema = files.read_json(folder / "schema.json")
        if (found := version(folder)) != schema["version"]:
            raise PackageError(f"{folder} was changed: expected version {schema['version']}; received {found}")
        served = cls(schema, Predictor.load(folder))
        served.predict([schema["example"]])
        return served

    @property
    def task(self) -> str:
        """The name it answers to."""
        name: str = self.schema["task"]
        return name

    @property
    def max_body_bytes(self) -> int:
        """The largest body it reads."""
        limit: int = self.schema["limits"]["max_body_bytes"]
        return limit

    def predict(self, instances: object) -> list[Any]:
        """Answer instances; values so large that the model overflows are refused, since JSON has no infinity."""
        encoder = self.predictor.encoder
        outputs = self.predictor.outputs(encoder.parse(instances))
        if not np.isfinite(outputs).all():
            (first, *_) = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
            raise RequestError("out_of_bounds", "the values are too large for the model", f"instances[{first}]")
        return encoder.answer(outputs)


def find(folder: Path) -> list[Path]:
    """List the packages below a folder: TASK/VERSION/schema.json, or schema.json itself."""
    found = (path.parent for pattern in ("schema.json", "*/*/schema.json") for path in folder.glob(pattern))
    return sorted(path for path in found if not path.name.startswith("."))  # a dot: a kill left it half-written
