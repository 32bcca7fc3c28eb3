"""Live: how versions do on what clients sent, by the truths that came later, and how two of them compare."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files, gather
from tiltyard.bootstrap import RESAMPLES, Bootstrap, Gain
from tiltyard.column import Array
from tiltyard.problem import Context
from tiltyard.task import Task
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 20  # truths of which a figure is worth telling
COLUMNS = ("id", "instance", "time", "version", "arm", "ms", "answer")
ROW = ["id", "instance"]


@dataclass(frozen=True)
class Live:
    """What was recorded of a task: a row an answer, with its truth where there is one, as JSON."""

    task: Task
    context: Context
    answers: pd.DataFrame
    feedback: dict[str, int]

    def of(self, version: str) -> pd.DataFrame:
        """Give the answers of a version; of those under one id, which a client may send twice, the last."""
        mine = self.answers[self.answers["version"] == version]
        return mine.drop_duplicates(ROW, keep="last")

    def known(self, version: str) -> pd.DataFrame:
        """Give those whose truth is known."""
        mine = self.of(version)
        return mine[mine["truth"].notna()]

    def quality(self, version: str) -> dict[str, Any] | None:
        """Measure a version as its evaluation did; None if there are too few truths to tell."""
        rows = self.known(version)
        if len(rows) < FEWEST:
            return None
        truth, outputs = truths(self.task, rows), outputs_of(self.task, rows)
        metric, name = self.task.metric, self.task.gate.metric
        bootstrap = Bootstrap(len(rows), self.task.split.seed, self.task.gate.confidence)
        low, high = bootstrap.intervals(lambda at: {name: metric.score(truth[at], outputs[at], self.context)})[name]
        return {"truths": len(rows), "value": metric.score(truth, outputs, self.context), "low": low, "high": high}

    def duel(self, new: str, old: str) -> tuple[Gain, int, str] | None:
        """Say what one version gains over another, on how many truths, and whether on the same ones.

        A shadow has answered the same rows as the champion; a canary others, of the same time.
        """
        one, other = self.known(new), self.known(old)
        both = one.merge(other, on=ROW, suffixes=("", "_old"))
        if len(both) >= FEWEST:
            return self._paired(both), len(both), "the same"
        other = other[other["time"].between(one["time"].min(), one["time"].max())]
        if min(len(one), len(other)) < FEWEST:
            return None
        return self._apart(one, other), min(len(one), len(other)), "like"

    def _paired(self, both: pd.DataFrame) -> Gain:
        task, truth = self.task, truths(self.task, both)
        bootstrap = Bootstrap(len(both), task.split.seed, task.gate.confidence)
        new, old = (outputs_of(task, both, column) for column in ("answer", "answer_old"))
        return bootstrap.gain(
            task.metric, lambda out, at: task.metric.score(truth[at], out[at], self.context), new, old
        )

    def _apart(self, new: pd.DataFrame, old: pd.DataFrame) -> Gain:
        """Draw the rows of each for themselves: luck with them does not cancel out."""
        task, generator = self.task, np.random.default_rng(self.task.split.seed)
        known = [(truths(task, rows), outputs_of(task, rows)) for rows in (new, old)]

        def scores(*, drawn: bool) -> list[float]:
            places = [generator.integers(0, len(t), len(t)) if drawn else np.arange(len(t)) for t, _ in known]
            return [task.metric.score(t[at], o[at], self.context) for (t, o), at in zip(known, places, strict=True)]

        gains = [task.metric.gain(*scores(drawn=True)) for _ in range(RESAMPLES)]
        tail = (1 - task.gate.confidence) / 2
        low, high = np.quantile(gains, [tail, 1 - tail])
        first, second = scores(drawn=False)
        return Gain(first, second, task.metric.gain(first, second), float(low), float(high))

    def agreement(self, new: str, old: str) -> dict[str, float] | None:
        """Say how alike two versions answer the same rows: the share of equal labels, or how far numbers lie apart."""
        both = self.of(new).merge(self.of(old), on=ROW, suffixes=("", "_old"))
        if not len(both) or self.task.kind.targets == "text":
            return None
        one, other = (outputs_of(self.task, both, column) for column in ("answer", "answer_old"))
        if self.task.classes:
            equal = float((one.argmax(axis=1) == other.argmax(axis=1)).mean())
            return {"rows": len(both), "equal": equal}
        apart = np.abs(one - other).reshape(len(both), -1).mean(axis=1)
        return {"rows": len(both), "apart": float(apart.mean()), "apart_p99": float(np.quantile(apart, 0.99))}


def live(workspace: Workspace, task: Task) -> Live:
    """Read what was recorded, and put truths to answers."""
    answers = _frame(gather.recorded(workspace, task, "answers", [f"record.{name}" for name in COLUMNS]))
    told = _frame(gather.recorded(workspace, task, "truths")).sort_values("received", kind="stable")
    last = told.drop_duplicates(ROW, keep="last")
    joined = answers.sort_values("time", kind="stable").merge(last, on=ROW, how="left")
    asked = joined[joined["arm"] != "shadow"]
    known = last.merge(answers[ROW].drop_duplicates(), on=ROW)
    feedback = {
        "truths": len(told),
        "repeated": len(told) - len(last),
        "unknown": len(last) - len(known),
        "waiting": int(asked["truth"].isna().sum()),
    }
    return Live(task, _context(workspace, task), joined, feedback)


def _frame(table: Any) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    return frame.rename(columns=lambda name: str(name).removeprefix("record."))


def _context(workspace: Workspace, task: Task) -> Context:
    """Give what metrics need to know of the training rows, if it is here; without it some are no number."""
    path = workspace.out(task.name, "prepare") / "split.json"
    context: dict[str, float] = files.read_json(path)["context"] if path.is_file() else {}
    return context or {"naive_mae": math.nan}


def truths(task: Task, rows: pd.DataFrame) -> Array:
    """Give truths as metrics look at them."""
    values = [json.loads(text) for text in rows["truth"]]
    if task.classes:
        places = {name: place for place, name in enumerate(task.classes)}
        return np.array([places[value] for value in values], dtype=np.int64)
    return np.array(values, dtype=np.float64)


def outputs_of(task: Task, rows: pd.DataFrame, column: str = "answer") -> Array:
    """Give answers as the model gave them: probabilities, numbers, or forecasts with their ends."""
    answers = [json.loads(text) for text in rows[column]]
    if task.classes:
        return np.array([[one["probabilities"][name] for name in task.classes] for one in answers])
    if isinstance(answers[0], dict):
        return np.array([[*one.values()] for one in answers])
    return np.array(answers, dtype=np.float64).reshape(len(answers), -1)
