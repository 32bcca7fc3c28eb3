"""Base class of all sections of a task file: immutable, strict, and without unknown keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tiltyard.errors import did_you_mean

# Accept a list as a tuple, since YAML and JSON have lists only; the numbers inside stay strict.
Bounds = Annotated[tuple[float, float], Field(strict=False)]


class Settings(BaseModel):
    """A section of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        """Raise an error for an unknown key with the known keys and a similar one, which pydantic's message lacks."""
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                meant = did_you_mean(str(key), cls.model_fields)
                allowed_keys = ", ".join(cls.model_fields)
                text = "unknown key '{key}'{meant}; expected one of {known}"
                raise PydanticCustomError("unknown_key", text, {"key": str(key), "meant": meant, "known": allowed_keys})
        return data
