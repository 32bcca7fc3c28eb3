"""Checks of a task file about recommendations: which columns are users and items, and what is not built for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltyard.modeling.columns.id import Id
from tiltyard.modeling.problems._interaction import Interaction

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def find_error(task: Task) -> str:
    """Return the first setting that conflicts with the rest of the task: key, expected, received; or empty."""
    between, recommends = task.target.interaction, task.problem_type.recommends
    if recommends != (between is not None):
        expected = "the columns of user and item" if recommends else "none"
        received = "some" if between else "none"
        return f"target.interaction: expected {expected} for {task.problem}; received {received}"
    if task.model.recommends != recommends:
        expected = "two_tower" if recommends else "another than two_tower"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    ids = [name for name, column in task.columns.items() if isinstance(column, Id)]
    if between is None:
        return f"columns.{ids[0]}: expected id columns only for recommendation; received {task.problem}" if ids else ""
    return _columns(task, between, ids) or _ratings(task, between) or _unsupported(task)


def _columns(task: Task, between: Interaction, ids: list[str]) -> str:
    """Check that user and item are the id columns, and that features are other columns."""
    if {between.user, between.item} != {*ids} or between.user == between.item:
        received = f"user: {between.user}, item: {between.item}, and id columns: {', '.join(ids) or 'none'}"
        return f"target.interaction: expected user and item to be the two columns of type id; received {received}"
    features = [name for name in task.columns if name not in ids]
    for name in between.user_features:
        if name not in features:
            expected = f"columns out of {', '.join(features)}" if features else "none, since there are no other columns"
            return f"target.interaction.user_features: expected {expected}; received {name}"
    if task.modality != "table":
        return f"columns: expected those of a table for {task.problem}; received {task.modality} columns"
    if between.title == task.target.column:
        return f"target.interaction.title: expected the column of names; received {between.title}, the target"
    return ""


def _ratings(task: Task, between: Interaction) -> str:
    """Check that there are ratings, some of which are good ones."""
    if task.target.log:
        return "target.log: expected false for recommendation; received true"
    if task.target.bounds and not task.target.bounds[0] < between.relevant <= task.target.bounds[1]:
        low, high = task.target.bounds
        return (
            f"target.interaction.relevant: expected above {low:g}, at most {high:g}, by target.bounds; "
            f"received {between.relevant:g}"
        )
    return ""


def _unsupported(task: Task) -> str:
    """Refuse settings that are not built for recommendations."""
    settings = {
        "derived": task.derived,
        "train.folds": task.train.folds,
        "train.members": task.train.members > 1,
        "ensemble": task.ensemble,
        "model.blend_references": task.model.blend_references,
        "gate.sensitive": task.gate.sensitive,
    }
    for key, value in settings.items():
        if value:
            return f"{key}: expected none for {task.problem}, where it is not built; remove it"
    return ""
