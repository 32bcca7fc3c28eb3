"""YAML 1.2: what we write, what DVC makes of it, and what is read again are the same values."""

from __future__ import annotations

import io
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tiltyard.task_file import content
from tiltyard.yaml_core import CoreDumper

WORDS = st.sampled_from(
    [
        "yes",
        "no",
        "on",
        "off",
        "Y",
        "n",
        "true",
        "null",
        "~",
        "010",
        "007",
        "08",
        "1e5",
        "1e-05",
        "1:30",
        "1_000",
        "0x1f",
        "0o17",
        "+3",
        ".5",
        "1.",
        ".inf",
        "2024-01-01",
        "=",
        "<<",
        "-",
    ]
)
VALUES = st.one_of(WORDS, st.text(), st.booleans(), st.none(), st.integers(), st.floats(allow_nan=False))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, text) for text in ("no", "On", "1:30", "1_000", "007", "08.5", "2024-01-01")),
        *(("true", True), ("1e-3", 0.001), ("0x1F", 31), ("0o17", 15), ("-2", -2), ("~", None)),
    ],
)
def test_words_are_read_as_yaml_1_2_has_them(text: str, expected: Any) -> None:
    """Labels such as no and codes such as 007 are text; so are dates."""
    found = content(f"key: {text}", "any.yaml")["key"]
    assert (found, type(found)) == (expected, type(expected))


@given(VALUES)
def test_what_is_written_is_read_again(value: Any) -> None:
    """A value keeps its type, whatever it is spelled like."""
    assert content(yaml.dump({"key": [value]}, Dumper=CoreDumper), "any.yaml") == {"key": [value]}


@given(st.one_of(WORDS, st.booleans(), st.none(), st.integers(-(10**15), 10**15)))
def test_dvc_leaves_the_meaning_of_a_task_file(value: Any) -> None:
    """`dvc exp run -S` reads a task file and writes it again, without the quotes that YAML 1.2 does not need."""
    from dvc.utils.serialize._yaml import _dump, parse_yaml_for_update

    text = io.StringIO()
    _dump(parse_yaml_for_update(yaml.dump({"key": [value], "epochs": 2}, Dumper=CoreDumper), "any.yaml"), text)
    assert content(text.getvalue(), "any.yaml") == {"key": [value], "epochs": 2}
