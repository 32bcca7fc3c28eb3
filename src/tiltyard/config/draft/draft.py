"""The command `init`: profile a table or images, and draft a task file with comments on each decision."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard import files
from tiltyard.config import loader, task_list
from tiltyard.config.draft import (
    anomalies,
    clusters,
    groups,
    images,
    images_beside,
    leakage,
    many_names,
    mixed,
    recommendations,
    table_network,
    targets,
    texts,
    time_series,
    training_plan,
    yaml_text,
)
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.examples import example_value
from tiltyard.config.draft.reading import DraftTable, open_draft
from tiltyard.config.draft.request import Draft, DraftRequest, as_asked, features_of, kept_leaks, split_section
from tiltyard.config.draft.targets import LabelLists, ProblemName, find_lists
from tiltyard.errors import DataError, TaskError, join_first
from tiltyard.modeling.columns._datetime_format import times
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

MIN_ROWS = 10  # fewer leave no test rows
MAX_INTEGER_LABELS = 20  # more distinct integers are a quantity, not labels
MAX_SAMPLED = 50_000  # rows that are searched for leaks


@dataclass(frozen=True)
class Drafted:
    """The file that was written, and the profiles behind it."""

    path: str
    problem: str
    rows: int
    traits: list[ColumnProfile]
    repairs: list[str]
    notes: list[str] = field(default_factory=list)


def draft_task(workspace: Workspace, name: str, request: DraftRequest, *, force: bool = False) -> Drafted:
    """Write tasks/NAME.yaml and add the task to params.yaml."""
    path = workspace.task_file(name)
    if path.exists() and not force:
        place = path.relative_to(workspace.root)
        raise TaskError(f"{place} exists already", hint=f"to overwrite it: tiltyard init {name} ... --force")
    if request.normal and request.problem != "anomaly":
        raise TaskError("--normal: expected with --problem anomaly; received it for another problem")
    draft = _draft_images(workspace, request) or _draft_table(workspace, request)
    remarks = [f"Read with a repair: {text}" for text in draft.repairs] + [f"Note: {text}" for text in draft.notes]
    text = yaml_text.task_text(Path(request.data).name, draft.content, draft.traits, remarks, draft.comments)
    loader.parse(text, name, f"tasks/{name}.yaml")
    files.write_text(path, text)
    task_list.add(workspace, name)
    return Drafted(
        str(path.relative_to(workspace.root)), draft.problem, draft.rows, draft.traits, draft.repairs, draft.notes
    )


def _draft_images(workspace: Workspace, request: DraftRequest) -> Draft | None:
    """Draft from images; return None if the data are not images."""
    import pandas as pd

    image_profile = images.profile_images(workspace, request.data, request.target)
    if not image_profile:
        return None
    if not (request.time or request.group or request.more_targets or request.joins) and (
        drafted := images_beside.draft(image_profile, request)
    ):
        return drafted
    others = request.drop or request.time or request.group or request.more_targets or request.joins
    if request.problem == "clustering" and not others:
        content = clusters.image_content(image_profile, request.data)
        return Draft(content, len(image_profile.labels), images.profiles(image_profile), image_profile.notes)
    if request.problem not in (None, "classification", "multilabel", "anomaly") or others:
        raise TaskError("for images: expected only --data, --target and labels; received another option")
    if request.problem == "anomaly":
        return anomalies.draft_images(image_profile, request)
    cells = pd.Series(image_profile.labels)
    asked = request.problem == "multilabel" or request.separator is not None
    lists = None if request.problem == "classification" else find_lists(cells, request.separator, asked=asked)
    problem: ProblemName = "multilabel" if lists or asked else "classification"
    separator = lists.separator if lists else request.separator
    profile = images.profiles(image_profile)
    target = targets.section(profile[1], cells, problem, 0.0, separator)
    sections = images.sections(image_profile, target["classes"] if lists else []) | {"target": target}
    if lists:
        image_profile.notes.append(targets.note_of_lists(image_profile.target, lists, cells))
    rows = pd.DataFrame({image_profile.target: image_profile.labels})
    _require_rows(rows, request.data, image_profile.target)
    content = _content(replace(request, target=image_profile.target), problem, rows, sections)
    notes = [table_network.BLEND] if content["model"].get("blend_references") else []
    return Draft(content, len(rows), profile, image_profile.notes, images.comments(image_profile), notes)


def _draft_clusters(table: DraftTable, request: DraftRequest) -> Draft:
    """Draft a clustering of rows; a target has labels that evaluate it."""
    _require_rows(rows := clusters.evaluated_rows(table, request.target), request.data, request.target or "row")
    profiles = [table.profiles[name] for name in table.frame.columns if name != request.target]
    traits = clusters.features([as_asked(profile, request) for profile in profiles])
    content = clusters.table_content(table, rows, features_of(traits), request)
    return Draft(content, len(table.frame), traits, table.layout.repairs, clusters.COMMENTS, table.notes)


def _draft_table(workspace: Workspace, request: DraftRequest) -> Draft:
    """Draft from a table."""
    _require_different_targets(request)
    clusters.require_fit(request)
    ids = [request.user, request.item]
    required = [*filter(None, [*request.targets, request.time, request.group, *ids]), *request.drop]
    with open_draft(workspace, request.data, request.dialect, required, request.joins) as table:
        if request.problem == "anomaly":
            return anomalies.draft_rows(table, request)
        if request.problem == "clustering":
            return _draft_clusters(table, request)
        if not request.target and (request.problem == "recommendation" or request.user or request.item):
            text = "expected a column of ratings; a table of what users chose has no other choices to learn from"
            hint = "name the ratings: --target; they may be stars, hours or counts, but must differ"
            raise TaskError(f"{Path(request.data).name}: {text}", hint=hint)
        if not request.target:
            text = f"expected the column to predict; the table has {join_first([*table.frame.columns])}"
            raise TaskError(f"{Path(request.data).name}: {text}", hint="name it: --target")
        return _draft_from(table, request)


def _draft_from(table: DraftTable, request: DraftRequest) -> Draft:
    """Draft a forecast, or a model of rows."""
    frame, truth = table.frame, table.profiles[request.target]
    if request.problem == "recommendation" or request.user or request.item:
        return _draft_recommendation(table, request)
    if request.more_targets:
        return _draft_numbers(table, request)
    problem = request.problem or ("forecasting" if request.time and truth.kind == "number" else _problem(truth))
    if lists := _label_lists(table, truth, request, problem):
        request, problem = replace(request, separator=lists.separator), "multilabel"
    frame[request.target] = targets.cells(table, truth, problem)
    rows = frame[frame[request.target].notna()]
    _require_rows(rows, request.data, request.target)
    if problem == "classification" and (text := anomalies.hint(request.target, rows[request.target].tolist())):
        table.notes.append(text)
    table.notes.extend(targets.notes(truth, rows[request.target], problem, explicit=bool(request.problem)))
    traits = [as_asked(table.profiles[name], request) for name in frame.columns if name != request.target]
    if truth.kind == "number" and not request.problem:
        table.notes.extend(recommendations.suggestions(rows, request.target, request.drop))
    if timeline := _find_timeline(request, rows, traits, truth, problem):
        content, traits = _series_content(request, table, timeline, rows, traits)
    else:
        content, traits = _rows_content(request, table, problem, rows, traits)
    return Draft(content, len(frame), traits, table.layout.repairs, notes=table.notes)


def _require_different_targets(request: DraftRequest) -> None:
    """Raise if several targets are named that are no numbers to learn at once."""
    if len({*request.targets}) < len(request.targets):
        raise TaskError(f"--target: expected different columns; received {', '.join(request.targets)}")
    if request.more_targets and (request.problem not in (None, "regression") or request.separator is not None):
        received = f"--problem {request.problem}" if request.separator is None else "--separator"
        raise TaskError(f"--target: expected one column, or several numbers for a regression; received {received}")


def _draft_numbers(table: DraftTable, request: DraftRequest) -> Draft:
    """Draft a model of several numbers."""
    frame = table.frame
    for name in request.targets:
        frame[name] = targets.cells(table, table.profiles[name], "regression")
    rows = frame[frame[request.targets].notna().all(axis=1)]
    _require_rows(rows, request.data, ", ".join(request.targets))
    for name in request.targets:
        table.notes.extend(targets.notes(table.profiles[name], rows[name], "regression", explicit=True))
    others = [name for name in frame.columns if name not in request.targets]
    traits = [as_asked(table.profiles[name], request) for name in others]
    content, traits = _rows_content(request, table, "regression", rows, traits)
    return Draft(content, len(frame), traits, table.layout.repairs, notes=table.notes)


def _draft_recommendation(table: DraftTable, request: DraftRequest) -> Draft:
    """Draft a model of ratings of items by users."""
    frame, truth = table.frame, table.profiles[request.target]
    others: dict[str, Any] = {"--time": request.time, "--group": request.group, "--separator": request.separator}
    others |= {"--problem": request.problem not in (None, "recommendation"), "several --target": request.more_targets}
    user, item = recommendations.columns(
        (request.user, request.item, request.target), others | {"--normal": request.normal}
    )
    frame[request.target] = targets.cells(table, truth, "regression")
    rows = frame[frame[[request.target, user, item]].notna().all(axis=1)]
    _require_rows(rows, request.data, request.target)
    target = targets.section(truth, rows[request.target], "regression", 0.0)
    traits = [as_asked(table.profiles[name], request) for name in frame.columns if name != request.target]
    traits = recommendations.profiles(rows, traits, user, item)
    sections = recommendations.sections(target, rows, traits, user, item)
    content = {**_content(request, "recommendation", rows, sections, table), "gate": recommendations.gate()}
    return Draft(content, len(frame), traits, table.layout.repairs, notes=table.notes)


def _label_lists(
    table: DraftTable, truth: ColumnProfile, request: DraftRequest, problem: ProblemName
) -> LabelLists | None:
    """Return how cells of the target hold several labels, by the request or if they do; None if they hold one each."""
    asked = request.problem == "multilabel" or request.separator is not None
    if not asked and (problem != "classification" or request.problem):
        return None
    cells = targets.cells(table, truth, "multilabel")
    lists = find_lists(cells, request.separator, asked=asked)
    if asked and lists is None:
        text = f"expected cells with several labels, such as Action|Comedy; received {truth.examples}"
        raise DataError(f"{truth.name}: {text}", hint="see --separator; or leave it out, if each row has one label")
    if lists:
        table.notes.append(targets.note_of_lists(truth.name, lists, cells))
    return lists


def _series_content(
    request: DraftRequest,
    table: DraftTable,
    timeline: time_series.Timeline,
    rows: pd.DataFrame,
    traits: list[ColumnProfile],
) -> tuple[dict[str, Any], list[ColumnProfile]]:
    """Return the task of a forecast, and the profiles of all columns."""
    truth = table.profiles[request.target]
    table.notes.append(table_network.BLEND)
    if timeline.sort:
        moments = times(rows[timeline.order], timeline.time_format).to_numpy()
        rows = rows.iloc[np.argsort(moments, kind="stable")]
        table.notes.append(f"{timeline.order}: rows are sorted by time (sort: true)")
    if truth.unique == 1:
        raise DataError(f"{truth.name}: expected numbers that change, to forecast them; it is {truth.reason}")
    if len(rows) < time_series.MIN_ROWS:
        text = f"{len(rows)} rows are few for a forecast: expect no sure gain before there are {time_series.MIN_ROWS}"
        table.notes.append(f"{timeline.order}: {text}")
    if timeline.repeats:
        text = f"{timeline.repeats:,} rows repeat a time: the mean of their values is learned (same_time: mean)"
        table.notes.append(f"{timeline.order}: {text}")
    parts = table.read.get("dates", {}).get(timeline.order, [])
    traits = [profile.left_out("part of the date") if profile.name in parts else profile for profile in traits]
    # A series that counts steadily looks like an id, but is the one to forecast.
    traits = [replace(truth, reason=""), *(timeline.check_feature(profile) for profile in traits)]
    sections = time_series.sections(timeline, rows, [profile for profile in traits if not profile.reason])
    if timeline.gaps or truth.missing:
        gaps = sections["columns"][truth.name]["gaps"]
        way = "the value a season before" if gaps == "season" else "the value before"
        table.notes.append(f"{timeline.order}: gaps are filled with {way} (gaps: {gaps})")
    return _content(request, "forecasting", rows, sections, table), traits


def _rows_content(
    request: DraftRequest,
    table: DraftTable,
    problem: ProblemName,
    rows: pd.DataFrame,
    traits: list[ColumnProfile],
) -> tuple[dict[str, Any], list[ColumnProfile]]:
    """Return the task of a classification or regression, and the profiles of all columns."""
    truth, missing = table.profiles[request.target], len(table.frame) - len(rows)
    asked = request.time or request.problem or request.more_targets
    if (why_not := time_series.why_not(rows, traits, truth)) and not asked:
        table.notes.append(why_not)
    if missing:
        names, all_rows = ", ".join(request.targets), len(table.frame)
        table.notes.append(f"{names}: {missing:,} of {all_rows:,} rows have no target and are left out")
    share = missing / len(table.frame)
    parts = [
        targets.section(table.profiles[name], rows[name], problem, share, request.separator) for name in request.targets
    ]
    sampled = rows if len(rows) <= MAX_SAMPLED else rows.sample(MAX_SAMPLED, random_state=0)
    if not (request.group or request.time or request.more_targets):
        request, traits, notes = groups.applied(request, rows, traits)
        table.notes.extend(notes)
    traits = [many_names.with_names(profile, sampled, truth.name, problem) for profile in traits]
    for name in request.targets:
        traits = [leakage.exclude(profile, sampled, name, problem, request.separator) for profile in traits]
    if not request.more_targets:
        traits = mixed.with_texts(traits, sampled, truth.name, problem, request.separator)
    features = features_of(traits)
    table.notes.extend(kept_leaks(traits, features))
    by_name = {feature.name: feature for feature in features}
    for name, part in zip(request.targets, parts, strict=True):
        if problem == "regression" and targets.helps(rows[name].to_numpy(np.float64), features, rows):
            part["log"] = True
            text = "skewed, learned by its logarithm, and judged by the absolute error"
            undo = (
                "remove its log, gate.metric: scaled_rmse" if len(parts) > 1 else "remove target.log, gate.metric: rmse"
            )
            table.notes.append(f"{name}: {text}; if the squared error counts: {undo}")
    target = targets.together(parts)
    dates = {} if request.time in table.read.get("dates", {}) else table.read.pop("dates", {})
    traits = [by_name.get(profile.name, profile) for profile in traits if profile.name not in dates]
    sections = _sections(target, split_section(request, problem, traits), features, rows)
    table.notes.append(table_network.BLEND)
    return _content(request, problem, rows, sections, table), traits


def _require_rows(rows: pd.DataFrame, data: str, target: str) -> None:
    """Raise if there are too few rows."""
    if len(rows) < MIN_ROWS:
        text = f"expected {MIN_ROWS} rows or more with a known {target}; received {len(rows)}"
        raise DataError(
            f"{Path(data).name}: {text}", hint=f"collect more rows, or fill in {target} in those that lack it"
        )


def _problem(truth: ColumnProfile) -> ProblemName:
    """Return classification for names and few distinct integers, else regression."""
    integers = "." not in truth.examples
    return (
        "classification"
        if truth.kind != "number" or (truth.unique <= MAX_INTEGER_LABELS and integers)
        else "regression"
    )


def _find_timeline(
    request: DraftRequest, rows: pd.DataFrame, traits: list[ColumnProfile], truth: ColumnProfile, problem: ProblemName
) -> time_series.Timeline | None:
    """Return the series to forecast, by the user's request or if the table holds one; else None."""
    if problem == "forecasting":
        if truth.kind != "number":
            raise DataError(f"{truth.name}: expected numbers for a forecast; received {truth.examples}")
        time = next(
            (
                profile
                for profile in traits
                if (profile.name == request.time if request.time else profile.kind == "date")
            ),
            None,
        )
        if not time:
            raise DataError("expected a column of dates to forecast by", hint="name the column of times: --time")
        return time_series.from_column(rows, time, request.group)
    return time_series.detect(rows, traits, truth) if problem == "regression" and not request.problem else None


def _content(
    request: DraftRequest,
    problem: ProblemName,
    rows: pd.DataFrame,
    sections: dict[str, Any],
    table: DraftTable | None = None,
) -> dict[str, Any]:
    """Return the sections of the task file in order; `sections` are those that depend on the modality."""
    count, serve, train = len(rows), sections.pop("serve"), sections.pop("train", {})
    truth = rows[request.target]
    far = problem == "regression" and not request.more_targets and bool(len(targets.outliers(truth.to_numpy(float))))
    train = {**train, "loss": "mae"} if far and not sections["target"].get("log") else train
    read, joins = (table.read, table.joins) if table else ({}, {})
    return {
        "title": f"{', '.join(request.targets)} from {Path(request.data).name}",
        "problem": problem,
        "source": {"kind": "file", "path": request.data, **({"read": read} if read else {})},
        **({"joins": joins} if joins else {}),
        "rows": [max(1, count // 2), count * 10],
        **sections,
        "train": {**training_plan.train(count, problem), **train},
        "gate": training_plan.gate(truth.tolist(), problem, sections["target"], outliers=far),
        "serve": serve,
    }


def _sections(
    target: dict[str, Any], split: dict[str, Any], features: list[ColumnProfile], rows: pd.DataFrame
) -> dict[str, Any]:
    """Return the sections that are specific to tables, and to texts."""
    if [profile.kind for profile in features] == ["text"]:
        text_sections = texts.sections(features[0], rows[features[0].name].tolist())
        return {"columns": text_sections.pop("columns"), "target": target, "split": split, **text_sections}
    example = {profile.name: example_value(profile, rows[profile.name]) for profile in features}
    return {
        "columns": {profile.name: profile.column for profile in features},
        "target": target,
        "split": split,
        **(mixed if any(p.kind == "text" for p in features) else table_network).sections(len(rows), features),
        "serve": {"example": example},
    }
