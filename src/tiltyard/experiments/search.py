"""Hyperparameter search: try values from the ranges of the task file, and rank them on the validation rows."""

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
from tiltyard.experiments.optuna_study import OptunaStudy, SearchSpec
from tiltyard.experiments.trial import TrialResult, train_and_score
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training.fit import RunPaths
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import optuna

Print = Callable[[str], None]


class PrunedError(Exception):
    """Raised in a trial's training to end it early."""


def search(workspace: Workspace, task: Task, trials: int, jobs: int, report: Print) -> dict[str, Any]:
    """Run workers until `trials` are finished, counting earlier calls; write search.json and search.png."""
    from tiltyard.experiments import plots

    spec = search_spec(workspace, task)
    study = OptunaStudy(spec)
    progress = workers.run_workers(study.folder, jobs, _run_worker, str(workspace.root), task.name, trials)
    _report_trials(task, study, trials, progress, report)
    result = _result(task, study)
    with files.atomic_folder(workspace.out(task.name, "search")) as folder:
        files.write_json(folder / "search.json", result)
        plots.save(plots.search_history(result), folder / "search.png")
    return result


def search_spec(workspace: Workspace, task: Task) -> SearchSpec:
    """Return the specification; other ranges, settings or rows make another study in the same database."""
    if not task.search:
        raise TaskError(
            f"tasks/{task.name}.yaml: search: expected ranges; there are none",
            hint="write, for example: search: {train.learning_rate: {low: 0.0001, high: 0.1, log: true}}",
        )
    fixed = apply_changes(
        task.model_dump(mode="json", include={"model", "train", "ensemble", "target"}), dict.fromkeys(task.search)
    )
    ranges = {key: value_range.model_dump() for key, value_range in sorted(task.search.items())}
    rows = TrainingRows.load(workspace.out(task.name, "prepare")).digest
    name = hashlib.sha256(json.dumps([fixed, task.gate.metric, ranges, rows]).encode()).hexdigest()[:12]
    return SearchSpec(
        workspace.search(task.name),
        name,
        task.search,
        frozenset(key for key in task.search if _is_integer(workspace, task, key)),
        task.metric.higher_is_better,
        task.train.seed,
        task.train.epochs,
    )


def _is_integer(workspace: Workspace, task: Task, key: str) -> bool:
    """Return whether a key takes only integers: it refuses a fractional value."""
    value_range = task.search[key]
    if value_range.among is not None:
        return False
    try:
        loader.load_with(workspace, task.name, {key: value_range.fraction})
    except TaskError:
        return True
    return False


def _report_trials(task: Task, study: OptunaStudy, trials: int, progress: Iterator[None], report: Print) -> None:
    """Run the workers, and report each trial as it ends."""
    reported = {trial.number for trial in study.finished()}
    if reported:
        report(f"{len(reported)} trials are finished already")
    if len(reported) >= trials:
        return
    for _ in progress:
        for trial in study.finished():
            if trial.number not in reported:
                reported.add(trial.number)
                report(_trial_line(task, study, trial, f"{len(reported)} of {max(trials, len(reported))}"))


def _run_worker(root: str, name: str, trials: int) -> None:
    """Run trials in this process until enough are finished."""
    workspace = Workspace(Path(root))
    study = OptunaStudy(search_spec(workspace, loader.load(workspace, name)))
    with study.worker_lock():
        while len(study.finished()) < trials:
            if started := study.ask(trials):
                run_trial(workspace, name, study, *started)
            else:
                time.sleep(
                    workers.POLL_SECONDS
                )  # other workers run the last trials; if they die, this worker runs them


def run_trial(workspace: Workspace, name: str, study: OptunaStudy, trial: optuna.Trial, values: dict[str, Any]) -> None:
    """Train and score with these values; the trial may be pruned or turn out to be impossible."""
    state = study.folder / f"trial-{trial.user_attrs.get('first', trial.number)}"
    try:
        task = loader.load_with(workspace, name, values)
        result = train_and_score(
            workspace, task, RunPaths(state, state, f"trial {trial.number}", _pruning_callback(task, study, trial))
        )
    except TaskError as error:  # each value is valid, but not their combination
        result = TrialResult(trouble=error.message)
    except PrunedError as pruned:
        result = TrialResult(epochs=pruned.args[0], trouble="pruned")
    facts = result.to_json()
    del facts["history"]
    study.tell(trial, facts.pop("value"), **facts)
    shutil.rmtree(state, ignore_errors=True)


def _pruning_callback(task: Task, study: OptunaStudy, trial: optuna.Trial) -> Callable[[int, float], None] | None:
    """Return the callback that prunes a bad trial; None if the losses of trials cannot be compared."""
    if "train.loss" in study.spec.ranges or task.train.members > 1 or task.ensemble:
        return None

    def prune(epoch: int, loss: float) -> None:
        if epoch % study.spec.report_interval == 0 and math.isfinite(loss) and study.report(trial, epoch, loss):
            raise PrunedError(epoch)

    return prune


def _trial_line(task: Task, study: OptunaStudy, trial: optuna.trial.FrozenTrial, count: str) -> str:
    """Return a line about a finished trial."""
    best = ranked_trials(task, study)[:1]
    outcome = trial.user_attrs["trouble"] or f"{task.gate.metric} {trial.value:.4g}"
    outcome += f" at epoch {trial.user_attrs['epochs']}" if outcome == "pruned" else ""
    so_far = f"; best {best[0]['value']:.4g}, trial {best[0]['trial']}" if best else ""
    return f"{count}: {describe_changes(study.values(trial))}: {outcome}{so_far}"


def ranked_trials(task: Task, study: OptunaStudy) -> list[dict[str, Any]]:
    """Return measured trials, best first; equal ones by their validation loss."""
    rows = [row for row in _trial_rows(study) if row["value"] is not None]
    return sorted(rows, key=lambda row: (-task.metric.gain(row["value"], 0.0), row["val_loss"], row["trial"]))


def _trial_rows(study: OptunaStudy) -> Iterator[dict[str, Any]]:
    """Yield a row for each finished trial."""
    names = ("val_loss", "epochs", "best_epoch", "parameters", "seconds", "trouble")
    for trial in study.finished():
        facts = {name: trial.user_attrs.get(name) for name in names}
        value = None if facts["trouble"] else trial.value  # Optuna sets a pruned trial's value to its last report
        yield {"trial": trial.number, "value": value, **facts, "values": study.values(trial)}


def _result(task: Task, study: OptunaStudy) -> dict[str, Any]:
    """Return the content of search.json."""
    rows, best = list(_trial_rows(study)), ranked_trials(task, study)
    if not best:
        reasons = "; ".join(dict.fromkeys(row["trouble"] for row in rows)) or "none was tried"
        raise TrainingError(
            f"search: expected a trial that can be measured; received {len(rows)} that cannot: {reasons}"
        )
    return {
        "task": task.name,
        "study": study.spec.name,
        "metric": task.gate.metric,
        "higher_is_better": task.metric.higher_is_better,
        "pruned": sum(row["trouble"] == "pruned" for row in rows),
        "impossible": sum(row["trouble"] not in ("", "pruned") for row in rows),
        "best": best[0],
        "importance": study.importance(),
        "ranked": best,
        "trials": rows,
    }
