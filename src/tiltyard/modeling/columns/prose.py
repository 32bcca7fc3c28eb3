"""Prose column for text generation: windows of characters of a long text; over REST, a prompt."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array, Fitted
from tiltyard.errors import RequestError, format_value
from tiltyard.expectation import Expectation
from tiltyard.modeling.columns._vocabulary import PAD, UNKNOWN, frequent_tokens
from tiltyard.modeling.columns.base import PLAIN, Column, Scale

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # control characters other than line ends and tabs
LONGEST = 2000  # characters of a generated text
KEYS = {"prompt", "length", "temperature", "seed"}


class Prose(Column):
    """A sequence of characters. A row is a window of text; in requests also length, temperature and seed."""

    seconds_a_byte: ClassVar[float] = 2e-6

    type: Literal["prose"] = "prose"
    length: int = Field(128, ge=2, le=10_000, description="How many characters are read to predict the next one.")
    at_least: int = Field(1, ge=1, description="Training rows that a character must occur in; others are unknown.")

    @property
    def _layout(self) -> list[tuple[str, str]]:
        return [("text", f"U{self.length}"), ("length", "i4"), ("temperature", "f8"), ("seed", "i8")]

    def expectations(self, name: str) -> list[Expectation]:
        """Expect nothing: lines may be empty and of any length, and reading the file checks the rest."""
        return []

    def windows(self, texts: Sequence[str]) -> Array:
        """Return windows of a file as rows, with the default options of a request."""
        return np.array([(text, 1, 0.0, 0) for text in texts], dtype=self._layout)

    @property
    def in_cells(self) -> bool:
        """False, since a long text does not fit into one cell."""
        return False

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse prompts: a text, or an object with the prompt and optional length, temperature and seed."""
        rows = [self._parse_value(value, f"instances[{i}].{name}") for i, value in enumerate(values)]
        return np.array(rows, dtype=self._layout)

    def _parse_value(self, value: object, field: str) -> tuple[str, int, float, int]:
        options = {"prompt": value} if isinstance(value, str) else value
        if not isinstance(options, dict) or not isinstance(options.get("prompt"), str):
            raise RequestError(
                "wrong_type", f'expected text or {{"prompt": "..."}}; received {format_value(value)}', field
            )
        if unknown := options.keys() - KEYS:
            raise RequestError("unknown_field", f"expected {', '.join(sorted(KEYS))}", f"{field}.{min(unknown)}")
        text = clean(options["prompt"].encode("utf-8", "replace").decode())[-self.length :]
        if not text:
            raise RequestError("no_words", "expected a prompt of at least one character", field)
        length = _number(options.get("length", 200), (1, LONGEST), f"{field}.length", integer=True)
        temperature = _number(options.get("temperature", 0.7), (0, 10), f"{field}.temperature")
        seed = _number(options.get("seed", 0), (0, 2**31), f"{field}.seed", integer=True)
        return text, int(length), float(temperature), int(seed)

    def fit(self, values: Array) -> Fitted:
        """Learn the characters that occur in the training rows."""
        ranked = frequent_tokens((str(text) for text in values["text"]), self.at_least)
        return {"ids": {character: index for index, character in enumerate(ranked, start=UNKNOWN + 1)}}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return the ids of the characters, padded at the end; float32 holds them exactly."""
        return ids(values["text"], fitted["ids"], self.length).astype(np.float32)

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return no scaling, since the features are ids."""
        return [PLAIN]

    def vocabulary_size(self, fitted: Fitted) -> int:
        """Return the number of characters, with unknown and padding."""
        return len(fitted["ids"]) + 2

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: a text, or an object with options."""
        text = {"type": "string", "minLength": 1}
        properties = {
            "prompt": text,
            "length": {"type": "integer", "minimum": 1, "maximum": LONGEST, "default": 200},
            "temperature": {"type": "number", "minimum": 0, "maximum": 10, "default": 0.7},
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**31, "default": 0},
        }
        request = {"type": "object", "properties": properties, "required": ["prompt"], "additionalProperties": False}
        return {"oneOf": [text, request]}

    def to_json(self, values: Array) -> list[Any]:
        """Return objects with the prompt and all options."""
        return [dict(zip(("prompt", "length", "temperature", "seed"), row, strict=True)) for row in values.tolist()]


def clean(text: str) -> str:
    """Return a text with plain line ends and without other control characters."""
    return CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def ids(texts: Array, vocabulary: dict[str, int], length: int) -> Array:
    """Return the id of each character, with one row for each text."""
    encoded = np.full((len(texts), length), PAD, dtype=np.int32)
    for row, text in zip(encoded, texts.tolist(), strict=True):
        row[: len(text)] = [vocabulary.get(character, UNKNOWN) for character in text]
    return encoded


def _number(value: object, bounds: tuple[float, float], field: str, *, integer: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int if integer else int | float):
        raise RequestError(
            "wrong_type", f"expected a {'whole ' * integer}number; received {format_value(value)}", field
        )
    if not bounds[0] <= value <= bounds[1]:  # NaN is refused here too
        raise RequestError(
            "out_of_bounds", f"expected {bounds[0]} to {bounds[1]}; received {format_value(value)}", field
        )
    return value
