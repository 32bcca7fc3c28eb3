"""A model of one's own code: layers by a function in a Python file of the project."""

from __future__ import annotations

from operator import not_
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PrivateAttr, field_validator

from tiltyard.errors import TrainingError
from tiltyard.modeling.models._own_code import OwnCode
from tiltyard.modeling.models.base import Model

if TYPE_CHECKING:
    import keras

    from tiltyard.workspace import Workspace

Setting = bool | int | float | str | list[int] | list[float] | list[str]


class Python(Model):
    """Layers by a function of your own, `def build(features, **settings)`, which runs in training only."""

    modalities: ClassVar = ("table", "image", "series", "text")
    problems: ClassVar = ("classification", "regression", "multilabel", "forecasting")

    family: Literal["python"]
    path: str = Field(
        pattern=r"^[A-Za-z0-9_./-]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
        description="A file of the project and a function in it, such as my_model.py:build.",
    )
    settings: dict[str, Setting] = Field(
        default_factory=dict,
        exclude_if=not_,
        description="Further arguments of the function, by name; `search:` may vary them, as model.settings.NAME.",
    )

    _code: OwnCode | None = PrivateAttr(None)

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        file = PurePosixPath(path)
        if file.is_absolute() or ".." in file.parts:
            raise ValueError("expected a path inside the project")
        return path

    @property
    def code_path(self) -> str:
        """The file and the function."""
        return self.path

    def inherit(self, workspace: Workspace) -> dict[str, Any]:
        """Read the file; return its path and hash for the record of the training."""
        self._code = OwnCode.read(workspace.root, self.path)
        return {"own_code": self._code.provenance}

    def build(self, features: keras.KerasTensor, vocabulary_size: int = 0) -> keras.KerasTensor:
        """Build by the function, which gets the number of ids only if the features are ids."""
        if self._code is None:
            raise TrainingError("model.path: call inherit before build: it reads the file")
        sizes = {"vocabulary_size": vocabulary_size} if vocabulary_size else {}
        return self._code.network(features, {**sizes, **self.settings})
