"""The base of everything that is read from a task file: frozen, and nothing unknown is let through."""

from __future__ import annotations

import difflib
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# YAML and JSON have lists only; the numbers inside are as strict as everywhere.
Bounds = Annotated[tuple[float, float], Field(strict=False)]


class Settings(BaseModel):
    """A part of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        """Return which keys there are, and which one was probably meant; pydantic's own message does neither."""
        for key in data if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                near = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                meant = f" (did you mean '{near[0]}'?)" if near else ""
                known = ", ".join(cls.model_fields)
                text = "unknown key '{key}'{meant}; expected one of {known}"
                raise PydanticCustomError("unknown_key", text, {"key": str(key), "meant": meant, "known": known})
        return data
