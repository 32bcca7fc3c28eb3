"""A packaged version, loaded and warm: what the service keeps for each task."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from tiltyard import files
from tiltyard.errors import PackageError
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.registry import manifest
from tiltyard.serving.model.compiled_request import CompiledRequest, compile_request
from tiltyard.serving.model.tensors import Tensor, input_tensors, output_tensors


@dataclass(frozen=True)
class LoadedModel:
    """One model behind one name."""

    schema: dict[str, Any]
    predictor: Predictor
    card: str = ""  # as markdown
    reference: dict[str, Any] = field(default_factory=dict)  # how training rows are spread; older packages have none
    background: list[Any] = field(default_factory=list)  # golden rows, which answers are explained against
    folder: Path | None = None  # of the package, where another process finds it

    @classmethod
    def load(cls, folder: Path, files_digest: str = "") -> LoadedModel:
        """Open a package, refuse it if its files are not those that were packaged, and answer once to warm up.

        `files_digest` is what the pointer says of the files that the version does not cover.
        """
        if not (folder / "schema.json").is_file():
            raise PackageError(f"no package in {folder}: expected schema.json", hint="make one: tiltyard run TASK")
        manifest.check(folder, files_digest)
        schema = files.read_json(folder / "schema.json")
        if (found := version(folder)) != schema["version"]:
            raise PackageError(f"{folder} was changed: expected version {schema['version']}; received {found}")
        card = folder / "card.md"
        served = cls(
            schema,
            Predictor.load(folder),
            card.read_text(encoding="utf-8") if card.is_file() else "",
            _read_json(folder / "reference.json"),
            _background_rows(schema, folder / "golden.json"),
            folder.absolute(),
        )
        served.predict_each_way([schema["example"]])
        served.predictor.seconds(1)  # measured before the first request has to wait for it
        return served

    @property
    def task(self) -> str:
        """The name it answers to."""
        name: str = self.schema["task"]
        return name

    @property
    def version(self) -> str:
        """What it is, by its content."""
        found: str = self.schema["version"]
        return found

    @cached_property
    def inputs(self) -> list[Tensor]:
        """What it reads, for clients that send arrays."""
        return input_tensors(self.predictor.encoder)

    @cached_property
    def outputs(self) -> list[Tensor]:
        """What it gives them."""
        return output_tensors(self.schema)

    @cached_property
    def compiled_request(self) -> CompiledRequest | None:
        """The way of usual requests, if there is one for this problem."""
        return compile_request(self.predictor, self.version)

    @property
    def max_body_bytes(self) -> int:
        """The largest body it reads."""
        limit: int = self.schema["limits"]["max_body_bytes"]
        return limit

    def predict_each_way(self, instances: list[Any]) -> list[list[Any]]:
        """Answer in each way that there is: whoever proves or warms a model means what its clients will have."""
        found = [self.predict(instances)]
        if self.compiled_request and (
            short := self.compiled_request.respond(msgspec.json.encode({"instances": instances}))
        ):
            found.append(msgspec.json.decode(short[0])["predictions"])
        return found

    def predict(self, instances: object) -> list[Any]:
        """Answer instances."""
        return self.predictor.predict(instances)


def _background_rows(schema: dict[str, Any], path: Path) -> list[Any]:
    """Read golden rows of a table; those of pictures are large, and nothing is explained against them."""
    rows: list[Any] = _read_json(path).get("instances", []) if schema["instance"].get("type") == "object" else []
    return rows


def _read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return found


def find_packages(root: Path) -> list[Path]:
    """List all packages of a folder."""
    found = sorted(path.parent for path in (root / "packages").glob("[!.]*/[!.]*/schema.json"))
    if not found:
        raise PackageError(f"nothing to serve in {root}: no champion, no package", hint="make one: tiltyard run")
    return found
