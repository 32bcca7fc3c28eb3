"""Base class of all sections of a task file: immutable, strict, and without unknown keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from tiltyard.errors import did_you_mean

# Accept a list as a tuple, since YAML and JSON have lists only; the numbers inside stay strict.
Bounds = Annotated[tuple[float, float], Field(strict=False)]
PLUGIN_KEYS = ("family", "kind", "type")  # keys whose value names a plug-in


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

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the keys that need no words of their own: the key that names a plug-in, and redefined ones."""
        schema = handler(core_schema)
        for key, found in handler.resolve_ref_schema(schema).get("properties", {}).items():
            if words := "" if "description" in found or "$ref" in found else cls._inherited_words(key, found):
                found["description"] = words
        return schema

    @classmethod
    def _inherited_words(cls, key: str, schema: JsonSchemaValue) -> str:
        """Return the first line of the docstring for a key that names a plug-in; else what a base class says."""
        if "const" in schema and key in PLUGIN_KEYS:
            return (cls.__doc__ or "").partition("\n")[0]
        bases = (base for base in cls.__mro__ if issubclass(base, BaseModel))
        fields = (base.model_fields[key] for base in bases if key in base.model_fields)
        return next((field.description for field in fields if field.description), "")
