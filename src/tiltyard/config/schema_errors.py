"""What pydantic finds wrong with a file, in the words of this project: key, what was expected, what was received."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

from tiltyard.errors import shown

KINDS = {
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
OURS = {"unknown_key", "value_error", "assertion_error"}  # sentences that say already what was received


def sentences(path: str, data: Any, error: ValidationError) -> list[str]:
    """Return a sentence for each mistake; the types that one value may have share one."""
    found: dict[tuple[str, str], list[str]] = {}
    for problem in error.errors(include_url=False):
        keys, text = _keys(data, problem["loc"], missing=problem["type"] == "missing"), _expected(problem)
        if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
            discriminator = problem["ctx"]["discriminator"].strip("'")
            text = f"{discriminator}: {text}"
        told = found.setdefault((".".join(keys), _received(problem)), [])
        if text not in told:
            told.append(text)
    return [_sentence(path, key, texts, received) for (key, received), texts in found.items()]


def _sentence(path: str, key: str, texts: list[str], received: str) -> str:
    first, *others = texts
    more = "".join(f" or {text.removeprefix('expected ')}" for text in others)
    return f"{path}: {key + ': ' if key else ''}{first}{more}{received}"


def _received(problem: Any) -> str:
    """Return what stands there; what is missing, or a whole section, is not quoted."""
    if problem["type"] == "union_tag_invalid":
        return f"; received {shown(problem['ctx']['tag'])}"
    silent = problem["type"] in OURS | {"missing", "union_tag_not_found"} or isinstance(problem["input"], dict)
    return "" if silent else f"; received {shown(problem['input'])}"


def _expected(problem: Any) -> str:
    """Return what was expected, in a clause that begins with `expected` unless the sentence is one of ours."""
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in KINDS:
        return f"expected {KINDS[kind]}"
    if kind in ("missing", "union_tag_not_found"):
        return "expected this key; it is missing"
    if kind == "union_tag_invalid":
        known = [name.strip().strip("'") for name in context["expected_tags"].split(",")]
        near = difflib.get_close_matches(context["tag"], known, n=1)
        return f"expected one of {', '.join(known)}" + (f" (did you mean '{near[0]}'?)" if near else "")
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return _length(kind, context)
    if kind == "string_pattern_mismatch":
        return f"expected text that looks like {context['pattern']}"
    text = str(problem["msg"])
    for begin in ("Value error, ", "Assertion failed, "):
        text = text.removeprefix(begin)
    return text.replace("Input should be", "expected").replace("Input should", "expected to")


def _length(kind: str, context: Any) -> str:
    what = "characters" if kind.startswith("string") else "items"
    short = kind.endswith("short")
    bound = context["min_length" if short else "max_length"]
    return f"expected {'at least' if short else 'at most'} {bound} {what.removesuffix('s') if bound == 1 else what}"


def _keys(data: Any, location: tuple[int | str, ...], *, missing: bool) -> list[str]:
    """Return the keys as they stand in the file: pydantic's location also holds names of plug-ins and types."""
    keys = []
    for place, part in enumerate(location):
        inside = isinstance(data, dict) and part in data
        listed = isinstance(data, list) and isinstance(part, int) and part < len(data)
        if inside or listed:
            data = data[part]
        if inside or listed or (missing and place == len(location) - 1):
            keys.append(str(part))
    return keys
