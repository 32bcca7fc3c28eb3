"""Error messages for validation errors of pydantic: key, expected, and received value.

An unknown key is refused by the base class of all sections, in settings.py; errors.py finds the nearest key.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from tiltyard.errors import did_you_mean, format_value

EXPECTED_TYPES = {
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "string_type": "text",
    "int_from_float": "a whole number",
    "none_required": "nothing",
}
OWN_MESSAGES = {"unknown_key", "value_error", "assertion_error"}  # these contain the received value already


def sentences(path: str, data: Any, error: ValidationError) -> list[str]:
    """Return one sentence for each invalid key; several allowed types are joined by `or`."""
    problems: dict[tuple[str, str], list[str]] = {}
    for problem in error.errors(include_url=False):
        keys, text = _keys(data, problem["loc"], missing=problem["type"] == "missing"), _expected(problem)
        if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
            discriminator = problem["ctx"]["discriminator"].strip("'")
            text = f"{discriminator}: {text}"
        texts_of_key = problems.setdefault((".".join(keys), _received(problem)), [])
        if text not in texts_of_key:
            texts_of_key.append(text)
    return [_sentence(path, key, texts, received) for (key, received), texts in problems.items()]


def _sentence(path: str, key: str, texts: list[str], received: str) -> str:
    first, *alternatives = texts
    more = "".join(f" or {text.removeprefix('expected ')}" for text in alternatives)
    return f"{path}: {key + ': ' if key else ''}{first}{more}{received}"


def _received(problem: Any) -> str:
    """Return the received value as a clause; empty for a missing key or a whole section."""
    if problem["type"] == "union_tag_invalid":
        return f"; received {format_value(problem['ctx']['tag'])}"
    silent = problem["type"] in OWN_MESSAGES | {"missing", "union_tag_not_found"} or isinstance(problem["input"], dict)
    return "" if silent else f"; received {format_value(problem['input'])}"


def _expected(problem: Any) -> str:
    """Return a clause that begins with `expected`, or a message of this project's own validators."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in EXPECTED_TYPES:
        return f"expected {EXPECTED_TYPES[kind]}"
    if kind in ("missing", "union_tag_not_found"):
        return "expected this key; it is missing"
    if kind == "union_tag_invalid":
        tags = [name.strip().strip("'") for name in context["expected_tags"].split(",")]
        return f"expected one of {', '.join(tags)}{did_you_mean(context['tag'], tags)}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return _length(kind, context)
    if kind == "string_pattern_mismatch":
        return f"expected text that matches {context['pattern']}"
    text = str(problem["msg"])
    for begin in ("Value error, ", "Assertion failed, "):
        text = text.removeprefix(begin)
    return text.replace("Input should be", "expected").replace("Input should", "expected to")


def _length(kind: str, context: Any) -> str:
    unit = "characters" if kind.startswith("string") else "items"
    short = kind.endswith("short")
    bound = context["min_length" if short else "max_length"]
    return f"expected {'at least' if short else 'at most'} {bound} {unit.removesuffix('s') if bound == 1 else unit}"


def _keys(data: Any, location: tuple[int | str, ...], *, missing: bool) -> list[str]:
    """Return the keys of the file: pydantic's location also contains names of plug-ins and types."""
    keys = []
    for place, part in enumerate(location):
        inside = isinstance(data, dict) and part in data
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if inside or listed:
            data = data[part]
        if inside or listed or (missing and place == len(location) - 1):
            keys.append(str(part))
    return keys
