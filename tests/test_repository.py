"""Tests of the repository itself: import rules, the file map, dependencies of stages, and conventions."""

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
from tiltyard.config import loader, resolve, task_list
from tiltyard.config.task import Task
from tiltyard.registry.decision import JUDGING_CODE
from tiltyard.workspace import Workspace

SOURCE = ROOT / "src" / "tiltyard"


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def test_every_package_has_a_docstring() -> None:
    """The docstring says what belongs here, what does not, and where to start; the named file exists."""
    for path in _tracked("src/tiltyard/**/__init__.py"):
        if path.parent != SOURCE:
            text = path.read_text(encoding="utf-8")
            module = ast.parse(text)
            assert len(module.body) == 1, f"{path} holds code"
            lines = (ast.get_docstring(module) or "").splitlines()
            assert len(lines) == 4, path
            names = re.findall(r"[\w/]+\.py", lines[3])
            assert lines[3].startswith("Start with "), path
            assert names, path
            assert [name for name in names if not (path.parent / name).is_file()] == [], path


def test_every_source_folder_is_a_package() -> None:
    """Tools that read the source tree do not find folders without __init__.py; templates are no code of the package."""
    folders = {path.parent for path in _tracked("src/tiltyard/*.py", "src/tiltyard/**/*.py")}
    folders -= {folder for folder in folders if SOURCE / "templates" in folder.parents}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


# Packages imported by judging code, of which only the parts in JUDGING_CODE affect a verdict.
NOT_JUDGING = {
    "config": "settings, whose values are in the fingerprint",
    "data": "reading and storing data, whose hash is in the fingerprint",
    "registry": "storing decisions",
    "runtime": "processes, threads, locks and progress",
    "serving": "serving requests",
    "training": "training networks, of which those of a walk-forward evaluation are reported and not judged",
}


def test_judging_code_is_hashed() -> None:
    """Everything that judging imports is in the list for the hash, or excluded for a reason."""
    packages = {path.partition("/")[0] for path in imports.closure("gate.judge") if "/" in path}
    assert packages == {name for name in JUDGING_CODE if "/" not in name and not name.endswith(".py")} | {*NOT_JUDGING}
    assert all((SOURCE / name).exists() for name in JUDGING_CODE)


def test_file_map_is_correct() -> None:
    """Every path in the map of docs/architecture.md exists, and the map has every package."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"## Where things are\n.*?```\n(.*?)```", text, re.DOTALL)
    assert block, "docs/architecture.md has no file map"
    names = set(re.findall(r"[\w./-]+", " ".join(line.strip().split("  ")[0] for line in block[1].splitlines())))
    for name in names - {".py"}:
        assert (ROOT / name).exists() or (SOURCE / name).exists(), f"{name} is in the map only"
    for name in {path.relative_to(SOURCE).parts[0] for path in _tracked("src/tiltyard/*/*")}:
        assert f"{name}/" in names, f"{name} is not in the map"


def test_readme_has_at_most_120_lines() -> None:
    """A README should be short enough to be read; its task file is one that loads."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    (task,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(task.splitlines()) <= 20
    assert loader.parse(task, "iris", "README.md").name == "iris"


def test_no_python_file_exceeds_400_lines() -> None:
    """Longer files are hard to read."""
    long = {
        path.name: n for path in _tracked("*.py") if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long


def test_every_test_has_a_docstring() -> None:
    """Docstrings are required in all files of tests/."""
    for path in _tracked("tests/*.py", "tests/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_lock_files_have_no_urls() -> None:
    """A lock file has versions and hashes; the index is a setting of the installer."""
    for path in _tracked("*.lock"):
        assert "://" not in path.read_text(encoding="utf-8"), path


def test_listed_tasks_need_no_downloads() -> None:
    """params.yaml, which dvc.yaml reads, lists the four tasks whose data need no download."""
    assert task_list.listed(Workspace(ROOT)) == ["diabetes", "digits", "iris", "sine"]
    assert set(task_list.listed(Workspace(ROOT))) <= set(Workspace(ROOT).tasks())


def test_stage_dependencies_exist() -> None:
    """Every source file in dvc.yaml exists, so that a renamed module is not forgotten."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    for stage in stages.values():
        for name in stage.get("deps", []):
            assert not name.startswith("src/") or (ROOT / name).exists(), name


STAGE_MODULES = {
    "resolve": "config.resolve",
    "validate": "validation.validate",
    "prepare": "preparation.prepare",
    "train": "training.train",
    "evaluate": "evaluation.evaluate",
}
# What a stage may import without depending on it: it affects paths and formats of files, not their content.
IGNORED_MODULES = {
    *(
        "errors",
        "files",
        "library_imports",
        "plugins",
        "processes",
        "progress",
        "environment",
        "workspace",
        "arrays",
        "settings",
        "suggestions",
        "deadline",
        "threads",
    ),
    "expectation",  # its definition is a dependency of validate
}
# Only evaluate and resolve depend on these: settings load evaluators for the names of metrics.
METRIC_CODE = ("src/tiltyard/figures.py", "src/tiltyard/modeling/evaluators", "src/tiltyard/modeling/metrics")


@pytest.mark.parametrize("stage_name", STAGE_MODULES)
def test_stages_depend_on_their_imports(stage_name: str) -> None:
    """All imports of a stage are dependencies; settings are resolved before, and prepare reads the data."""
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage_name]
    names = [name.removeprefix("src/tiltyard/") for name in stage["deps"] if name.startswith("src/")]
    without = {"resolve": (), "validate": ("config",), "prepare": ("config",)}.get(stage_name, ("config", "data"))
    imported = imports.closure(STAGE_MODULES[stage_name], without=without)
    needed = {name for name in imported if Path(name).stem not in IGNORED_MODULES}
    missing = {name for name in needed if not any(f"{name}/".startswith(f"{path}/") for path in names)}
    assert not missing


@pytest.mark.parametrize("stage_name", ["validate", "prepare", "train"])
def test_early_stages_do_not_depend_on_metrics(stage_name: str) -> None:
    """A changed title of a metric or figure must not cause training: no dependency, import or call leads there."""
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage_name]
    assert not [name for name in stage["deps"] if any(f"{path}/".startswith(f"{name}/") for path in METRIC_CODE)]
    for path in _tracked(*(name for name in stage["deps"] if name.startswith("src/"))):
        found = re.findall(r"(?<!gate)\.(?:evaluator|metric)\b", path.read_text(encoding="utf-8"))
        assert not found, f"{path}: {found}"


def test_service_imports_no_metrics_or_figures() -> None:
    """The service imports no metrics, baselines, plots or figures, except distances for drift."""
    imported = {name for name in imports.of_the_service() if f"src/tiltyard/{name}".startswith(METRIC_CODE)}
    assert imported == {"modeling/metrics/drift_distance.py"}


def test_every_problem_has_an_evaluator() -> None:
    """Both folders have a file for each kind of problem."""
    assert plugins.names("problems") == plugins.names("evaluators")


def test_resolve_depends_on_all_settings_modules() -> None:
    """The stage depends on every module that defines a section of the task file."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    sections = set().union(*resolve.SECTIONS.values())
    needed = {path for name in sections for path in _defining_files(Task.model_fields[name].annotation, set())}
    names = [name for name in stages["resolve"]["deps"] if name.startswith("src/")]
    assert not [path for path in needed if not any(f"{path}/".startswith(f"{name}/") for name in names)]


def _defining_files(annotation: Any, visited: set[Any]) -> set[str]:
    """Return our files that define the models of an annotation, and their base classes."""
    if annotation in visited:
        return set()
    visited.add(annotation)
    inner = list(get_args(annotation))
    found = set()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner += [field.annotation for field in annotation.model_fields.values()]
        modules = {base.__module__ for base in annotation.__mro__ if base.__module__.startswith("tiltyard.")}
        found = {f"src/{module.replace('.', '/')}.py" for module in modules}
    return found.union(*(_defining_files(one, visited) for one in inner))


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (3, 0), (1, 2), (2, 2), (130, 2)])
def test_make_run_succeeds_for_any_verdict(status: int, expected: int, tmp_path: Path) -> None:
    """`make run` succeeds after HOLD and REJECT (3), and fails with make's own status after an error."""
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


def test_installed_code_is_compiled() -> None:
    """Processes that cannot write bytecode should not compile thousands of modules at each start."""
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
    ("line", "message"),
    [
        ("threading.Event().wait()", "1 failed, 1 passed"),  # such as a service that never responds
        ("sum(range(10**15))", "Timeout (0:00:03)!"),  # C code, which handles no signal and runs no other thread
    ],
)
def test_hanging_test_is_ended(line: str, message: str, tmp_path: Path) -> None:
    """With the settings of pyproject.toml the test fails and the next one runs, or the process ends."""
    (tmp_path / "test_hanging.py").write_text(HANGING.format(line), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path)]
    command += ["--timeout=1", "-o", "faulthandler_timeout=3", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert message in done.stdout + done.stderr
    assert "test_that_hangs" in done.stdout + done.stderr
