"""Tests of the repository itself: directions of imports, the file map, names that must not appear."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import imports
import pytest
import yaml
from pydantic import BaseModel
from workspaces import ROOT

from tiltyard import plugins
from tiltyard.config import resolve, task_list
from tiltyard.config.task import Task
from tiltyard.registry.provenance import JUDGING_CODE
from tiltyard.workspace import Workspace

SOURCE = ROOT / "src" / "tiltyard"


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_every_package_says_what_lives_in_it() -> None:
    """What lives there, what may not, and where to start reading; the file to start with exists."""
    for path in _tracked("src/tiltyard/**/__init__.py"):
        if path.parent != SOURCE:
            text = path.read_text(encoding="utf-8")
            module = ast.parse(text)
            assert len(module.body) == 1, f"{path} holds code"
            lines = (ast.get_docstring(module) or "").splitlines()
            assert len(lines) == 4, path
            named = re.findall(r"[\w/]+\.py", lines[3])
            assert lines[3].startswith("Start with "), path
            assert named, path
            assert [name for name in named if not (path.parent / name).is_file()] == [], path


def test_no_folder_is_without_an_init() -> None:
    """A package without one would not be found by what reads the tree."""
    folders = {path.parent for path in _tracked("src/tiltyard/*.py", "src/tiltyard/**/*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


# Packages that the code that judges imports, of which a verdict follows from no more than JUDGING names.
NOT_JUDGING = {
    "config": "settings, whose values stand in the fingerprint",
    "data": "reading and keeping data, whose hash stands in the fingerprint",
    "registry": "keeping decisions",
    "serving": "answering requests",
}


def test_the_code_that_judges_is_hashed() -> None:
    """Whatever judging imports is in the list of the hash, or is left out for a reason."""
    packages = {path.partition("/")[0] for path in imports.closure("gate.judge") if "/" in path}
    assert packages == {name for name in JUDGING_CODE if "/" not in name and not name.endswith(".py")} | {*NOT_JUDGING}
    assert all((SOURCE / name).exists() for name in JUDGING_CODE)


def test_the_file_map_of_the_readme_is_true() -> None:
    """Every path that the README's map names exists, and every package of ours stands in it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Where things are\n.*?```\n(.*?)```", text, re.DOTALL)
    assert block, "the README has no file map"
    named = set(re.findall(r"[\w./-]+", " ".join(line.strip().split("  ")[0] for line in block[1].splitlines())))
    for name in named - {".py"}:
        assert (ROOT / name).exists() or (SOURCE / name).exists(), f"{name} is in the map only"
    for name in {path.relative_to(SOURCE).parts[0] for path in _tracked("src/tiltyard/*/*")}:
        assert f"{name}/" in named, f"{name} is not in the map"


def test_the_readme_has_the_length_that_is_read() -> None:
    """Between 120 and 200 lines."""
    assert 120 <= len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


def test_no_file_is_too_long_to_be_read() -> None:
    """No Python file has more than 400 lines."""
    long = {
        path.name: n for path in _tracked("*.py") if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_every_test_says_what_it_holds() -> None:
    """Each test function has a docstring."""
    for path in _tracked("tests/*.py", "tests/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_locks_hold_no_address() -> None:
    """A lock says what and its hash; where from is the installer's own business."""
    for path in _tracked("*.lock"):
        assert "://" not in path.read_text(encoding="utf-8"), path


def test_the_roster_is_of_tasks_that_need_nothing() -> None:
    """params.yaml, which dvc.yaml reads, names the four tasks whose data needs nothing from elsewhere."""
    assert task_list.listed(Workspace(ROOT)) == ["diabetes", "digits", "iris", "sine"]
    assert set(task_list.listed(Workspace(ROOT))) <= set(Workspace(ROOT).tasks())


def test_what_stages_depend_on_exists() -> None:
    """Every source file that dvc.yaml names is there, so that a renamed module is not forgotten."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in stages.values():
        for name in stage["deps"]:
            assert not name.startswith("src/") or (ROOT / name).exists(), name


VERBS = {
    "resolve": "config.resolve",
    "validate": "validation.validate",
    "prepare": "preparation.prepare",
    "train": "training.train",
    "evaluate": "evaluation.evaluate",
}
# What a stage may import without depending on it: where files lie and how they are written, not what stands in them.
ELSEWHERE = {
    *(
        "errors",
        "files",
        "plugins",
        "processes",
        "progress",
        "environment",
        "workspace",
        "arrays",
        "settings",
        "deadline",
    ),
    "expectation",  # what validate expects, on which it depends
}
# What only evaluate and resolve depend on: settings load evaluators, to know the names of metrics.
MEASURING = ("src/tiltyard/figures.py", "src/tiltyard/modeling/evaluators", "src/tiltyard/modeling/metrics")


@pytest.mark.parametrize("verb", VERBS)
def test_stages_depend_on_what_they_import(verb: str) -> None:
    """What a stage imports is among its dependencies; settings come resolved, and prepare has read the data."""
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][verb]
    named = [name.removeprefix("src/tiltyard/") for name in stage["deps"] if name.startswith("src/")]
    without = {"resolve": (), "validate": ("config",), "prepare": ("config",)}.get(verb, ("config", "data"))
    imported = imports.closure(VERBS[verb], without=without)
    needed = {name for name in imported if Path(name).stem not in ELSEWHERE}
    missing = {name for name in needed if not any(f"{name}/".startswith(f"{place}/") for place in named)}
    assert not missing


@pytest.mark.parametrize("verb", ["validate", "prepare", "train"])
def test_what_does_not_measure_depends_on_nothing_that_measures(verb: str) -> None:
    """Another title of a metric or a figure trains nothing: neither dependencies, imports nor calls lead there."""
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][verb]
    assert not [name for name in stage["deps"] if any(f"{place}/".startswith(f"{name}/") for place in MEASURING)]
    for path in _tracked(*(name for name in stage["deps"] if name.startswith("src/"))):
        found = re.findall(r"(?<!gate)\.(?:evaluator|metric)\b", path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found}"


def test_the_service_imports_nothing_that_measures_or_draws() -> None:
    """It needs no metrics, baselines, plots or figures; distances between samples are for its gauges of drift."""
    measuring = {name for name in imports.of_the_service() if f"src/tiltyard/{name}".startswith(MEASURING)}
    assert measuring == {"modeling/metrics/drift_distance.py"}


def test_every_problem_has_an_evaluator() -> None:
    """A kind of problem is a file in each of the two folders."""
    assert plugins.names("problems") == plugins.names("evaluators")


def test_settings_are_resolved_again_when_their_defaults_change() -> None:
    """The stage resolve depends on every module that a section of a task file is defined in."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    sections = set().union(*resolve.SECTIONS.values())
    needed = {place for name in sections for place in _defined(Task.model_fields[name].annotation, set())}
    named = [name for name in stages["resolve"]["deps"] if name.startswith("src/")]
    assert not [place for place in needed if not any(f"{place}/".startswith(f"{name}/") for name in named)]


def _defined(annotation: Any, seen: set[Any]) -> set[str]:
    """Return the files of ours in which the models of an annotation, and what they inherit from, are defined."""
    if annotation in seen:
        return set()
    seen.add(annotation)
    inner = list(get_args(annotation))
    found = set()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner += [field.annotation for field in annotation.model_fields.values()]
        modules = {base.__module__ for base in annotation.__mro__ if base.__module__.startswith("tiltyard.")}
        found = {f"src/{module.replace('.', '/')}.py" for module in modules}
    return found.union(*(_defined(one, seen) for one in inner))


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (3, 0), (4, 0), (1, 2), (2, 2), (130, 2)])
def test_a_verdict_is_no_error_of_make(status: int, expected: int, tmp_path: Path) -> None:
    """`make run` ends well after HOLD (3) and REJECT (4), and with make's own status after an error."""
    command = tmp_path / ".venv" / "bin" / "tiltyard"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\necho "$@"\nexit {status}\n', encoding="utf-8")
    command.chmod(0o755)
    for name in ("requirements.lock", "pyproject.toml", ".venv/.installed-requirements.lock"):
        (tmp_path / name).touch()
    options = ["--no-print-directory", "--old-file=.venv/.installed-requirements.lock"]
    make = ["make", "-f", str(ROOT / "Makefile"), *options, "run", "TASKS=iris sine", "GPU="]
    done = subprocess.run(make, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stderr
    assert done.stdout == "run iris sine\n"
    assert ("Error" in done.stderr) == (expected != 0)


def test_what_is_installed_is_compiled() -> None:
    """A start that may not write bytecode must not compile thousands of modules each time."""
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "export UV_COMPILE_BYTECODE := 1" in make
    assert re.search(r"-e \.\n\t@\$\(BIN\)/python -m compileall -q src pipelines", make)
    assert "UV_COMPILE_BYTECODE" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


HANGING = """
import threading

def test_that_hangs():
    {}

def test_that_passes():
    pass
"""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("threading.Event().wait()", "1 failed, 1 passed"),  # as for a service that never answers
        ("sum(range(10**15))", "Timeout (0:00:03)!"),  # C code, which sees no signal and lets no thread run
    ],
)
def test_a_test_that_hangs_is_ended(line: str, told: str, tmp_path: Path) -> None:
    """By the settings of pyproject.toml and named: it fails and the next one runs, or else its process ends."""
    (tmp_path / "test_hanging.py").write_text(HANGING.format(line), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command += ["--timeout=1", "-o", "faulthandler_timeout=3", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert told in done.stdout + done.stderr
    assert "test_that_hangs" in done.stdout + done.stderr
