"""Tests of the repository itself: directions of imports, the file map, names that must not appear."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from making import ROOT
from pydantic import BaseModel

from tiltyard.config import resolve, task_list
from tiltyard.config.task import Task
from tiltyard.registry import provenance
from tiltyard.registry.provenance import JUDGING
from tiltyard.workspace import Workspace

SOURCE = ROOT / "src" / "tiltyard"
PLUGINS = {"sources", "formats", "models", "problems", "checks", "columns", "forms", "findings", "explanations"}
VERBS = {
    *("init", "remove", "fetch", "validate", "prepare", "train", "evaluate", "promote", "package"),
    *("serve", "predict", "check", "status", "history", "rollback", "doctor", "data", "search", "study"),
    *("traffic", "monitor", "why", "compare", "verify", "approve", "explain", "report"),
}
# which modules may import a heavy library; everywhere else it stays out
HEAVY = {
    "cryptography": {"signing"},
    "bentoml": {"bento", "package", "service"},
    "dvc": {"store", "dvc_push"},
    "great_expectations": {"data_docs", "sieve", "suite"},
    "matplotlib": {"pictures"},
    "opentelemetry": {"tracing"},
    "optuna": {"sampling"},
    "prefect": set(),
    "pyarrow": {"sheet", "bulk", "reading", "format", "meaning", "tally", "delimited", "jsonl", "parquet", "gather"},
    "sqlalchemy": {"sql"},
    "tensorflow": {"train", "vitals", "batches", "gradients"},
    "jax": {"vitals", "gradients"},
    "keras": {
        *("augment", "batches", "export", "layered", "model", "network", "resume", "train", "watch"),
        *("alexnet", "bow", "cnn", "inception", "lenet5", "mlp", "perceptron", "resnet", "rnn", "seq2seq", "transfer"),
        *("transfer", "transformer", "vgg", "xception"),
        *("distortion", "ensemble", "fitting", "optimizer", "range_test", "schedule", "stopping", "vitals"),
        *("yardstick", "attempt", "explanation", "gradients", "inside", "walk"),
    },
}


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _imports(path: Path) -> set[str]:
    """Give all modules that a file imports, wherever in it, except for the type checker alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(inner) for node in checked for part in node.body for inner in ast.walk(part)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _name(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").as_posix().replace("/", ".")


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=_name)
def test_imports_point_from_verbs_to_types(path: Path) -> None:
    """Plug-ins and types import no verb, and nothing but the command line imports pipelines."""
    name, imports = _name(path), _imports(path)
    ours = {module.split(".")[1] for module in imports if module.startswith("tiltyard.")}
    assert name == "command" or not any(module.split(".")[0] == "pipelines" for module in imports)
    if name.split(".")[0] in PLUGINS:
        assert not ours & VERBS, f"{name} is a plug-in and imports the verb {ours & VERBS}"
    if name != "cli" and not name.startswith("command"):
        assert not ours & {"cli", "command", "commands"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=_name)
def test_heavy_libraries_stay_where_they_are_needed(path: Path) -> None:
    """Each heavy library is imported by the modules that the table names, and by no other."""
    roots = {module.split(".")[0] for module in _imports(path)}
    for library, modules in HEAVY.items():
        if library in roots:
            assert path.stem in modules, f"{_name(path)} imports {library}"


# What the code that judges imports, and no verdict follows from.
NOT_JUDGING = {
    "it shows and tells": {"__init__", "errors", "evaluation", "exhibit", "markdown", "site.__init__"},
    "it stores and signs": {
        *("aliases", "challenge", "dvc_cache", "dvc_push", "dvc_transfer", "files", "ledger", "listing", "manifest"),
        *("pointer", "progress", "registry", "signing", "stage", "store", "versions", "workspace"),
    },
    "it answers requests and records them": {
        *("arms", "backlog", "body", "contributions", "csv_cells", "cut", "deadline", "dialect", "feedback", "few"),
        *("feedback_token", "focus", "image_file", "inference", "meaning", "predict_request", "rate_limit", "recorder"),
        *("served", "shapley", "sheet", "shortcut", "spool", "tally", "tensors"),
    },
    "it made what is judged, which the hashes of model, test rows and settings name": {
        *("expectation", "model", "ranges", "schedule", "shelf", "source", "split", "strict", "training"),
    },
}


def test_the_code_that_judges_is_hashed() -> None:
    """Whatever judge and the plug-ins of judging import is in the list of the hash, or is left out for a reason."""
    hashed = {_name(path) for name in JUDGING for path in provenance._modules(SOURCE / name)}
    plugged = {_name(path) for name in ("checks", "columns", "problems") for path in (SOURCE / name).glob("*.py")}
    needed, new = set[str](), {"judge", *plugged}
    while new:
        needed |= new
        new = {module for name in new for module in _ours(SOURCE / f"{name.replace('.', '/')}.py")} - needed
    left = set().union(*NOT_JUDGING.values())
    assert needed == hashed | left
    assert not hashed & left


def _ours(path: Path) -> set[str]:
    """Name the modules of ours that a file imports."""
    names = [module.removeprefix("tiltyard").strip(".") for module in _imports(path) if module.startswith("tiltyard")]
    found = [
        [SOURCE / f"{name.replace('.', '/')}.py", SOURCE / name.replace(".", "/") / "__init__.py"] for name in names
    ]
    return {_name(one) for either in found for one in either if one.is_file()}


def test_pipelines_hold_order_alone() -> None:
    """Pipelines import no array, table or model library: arithmetic and file formats are the verbs'."""
    for path in (ROOT / "pipelines").glob("*.py"):
        roots = {module.split(".")[0] for module in _imports(path)}
        assert not roots & {"numpy", "pandas", "keras", "tensorflow", "onnxruntime", "great_expectations", "dvc"}


def test_the_file_map_of_the_readme_is_true() -> None:
    """Every path that the README's map names exists, and every module and folder of ours stands in it."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"## Where things are\n.*?```\n(.*?)```", text, re.DOTALL)
    assert block, "the README has no file map"
    named = set(re.findall(r"[\w./-]+", " ".join(line.strip().split("  ")[0] for line in block[1].splitlines())))
    for name in named:
        assert (ROOT / name).exists() or (SOURCE / name).exists(), f"{name} is in the map only"
    for path in [*SOURCE.glob("*.py"), *(p for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__")]:
        if path.name != "__init__.py":
            assert path.name in named or f"{path.name}/" in named, f"{path.name} is not in the map"


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
