"""Draft a task whose rows are images beside other columns: those of the table that also holds the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard.config.draft import images, leakage, many_names, targets, training_plan
from tiltyard.config.draft.column_profile import ColumnProfile, profile_column
from tiltyard.config.draft.examples import example_value
from tiltyard.config.draft.images import COLUMN, ImageProfile
from tiltyard.config.draft.request import Draft, DraftRequest, as_asked
from tiltyard.config.draft.targets import ProblemName
from tiltyard.data.sources.images import IMAGE_COLUMN

if TYPE_CHECKING:
    import pandas as pd

MAX_INTEGER_LABELS = 20  # more distinct integers are a quantity, not labels
PLAIN_KINDS = ("number", "category", "boolean", "date")  # texts would need layers of their own


def draft(image_profile: ImageProfile, request: DraftRequest) -> Draft | None:
    """Draft images beside the columns that tell something of the target; None if no column is left."""
    rows = image_profile.beside
    if rows is None or request.problem not in (None, "classification", "regression") or request.separator is not None:
        return None
    name = image_profile.target
    rows = rows.assign(**{name: image_profile.labels})
    truth = profile_column(name, rows[name])
    problem = request.problem or _problem(truth)
    traits = [_profiled(column, rows, request, (name, problem)) for column in rows.columns if column != name]
    features = [profile for profile in traits if not profile.reason]
    if not features:
        image_profile.notes.extend(f"{profile.name}: {profile.reason}" for profile in traits)
        return None
    content = _content(image_profile, request, (rows, truth, problem), features)
    profiles = [images.profiles(image_profile)[0], *traits]
    return Draft(content, len(rows), profiles, image_profile.notes, {"target": truth.examples})


def _problem(truth: ColumnProfile) -> ProblemName:
    is_number = truth.kind == "number" and (truth.unique > MAX_INTEGER_LABELS or "." in truth.examples)
    return "regression" if is_number else "classification"


def _profiled(name: str, rows: pd.DataFrame, request: DraftRequest, target: tuple[str, ProblemName]) -> ColumnProfile:
    """Return the profile of a column, left out if it may not be learned from."""
    profile = as_asked(profile_column(name, rows[name]), request)
    if name == IMAGE_COLUMN:
        profile = profile.left_out("its name is that of the images: rename it to use it beside them")
    if profile.kind not in PLAIN_KINDS:
        profile = profile.left_out(f"{profile.kind}: expected numbers, names, flags or dates beside images")
    profile = many_names.with_names(profile, rows, *target)
    return leakage.exclude(profile, rows, *target, None)


def _content(
    image_profile: ImageProfile,
    request: DraftRequest,
    learned: tuple[pd.DataFrame, ColumnProfile, ProblemName],
    features: list[ColumnProfile],
) -> dict[str, Any]:
    """Return the sections of the task file."""
    (rows, truth, problem), count = learned, len(learned[0])
    shared = images.sections(image_profile)
    names = [profile.name for profile in features]
    target = targets.section(
        truth, rows[truth.name], "regression" if problem == "regression" else "classification", 0.0
    )
    example = {COLUMN: shared["serve"]["example"], **{p.name: example_value(p, rows[p.name]) for p in features}}
    numbers = rows[truth.name].tolist()
    return {
        "title": f"{truth.name} from {Path(request.data).name}",
        "problem": problem,
        "source": {**image_profile.source, "beside": names},
        "rows": [max(1, count // 2), count * 10],
        "columns": {COLUMN: image_profile.column, **{profile.name: profile.column for profile in features}},
        "target": target,
        "split": {"kind": "random" if problem == "regression" else "stratified"},
        "model": _model(image_profile.column, features),
        "train": {**training_plan.train(count, problem), "epochs": 60, "learning_rate": 0.001},
        "gate": training_plan.gate(numbers, problem, target),
        "serve": {**shared["serve"], "example": example},
    }


def _model(column: Mapping[str, Any], features: list[ColumnProfile]) -> dict[str, Any]:
    """Return convolutions by the size of the images, and dense layers by the number of other columns."""
    depth = min(4, max(1, int(math.log2(min(column["height"], column["width"]) / 3))))
    return {
        "family": "mixed",
        "image": {"family": "cnn", "filters": [16, 32, 64, 64][:depth], "units": [32], "batch_norm": True},
        "table": {"family": "mlp", "units": [min(64, 16 * len(features))]},
        "units": [64],
        "dropout": 0.2,
        "blend_references": True,
    }
