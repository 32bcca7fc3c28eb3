"""The verb init: look at a table or at pictures and draft its task file, commented, with what was decided and why."""

from __future__ import annotations

import math
import re
import statistics
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tiltyard import files
from tiltyard.arrays import empty
from tiltyard.config import loader, task_list
from tiltyard.config.draft import images, time_series, yaml_text
from tiltyard.config.draft.column_profile import ColumnProfile, trait
from tiltyard.config.draft.leakage import leakage_score
from tiltyard.data import table_reader
from tiltyard.data.sources.file import File
from tiltyard.errors import DataError, RequestError, TaskError, listed
from tiltyard.modeling.columns.base import Column
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

ProblemName = Literal["regression", "classification", "forecasting"]
MIN_ROWS = 10  # rows: of fewer, no part would be left to test on
FEW = 20  # different whole numbers: more are a quantity, not labels
MOST = 1000  # labels


@dataclass(frozen=True)
class DraftRequest:
    """What the user wants, as far as it is said."""

    data: str
    target: str = ""  # of a table it must be said
    problem: ProblemName | None = None
    drop: tuple[str, ...] = ()
    time: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Drafted:
    """The file that was written, and what led to it."""

    path: str
    problem: str
    rows: int
    traits: list[ColumnProfile]
    repairs: list[str]


def draft_task(workspace: Workspace, name: str, wish: DraftRequest, *, force: bool = False) -> Drafted:
    """Write tasks/NAME.yaml and enter it into params.yaml."""
    path = workspace.task_file(name)
    if path.exists() and not force:
        place = path.relative_to(workspace.root)
        raise TaskError(f"{place} is there already", hint=f"to overwrite it: tiltyard init {name} ... --force")
    made = _gallery(workspace, wish) or _table(workspace, wish)
    text = yaml_text.text(Path(wish.data).name, made.content, made.traits, made.repairs, made.comments)
    loader.parse(text, name, f"tasks/{name}.yaml")
    files.write_text(path, text)
    task_list.add(workspace, name)
    return Drafted(str(path.relative_to(workspace.root)), made.problem, made.rows, made.traits, made.repairs)


@dataclass(frozen=True)
class _Made:
    """The sections of a task file, and what led to them."""

    content: dict[str, Any]
    rows: int
    traits: list[ColumnProfile]
    repairs: list[str]
    comments: dict[str, str] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        return str(self.content["problem"])


def _gallery(workspace: Workspace, wish: DraftRequest) -> _Made | None:
    """Draft from pictures; None if there are none."""
    import pandas as pd

    found = images.find(workspace, wish.data, wish.target)
    if not found:
        return None
    if wish.problem not in (None, "classification") or wish.drop or wish.time or wish.group:
        raise TaskError("of pictures: expected --data and --target alone; received another option")
    seen = images.traits(found)
    sections = images.sections(found) | {"target": _target(seen[1], list(found.labels), "classification")}
    rows = pd.DataFrame({found.target: found.labels})
    _insist(rows, wish.data, found.target)
    content = _content(replace(wish, target=found.target), "classification", rows, sections)
    return _Made(content, len(rows), seen, found.notes, images.comments(found))


def _table(workspace: Workspace, wish: DraftRequest) -> _Made:
    """Draft from a table."""
    table, labels = _read(workspace, wish)
    frame = table.frame
    truth = trait(wish.target, frame[wish.target].tolist())
    problem = wish.problem or ("forecasting" if wish.time and truth.kind == "number" else _problem(truth))
    if problem == "classification":
        frame[wish.target] = labels
    rows = frame[~frame[wish.target].map(empty)]
    _insist(rows, wish.data, wish.target)
    traits = [_seen(rows, other, wish) for other in frame.columns if other != wish.target]
    if line := _line(wish, rows, traits, truth, problem):
        problem, traits = "forecasting", [truth, *(line.judged(seen) for seen in traits)]
        content = _content(wish, problem, rows, time_series.sections(line, rows, [s for s in traits if not s.reason]))
    else:
        target = _target(truth, rows[wish.target].tolist(), problem)
        traits = [_judged(rows, seen, wish, problem) for seen in traits]
        kept = _kept(traits)
        traits = [next((one for one in kept if one.name == seen.name), seen) for seen in traits]
        sections = _sections(target, _split(wish, problem, traits), kept, rows)
        content = _content(wish, problem, rows, sections)
    return _Made(content, len(frame), traits, table.repairs)


def _insist(rows: pd.DataFrame, data: str, target: str) -> None:
    """Refuse what is too little to learn from."""
    if len(rows) < MIN_ROWS:
        text = f"expected {MIN_ROWS} rows or more with a known {target}; received {len(rows)}"
        raise DataError(f"{Path(data).name}: {text}")


def _read(workspace: Workspace, wish: DraftRequest) -> tuple[table_reader.Reading, pd.Series[Any]]:
    """Get the table as the task will, from the project, a URL or the mirror; and the target as it is spelled."""
    with tempfile.TemporaryDirectory() as temporary:
        File(kind="file", path=wish.data).fetch(Path(temporary), workspace)
        (path,) = Path(temporary).iterdir()
        table = table_reader.read(path)
        if not wish.target:
            text = f"expected the column of a table that is to be predicted; it has {listed([*table.frame.columns])}"
            raise TaskError(f"{Path(wish.data).name}: {text}", hint="name it: --target")
        asked = [wish.target, *wish.drop, *filter(None, [wish.time, wish.group])]
        table_reader.require(Path(wish.data), asked, list(table.frame.columns))
        return table, table_reader.read(path, columns=[wish.target], texts=[wish.target]).frame[wish.target]


def _problem(truth: ColumnProfile) -> ProblemName:
    """Few whole numbers and all names are labels; what has a fraction or many values is a quantity."""
    whole = "." not in truth.seen
    return "classification" if truth.kind != "number" or (truth.unique <= FEW and whole) else "regression"


def _line(
    wish: DraftRequest, rows: pd.DataFrame, traits: list[ColumnProfile], truth: ColumnProfile, problem: ProblemName
) -> time_series.Timeline | None:
    """Return whether it is the next value of a series that is wanted: as asked, or since the table is one."""
    if problem == "forecasting":
        if truth.kind != "number":
            raise DataError(f"{truth.name}: expected numbers for a forecast; received {truth.seen}")
        time = next((seen for seen in traits if (seen.name == wish.time if wish.time else seen.kind == "date")), None)
        if not time:
            raise DataError("expected a column of dates to forecast by", hint="name the column of times: --time")
        return time_series.named(rows, time, wish.group)
    return time_series.find(rows, traits, truth) if problem == "regression" and not wish.problem else None


def _seen(rows: pd.DataFrame, name: str, wish: DraftRequest) -> ColumnProfile:
    """Look at a feature alone."""
    seen = trait(name, rows[name].tolist())
    asked = dict.fromkeys(wish.drop, "as asked")
    asked |= {wish.time or "": "tells the time", wish.group or "": "tells the groups apart"}
    return replace(seen, reason=asked[name]) if name in asked else seen


def _judged(rows: pd.DataFrame, seen: ColumnProfile, wish: DraftRequest, problem: ProblemName) -> ColumnProfile:
    """Look at a feature beside the target."""
    labels = problem == "classification"
    if seen.reason or (seen.kind == "date" and not labels):  # a number may grow with time
        return seen
    if score := leakage_score(rows[seen.name].tolist(), rows[wish.target].tolist(), labels=labels):
        return seen.left_out(f"leaks the target: it alone tells it, {score:.1%} right")
    return seen


def _kept(traits: list[ColumnProfile]) -> list[ColumnProfile]:
    """Return the features; a text is one if it is all that there is."""
    kept = [seen for seen in traits if not seen.reason]
    texts = [seen for seen in traits if seen.kind == "text" and seen.reason.startswith("free text")]
    if not kept and len(texts) == 1:
        return [replace(texts[0], reason="")]
    if not kept:
        why = "; ".join(f"{seen.name}: {seen.reason}" for seen in traits)
        raise DataError(f"no column is left to learn from: {why or 'there is only the target'}")
    return kept


def _target(truth: ColumnProfile, cells: list[Any], problem: ProblemName) -> dict[str, Any]:
    if problem == "regression":
        if truth.kind != "number":
            raise DataError(f"{truth.name}: expected numbers for a regression; received {truth.seen}")
        return {"column": truth.name, "bounds": truth.column["bounds"]}
    counts = Counter(map(str, cells))
    if not 2 <= len(counts) <= MOST:
        raise DataError(f"{truth.name}: expected 2 to {MOST} labels to tell apart; received {len(counts)}")
    return {"column": truth.name, "classes": sorted(counts, key=_in_order)}


def _in_order(label: str) -> tuple[float, str]:
    return (float(label), label) if re.fullmatch(r"-?\d+(\.\d+)?", label) else (0.0, label)


def _content(wish: DraftRequest, problem: ProblemName, rows: pd.DataFrame, sections: dict[str, Any]) -> dict[str, Any]:
    """Return the sections of the task file, in their order; some depend on the form of the data."""
    count, serve, train = len(rows), sections.pop("serve"), sections.pop("train", {})
    return {
        "title": f"{wish.target} from {Path(wish.data).name}",
        "problem": problem,
        "source": {"kind": "file", "path": wish.data},
        "rows": [max(1, count // 2), count * 10],
        **sections,
        "train": {**_train(count, problem), **train},
        "gate": _gate(rows[wish.target].tolist(), problem),
        "serve": serve,
    }


def _split(wish: DraftRequest, problem: ProblemName, traits: list[ColumnProfile]) -> dict[str, Any]:
    """Deal rows by chance, by time, or in groups, as asked."""
    if wish.time and wish.group:
        raise TaskError("--time and --group: expected both for a forecast alone", hint="add --problem forecasting")
    if wish.time:
        spelled = next((seen.column.get("format", "") for seen in traits if seen.name == wish.time), "")
        own = {} if not spelled or spelled.startswith("%Y-%m") else {"format": spelled}
        return {"kind": "chronological", "by": wish.time, **own}
    kind = "random" if problem == "regression" else "stratified"
    return {"kind": kind, "group": wish.group} if wish.group else {"kind": kind}


def _sections(
    target: dict[str, Any], split: dict[str, Any], kept: list[ColumnProfile], rows: pd.DataFrame
) -> dict[str, Any]:
    """Return the sections that a table has in its own way."""
    text = kept[0].kind == "text"
    example = {seen.name: _example(seen, rows[seen.name].tolist()) for seen in kept}
    return {
        "columns": {seen.name: seen.column for seen in kept},
        "target": target,
        "split": split,
        "model": _model(len(rows), text=text),
        "serve": {"example": next(iter(example.values())) if text else example},
    }


def _example(seen: ColumnProfile, cells: list[object]) -> Any:
    """Return a value as a client would send it."""
    cell = next(cell for cell in cells if not empty(cell))
    if seen.kind == "number":
        number = _short(float(str(cell)), yaml_text.column(seen))
        return int(number) if number.is_integer() else number
    return (
        bool(yaml_text.column(seen).read([cell])[0])
        if seen.kind == "boolean"
        else yaml_text.column(seen).read([cell])[0]
    )


def _short(number: float, column: Column) -> float:
    """Round to six digits, unless that leads out of the column's bounds."""
    short = float(f"{number:.6g}")
    try:
        column.parse([short], "")
    except RequestError:
        return number
    return short


def _model(rows: int, *, text: bool) -> dict[str, Any]:
    if text:
        return {"family": "bow", "embedding": 32, "units": [32], "dropout": 0.3}
    units = [16] if rows < 1000 else [32, 16] if rows < 5000 else [64, 32]
    return {"family": "mlp", "units": units, "activation": "relu"}


def _train(rows: int, problem: ProblemName) -> dict[str, Any]:
    """Batches such that an epoch has enough steps; epochs such that patience decides."""
    usual = 16 if rows < 2000 else 32 if rows < 5000 else 128 if rows < 20_000 else 256
    batch = min(usual, max(1, 2 ** int(math.log2(max(1, rows * 0.25)))))
    plan = {"epochs": 200 if rows < 5000 else 100, "batch_size": batch, "learning_rate": 0.003, "patience": 15}
    return {**plan, "schedule": "plateau", **({} if problem == "classification" else {"clip_norm": 1.0})}


def _gate(truth: list[Any], problem: ProblemName) -> dict[str, Any]:
    """Choose the metric: an accuracy hides a rare class, so it is for classes of similar size only."""
    if problem != "classification":
        return {
            "metric": "rmse",
            "minimum_gain": float(f"{statistics.pstdev(float(str(cell)) for cell in truth) / 100:.1g}"),
        }
    counts = Counter(map(str, truth))
    even = max(counts.values()) <= 1.5 * min(counts.values())
    metric = "accuracy" if even else "roc_auc" if len(counts) == 2 else "balanced_accuracy"
    return {"metric": metric, "minimum_gain": 0.005}
