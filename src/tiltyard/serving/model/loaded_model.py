"""Loaded model: a packaged version of a task, verified, loaded and warmed up for inference."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from tiltyard import files
from tiltyard.errors import PackageError, TiltyardError, format_value, newer_format
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.registry import manifest
from tiltyard.serving.model.compiled_request import CompiledRequest, compile_request
from tiltyard.serving.model.tensors import Tensor, input_tensors, output_tensors

PACKAGE_FORMAT = 1  # of the folder; raise it when an older service could not load a new package


@dataclass(frozen=True)
class LoadedModel:
    """A packaged model in memory, with its schema and card."""

    schema: dict[str, Any]
    predictor: Predictor
    card: str = ""  # the model card as Markdown
    reference: dict[str, Any] = field(default_factory=dict)  # of training rows, for drift; empty in older packages
    background: list[Any] = field(default_factory=list)  # golden rows, the background of attributions
    folder: Path | None = None  # the package, for the compute process

    @classmethod
    def load(cls, folder: Path, files_digest: str = "") -> LoadedModel:
        """Load a package and predict once to warm up; raise PackageError if its files were changed or are invalid.

        `files_digest` is the pointer's digest of the files that the version does not cover.
        """
        if not (folder / "schema.json").is_file():
            raise PackageError(f"no package in {folder}: expected schema.json", hint="make one: tiltyard run TASK")
        manifest.check(folder, files_digest)
        try:
            return cls._load(folder)
        except (TiltyardError, OSError):
            raise
        except Exception as error:  # any, since the content of a file may be anything
            raise PackageError(
                f"{folder} is no valid package: {type(error).__name__}: {format_value(str(error))}",
                hint=f"restore it: dvc checkout {folder}.dvc; or make it again: tiltyard run TASK",
            ) from error

    @classmethod
    def _load(cls, folder: Path) -> LoadedModel:
        schema = files.read_json(folder / "schema.json")
        if (received := schema.get("format", 1)) not in range(1, PACKAGE_FORMAT + 1):
            raise PackageError(*newer_format(folder, received, PACKAGE_FORMAT))
        if (actual := version(folder)) != schema["version"]:
            raise PackageError(f"{folder} was changed: expected version {schema['version']}; received {actual}")
        card = folder / "card.md"
        model = cls(
            schema,
            Predictor.load(folder),
            card.read_text(encoding="utf-8") if card.is_file() else "",
            _read_json(folder / "reference.json"),
            _background_rows(schema, folder / "golden.json"),
            folder.absolute(),
        )
        model.predict_each_way([schema["example"]])
        model.predictor.decoding_seconds(1)
        model.predictor.seconds(1)  # measures the inference time now, not during the first request
        return model

    @property
    def task(self) -> str:
        """The name of the task."""
        name: str = self.schema["task"]
        return name

    @property
    def version(self) -> str:
        """The version: a digest of the model's content."""
        digest: str = self.schema["version"]
        return digest

    @cached_property
    def inputs(self) -> list[Tensor]:
        """The input tensors."""
        return input_tensors(self.predictor.encoder)

    @cached_property
    def outputs(self) -> list[Tensor]:
        """The output tensors."""
        return output_tensors(self.schema)

    @cached_property
    def compiled_request(self) -> CompiledRequest | None:
        """The fast path for ordinary JSON requests; None if this model has none."""
        return compile_request(self.predictor, self.version)

    @cached_property
    def has_images(self) -> bool:
        """Whether instances contain images."""
        return any(column.type == "image" for column in self.predictor.encoder.columns.values())

    @property
    def max_body_bytes(self) -> int:
        """The maximum size of a request body."""
        limit: int = self.schema["limits"]["max_body_bytes"]
        return limit

    def predict_each_way(self, instances: list[Any]) -> list[list[Any]]:
        """Return the predictions of the general path, and of the compiled request if it takes the instances."""
        predictions = [self.predict(instances)]
        if self.compiled_request and (
            fast_response := self.compiled_request.respond(msgspec.json.encode({"instances": instances}))
        ):
            predictions.append(msgspec.json.decode(fast_response[0])["predictions"])
        return predictions

    def predict(self, instances: object) -> list[Any]:
        """Return a prediction for each instance."""
        return self.predictor.predict(instances)


def _background_rows(schema: dict[str, Any], path: Path) -> list[Any]:
    """Read the golden rows of a table; other models have no attributions and need no background."""
    rows: list[Any] = _read_json(path).get("instances", []) if schema["instance"].get("type") == "object" else []
    return rows


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = files.read_json(path) if path.is_file() else {}
    return content


def find_packages(root: Path) -> list[Path]:
    """Return the folders of all packages below a root."""
    folders = sorted(path.parent for path in (root / "packages").glob("[!.]*/[!.]*/schema.json"))
    if not folders:
        raise PackageError(f"nothing to serve in {root}: no champion, no package", hint="make one: tiltyard run")
    return folders
