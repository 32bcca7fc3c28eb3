"""Studies: valid plans, correct intervals, runs that are trained once, and no use of test rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml
from click.testing import CliRunner
from scipy import stats
from workspaces import ROOT, edit_task, fetch_raw, fork_server

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.experiments import plots, study_plan, workers
from tiltyard.experiments.fold_choice import choose
from tiltyard.experiments.seed_comparison import SeedComparison, interval
from tiltyard.experiments.study import study
from tiltyard.experiments.study_plan import Plan
from tiltyard.experiments.study_runs import StudyRun, plan_runs
from tiltyard.modeling.evaluators.classification import Classification
from tiltyard.modeling.evaluators.regression import Regression
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"vary": {"train.optimizer": ["sgd"]}}, "expected 2 or more variants, each once; received sgd"),
        ({"vary": {"train.optimizer": ["sgd", "sgd"]}}, "each once; received sgd, sgd"),
        ({}, "expected 2 or more variants, each once; received none"),
        (
            {"vary": {"train.optimiser": ["sgd", "adam"]}},
            "train.optimiser=sgd: .*unknown key.*did you mean 'optimizer'",
        ),
        ({"vary": {"train.optimizer": ["sgd", "adm"]}}, "train.optimizer=adm: .*received 'adm'"),
        ({"vary": {"train.seed": [1, 2]}}, "other than the seed"),
        ({"vary": {"split.seed": [1, 2]}}, "split.seed: expected a key of model or train"),
        ({"variants": {"a": {}, "b": {"model.width": 3}}}, "model.width=3: .*unknown key 'width'"),
        ({"variants": {"a": {}, "b": {}}, "set": {"train.epochs": 0}}, "train.epochs=0: .*greater than or equal to 1"),
        ({"variants": {"a": {}, "b": {}}, "repeat": 1}, "repeat: expected greater than or equal to 2"),
        ({"variants": {"a": {}, "b": {}}, "repeat": 3, "folds": 3}, "folds: expected without repeat"),
        ({"variants": {"a": {}, "b": {}}, "folds": 1}, "folds: expected greater than or equal to 2"),
        ({"variants": {"a": {}, "b": {}}, "row": 50}, r"unknown key 'row' \(did you mean 'rows'\?\)"),
    ],
)
def test_invalid_plans_are_rejected(workspace: Workspace, content: dict[str, Any], message: str) -> None:
    """Before any training, the error names the key and what was received."""
    _prepare(workspace)
    path = workspace.root / "made.yaml"
    path.write_text(yaml.safe_dump({"task": "iris", **content}))
    with pytest.raises(TaskError, match=message):
        plan_runs(workspace, study_plan.read(path))


def test_command_line_values_are_parsed_like_a_file(tmp_path: Path) -> None:
    """Text, numbers with exponents, lists and null are parsed; a grid's first variant is the reference."""
    plan = study_plan.from_arguments(
        "iris",
        ["train.optimizer=sgd,adam", "train.learning_rate=1e-3, 0.1"],
        ["model.units=[8, 4]", "train.patience=null"],
    )
    assert plan.vary == {"train.optimizer": ["sgd", "adam"], "train.learning_rate": [0.001, 0.1]}
    assert plan.set == {"model.units": [8, 4], "train.patience": None}
    variants = plan.all_variants()
    assert [variant.name for variant in variants] == [
        *("sgd, learning_rate=0.001", "sgd, learning_rate=0.1"),
        *("adam, learning_rate=0.001", "adam, learning_rate=0.1"),
    ]
    assert variants[0].changes["model.units"] == [8, 4]
    with pytest.raises(TaskError, match=r"expected KEY=VALUE,VALUE; received train\.optimizer"):
        study_plan.from_arguments("iris", ["train.optimizer"], [])
    with pytest.raises(TaskError, match="expected --vary and --set for a task"):
        study_plan.from_cli("studies/cells.yaml", ("a=1",), ())
    with pytest.raises(TaskError, match=r"no study .*expected a file"):
        study_plan.from_cli(str(tmp_path / "none.yaml"), (), ())
    with pytest.raises(TaskError, match="expected --folds or --repeat"):
        study_plan.from_cli("iris", ("train.optimizer=sgd,adam",), (), repeat=3, folds=3)


def test_every_committed_study_is_valid() -> None:
    """Each file in studies/ is a plan whose variants are valid."""
    space = Workspace(ROOT)
    paths = sorted((ROOT / "studies").glob("*.yaml"))
    assert len(paths) == 10
    for path in paths:
        read = study_plan.read(path)
        for variant in read.all_variants():
            assert loader.load_with(space, read.task, variant.changes).name == read.task


def test_intervals_match_student_t() -> None:
    """The interval equals scipy's and a hand calculation; one value has none."""
    values = [0.91, 0.94, 0.9, 0.97, 0.93]
    reference = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert interval(values, 0.95) == pytest.approx(reference)
    assert interval([1.0, 2.0, 3.0], 0.95) == pytest.approx((2 - 4.30265 / 3**0.5, 2 + 4.30265 / 3**0.5), abs=1e-4)
    assert interval([1.0], 0.95) is None
    for same in ([0.5, 0.5], [0.0, 0.0, 0.0], [0.1 + 0.2, 0.3, 0.3]):
        assert interval(same, 0.95) is None


SAME = [
    ([0.1 / 3, 0.1 / 3], 30, "adam is better than sgd by the same 0.033 with each of 2 seeds: "),
    ([-0.2] * 3, None, "adam is worse than sgd by the same 0.2 with each of 3 seeds: "),
    ([0.0] * 4, 30, "no difference between adam and sgd: equal with each of 4 seeds"),
]


@pytest.mark.parametrize(("gains", "rows", "begin"), SAME)
def test_equal_gains_have_no_interval(gains: list[float], rows: int | None, begin: str) -> None:
    """Without variance no interval is claimed."""
    found = SeedComparison("adam", "sgd", gains, 0.95, rows)
    assert found.interval is None
    assert found.sentence.startswith(begin)
    assert "interval 0" not in found.sentence


@pytest.mark.parametrize(
    ("gains", "rows", "end"),
    [
        ([0.1 / 3, 0.1 / 3], 30, "; one of the 30 validation rows is 0.033"),
        ([0.002, 0.001, 0.003], 500, "; one of the 500 validation rows is 0.002"),
        ([0.2, 0.21], 30, "to 0.27)"),
        ([0.1 / 3, 0.1 / 3], None, "chance is not ruled out"),
    ],
)
def test_small_difference_states_the_value_of_one_row(gains: list[float], rows: int | None, end: str) -> None:
    """A difference of about one row is reported with the value of one row."""
    assert SeedComparison("adam", "sgd", gains, 0.95, rows).sentence.endswith(end)


@pytest.mark.parametrize(
    ("gains", "sentence"),
    [
        ([0.01, 0.014, 0.012], r"^adam is better than sgd by 0\.012 \(95% interval 0\.007 to 0\.017\)$"),
        ([-0.01, -0.014, -0.012], r"^adam is worse than sgd by 0\.012 \(95% interval 0\.007 to 0\.017\)$"),
        ([0.01, -0.01, 0.02], r"^no significant difference between adam and sgd with 3 seeds \(gain 0\.0067, 95% "),
        ([0.0, 0.0], "^no difference between adam and sgd: equal with each of 2 seeds"),
        ([0.3], "^adam cannot be compared with sgd: expected two seeds with both; there are 1$"),
    ],
)
def test_difference_is_claimed_only_if_the_interval_excludes_zero(gains: list[float], sentence: str) -> None:
    """Only an interval without zero is called better or worse; positive gains are better for every metric."""
    import re

    assert re.search(sentence, SeedComparison("adam", "sgd", gains, 0.95).sentence)


def test_paired_interval_is_narrower() -> None:
    """If seeds vary more than variants, the paired interval is much narrower than that of each mean."""
    baseline = np.random.default_rng(0).normal(0, 1, 6)
    better = baseline + 0.1 + np.random.default_rng(1).normal(0, 0.01, 6)
    found = SeedComparison("a", "b", (better - baseline).tolist(), 0.95)
    assert "a is better than b" in found.sentence
    low, high = interval(baseline.tolist(), 0.95) or (0, 0)
    assert found.interval
    assert found.interval[1] - found.interval[0] < (high - low) / 20


def _prepare(workspace: Workspace) -> None:
    """Prepare iris for short trainings, and delete its test rows."""
    edit_task(workspace, "iris", {"train.epochs": 6, "train.patience": None})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    (workspace.out("iris", "prepare") / "test.npz").unlink()


def _work(root: str, runs: list[StudyRun]) -> None:
    from tiltyard.experiments import study_runs as verb

    verb.run_worker(root, "iris", runs)


def _train(workspace: Workspace, planned: Plan) -> None:
    """Run two workers, forked from a process that has imported TensorFlow."""
    runs = plan_runs(workspace, planned)
    processes = [fork_server().Process(target=_work, args=(str(workspace.root), runs)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0


@pytest.mark.smoke
@pytest.mark.nightly
def test_study_reports_differences_and_trains_each_run_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learning rate that learns beats one that does not, divergence is reported, another seed trains only itself."""
    _prepare(workspace)
    rates = {"slow": 0.00001, "good": 0.1, "wild": 1e20}
    variants: dict[str, dict[str, Any]] = {name: {"train.learning_rate": rate} for name, rate in rates.items()}
    variants["slow"]["model.initializer"] = "zeros"  # its weights start at zero for every seed
    sgd = {"train.optimizer": "sgd"}
    planned = Plan(task="iris", variants=variants, set=sgd, repeat=3, rows=60)
    _train(workspace, planned)
    before = {path: path.stat().st_mtime_ns for path in workspace.cells("iris").glob("*.json")}
    assert len(before) == 9
    assert {path.suffix for path in workspace.cells("iris").iterdir()} == {".json"}

    monkeypatch.delattr(workers, "run_workers")  # any further training fails
    log_lines: list[str] = []
    result = study(workspace, "rates", planned, 1, log_lines.append)
    assert log_lines == ["9 of 9 trainings are finished already"]
    slow, good, wild = result["variants"]
    assert slow["values"] != good["values"]
    assert good["sentence"].startswith("good is better than slow by")
    assert wild["sentence"].startswith("wild cannot be compared with slow")
    assert len(wild["trouble"]) == 3
    assert good["interval"] == pytest.approx(
        stats.t.interval(0.95, 2, np.mean(good["values"]), stats.sem(good["values"]))
    )
    assert [len(curve) for curve in good["curves"]] == [6, 6, 6]

    page = (workspace.study("rates") / "study.md").read_text()
    assert "| good | **" in page
    assert "wild: 3 of 3 seeds could not be trained: training diverged" in page
    assert "test rows were not used" in page
    words = ["--vary", "train.learning_rate=0.1,1e20", "--set", "train.optimizer=sgd", "--rows", "60", "--repeat", "3"]
    done = CliRunner().invoke(cli, ["study", "iris", *words])
    assert done.exit_code == 0
    assert "6 of 6 trainings are finished already" in done.output
    assert "learning_rate=100000000000000000000 cannot be compared with learning_rate=0.1" in done.output
    monkeypatch.undo()

    _train(workspace, planned.model_copy(update={"repeat": 4}))
    after = {path: path.stat().st_mtime_ns for path in workspace.cells("iris").glob("*.json")}
    assert len(after) == 12
    assert {path: after[path] for path in before} == before


@pytest.mark.smoke
@pytest.mark.nightly
def test_study_over_folds_chooses_by_mean_and_spread(workspace: Workspace) -> None:
    """Each variant is measured on the rows of each fold; the page shows the spread, and which variant is chosen."""
    _prepare(workspace)
    variants = {name: {"train.learning_rate": rate} for name, rate in {"slow": 0.00001, "good": 0.05}.items()}
    planned = Plan(task="iris", variants=variants, folds=3)
    _train(workspace, planned)
    result = study(workspace, "folded", planned, 1, lambda _: None)
    slow, good = result["variants"]
    assert len(slow["values"]) == len(good["values"]) == 3
    assert len({*good["values"], *slow["values"]}) > 2
    assert result["chosen"]["name"] == "good"
    page = (workspace.study("folded") / "study.md").read_text()
    assert "3 folds. The balanced_accuracy is that of the rows that each fold holds out" in page
    assert "| variant | balanced_accuracy | deviation |" in page
    assert "- Chosen: good (mean" in page
    rows = [json.loads(path.read_text()) for path in workspace.cells("iris").glob("*.json")]
    assert {row["changes"]["train.folds"] for row in rows} == {3}


def _variant(name: str, values: list[float]) -> dict[str, Any]:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"name": name, "values": values, "mean": float(np.mean(values)), "deviation": deviation}


def test_steady_variant_within_one_standard_error_is_chosen() -> None:
    """Of variants that are hardly worse than the best, the one with the least spread is chosen; a worse one never."""
    accuracy, error = Classification().metrics["accuracy"], Regression().metrics["rmse"]
    wide, steady = _variant("wide", [0.80, 0.95, 0.86, 0.91]), _variant("steady", [0.87, 0.88, 0.87, 0.88])
    worse = _variant("worse", [0.70, 0.70, 0.70, 0.70])
    chosen = choose([wide, steady, worse], accuracy)
    assert chosen is not None
    assert chosen["name"] == "steady"
    assert "the best mean is that of wide, 0.88, which is within one standard error (0.032)" in chosen["sentence"]
    lower = choose([wide, steady, worse], error)
    assert lower is not None
    assert lower["name"] == "worse"
    assert choose([_variant("one", [0.5])], accuracy) is None


def _start(workspace: Workspace, *words: str) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    command = ["tiltyard", "study", "made.yaml", "--json", *words]
    return subprocess.Popen(
        command, cwd=workspace.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.nightly
def test_killed_study_continues_with_the_same_values(workspace: Workspace) -> None:
    """After kill -9 the worker ends, too; the next call keeps finished runs and trains the others.

    The interrupted run ends with the same values as in an uninterrupted study.
    """
    _prepare(workspace)
    content = {"task": "iris", "vary": {"train.optimizer": ["sgd", "adam"]}, "set": {"train.epochs": 12}, "repeat": 2}
    (workspace.root / "made.yaml").write_text(yaml.safe_dump(content))
    cells = workspace.cells("iris")
    process = _start(workspace)
    _wait(lambda: bool(list(cells.glob("*.json"))) and bool(list(cells.glob("*/state.npz"))))
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not psutil.wait_procs(children, timeout=30)[1]
    done = {path: path.read_bytes() for path in cells.glob("*.json")}
    assert len(done) < 4
    out, _ = _start(workspace, "--into", "docs").communicate(timeout=200)
    first = json.loads(out)
    assert all(path.read_bytes() == content for path, content in done.items())
    assert {path.name for path in (workspace.root / "docs").iterdir()} == {
        *("made.md", "made-values.png", "made-curves.png")
    }
    assert "](made-values.png)" in (workspace.root / "docs" / "made.md").read_text()

    values = [variant["values"] for variant in first["variants"]]
    for path in cells.glob("*.json"):
        path.unlink()
    _train(workspace, study_plan.read(workspace.root / "made.yaml"))
    again = study(workspace, "made", study_plan.read(workspace.root / "made.yaml"), 1, print)
    assert [variant["values"] for variant in again["variants"]] == values


@pytest.mark.parametrize("name", ["$x^$", r"$\frac$", "a$b", "_under", "\x07bell", "名前", "x" * 300, "two\nlines"])
def test_plots_show_any_name(tmp_path: Path, name: str) -> None:
    """Names are not parsed as formulas, hide no label, cause no warning, and leave space for the plot."""
    made = {"mean": 1.5, "values": [1.0, 2.0], "interval": [1.0, 2.0], "curves": [[1.0, 0.5], [1.2, 0.6]]}
    variants = [{"name": name, **made}, {"name": "other", **made}]
    for figure in (plots.variant_values(variants, "log_loss"), plots.loss_curves(variants)):
        plots.save(figure, tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 5_000
