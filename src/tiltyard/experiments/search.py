"""The verb search: try values from the ranges of the task file, and find which are best on the validation rows."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.config import loader
from tiltyard.config.overrides import apply_changes, describe_changes
from tiltyard.config.task import Task
from tiltyard.errors import TaskError, TrainingError
from tiltyard.experiments import workers
from tiltyard.experiments.optuna_sampler import OptunaStudy, SearchSpec
from tiltyard.experiments.trial import TrialResult, attempt
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.fit import RunPaths
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import optuna

Say = Callable[[str], None]


class PrunedError(Exception):
    """A trial ends because others did better at this point."""


def search(workspace: Workspace, task: Task, trials: int, jobs: int, say: Say) -> dict[str, Any]:
    """Finish so many trials in all, also over several calls; leave search.json and pictures, and give the result."""
    from tiltyard.experiments import matplotlib_figures, plots

    ask = asked(workspace, task)
    sampling = OptunaStudy(ask)
    working = workers.work(sampling.folder, jobs, _work, str(workspace.root), task.name, trials)
    _carry_on(task, sampling, trials, working, say)
    result = _result(task, sampling)
    with files.replacing_folder(workspace.out(task.name, "search")) as folder:
        files.write_json(folder / "search.json", result)
        matplotlib_figures.save(plots.history(result), folder / "search.png")
    return result


def asked(workspace: Workspace, task: Task) -> SearchSpec:
    """Return what is looked for; other ranges, settings or rows are another search in the same database."""
    if not task.search:
        raise TaskError(
            f"tasks/{task.name}.yaml: search: expected ranges; there are none",
            hint="write, for example: search: {train.learning_rate: {low: 0.0001, high: 0.1, log: true}}",
        )
    fixed = apply_changes(
        task.model_dump(mode="json", include={"model", "train", "target"}), dict.fromkeys(task.search)
    )
    ranges = {key: span.model_dump() for key, span in sorted(task.search.items())}
    rows = TrainingRows.load(workspace.out(task.name, "prepare")).digest
    name = hashlib.sha256(json.dumps([fixed, task.gate.metric, ranges, rows]).encode()).hexdigest()[:12]
    return SearchSpec(
        workspace.search(task.name),
        name,
        task.search,
        frozenset(key for key in task.search if _takes_whole(workspace, task, key)),
        task.metric.higher_is_better,
        task.train.seed,
        task.train.epochs,
    )


def _takes_whole(workspace: Workspace, task: Task, key: str) -> bool:
    """Return whether a key refuses what lies between whole numbers; its ends then must be some."""
    span = task.search[key]
    if span.among is not None:
        return False
    try:
        loader.load_with(workspace, task.name, {key: span.fraction})
    except TaskError:
        return True
    return False


def _carry_on(task: Task, sampling: OptunaStudy, trials: int, working: Iterator[None], say: Say) -> None:
    """Let workers finish what is missing, and tell of each trial as it ends."""
    seen = {trial.number for trial in sampling.finished()}
    if seen:
        say(f"{len(seen)} trials are there already")
    if len(seen) >= trials:
        return
    for _ in working:
        for trial in sampling.finished():
            if trial.number not in seen:
                seen.add(trial.number)
                say(_line(task, sampling, trial, f"{len(seen)} of {max(trials, len(seen))}"))


def _work(root: str, name: str, trials: int) -> None:
    """Be a worker: try one set of values after the other until enough are finished."""
    workspace = Workspace(Path(root))
    sampling = OptunaStudy(asked(workspace, loader.load(workspace, name)))
    with sampling.working():
        while len(sampling.finished()) < trials:
            if taken := sampling.take(trials):
                try_out(workspace, name, sampling, *taken)
            else:
                time.sleep(workers.PAUSE)  # others are at the last ones; should they die, these are ours


def try_out(
    workspace: Workspace, name: str, sampling: OptunaStudy, trial: optuna.Trial, values: dict[str, Any]
) -> None:
    """Train with these values, unless they turn out to be bad or impossible on the way."""
    state = sampling.folder / f"trial-{trial.user_attrs.get('first', trial.number)}"
    try:
        task = loader.load_with(workspace, name, values)
        found = attempt(workspace, task, RunPaths(state, state, f"trial {trial.number}", _told(task, sampling, trial)))
    except TaskError as error:  # each value is possible, but not all of them together
        found = TrialResult(trouble=error.message)
    except PrunedError as pruned:
        found = TrialResult(epochs=pruned.args[0], trouble="pruned")
    facts = found.to_json()
    del facts["history"]
    sampling.tell(trial, facts.pop("value"), **facts)
    shutil.rmtree(state, ignore_errors=True)


def _told(task: Task, sampling: OptunaStudy, trial: optuna.Trial) -> Callable[[int, float], None] | None:
    """Return what ends a bad trial; none where losses do not compare, since they are not the same function."""
    if "train.loss" in sampling.ask.ranges or task.train.members > 1:
        return None

    def tell(epoch: int, loss: float) -> None:
        if epoch % sampling.ask.every == 0 and math.isfinite(loss) and sampling.report(trial, epoch, loss):
            raise PrunedError(epoch)

    return tell


def _line(task: Task, sampling: OptunaStudy, trial: optuna.trial.FrozenTrial, count: str) -> str:
    """Return how a trial went."""
    best = ranked(task, sampling)[:1]
    told = trial.user_attrs["trouble"] or f"{task.gate.metric} {trial.value:.4g}"
    told += f" at epoch {trial.user_attrs['epochs']}" if told == "pruned" else ""
    so_far = f"; best {best[0]['value']:.4g}, trial {best[0]['trial']}" if best else ""
    return f"{count}: {describe_changes(sampling.read(trial))}: {told}{so_far}"


def ranked(task: Task, sampling: OptunaStudy) -> list[dict[str, Any]]:
    """Return the trials that were measured, the best first; of equals, the one with the lower loss."""
    rows = [row for row in _rows(sampling) if row["value"] is not None]
    return sorted(rows, key=lambda row: (-task.metric.gain(row["value"], 0.0), row["val_loss"], row["trial"]))


def _rows(sampling: OptunaStudy) -> Iterator[dict[str, Any]]:
    """Yield what is known of each finished trial."""
    names = ("val_loss", "epochs", "best_epoch", "parameters", "seconds", "trouble")
    for trial in sampling.finished():
        facts = {name: trial.user_attrs.get(name) for name in names}
        value = None if facts["trouble"] else trial.value  # Optuna gives a pruned one the last that was reported
        yield {"trial": trial.number, "value": value, **facts, "values": sampling.read(trial)}


def _result(task: Task, sampling: OptunaStudy) -> dict[str, Any]:
    """Put together what was found."""
    rows, best = list(_rows(sampling)), ranked(task, sampling)
    if not best:
        why = "; ".join(dict.fromkeys(row["trouble"] for row in rows)) or "none was tried"
        raise TrainingError(f"search: expected a trial that can be measured; received {len(rows)} that cannot: {why}")
    return {
        "task": task.name,
        "study": sampling.ask.name,
        "metric": task.gate.metric,
        "higher_is_better": task.metric.higher_is_better,
        "pruned": sum(row["trouble"] == "pruned" for row in rows),
        "impossible": sum(row["trouble"] not in ("", "pruned") for row in rows),
        "best": best[0],
        "importance": sampling.importance(),
        "ranked": best,
        "trials": rows,
    }
