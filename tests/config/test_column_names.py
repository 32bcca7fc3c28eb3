"""Arbitrary column names: DVC, YAML and JSON return them unchanged."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from workspaces import ROOT, edit_task, fetch_raw, new_workspace

from tiltyard.config import loader, resolve, safe_yaml
from tiltyard.config.draft import draft
from tiltyard.config.draft.request import DraftRequest
from tiltyard.config.task import Task
from tiltyard.data import dvc
from tiltyard.errors import TiltyardError
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

HOSTILE = [
    "a long name of a column, such as a survey has, in which the question itself stands: how content are you, 1-5?",
    "x" * 300,
    "y" * 1200,
    "emoji 🌡️🤖, combining é, اسم, 名前",
    "colon: hash # and - dash",
    "'single' \"double\" `back`",
    "two\nlines",
    "tab\tand\r\nline\u2028ends",
    "{braces} [brackets] ${item.task} %s <img onerror=x>",
    "null",
    "? complex",
    "~",
    "* & ! | > @ `",
    "1.5",
    "true",
    "=SUM(A1)",
    "..",
    "a/b\\c",
    "a.b.c",
]
WORDS = [
    *("null", "~", "NaN", "None", "true", "yes", "no", "on", "<<", "=", "---", "...", "- ", "? ", "?", ": ", ":", " #"),
    *("1.5", "1e5", "007", "007e5", "1_000", "0x1f", "-1", "2024-01-01", "12:30", "2020", "index", "date", "gone_"),
    *("é", "e\u0301", "Å", "\u212b", "اسم", "\u202e", "名前", "🌡️", "👨\u200d👩\u200d👧", "\u200b", "\xa0", "\ufeff"),
    *(
        "'",
        '"',
        "`",
        "\\",
        "/",
        "..",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&",
        "*",
        "!",
        "|",
        ">",
        "%",
        "@",
        "${item.task}",
        "{{x}}",
    ),
    *("\n", "\r\n", "\t", "\u2028", "\x85", "\x07", "\x1b[31m", " ", "  ", "how content are you with ", "x" * 90),
]
PIECES = st.one_of(st.sampled_from(WORDS), st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NAMES = st.builds(
    lambda pieces, times: ("".join(pieces) * times)[:500],
    st.lists(PIECES, min_size=1, max_size=8),
    st.sampled_from([1, 1, 1, 2, 10, 60]),
).filter(lambda name: name != "gone")
LABELS = [("yes", "no"), ("a?", ":b"), ("007", "08"), ("1:30", "? x: y")]
MANY = st.lists(NAMES, min_size=40, max_size=40, unique=True)


def write_table(path: Path, names: list[str], target: str = "gone", labels: Sequence[str] = ("yes", "no")) -> None:
    """Write a table with numbers in these columns, as JSON lines, which need no quoting."""
    dice = np.random.default_rng(0)
    values = {name: dice.normal(0, 1, 60) for name in names}
    target_values = np.where(sum(values.values()) + dice.normal(0, 0.3, 60) > 0, *labels)
    rows = pd.DataFrame({**values, target: target_values}).to_dict("records")
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


HYPOTHESIS_SETTINGS = settings(deadline=None, suppress_health_check=[*HealthCheck])


def _draft_and_load(workspace: Workspace, path: str) -> tuple[Task, list[str]]:
    """Draft and load a task; return it with the names that init kept."""
    drafted = draft.draft_task(workspace, "named", DraftRequest(path, "gone"), force=True)
    task, loaded = loader.load(workspace, "named"), [traits.name for traits in drafted.traits if not traits.reason]
    assert list(task.columns) == loaded
    return task, loaded


@settings(HYPOTHESIS_SETTINGS, max_examples=8)
@given(names=st.lists(NAMES, min_size=2, max_size=12, unique=True))
@example(names=HOSTILE)
def test_any_column_name_survives_init_resolve_and_prepare(workspace: Workspace, names: list[str]) -> None:
    """Task, stages and encoder read back the names that init wrote."""
    write_table(workspace.root / "table.jsonl", names)
    task, loaded = _draft_and_load(workspace, "table.jsonl")
    assert loaded == names
    resolve.resolve(workspace, task)
    read = json.loads((workspace.out("named", "config") / "prepare.json").read_text(encoding="utf-8"))
    assert list(read["columns"]) == names
    fetch_raw(workspace, "named")
    assert sum(prepare.prepare(workspace, task)["rows"].values()) == 60


def _readers(path: Path) -> list[Any]:
    """Read a YAML file as DVC does, by YAML 1.1, by YAML 1.2, and by safe_yaml."""
    from dvc.utils.serialize import load_yaml

    text = path.read_text(encoding="utf-8")
    pure = YAML(typ="safe", pure=True).load(text)
    return [load_yaml(str(path)), yaml.safe_load(text), pure, safe_yaml.parse(text, path.name)]


@pytest.mark.smoke
@settings(HYPOTHESIS_SETTINGS, max_examples=8)
@given(names=MANY)
def test_lock_file_stays_readable_with_any_column_names(workspace: Workspace, names: list[str]) -> None:
    """With any names, dvc.lock stays readable and contains none of them."""
    from dvc.repo import Repo

    if not (workspace.root / "src").exists():
        (workspace.root / "src").symlink_to(ROOT / "src")
    dvc.init(workspace)
    write_table(workspace.root / "table.jsonl", names)
    task, loaded = _draft_and_load(workspace, "table.jsonl")
    assert loaded == names
    assert all(list(content["columns"]) == names for content in _readers(workspace.task_file("named")))
    resolve.resolve(workspace, task)
    with Repo(str(workspace.root)) as repo:
        repo.commit("resolve@named", force=True)
    assert dvc.status(workspace, "resolve@named") == {}
    first, *others = _readers(workspace.root / "dvc.lock")
    assert all(content == first for content in others)
    assert set(first["stages"]["resolve@named"]) == {"cmd", "deps", "outs"}


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["a survey with the whole question as the name of its column how content are you"], LABELS[0]),
        ([f"{side} {part} (cm)" for side in ("sepal", "petal") for part in ("length", "width")], LABELS[1]),
        ([f"{'x' * length} {'y' * 60}" for length in (10, 19, 20, 60, 70, 120)], LABELS[2]),
        (["a  b", "is it so?", ": )", "?", "a:b", "007"], LABELS[3]),
    ],
)
def test_dvc_edits_keep_column_names_and_labels(
    workspace: Workspace, names: list[str], labels: tuple[str, str]
) -> None:
    """Repeated `dvc exp run -S` keeps names and labels, after the repair by resolve."""
    from dvc.utils.hydra import apply_overrides

    write_table(workspace.root / "table.jsonl", names, labels=labels)
    task, _ = _draft_and_load(workspace, "table.jsonl")
    for epochs in (3, 4):
        apply_overrides(str(workspace.task_file("named")), [f"train.epochs={epochs}"])
        again = loader.load(workspace, "named")
        assert again.train.epochs == epochs
        assert (again.columns, again.serve, again.target) == (task.columns, task.serve, task.target)
        resolve.resolve(workspace, again)


def test_handwritten_task_file_is_repaired_after_dvc_edits(workspace: Workspace) -> None:
    """Names without quotes survive repeated edits by DVC and repairs."""
    from dvc.utils.hydra import apply_overrides

    path = workspace.task_file("iris")
    text = path.read_text(encoding="utf-8")
    for number, name in enumerate(["sepal_length", "sepal_width", "petal_length", "petal_width"]):
        text = text.replace(name, f"{'the whole question of a survey ' * number}{name.replace('_', '  ')} in cm")
    path.write_text(text, encoding="utf-8")
    task = loader.load(workspace, "iris")
    for epochs in (3, 4, 5):
        apply_overrides(str(path), [f"train.epochs={epochs}"])
        assert loader.load(workspace, "iris").columns == task.columns
        resolve.resolve(workspace, task)
    assert loader.load(workspace, "iris").serve == task.serve


DESTROYED_NAMES = ["-_", "a\x85b", "?a", ":a", "? a", ": a", f"{'how content are you ' * 6}\x07"]
DESTROYED_LABELS = ["${x}", "${oc.env:HOME}", "${train.epochs}", "y\x85es", f"{'how content are you ' * 6}\x07"]


@pytest.mark.parametrize("brackets", [False, True], ids=["as init writes", "between brackets"])
@pytest.mark.parametrize(
    ("name", "label"), [*((name, "yes") for name in DESTROYED_NAMES), *(("a", label) for label in DESTROYED_LABELS)]
)
def test_names_damaged_by_dvc_are_rejected(workspace: Workspace, name: str, label: str, brackets: bool) -> None:
    """If `dvc exp run -S` damages names, an error is raised and nothing is prepared."""
    from dvc.utils.hydra import apply_overrides

    write_table(workspace.root / "table.jsonl", [name, "b"], labels=(label, "no"))
    task, _ = _draft_and_load(workspace, "table.jsonl")
    fetch_raw(workspace, "named")
    path = workspace.task_file("named")
    if brackets:
        plain = (
            name if name.isprintable() and " " not in name[:2] else json.dumps(name)
        )  # `? a: 0` is an explicit key in YAML
        columns = f"columns: {{{plain}: {{type: number}}, b: {{type: number}}}}\n"
        text = re.sub(r"(?m)^columns:\n( .*\n)*", lambda _: columns, path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
        names, task = [*task.columns], loader.load(workspace, "named")
        assert [*task.columns] == names
    before = path.read_bytes()
    for epochs in (3, 4):
        try:
            apply_overrides(str(path), [f"train.epochs={epochs}"])
        except Exception:  # noqa: BLE001 - whatever DVC raises, it must not have written
            assert path.read_bytes() == before
            return
        try:
            again = loader.load(workspace, "named")
            resolve.resolve(workspace, again)
            prepare.prepare(workspace, again)
        except TiltyardError as error:
            assert "expected" in str(error)  # noqa: PT017 - either outcome is right
            return
        assert (again.columns, again.serve, again.target) == (task.columns, task.serve, task.target)
        assert again.train.epochs == epochs
        before = path.read_bytes()


@settings(HYPOTHESIS_SETTINGS, max_examples=15)
@given(names=st.lists(NAMES | st.just("") | st.just("a"), min_size=1, max_size=12), delimiter=st.sampled_from(",;\t"))
@example(names=["a", "a", " a ", "A", '"a"', "", "a_2"], delimiter=",")
@example(names=["1.5", "-1", "2.5"], delimiter=",")
@example(names=["a\0b"], delimiter=",")
@example(names=["\U00018d09" * 120], delimiter=",")  # 120 characters, 1,200 as YAML escapes them
def test_csv_with_any_header_is_read_or_rejected(workspace: Workspace, names: list[str], delimiter: str) -> None:
    """Repeated, empty and padded names are repaired, and nothing ends in a traceback."""
    with (workspace.root / "table.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([*names, "gone"])
        dice = np.random.default_rng(0)
        writer.writerows([[*dice.normal(0, 1, len(names)).round(3), "yes" if row % 3 else "no"] for row in range(30)])
    try:
        task, loaded = _draft_and_load(workspace, "table.csv")
    except TiltyardError as error:
        assert str(error).startswith("table.csv: ")  # noqa: PT017 - either outcome is right
    else:
        assert len(loaded) == len(names)
        fetch_raw(workspace, "named")
        assert sum(prepare.prepare(workspace, task)["rows"].values()) == 30


def test_dvc_stages_have_no_parameters_of_task_files() -> None:
    """DVC would write names from data into dvc.lock; the one parameter is a hash of the user's code."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    parameters = {verb: stage["params"] for verb, stage in stages.items() if "params" in stage}
    assert parameters == {"train": [{"out/code.json": ["models.${item.task}"]}]}


def _run_command(workspace: Workspace, *words: str) -> str:
    """Run a command in the project; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    own = {**untraced, "PREFECT_HOME": str(workspace.prefect), "PATH": path, "DVC_NO_ANALYTICS": "1"}
    result = subprocess.run(
        words, cwd=workspace.root, env=own, capture_output=True, text=True, timeout=400, check=False
    )
    verdicts = (0, 3, 4) if words[:2] == ("tiltyard", "run") else (0,)  # a task of a few rows may be held or rejected
    assert result.returncode in verdicts, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


@pytest.mark.smoke
@pytest.mark.nightly
def test_hostile_names_work_through_the_whole_pipeline(tmp_path: Path) -> None:
    """Such names work from init to `dvc status`, and other tasks are not affected."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    dice = random.Random(0)  # noqa: S311 - it draws names
    drawn = ["".join(dice.choices(WORDS, k=dice.randint(1, 6)))[:500] for _ in range(20)]
    names = list(dict.fromkeys([*HOSTILE, *drawn]))
    write_table(tmp_path / "table.jsonl", names)
    _run_command(workspace, "tiltyard", "init", "named", "--data", "table.jsonl", "--target", "gone")
    edit_task(workspace, "named", {"train.epochs": 3, "gate.latency_ms": 500})
    _run_command(workspace, "tiltyard", "run", "named")
    assert list(loader.load(workspace, "named").columns) == names
    assert "up to date" in _run_command(workspace, "dvc", "status", "evaluate@named")
    lock = yaml.safe_load((tmp_path / "dvc.lock").read_text(encoding="utf-8"))
    parameters = [name for stage in lock["stages"].values() for name in stage.get("params", {})]
    assert {*parameters} <= {"out/code.json"}
    assert "every step is skipped" in _run_command(workspace, "tiltyard", "run", "named")


def _commit(workspace: Workspace) -> None:
    """Create a git repository with one commit, which `dvc exp run` needs."""
    (workspace.root / ".gitignore").write_text("/out/\n/logs/\n/.tiltyard/\n/.dvcstore/\n", encoding="utf-8")
    for words in (["init", "-q"], ["config", "user.name", "a"], ["config", "user.email", "a@localhost"]):
        _run_command(workspace, "git", *words)
    _run_command(workspace, "git", "add", "-A")
    _run_command(workspace, "git", "commit", "-q", "-m", "before")


@pytest.mark.smoke
@pytest.mark.nightly
def test_dvc_experiments_work_with_long_names_and_blanks(tmp_path: Path) -> None:
    """`dvc exp run` works repeatedly with long names and names with blanks."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    question = "how content are you, all in all, with what the survey calls the place where you live"
    names = [
        question,
        f"{question} {question}",
        "a b",
        "c  d",
        "is it so?",
        ": )",
        *(f"name {n} of ten" for n in range(9)),
    ]
    quoted = [name for name in names if not name.startswith(":")]  # DVC removes the quotes of these in flow style
    for name, columns_of_task in (("named", names), ("by_hand", quoted)):
        write_table(tmp_path / f"{name}.jsonl", columns_of_task)
        _run_command(workspace, "tiltyard", "init", name, "--data", f"{name}.jsonl", "--target", "gone")
    by_hand = workspace.task_file("by_hand")
    drafted, _, _ = by_hand.read_text(encoding="utf-8").partition("example:")
    by_hand.write_text(f"{drafted}example: {json.dumps(dict.fromkeys(quoted, 0))}\n", encoding="utf-8")
    _run_command(workspace, "dvc", "init", "--no-scm", "-q")
    workspace.params.write_text("tasks: [by_hand, named]\n")
    (workspace.root / ".dvc" / "config").write_text("")
    _commit(workspace)
    for name in ("named", "by_hand"):
        columns = loader.load(workspace, name).columns
        assert [*columns] == (names if name == "named" else quoted)
        for epochs in (7, 8):
            override = f"tasks/{name}.yaml:train.epochs={epochs}"
            _run_command(workspace, "dvc", "exp", "run", "-S", override, f"resolve@{name}")
            task = loader.load(workspace, name)
            assert (task.columns, task.train.epochs) == (columns, epochs)
            assert "up to date" in _run_command(workspace, "dvc", "status", f"resolve@{name}")


@pytest.mark.smoke
@pytest.mark.nightly
def test_dvc_detects_task_file_changes(tmp_path: Path) -> None:
    """A changed comment runs nothing again, and a changed number of epochs trains again."""
    workspace = new_workspace(tmp_path)
    (tmp_path / "src").symlink_to(ROOT / "src")
    edit_task(workspace, "iris", {"train.epochs": 3})
    _commit(workspace)
    _run_command(workspace, "tiltyard", "fetch", "iris")
    _run_command(workspace, "dvc", "repro", "train@iris")
    file = workspace.task_file("iris")
    file.write_text(file.read_text(encoding="utf-8") + "# a remark\n", encoding="utf-8")
    assert _stages_run(_run_command(workspace, "dvc", "repro", "train@iris")) == ["resolve"]
    edit_task(workspace, "iris", {"train.epochs": 4})
    assert _stages_run(_run_command(workspace, "dvc", "repro", "train@iris")) == ["resolve", "train"]
    _run_command(workspace, "git", "add", "-A")
    _run_command(workspace, "git", "commit", "-q", "-m", "before")
    output = _run_command(workspace, "dvc", "exp", "run", "-S", "tasks/iris.yaml:train.epochs=5", "train@iris")
    assert _stages_run(output) == ["resolve", "train"]
    assert loader.load(workspace, "iris").train.epochs == 5
    assert "train.epochs" in _run_command(workspace, "dvc", "params", "diff", "HEAD")


def _stages_run(output: str) -> list[str]:
    """Return the stages that DVC ran and did not skip, without `code`, which always runs."""
    ran = [line.split("'")[1].partition("@")[0] for line in output.splitlines() if line.startswith("Running stage")]
    return [name for name in ran if name != "code"]
