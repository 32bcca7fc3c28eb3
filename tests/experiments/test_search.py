"""Hyperparameter search: valid ranges, sampling, pruning, recovery from kills, and no use of test rows."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from workspaces import edit_task, fetch_raw, fork_server, run_in_process

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import edit, loader
from tiltyard.config.sections import Range
from tiltyard.errors import TaskError, TiltyardError
from tiltyard.experiments import workers
from tiltyard.experiments.optuna_study import OptunaStudy, SearchSpec
from tiltyard.experiments.search import search, search_spec
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

RATE = {"low": 1e-6, "high": 1.0, "log": True}


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"train.rate": RATE}, "train.rate=.*unknown key 'rate'"),
        ({"split.seed": {"among": [1, 2]}}, "split.seed: expected a key of model or train"),
        ({"model": {"among": [1, 2]}}, "model: expected a key of model or train"),
        ({"train.seed": {"among": [1, 2]}}, "train.seed: expected a setting other than the seed"),
        ({"train.learning_rate": {"low": 0.1, "high": 0.1}}, "train.learning_rate: low: expected below high, 0.1"),
        ({"train.learning_rate": {"low": 0, "high": 1, "log": True}}, "low: expected above 0 with log; received 0"),
        ({"train.learning_rate": {"low": -1, "high": 1}}, "train.learning_rate=-1: .*greater than 0"),
        ({"train.learning_rate": {"low": 0.1}}, "train.learning_rate: expected low and high, or among; received low"),
        ({"train.learning_rate": {**RATE, "among": [1, 2]}}, "received among and low and high and log"),
        ({"train.learning_rate": {"hi": 1}}, r"unknown key 'hi' \(did you mean 'high'\?\)"),
        ({"train.batch_size": {"low": 8, "high": 32.5}}, "train.batch_size=32.5: .*valid integer"),
        ({"train.batch_size": {"among": [16, 4000]}}, "train.batch_size=4000: .*expected 1 to 90"),
        ({"train.optimizer": {"among": ["adam", "adamm"]}}, "train.optimizer=adamm: .*received 'adamm'"),
        ({"train.optimizer": {"among": ["adam", "adam"]}}, "among: expected two or more different values"),
        (
            {"model.units.3": {"low": 8, "high": 16}},
            "model.units.3: expected a section or a list that has it; received a list of 1",
        ),
    ],
)
def test_invalid_ranges_are_rejected(workspace: Workspace, ranges: dict[str, Any], message: str) -> None:
    """The error names the key, what was expected and what was received."""
    edit_task(workspace, "iris", {"search": ranges})
    with pytest.raises(TaskError, match=rf"tasks/iris\.yaml: search[,.].*{message}"):
        loader.load(workspace, "iris")


def test_search_without_ranges_shows_an_example(workspace: Workspace) -> None:
    """The hint shows an example of ranges."""
    with pytest.raises(TaskError, match="search: expected ranges; there are none") as error:
        search(workspace, loader.load(workspace, "iris"), 1, 1, print)
    assert "train.learning_rate: {low: 0.0001" in error.value.hint


AMENDED = """# the start
title: Flowers  # of three kinds
model: {family: mlp, units: [16, 8]}  # small
train:
  epochs: 20  # enough
  batch_size: 16

  # what follows stays
gate: {metric: accuracy}
"""


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({"train.epochs": 30}, "  epochs: 20  #", "  epochs: 30  #"),
        ({"model.units": [64, 32]}, "[16, 8]", "[64, 32]"),
        ({"model.units.1": 4}, "[16, 8]", "[16, 4]"),
        ({"model.dropout": 0.25}, "[16, 8]}", "[16, 8], dropout: 0.25}"),
        ({"train.learning_rate": 0.00001}, "  batch_size: 16\n", "  batch_size: 16\n  learning_rate: 0.00001\n"),
        (
            {"train.augment.mixup": 0.2, "train.schedule": {"kind": "cosine"}},
            "  batch_size: 16\n",
            "  batch_size: 16\n  augment: {mixup: 0.2}\n  schedule: {kind: cosine}\n",
        ),
    ],
)
def test_edit_changes_only_the_values(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], old: str, new: str
) -> None:
    """Values change in place, new keys follow the others of their section, comments stay."""
    monkeypatch.setattr(loader, "parse", lambda *_: None)  # the text above is not a complete task
    workspace.task_file("small").write_text(AMENDED, encoding="utf-8")
    edit.set_values(workspace, "small", changes)
    assert workspace.task_file("small").read_text(encoding="utf-8") == AMENDED.replace(old, new)


def test_edit_that_would_break_the_file_is_rejected(workspace: Workspace) -> None:
    """A shared value (YAML anchor) or an invalid one leaves the file unchanged."""
    before = workspace.task_file("iris").read_bytes()
    with pytest.raises(TaskError, match="batch_size"):
        edit.set_values(workspace, "iris", {"train.batch_size": 4000})
    assert workspace.task_file("iris").read_bytes() == before
    shared = before.decode().replace("[16]", "&width [16]")
    workspace.task_file("iris").write_text(shared + "search: {model.units: {among: [*width, [8]]}}\n")
    with pytest.raises(TaskError, match=r"iris\.yaml: not YAML|model.units: expected values that stand alone"):
        edit.set_values(workspace, "iris", {"model.units": [8]})


def _search_spec(folder: Path, **changes: Any) -> SearchSpec:
    ranges = {"x": Range(low=-10, high=10), "n": Range(low=1, high=64, log=True), "c": Range(among=[[1], "b", None])}
    settings = {"higher_is_better": False, "seed": 0, "epochs": 9, **changes}
    return SearchSpec(folder / "made.db", "made", ranges, frozenset("n"), **settings)


def _distance(values: dict[str, Any]) -> float:
    return float((values["x"] - 3) ** 2 + (np.log2(values["n"]) - 4) ** 2 + 5 * (values["c"] != "b"))


@pytest.mark.slow
def test_sampling_beats_random_search(tmp_path: Path) -> None:
    """The best of 40 trials beats the median of random searches, and later trials beat earlier ones."""
    sampling = OptunaStudy(_search_spec(tmp_path))
    distances = []
    with sampling.worker_lock():
        for _ in range(40):
            trial, values = sampling.ask(40) or pytest.fail("too few")
            assert -10 <= values["x"] <= 10
            assert values["n"] in range(1, 65)
            distances.append(_distance(values))
            sampling.tell(trial, distances[-1])
        assert sampling.ask(40) is None
        shares = sampling.importance()
    dice = np.random.default_rng(0)
    random_bests = [
        min(
            _distance({"x": dice.uniform(-10, 10), "n": 2 ** dice.uniform(0, 6), "c": dice.choice(["a", "b", "c"])})
            for _ in range(40)
        )
        for _ in range(200)
    ]
    assert min(distances) < np.median(random_bests)
    assert np.median(distances[20:]) < np.median(distances[:20]) / 2
    assert next(iter(shares)) == "x"
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)


def test_bad_trials_are_pruned_for_either_metric_direction(tmp_path: Path) -> None:
    """A loss above the median at the same epoch prunes a trial, a lower one does not."""
    for higher_is_better in (True, False):
        sampling = OptunaStudy(_search_spec(tmp_path / str(higher_is_better), higher_is_better=higher_is_better))
        with sampling.worker_lock():
            for loss in (1.0, 1.1, 0.9, 1.0):
                trial, _ = sampling.ask(9) or pytest.fail("too few")
                assert not any(sampling.report(trial, epoch, loss / epoch) for epoch in (1, 2, 3))
                sampling.tell(trial, loss)
            bad, _ = sampling.ask(9) or pytest.fail("too few")
            assert sampling.report(bad, 2, 5.0)
            sampling.tell(bad, None, trouble="pruned")
            good, _ = sampling.ask(9) or pytest.fail("too few")
            assert not sampling.report(good, 2, 0.1)


def test_trial_of_a_dead_process_is_repeated(tmp_path: Path) -> None:
    """A dead process' trial is marked failed, and queued again with its values and reported losses."""
    first, second, third = (OptunaStudy(_search_spec(tmp_path)) for _ in range(3))
    with first.worker_lock():
        trial, values = first.ask(2) or pytest.fail("too few")
        first.report(trial, 1, 0.5)
        with second.worker_lock():
            assert second.ask(1) is None
            _, others = second.ask(2) or pytest.fail("too few")
            assert others != values
            assert second.ask(2) is None
    with third.worker_lock():
        taken = [third.ask(2) or pytest.fail("too few") for _ in range(2)]
    assert values in [again for _, again in taken]
    trials = third.trials()
    assert [trial.state.name for trial in trials] == ["FAIL", "FAIL", "RUNNING", "RUNNING"]
    assert trials[2].user_attrs["first"] == 0
    assert trials[2].intermediate_values == {1: 0.5}


def _prepare_search(workspace: Workspace, **settings: Any) -> None:
    """Prepare iris with a search, and delete its test rows."""
    ranges = {"train.learning_rate": RATE, "train.batch_size": {"among": [16, 32]}}
    changes = {"epochs": 15, "patience": None, **settings}
    edit_task(workspace, "iris", {"search": ranges, **{f"train.{key}": value for key, value in changes.items()}})
    fetch_raw(workspace, "iris")
    prepare.prepare(workspace, loader.load(workspace, "iris"))
    (workspace.out("iris", "prepare") / "test.npz").unlink()


def _run_trials(root: str, trials: int) -> None:
    from tiltyard.experiments import search as verb

    verb._run_worker(root, "iris", trials)


def _worker(workspace: Workspace, trials: int) -> Any:
    """Start a worker, forked from a process that has imported TensorFlow."""
    process = fork_server().Process(target=_run_trials, args=(str(workspace.root), trials))
    process.start()
    return process


def _run_in_one_worker(workspace: Workspace) -> Iterator[None]:
    """Run a worker like `run_workers`, but faster."""
    process = _worker(workspace, 8)
    while process.is_alive():
        yield
        time.sleep(0.1)
    assert process.exitcode == 0
    yield


@pytest.mark.smoke
@pytest.mark.nightly
def test_search_finds_a_good_rate_and_prunes_bad_ones(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A high rate is best, some trials are pruned, and no test rows are needed.

    --apply changes only the values of the searched keys; the output says that the result is optimistic.
    """
    _prepare_search(workspace)
    monkeypatch.setattr(workers, "run_workers", lambda *_: _run_in_one_worker(workspace))
    before = yaml.safe_load(workspace.task_file("iris").read_text())
    done = CliRunner().invoke(cli, ["search", "iris", "--trials", "8", "--apply"])
    assert done.exit_code == 0
    for text in ("\n8 of 8: ", "expect a worse value on new rows", "sealed test rows were not used"):
        assert text in done.output
    result = files.read_json(workspace.out("iris", "search") / "search.json")
    best = result["best"]["values"]
    assert best["train.learning_rate"] > 0.001
    assert result["best"]["value"] >= 0.9
    pruned = [row for row in result["trials"] if row["trouble"] == "pruned"]
    assert pruned
    assert all(row["epochs"] < 15 for row in pruned)
    assert {*result["importance"]} == {*best}
    assert (workspace.out("iris", "search") / "search.png").stat().st_size > 5000
    assert not list(workspace.search("iris").with_suffix("").glob("trial-*"))
    before["train"] |= {key.removeprefix("train."): value for key, value in best.items()}
    assert yaml.safe_load(workspace.task_file("iris").read_text()) == before
    log_lines: list[str] = []
    again = search(workspace, loader.load(workspace, "iris"), 8, 1, log_lines.append)
    assert again["trials"] == result["trials"]
    assert log_lines == ["8 trials are finished already"]


def test_changed_ranges_start_another_study(workspace: Workspace) -> None:
    """A study's name depends on ranges, rows and fixed settings, not on the current values of searched keys."""
    _prepare_search(workspace)
    names = []
    edits: list[dict[str, Any]] = [
        {},
        {"train.learning_rate": 0.5},
        {"train.epochs": 16},
        {"search": {"train.learning_rate": RATE}},
    ]
    for changes in edits:
        edit_task(workspace, "iris", changes)
        spec = search_spec(workspace, loader.load(workspace, "iris"))
        names.append(spec.name)
        assert not spec.integer_keys
    assert names[0] == names[1]
    assert len(set(names)) == 3
    edit_task(workspace, "iris", {"search": {"model.units.0": {"low": 1, "high": 2}}})
    assert search_spec(workspace, loader.load(workspace, "iris")).integer_keys == {"model.units.0"}


def _is_running(trial: Any) -> bool:
    return trial.state.name == "RUNNING" and len(trial.params) == 2


def _kill_while(process: Any, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.smoke
@pytest.mark.nightly
def test_other_workers_finish_the_trials_of_a_killed_worker(workspace: Workspace) -> None:
    """After kill -9 the search ends with exactly as many trials as requested, none of them twice.

    The interrupted values are tried again, and training continues from its last epoch.
    """
    _prepare_search(workspace, epochs=40)
    sampling = OptunaStudy(search_spec(workspace, loader.load(workspace, "iris")))
    _kill_while(
        _worker(workspace, 4),
        lambda: any(_is_running(trial) and len(trial.intermediate_values) > 2 for trial in sampling.trials()),
    )
    (broken,) = [trial for trial in sampling.trials() if _is_running(trial)]
    for process in [_worker(workspace, 4) for _ in range(2)]:
        process.join(120)
        assert process.exitcode == 0
    trials = sampling.trials()
    assert len(sampling.finished()) == 4
    assert [trial.number for trial in trials if trial.state.name == "FAIL"] == [broken.number]
    (again,) = [trial for trial in trials if trial.user_attrs.get("first") == broken.number]
    assert again.params == broken.params
    for epoch, loss in broken.intermediate_values.items():
        assert again.intermediate_values[epoch] == loss
    values = [str(trial.params) for trial in sampling.finished()]
    assert len(set(values)) == 4


def _losses(root: str) -> list[float]:
    """Train with an L2 penalty; return the reported losses and those of the history."""
    from tiltyard.experiments.trial import train_and_score
    from tiltyard.training.fit import RunPaths

    workspace, reported_losses = Workspace(Path(root)), []
    task = loader.load_with(workspace, "iris", {"model.l2": 1.0, "train.epochs": 3})
    paths = RunPaths(
        workspace.root / "state", workspace.root / "state", "penalties", lambda _, loss: reported_losses.append(loss)
    )
    found = train_and_score(workspace, task, paths, rows=30)
    assert not found.trouble, found.trouble
    return [*reported_losses, *found.history["val_loss"]]


@pytest.mark.catalogue
def test_pruning_ignores_weight_penalties(workspace: Workspace) -> None:
    """The loss for pruning excludes penalties on weights."""
    _prepare_search(workspace)
    losses = run_in_process(_losses, str(workspace.root))
    reported_losses, history_losses = losses[:3], losses[3:]
    assert len(history_losses) == 3
    for without_penalty, with_penalty in zip(reported_losses, history_losses, strict=True):
        assert 0 < without_penalty < 3
        assert with_penalty > without_penalty + 1


def test_failed_worker_is_reported(tmp_path: Path) -> None:
    """The error contains the last line that the worker printed, and no worker is left running."""
    with pytest.raises(TiltyardError, match="a worker ended with 1: ValueError: invalid literal") as error:
        list(workers.run_workers(tmp_path, 2, int, "no number"))
    assert error.value.hint == "the same command continues where it stopped"
    assert list(workers.run_workers(tmp_path / "fine", 2, int, "1"))
    assert not list((tmp_path / "fine").iterdir())
