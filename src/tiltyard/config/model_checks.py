"""Checks of a task file about the model: its family, what it reads, and settings that only other families have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiltyard.config import column_checks, objective_checks
from tiltyard.config.train_section import incompatibility

if TYPE_CHECKING:
    from tiltyard.config.task import Task


def no_classes(task: Task) -> str:
    """Return why a task has no classes."""
    return "a row may have several labels" if task.labels else "there are no classes"


def family_error(task: Task) -> str:
    """Check that the family fits the problem and the columns."""
    writers = {"translation": "seq2seq", "captioning": "captioner"}
    if (task.model.family if task.model.translates else None) != (expected := writers.get(task.problem)):
        expected = expected or f"another than {task.model.family}"
        return f"model.family: expected {expected} for {task.problem}; received {task.model.family}"
    if task.model.steps != (task.problem == "generation"):
        ways = "rnn with whole: true, from one end and without attention, or transformer with causal: true, pool: none"
        return f"model: expected for prose, and only for it, {ways}"
    if task.problem == "masked" and not task.model.keeps_steps:
        return "model: expected for masked words transformer with pool: none, or rnn with whole and bidirectional: true"
    if task.split.unlabelled and not task.model.learns_without_labels:
        return f"split.unlabelled: expected false for {task.model.family}, which needs labels; received true"
    return task.model.columns_error(task.columns)


def fit_error(task: Task) -> str:
    """Check that the family reads these columns, and that training fits both."""
    if task.modality not in task.model.modalities:
        expected = " or ".join(task.model.modalities)
        return f"model.family: {task.model.family} takes {expected}; received {task.modality} columns"
    channels = getattr(next(iter(task.columns.values())), "channels", 0)
    if text := incompatibility(task.train, task.modality, channels, task.classes, no_classes(task)):
        return text
    return objective_checks.find_error(task)


def ngrams_error(task: Task) -> str:
    """Check that n-grams are read by families that need no order of words, and only by them."""
    model = task.model.reader("text")
    for name, column in task.columns.items() if task.modality in ("text", "mixed") else ():
        if column.branch == "text" and (text := column_checks.ngrams_error(name, column, model)):
            return text
    return ""


def reference_error(task: Task) -> str:
    """Check that nothing is asked of a family without a network that only training by epochs can do."""
    if task.model.trained_by_epochs:
        return ""
    options = {"folds": task.train.folds, "augment": task.train.augment, "then": task.train.then}
    options |= {name: getattr(task.train, name) for name in ("restarts", "tensorboard")}
    options |= {"members": task.train.members > 1}
    for key, value in options.items():
        if value:
            return (
                f"train.{key}: expected none for the family {task.model.family}, which Keras does not train; remove it"
            )
    return ""


def blend_error(task: Task) -> str:
    """Check that there are references which the network can be averaged with, in one graph."""
    if not task.model.blend_references:
        return ""
    texts = [column for column in task.columns.values() if column.branch == "text"]
    reads = next((by for column in texts if (by := getattr(column, "by", "")) != "ngrams"), "ngrams")
    reasons = {
        f"the family {task.model.family}, which Keras does not train": not task.model.trained_by_epochs,
        f"{task.problem}, since no reference predicts texts": task.problem_type.targets == "text",
        f"texts that are read by {reads} (references read by: ngrams)": reads != "ngrams",
    }
    why = next((text for text, holds in reasons.items() if holds), "")
    return f"model.blend_references: expected false for {why}; received true" if why else ""
