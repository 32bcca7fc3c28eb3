"""What a key of a task file means, by the JSON Schema: its type, default and description, and the keys below it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from tiltyard.config import loader
from tiltyard.errors import TaskError, similar_names

PLUGIN_KEYS = ("family", "kind", "type")  # keys that choose one of several sections
WORDS = {"object": "section", "string": "text", "boolean": "true or false"}
Schema = dict[str, Any]


@dataclass(frozen=True)
class KeyHelp:
    """A key of a task file."""

    name: str
    type: str
    default: Any = None
    has_default: bool = False
    meaning: str = ""
    keys: list[KeyHelp] = field(default_factory=list)

    @property
    def default_value(self) -> str:
        """The default as YAML; required if there must be a value, optional if there is none by default."""
        if not self.has_default:
            return "required"
        return "optional" if self.default is None else json.dumps(self.default, ensure_ascii=False)

    @property
    def default_text(self) -> str:
        """The default as the end of a sentence."""
        return f", default {self.default_value}" if self.default is not None else f", {self.default_value}"


def describe(key: str) -> KeyHelp:
    """Return what a dotted key means; raise TaskError with similar keys if there is none."""
    root = loader.json_schema()
    schema: Schema = root
    required, words = True, key.split(".") if key else []
    for depth, word in enumerate(words):
        below = _keys(schema, root)
        if word not in below:
            near = similar_names(word, [*below], limit=3, min_similarity=0.5) or [*below][:10]
            here = ".".join(words[:depth])
            text = f"{key}: expected a key of {here or 'a task file'}; received {word!r}"
            raise TaskError(text, f"did you mean {', '.join(near)}? see all: tiltyard help {here}".rstrip())
        schema, required = below[word]
    keys = [_described(name, *found, root) for name, found in _keys(schema, root).items()]
    return replace(_described(key, schema, required, root), keys=keys)


def _described(name: str, schema: Schema, required: bool, root: Schema) -> KeyHelp:
    meaning = schema.get("description") or _resolved(schema, root).get("description", "")
    return KeyHelp(name, _type(schema, root), schema.get("default"), not required, " ".join(meaning.split()))


def _keys(schema: Schema, root: Schema) -> dict[str, tuple[Schema, bool]]:
    """Return the schemas of the keys below, and whether each is required; choices of a plug-in count as keys."""
    found: dict[str, tuple[Schema, bool]] = {}
    for one in _alternatives(schema, root):
        properties, required = one.get("properties", {}), one.get("required", [])
        chosen = next((properties[key]["const"] for key in PLUGIN_KEYS if "const" in properties.get(key, {})), None)
        if chosen and len(_alternatives(schema, root)) > 1:
            found[chosen] = (one, False)
        else:
            found |= {name: (value, name in required) for name, value in properties.items()}
        if isinstance(items := one.get("additionalProperties"), dict):
            found |= _keys(items, root)
        if isinstance(items := one.get("items"), dict):
            found |= _keys(items, root)
    return found


def _alternatives(schema: Schema, root: Schema) -> list[Schema]:
    """Return the schemas of which a value must follow one."""
    schema = _resolved(schema, root)
    several = schema.get("oneOf") or schema.get("anyOf")
    return [found for one in several for found in _alternatives(one, root)] if several else [schema]


def _resolved(schema: Schema, root: Schema) -> Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _type(schema: Schema, root: Schema) -> str:
    """Return the type in words."""
    words = []
    for one in _alternatives(schema, root):
        if "const" in one or "enum" in one:
            words += [str(value) for value in one.get("enum", [one.get("const")])]
        elif one.get("type") == "array":
            words.append("list")
        else:
            name = str(one.get("type", "any"))
            words.append(WORDS.get(name, name))
    return " or ".join(dict.fromkeys(word for word in words if word != "null"))
