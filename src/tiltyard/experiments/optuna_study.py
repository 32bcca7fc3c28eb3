"""A hyperparameter search as an Optuna study in SQLite: shared by processes, resumed after a kill.

A trial whose process died is queued again with its values and the losses that it had reported.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard import files
from tiltyard.config.sections import Range, integer_if_whole
from tiltyard.data import integrity
from tiltyard.errors import WorkspaceError

if TYPE_CHECKING:
    import optuna

STARTUP_TRIALS = 8  # random trials before the sampler learns from them
UNPRUNED_TRIALS = 4  # complete trials before the first may be pruned
REPORTS_PER_TRIAL = 30  # losses of a trial that are compared with others
MIN_TRIALS_FOR_IMPORTANCE = 5
MAX_DEATHS = 5  # then a trial is not repeated: its values may be the reason why the process dies


@dataclass(frozen=True)
class SearchSpec:
    """The ranges of a search, its settings, and where its trials are stored."""

    database: Path
    name: str  # hash of ranges, rows and settings: a change of them starts a new study
    ranges: dict[str, Range]
    integer_keys: frozenset[str]
    higher_is_better: bool
    seed: int
    epochs: int  # of a training that is not stopped early

    @property
    def warmup_epochs(self) -> int:
        """The epochs without pruning: a high rate may look bad at first."""
        return max(1, self.epochs // 5)

    @property
    def report_interval(self) -> int:
        """Losses are reported every so many epochs, because each report is a database write."""
        return -(-self.epochs // REPORTS_PER_TRIAL)


class OptunaStudy:
    """The ask-and-tell interface of one process to the trials of a search."""

    def __init__(self, spec: SearchSpec) -> None:
        self.spec = spec
        self.worker = f"{uuid.uuid4().hex}.lock"

    @property
    def folder(self) -> Path:
        """The folder of locks, logs and training states of the workers."""
        return self.spec.database.with_suffix("")

    @cached_property
    def study(self) -> optuna.Study:
        """Optuna's study, created under a lock: two processes would both create its tables."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with files.locked(self.folder / "lock"):
            if damage := integrity.damage(self.spec.database):
                raise self._unreadable(damage)
            url = f"sqlite:///{self.spec.database}"
            try:
                storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
                return optuna.create_study(
                    storage=storage,
                    study_name=self.spec.name,
                    direction="maximize" if self.spec.higher_is_better else "minimize",
                    pruner=optuna.pruners.MedianPruner(UNPRUNED_TRIALS, self.spec.warmup_epochs),
                    load_if_exists=True,
                )
            except Exception as error:  # noqa: BLE001 - Optuna passes on any error of its database
                raise self._unreadable(str(error).partition("\n")[0]) from None

    def _unreadable(self, reason: str) -> WorkspaceError:
        """Return the error of a database that cannot be read."""
        path = self.spec.database
        return WorkspaceError(
            f"the trials of earlier searches cannot be read: {path}: {reason}",
            hint=f"move it away and start again: mv {path} {path}.damaged",
        )

    @contextlib.contextmanager
    def worker_lock(self) -> Iterator[None]:
        """Hold this worker's lock, which shows that its trials are still running."""
        with files.claimed(self.folder / self.worker):
            try:
                yield
            finally:
                (self.folder / self.worker).unlink(missing_ok=True)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Return all trials, including failed ones."""
        trials: list[optuna.trial.FrozenTrial] = self.study.get_trials(deepcopy=False)
        return trials

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that were measured, pruned or impossible."""
        return [trial for trial in self.trials() if trial.state.name in ("COMPLETE", "PRUNED")]

    def ask(self, max_trials: int) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """Start a trial and return it with its values; None if enough trials are finished or running."""
        study = self.study
        with files.locked(self.folder / "lock"):
            self._requeue_dead()
            trials = self.trials()
            if sum(trial.state.name in ("COMPLETE", "PRUNED", "RUNNING") for trial in trials) >= max_trials:
                return None
            study.sampler = self._sampler(len(trials))
            trial = study.ask()
            trial.set_user_attr("worker", self.worker)
            values = {key: self._suggest(trial, key) for key in self.spec.ranges}
        for epoch, loss in trial.user_attrs.get("losses", []):
            trial.report(loss, epoch)
        return trial, values

    def report(self, trial: optuna.Trial, epoch: int, loss: float) -> bool:
        """Record a loss, and return whether to prune: whether it is worse than the median of other trials.

        Optuna compares reports in the metric's direction, so the loss is negated if higher is better.
        """
        trial.report(-loss if self.spec.higher_is_better else loss, epoch)
        return trial.should_prune()

    def tell(self, trial: optuna.Trial, value: float | None, **attributes: Any) -> None:
        """Finish a trial with its value, or with None if it was pruned or impossible."""
        from optuna.trial import TrialState

        for name, attribute in attributes.items():
            trial.set_user_attr(name, attribute)
        self.study.tell(trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)

    def values(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial as the task file would hold them."""
        return {key: self._to_task_value(key, trial.params[key]) for key in self.spec.ranges if key in trial.params}

    def importance(self) -> dict[str, float]:
        """Return the share of the variance between trials that each key explains; empty if trials are too few."""
        import optuna

        measured = [trial for trial in self.trials() if trial.state.name == "COMPLETE"]
        if len(measured) < MIN_TRIALS_FOR_IMPORTANCE or len({trial.value for trial in measured}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        importances = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {key: round(float(share), 4) for key, share in importances.items()}

    def _requeue_dead(self) -> None:
        """Mark trials of dead processes as failed, and queue their values again."""
        from optuna.trial import TrialState

        for trial in self.trials():
            if trial.state != TrialState.RUNNING or not self._is_dead(trial.user_attrs.get("worker", "")):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            deaths = trial.user_attrs.get("deaths", 0) + 1
            if deaths < MAX_DEATHS:
                attributes = {"first": trial.user_attrs.get("first", trial.number), "deaths": deaths}
                losses = sorted(trial.intermediate_values.items())
                self.study.enqueue_trial(trial.params, user_attrs={**attributes, "losses": losses})

    def _is_dead(self, worker: str) -> bool:
        if not worker or not (self.folder / worker).exists():
            return True
        with files.claimed(self.folder / worker) as is_free:
            return is_free

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return a sampler seeded by the task's seed and the trial's number, independent of the process."""
        import optuna

        return optuna.samplers.TPESampler(
            seed=self.spec.seed + number, n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
        )

    def _suggest(self, trial: optuna.Trial, key: str) -> Any:
        value_range = self.spec.ranges[key]
        if value_range.among is not None:
            suggested: Any = trial.suggest_categorical(key, [json.dumps(value) for value in value_range.among])
        elif key in self.spec.integer_keys:
            suggested = trial.suggest_int(
                key, int(value_range.low or 0), int(value_range.high or 0), log=value_range.log
            )
        else:
            suggested = trial.suggest_float(key, value_range.low or 0.0, value_range.high or 0.0, log=value_range.log)
        return self._to_task_value(key, suggested)

    def _to_task_value(self, key: str, value: Any) -> Any:
        """Convert Optuna's value to one of the task file, with four significant digits."""
        value_range = self.spec.ranges[key]
        if value_range.among is not None:
            return json.loads(value)
        if key in self.spec.integer_keys:
            return int(value)
        return integer_if_whole(min(max(float(f"{value:.4g}"), value_range.low or 0.0), value_range.high or 0.0))
