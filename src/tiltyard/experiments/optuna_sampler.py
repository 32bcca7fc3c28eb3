"""Which values to try next: a study of Optuna's in a database, shared by processes, whole after a kill."""

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
from tiltyard.config.search_section import Range, integer_if_whole
from tiltyard.data import sqlite_file
from tiltyard.errors import WorkspaceError

if TYPE_CHECKING:
    import optuna

STARTUP = 8  # trials by chance, before what was learned from them decides
UNPRUNED = 4  # trials that are trained to their end, so that there is something to prune by
REPORTS = 30  # losses a trial that are held against those of others
TOLD = 5  # measured trials from which the importance of a key can be told
DEATHS = 5  # after so many a trial is given up: it may be what kills its process


@dataclass(frozen=True)
class SearchSpec:
    """What is looked for, and where it is kept."""

    database: Path
    name: str  # tells apart what is asked of the same task with other ranges, rows or settings
    ranges: dict[str, Range]
    whole: frozenset[str]  # the keys that take whole numbers alone
    higher_is_better: bool
    seed: int
    epochs: int  # of a training that goes to its end

    @property
    def warm_up(self) -> int:
        """The epochs in which nothing is pruned: a high rate may look bad at first."""
        return max(1, self.epochs // 5)

    @property
    def every(self) -> int:
        """Of how many epochs one is held against those of others: to ask costs a look into the database."""
        return -(-self.epochs // REPORTS)


class OptunaStudy:
    """One process' view of the trials of a search."""

    def __init__(self, ask: SearchSpec) -> None:
        self.ask = ask
        self.worker = f"{uuid.uuid4().hex}.lock"

    @property
    def folder(self) -> Path:
        """Where workers leave locks, logs and the state of what they train."""
        return self.ask.database.with_suffix("")

    @cached_property
    def study(self) -> optuna.Study:
        """The study, made if it is not there; two processes at once would both make its tables."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with files.locked(self.folder / "lock"):
            if found := sqlite_file.damage(self.ask.database):
                raise self._unreadable(found)
            url = f"sqlite:///{self.ask.database}"
            try:
                storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
                return optuna.create_study(
                    storage=storage,
                    study_name=self.ask.name,
                    direction="maximize" if self.ask.higher_is_better else "minimize",
                    pruner=optuna.pruners.MedianPruner(UNPRUNED, self.ask.warm_up),
                    load_if_exists=True,
                )
            except Exception as error:  # noqa: BLE001 - Optuna lets through whatever its database raises
                raise self._unreadable(str(error).partition("\n")[0]) from None

    def _unreadable(self, why: str) -> WorkspaceError:
        """Return the complaint about a database that holds no trials."""
        path = self.ask.database
        return WorkspaceError(
            f"the trials of earlier searches cannot be read: {path}: {why}",
            hint=f"keep it aside and begin anew: mv {path} {path}.damaged",
        )

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Be known to be alive, so that nobody takes over the trial of this process."""
        with files.claimed(self.folder / self.worker):
            try:
                yield
            finally:
                (self.folder / self.worker).unlink(missing_ok=True)

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Return all trials, also those that died."""
        found: list[optuna.trial.FrozenTrial] = self.study.get_trials(deepcopy=False)
        return found

    def finished(self) -> list[optuna.trial.FrozenTrial]:
        """Return the trials that were measured, pruned or found impossible."""
        return [trial for trial in self.trials() if trial.state.name in ("COMPLETE", "PRUNED")]

    def take(self, most: int) -> tuple[optuna.Trial, dict[str, Any]] | None:
        """Begin a trial and give its values; None if, with those that others have begun, there are enough."""
        study = self.study
        with files.locked(self.folder / "lock"):
            self._bury()
            trials = self.trials()
            if sum(trial.state.name in ("COMPLETE", "PRUNED", "RUNNING") for trial in trials) >= most:
                return None
            study.sampler = self._sampler(len(trials))
            trial = study.ask()
            trial.set_user_attr("worker", self.worker)
            values = {key: self._suggested(trial, key) for key in self.ask.ranges}
        for epoch, loss in trial.user_attrs.get("losses", []):
            trial.report(loss, epoch)
        return trial, values

    def report(self, trial: optuna.Trial, epoch: int, loss: float) -> bool:
        """Note a loss on the way; say whether the trial should end: worse than the median of others so far.

        Optuna reads what is reported in the direction of the metric, so that a loss changes its sign where up is good.
        """
        trial.report(-loss if self.ask.higher_is_better else loss, epoch)
        return trial.should_prune()

    def tell(self, trial: optuna.Trial, value: float | None, **facts: Any) -> None:
        """End a trial with its value, or without one: pruned, or impossible."""
        from optuna.trial import TrialState

        for name, fact in facts.items():
            trial.set_user_attr(name, fact)
        self.study.tell(trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)

    def read(self, trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
        """Return the values of a trial as the task file would hold them."""
        return {key: self._spelled(key, trial.params[key]) for key in self.ask.ranges if key in trial.params}

    def importance(self) -> dict[str, float]:
        """Return how much of the differences between trials each key explains; nothing where there are too few."""
        import optuna

        measured = [trial for trial in self.trials() if trial.state.name == "COMPLETE"]
        if len(measured) < TOLD or len({trial.value for trial in measured}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
        return {key: round(float(share), 4) for key, share in shares.items()}

    def _bury(self) -> None:
        """Mark trials whose process is dead as failed, and put each of them first in the queue."""
        from optuna.trial import TrialState

        for trial in self.trials():
            if trial.state != TrialState.RUNNING or not self._is_dead(trial.user_attrs.get("worker", "")):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            deaths = trial.user_attrs.get("deaths", 0) + 1
            if deaths < DEATHS:
                facts = {"first": trial.user_attrs.get("first", trial.number), "deaths": deaths}
                losses = sorted(trial.intermediate_values.items())
                self.study.enqueue_trial(trial.params, user_attrs={**facts, "losses": losses})

    def _is_dead(self, worker: str) -> bool:
        if not worker or not (self.folder / worker).exists():
            return True
        with files.claimed(self.folder / worker) as free:
            return free

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """Return a sampler whose dice depend on the seed and the number of the trial, whichever process asks."""
        import optuna

        return optuna.samplers.TPESampler(
            seed=self.ask.seed + number, n_startup_trials=STARTUP, multivariate=True, constant_liar=True
        )

    def _suggested(self, trial: optuna.Trial, key: str) -> Any:
        span = self.ask.ranges[key]
        if span.among is not None:
            found: Any = trial.suggest_categorical(key, [json.dumps(value) for value in span.among])
        elif key in self.ask.whole:
            found = trial.suggest_int(key, int(span.low or 0), int(span.high or 0), log=span.log)
        else:
            found = trial.suggest_float(key, span.low or 0.0, span.high or 0.0, log=span.log)
        return self._spelled(key, found)

    def _spelled(self, key: str, value: Any) -> Any:
        """Turn a value of Optuna's into one of the task file, with no more digits than anyone would write."""
        span = self.ask.ranges[key]
        if span.among is not None:
            return json.loads(value)
        if key in self.ask.whole:
            return int(value)
        return integer_if_whole(min(max(float(f"{value:.4g}"), span.low or 0.0), span.high or 0.0))
