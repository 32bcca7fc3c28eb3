"""Draft a task that finds anomalies: which labels are normal, and an autoencoder of the columns that it can return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard.arrays import is_missing
from tiltyard.config.draft import images, training_plan
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.draft.examples import example_value
from tiltyard.config.draft.request import Draft, DraftRequest, as_asked, features_of, split_section
from tiltyard.errors import DataError, TaskError, join_first

if TYPE_CHECKING:
    from tiltyard.config.draft.reading import DraftTable

RARE = 0.02  # share of the rows with all labels but one, below which a label is an anomaly rather than a class
RESTORED = ("number", "boolean", "category")


def target_section(name: str, cells: Iterable[object], normal: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the section `target`, and notes for the user; empty without a column of labels.

    Without `--normal`, the most frequent label is that of normal rows.
    """
    if not name:
        if normal:
            raise TaskError(
                f"--normal: expected with --target, the column of labels; received {', '.join(normal)} only"
            )
        note = "the rows have no labels, so AUROC is not available: all are taken for normal, and scores are served"
        return {}, [note]
    counts = Counter(str(cell) for cell in cells if not is_missing(cell))
    if unknown := [label for label in normal if label not in counts]:
        expected = join_first([label for label, _ in counts.most_common(10)])
        raise TaskError(f"--normal: expected some of {expected}; received {unknown[0]}, which no row has")
    chosen = [*normal] or [label for label, _ in counts.most_common(1)]
    others = {label: count for label, count in counts.items() if label not in chosen}
    if not others:
        received = f"{join_first(chosen)} in all rows"
        raise DataError(f"{name}: expected labels of normal rows and of anomalies; received {received}")
    anomalies = sum(others.values())
    text = f"{name}: normal is {', '.join(chosen)}; {anomalies:,} of {counts.total():,} rows are anomalies"
    return {"column": name, "normal": chosen}, [f"{text}: {join_first([*others])}"]


def restorable(profiles: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Return the profiles of all columns, without those whose values a network cannot return."""
    return [
        profile if profile.kind in RESTORED else profile.left_out(f"a {profile.kind}, which is not reconstructed")
        for profile in profiles
    ]


def sections_of(rows: int, code_of: int, problem_target: dict[str, Any]) -> dict[str, Any]:
    """Return the sections `model`, `train` and `gate`; `code_of` is how many columns are encoded."""
    train = training_plan.train(rows, "anomaly")
    return {
        "model": {"family": "autoencoder", "units": [64, 32], "code": max(1, min(32, code_of // 2))},
        "train": {**train, "anomaly": {"score": "density", "false_alarms": 0.01}},
        "gate": {"metric": "roc_auc" if problem_target else "mse"},
    }


def draft_images(image_profile: images.ImageProfile, request: DraftRequest) -> Draft:
    """Draft a model of normal images."""
    labels, (width, height) = image_profile.labels, (image_profile.column["width"], image_profile.column["height"])
    target, notes = target_section(image_profile.target, labels, request.normal)
    shared = images.sections(image_profile) | {"target": target, "split": {"kind": "random"}}
    drafted = sections_of(len(labels), 2 * width * height, target)
    drafted["model"] |= {"units": [512], "output": "sigmoid"}
    drafted["train"]["anomaly"]["score"] = "root_relative"
    content = {
        "title": f"Anomalies in {Path(request.data).name}",
        "problem": "anomaly",
        "source": shared["source"],
        "rows": [max(1, len(labels) // 2), len(labels) * 10],
        **{key: shared[key] for key in ("columns", "target", "split")},
        **drafted,
        "serve": shared["serve"],
    }
    return Draft(content, len(labels), images.profiles(image_profile), [*image_profile.notes, *notes])


def draft_rows(table: DraftTable, request: DraftRequest) -> Draft:
    """Draft a model of normal rows of a table."""
    frame, name = table.frame, request.target
    if request.more_targets:
        raise TaskError(f"--target: expected one column of labels for anomalies; received {', '.join(request.targets)}")
    target, notes = target_section(name, table.texts(name).tolist() if name else (), request.normal)
    others = [as_asked(table.profiles[column], request) for column in frame.columns if column != name]
    traits = restorable(others)
    features = features_of(traits)
    example = {profile.name: example_value(profile, frame[profile.name]) for profile in features}
    content = {
        "title": f"Anomalies in {Path(request.data).name}",
        "problem": "anomaly",
        "source": {"kind": "file", "path": request.data, **({"read": table.read} if table.read else {})},
        **({"joins": table.joins} if table.joins else {}),
        "rows": [max(1, len(frame) // 2), len(frame) * 10],
        "columns": {profile.name: profile.column for profile in features},
        **({"target": target} if target else {}),
        "split": split_section(request, "anomaly", traits),
        **sections_of(len(frame), len(features), target),
        "serve": {"example": example},
    }
    return Draft(content, len(frame), traits, table.layout.repairs, notes=[*table.notes, *notes])


def hint(name: str, labels: Iterable[object]) -> str:
    """Return a note if all labels but one are so rare that a model of normal rows may find them better; or nothing."""
    counts = Counter(map(str, labels))
    (most, count), *_ = counts.most_common(1) or [("", 0)]
    if not 0 < counts.total() - count < RARE * counts.total():
        return ""
    text = f"{counts.total() - count:,} of {counts.total():,} rows have another {name} than {most}"
    return f"{text}; to learn from these alone: --problem anomaly --normal {most}"
