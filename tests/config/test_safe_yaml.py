"""Malformed and malicious task files: each is refused quickly with one sentence."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tiltyard.config import loader, safe_yaml, task_list
from tiltyard.config.safe_yaml import CoreDumper
from tiltyard.errors import TaskError
from tiltyard.experiments import study_plan
from tiltyard.workspace import Workspace


def alias_bomb(levels: int, first: str = "[x, x, x, x, x, x, x, x, x, x]", more: str = "[{}]") -> str:
    """Return aliases of aliases, which grow tenfold with each level."""
    above = [f"a{level}: &a{level} {more.format(', '.join([f'*a{level - 1}'] * 10))}" for level in range(1, levels)]
    return "\n".join([f"a0: &a0 {first}", *above])


REFUSED = {
    "aliases of aliases": (alias_bomb(12), "expected at most 4,000,000 characters with aliases expanded"),
    "merged aliases": (
        alias_bomb(12, "{k: 1}", "{{<<: [{}]}}"),
        "expected at most 4,000,000 characters with aliases expanded",
    ),
    "a long text, often": (f"a: &a {'x' * 9000}\nb: [{'*a, ' * 900}]", "with aliases expanded"),
    "lists in lists": ("a: " + "[" * 50_000, "expected at most 32 nested levels"),
    "keys in keys": ("a: " + "{a: " * 50_000, "expected at most 32 nested levels"),
    "indented ever more": ("\n".join(" " * depth + "a:" for depth in range(500)), "expected at most 32 nested levels"),
    "a list in itself": ("a: &x [*x]", "alias \\*x refers to a node that contains it"),
    "keys in themselves": ("&x {a: {b: [*x]}}", "alias \\*x refers to a node that contains it"),
    "an alias of nothing": ("a: *nosuch", "undefined alias 'nosuch'"),
    "too long": ("a: " + "x" * 1_000_001, "expected at most 1,000,000 characters; received 1,000,004"),
    "no such day": ("a: !!timestamp 2024-13-45", "expected a valid timestamp"),
    "no such number": ("a: !!int zz", "expected a valid int"),
    "a number without end": ("a: " + "9" * 5000, "expected a valid int"),
    "neither yes nor no": ("a: !!bool x", "expected a valid bool"),
    "half a character": ('a: "\\ud800"', "expected whole characters"),
    "a key that is a list": ("? [1]\n: 2", "expected text as a key"),
    "an object of Python": ("a: !!python/object:os.system x", "could not determine a constructor"),
    "a control character": ("a: \x00", "line 1, column 4: expected text; received a control character"),
    "a list where keys belong": ("!!map [1]", "expected keys and values"),
    "two documents": ("--- {a: 1}\n--- {b: 1}", "single document"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_oversized_yaml_is_rejected(text: str, message: str) -> None:
    """Oversized content is refused before it is constructed."""
    with pytest.raises(TaskError, match=message) as caught:
        loader.parse(text, "iris", "tasks/iris.yaml")
    assert caught.value.message.startswith("tasks/iris.yaml: ")
    assert "unicode string" not in caught.value.message
    assert max(map(len, caught.value.message.splitlines())) < 250


@pytest.mark.parametrize(
    ("text", "line", "column", "shown", "caret"),
    [
        ("title: a\nproblem: b: c\n", 2, 11, "    problem: b: c", "              ^"),
        ("title: a\n\trows: 1\n", 2, 1, "     rows: 1", "    ^"),
        ("title: 'never closed\n\n", 1, 21, "    title: 'never closed", "                        ^"),
        ("title: a\ntitle: b\n", 2, 1, "    title: b", "    ^"),
    ],
)
def test_syntax_error_shows_its_position(text: str, line: int, column: int, shown: str, caret: str) -> None:
    """The error shows the line with a caret; for incomplete text, the last line."""
    with pytest.raises(TaskError, match=f"line {line}, column {column}: ") as caught:
        loader.parse(text, "iris", "tasks/iris.yaml")
    assert caught.value.message.splitlines()[1:] == [shown, caret]


def test_long_line_is_shortened_around_the_error() -> None:
    """Only the part of a long line around the position is shown."""
    with pytest.raises(TaskError) as caught:
        loader.parse("a: [" + "1, " * 1000 + "}]", "iris", "tasks/iris.yaml")
    _, shown, caret = caught.value.message.splitlines()
    assert len(shown) <= 104
    assert shown[caret.index("^")] == "}"


def test_keys_are_always_text() -> None:
    """Keys that look like numbers, dates or booleans stay text."""
    content = loader.content("{2020: 1, 01: 1, no: 1, 2024-01-01: 1, 1e3: 1, ~: 1}", "tasks/x.yaml")
    assert list(content) == ["2020", "01", "no", "2024-01-01", "1e3", "~"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b\n  c: 1\nd: 2", {"a b c": 1, "d": 2}),
        ("{a b: 1, c \n  d: 2}", {"a b": 1, "c d": 2}),
        ("a: {b  \n  c: 1}", {"a": {"b  c": 1}}),
        ("? a b\n  c\n: 1", {"a b c": 1}),
        ("a:\n  b\n  c\nd: 1", {"a": "b c", "d": 1}),
        ("a: [b?, c? d, ?e, f?g, :h, ':', i:j]", {"a": ["b?", "c? d", "?e", "f?g", ":h", ":", "i:j"]}),
        ('{"a":1, "b":[2], c: {"d":e}}', {"a": 1, "b": [2], "c": {"d": "e"}}),
        ("{? a : 1, ? [b] : 2}", None),
        ("a: b\n  c: d", None),
        ("a\nb: c", None),
    ],
)
def test_flow_style_and_folded_keys_written_by_dvc_are_read(text: str, expected: dict[str, Any] | None) -> None:
    """Plain question marks and colons in brackets, and plain keys folded by DVC, are read."""
    if expected is None:
        with pytest.raises(TaskError):
            loader.content(text, "x")
    else:
        assert loader.content(text, "x") == expected


def test_unfold_changes_only_folded_keys() -> None:
    """Unfolding keeps comments, multi-line values, explicit keys and quotes."""
    text = "# c d\na b\n  c: {d e \n    f: 1}  # g\nh: i\n  j\n? k\n  l\n: 'm\n  n'\no: p  \n  q\n"
    unfolded = safe_yaml.unfold(text)
    assert unfolded == "# c d\na b c: {d e f: 1}  # g\nh: i\n  j\n? k\n  l\n: 'm\n  n'\no: p  q\n"
    assert loader.content(unfolded, "x") == loader.content(text, "x")
    assert safe_yaml.unfold(unfolded) == unfolded


def test_small_aliases_are_expanded() -> None:
    """Anchors, aliases and merges work as in YAML."""
    text = "a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, x: 3}\n"
    assert loader.content(text, "x") == yaml.safe_load(text)


PIECES = [*"abx01:-?!&*[]{},'\"\n\t #|>%@<~", "&a ", "*a", "!!set ", "<<: ", "2024-1-1", "- ", "\n  ", "!!omap "]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_any_text_is_read_or_rejected(text: str) -> None:
    """Any text of YAML characters gives keys and values, or a TaskError."""
    try:
        assert isinstance(loader.content(text, "tasks/x.yaml"), dict)
    except TaskError as error:
        assert error.message.startswith("tasks/x.yaml: ")  # noqa: PT017 - either outcome is right


def test_limits_apply_to_params_and_studies(workspace: Workspace) -> None:
    """The same limits hold for params.yaml, studies, and values from the command line."""
    workspace.params.write_text(f"tasks: [iris]\n{alias_bomb(12)}")
    with pytest.raises(TaskError, match=r"^params\.yaml: expected a list `tasks` of names; .*with aliases expanded"):
        task_list.listed(workspace)
    study = workspace.root / "study.yaml"
    study.write_text(f"task: iris\nvary: {{train.epochs: [1, 2]}}\n{alias_bomb(12)}")
    with pytest.raises(TaskError, match=r"study\.yaml: line \d+, column \d+: expected at most"):
        study_plan.read(study)
    with pytest.raises(TaskError, match="expected values as in a task file"):
        study_plan.from_arguments("iris", ["train.epochs=!!int zz"], [])


def test_unreadable_file_error_gives_the_reason(tmp_path: Path) -> None:
    """Another encoding, a folder and a dangling link raise errors that say why."""
    path = tmp_path / "iris.yaml"
    path.write_bytes(b"title: M\xfcller")
    with pytest.raises(TaskError, match=r"tasks/iris\.yaml: expected text in UTF-8; byte 8 is not"):
        safe_yaml.read(path, "tasks/iris.yaml")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TaskError, match=r"tasks/iris\.yaml: cannot be read: No such file"):
        safe_yaml.read(path, "tasks/iris.yaml")
    path.unlink()
    path.mkdir()
    with pytest.raises(TaskError, match=r"tasks/iris\.yaml: cannot be read: Is a directory"):
        safe_yaml.read(path, "tasks/iris.yaml")


def test_alias_bomb_uses_little_memory(workspace: Workspace) -> None:
    """A YAML bomb is refused within half a gigabyte of additional address space."""
    workspace.task_file("iris").write_text(alias_bomb(40))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30)); "
        "sys.argv = ['tiltyard', 'prepare', 'iris']; from tiltyard.cli.main import main; main()"
    )
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=workspace.root,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "error: tasks/iris.yaml: line " in result.stderr
    assert "Traceback" not in result.stderr


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
        "007e5",
        "1_0.5",
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
def test_words_are_read_as_in_yaml_1_2(text: str, expected: Any) -> None:
    """Labels such as no, codes such as 007, and dates are text."""
    value = loader.content(f"key: {text}", "any.yaml")["key"]
    assert (value, type(value)) == (expected, type(expected))


@given(VALUES)
def test_dumped_values_are_read_back(value: Any) -> None:
    """A dumped value keeps its type."""
    assert loader.content(yaml.dump({"key": [value]}, Dumper=CoreDumper), "any.yaml") == {"key": [value]}


@given(VALUES)
def test_dumped_text_is_read_by_other_parsers(value: Any) -> None:
    """Dumped text is read as text by YAML 1.1 and 1.2."""
    text = yaml.dump({"key": [value]}, Dumper=CoreDumper)
    for content in (yaml.safe_load(text), YAML(typ="safe", pure=True).load(text)):
        assert isinstance(content["key"][0], str) == isinstance(value, str)
        assert not isinstance(value, str) or content["key"] == [value]


@given(st.one_of(WORDS, st.booleans(), st.none(), st.integers(-(10**15), 10**15)))
def test_dvc_edits_keep_values(value: Any) -> None:
    """`dvc exp run -S` rewrites a task file without a change of meaning."""
    from dvc.utils.serialize._yaml import _dump, parse_yaml_for_update

    text = io.StringIO()
    _dump(parse_yaml_for_update(yaml.dump({"key": [value], "epochs": 2}, Dumper=CoreDumper), "any.yaml"), text)
    assert loader.content(text.getvalue(), "any.yaml") == {"key": [value], "epochs": 2}
