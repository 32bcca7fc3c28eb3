"""Plots of the learned rows: counts by label and part, box plots, pictures; also of degenerate data."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from generated_tasks import TABLE, prepare_label_sets, prepare_table, prepare_texts
from linear_challengers import prepared_project
from PIL import Image
from workspaces import ROOT, new_workspace

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.task import Task
from tiltyard.figures import MAX_OUTLIERS, Figure, boxes
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.preparation import array_file
from tiltyard.preparation.sealed_test import read_test
from tiltyard.report.sections import rows as rows_section
from tiltyard.report.sections.rows import LearnedRows, smaller
from tiltyard.workspace import Workspace


def figures_of(workspace: Workspace, task: Task) -> dict[str, Figure]:
    """Return the plots of a prepared task by title."""
    test = read_test(workspace, task.name, task.columns)
    return {one.title: one for one in LearnedRows(task, workspace.out(task.name, "prepare"), test.truth).figures()}


def test_iris_has_counts_and_a_plot_of_each_column(tmp_path: Path) -> None:
    """Counts are those of the parts, and the quartiles are those of the training rows."""
    workspace, task = prepared_project(tmp_path, "iris")
    figures = figures_of(workspace, task)
    assert [*figures] == ["Labels", *(f"{name} by label" for name in task.columns)]
    groups = {group["name"]: group["values"] for group in figures["Labels"].data["groups"]}
    split = files.read_json(workspace.out("iris", "prepare") / "split.json")["rows"]
    assert {name: sum(values) for name, values in groups.items()} == {
        "training": split["train"],
        "validation": split["validation"],
        "test": split["test"],
    }
    features, truth = array_file.read_part(workspace.out("iris", "prepare") / "train.npz")
    box = figures["petal_width by label"].data["boxes"][2]
    assert box["name"] == "virginica"
    assert box["quartiles"] == pytest.approx(np.quantile(features[truth == 2, 3], [0.25, 0.5, 0.75]), rel=1e-5)


def test_missing_values_logarithms_and_clipping_are_undone(tmp_path: Path) -> None:
    """Boxes have the units of the file; missing cells are counted and are not the median that stands for them."""
    workspace = Workspace(tmp_path)
    task = prepare_table(workspace)
    (figure,) = figures_of(workspace, task).values()
    age, income = figure.data["boxes"]
    assert 0 < age["missing"] < age["rows"]
    assert 18 <= age["low"] < age["high"] <= 90
    assert 10_000 < income["quartiles"][1] < 40_000
    assert figure.data["own"] is True


def test_rows_with_several_labels_count_for_each(tmp_path: Path) -> None:
    """A film of two genres counts twice; its columns are in one plot, since it has no single label."""
    workspace = Workspace(tmp_path)
    task = prepare_label_sets(workspace)
    figures = figures_of(workspace, task)
    assert [*figures] == ["Labels", "Number columns"]
    truth = array_file.read_part(workspace.out(task.name, "prepare") / "train.npz")[1]
    assert figures["Labels"].data["groups"][0]["values"] == truth.sum(axis=0).tolist()


def test_texts_have_counts_alone(tmp_path: Path) -> None:
    """A text has no numbers to draw."""
    workspace = Workspace(tmp_path)
    assert [*figures_of(workspace, prepare_texts(workspace))] == ["Labels"]


def test_pictures_have_the_labels_of_their_rows(tmp_path: Path) -> None:
    """Each of the 25 pictures has the pixels of a training row with that label."""
    workspace, task = prepared_project(tmp_path, "digits")
    figure = figures_of(workspace, task)["Training pictures"]
    features, truth = array_file.read_part(workspace.out("digits", "prepare") / "train.npz")
    assert len(figure.data["images"]) == rows_section.PICTURES
    for shown in figure.data["images"]:
        content = base64.b64decode(shown["src"].partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        same = (features[..., 0] == pixels).all(axis=(1, 2))
        assert shown["name"] in {task.labels[place] for place in truth[same]}


def test_captions_name_all_labels_of_a_picture(tmp_path: Path) -> None:
    """A picture with several labels names each, one without a label says so, and one without a target has none."""
    task = loader.load(Workspace(ROOT), "digits")
    target = task.target.model_copy(update={"classes": ["sun", "rain", "wind"]})
    rows = LearnedRows(task.model_copy(update={"problem": "multilabel", "target": target}), tmp_path, np.zeros(0))
    assert rows._caption(np.array([True, False, True])) == "sun, wind"
    assert rows._caption(np.zeros(3, dtype=bool)) == "no label"
    nothing = LearnedRows(loader.load(Workspace(ROOT), "digits_autoencoder"), tmp_path, np.zeros(0))
    assert nothing._caption(np.zeros(())) == ""


@pytest.mark.parametrize(
    ("shape", "expected"), [((8, 8, 1), (8, 8)), ((640, 320, 3), (64, 32)), ((1, 900, 1), (1, 64))]
)
def test_large_pictures_are_made_smaller(shape: tuple[int, ...], expected: tuple[int, int]) -> None:
    """A grid of 25 photos adds at most some 300 kB to a page; small pictures keep their pixels."""
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    small = smaller(picture)
    assert small.shape[:2] == expected
    if shape[0] == 8:
        assert small is picture


def written(root: Path, features: Array, truth: Array, changes: dict[str, Any]) -> LearnedRows:
    """Return the rows of a task with these features, each a number column, and truth in all parts."""
    names = [f"x{place}" for place in range(features.shape[1])]
    content = {
        **TABLE,
        "columns": {name: {"type": "number", "missing": "median"} for name in names},
        "serve": {"example": dict.fromkeys(names, 1.0)},
        **changes,
    }
    workspace = new_workspace(root)
    files.write_text(workspace.task_file("made"), yaml.safe_dump(content, sort_keys=False))
    task, folder = loader.load(workspace, "made"), workspace.out("made", "prepare")
    folder.mkdir(parents=True)
    values = np.nan_to_num(features, nan=7.0)
    encoded = np.stack([values, np.isnan(features)], axis=-1).reshape(len(features), -1).astype(np.float32)
    for name in ("train", "validation"):
        with array_file.npz_writer(folder / f"{name}.npz") as write:
            write("features", len(encoded), [encoded])
            write("truth", len(truth), [truth])
    fitted: Any = {name: {"mean": 0.0, "std": 1.0, "median": 7.0} for name in names}
    base = task.encoder()
    Encoder(**{**vars(base), "fitted": fitted, "target": {"mean": 0.0, "std": 1.0}}).save(folder / "encoder.json")
    return LearnedRows(task, folder, truth)


def labelled(count: int) -> dict[str, Any]:
    """Return the sections of a task with so many labels."""
    classes = [f"label {place:04d}" for place in range(count)]
    return {
        "problem": "classification",
        "target": {"column": "kind", "classes": classes},
        "gate": {"metric": "accuracy"},
    }


CASES: dict[str, tuple[Array, Array, dict[str, Any]]] = {
    "one row": (np.array([[1.5, np.nan]]), np.array([0]), labelled(2)),
    "one class": (np.arange(40.0).reshape(20, 2), np.zeros(20, dtype=np.int64), labelled(3)),
    "only missing values": (np.full((20, 2), np.nan), np.arange(20) % 2, labelled(2)),
    "a constant": (np.full((20, 1), 3.0), np.arange(20) % 2, labelled(2)),
    "a thousand labels": (np.arange(4000.0).reshape(2000, 2), np.arange(2000) % 1000, labelled(1000)),
    "300 columns": (np.random.default_rng(0).normal(size=(50, 300)), np.arange(50) % 2, labelled(2)),
    "300 columns, numbers": (np.random.default_rng(0).normal(size=(50, 300)), np.arange(50.0), {}),
    "extreme values": (np.array([[3e38, -3e38], [-3e38, 0], [0, 3e38], [1, 1]]), np.arange(4) % 2, labelled(2)),
}


@pytest.mark.parametrize("name", CASES)
def test_degenerate_data_are_drawn_or_left_out(name: str, tmp_path: Path) -> None:
    """No plot holds NaN or more than its bound, whatever the rows are."""
    features, truth, changes = CASES[name]
    drawn = written(tmp_path, features, truth, changes).figures()
    text = str([figure.data for figure in drawn])
    assert "nan" not in text
    assert "inf" not in text
    assert len(text) < 60_000
    for figure in drawn:
        if figure.kind == "boxes":
            assert len(figure.data["boxes"]) <= max(rows_section.MAX_BOXES, rows_section.MAX_BOX_CLASSES)
    plots = [figure for figure in drawn if figure.kind == "boxes"]
    assert len(plots) <= rows_section.MAX_COLUMNS


def test_of_many_labels_the_frequent_ones_are_shown(tmp_path: Path) -> None:
    """The others are one bar, so that the sums stay right."""
    truth = np.concatenate([np.arange(1000), np.full(50, 999)])
    rows = written(tmp_path, np.zeros((1050, 1)), truth, labelled(1000))
    (figure,) = rows.class_counts()
    assert len(figure.data["names"]) == rows_section.MAX_CLASSES + 1
    values = dict(zip(figure.data["names"], figure.data["groups"][0]["values"], strict=True))
    assert values["label 0999"] == 51
    assert sum(values.values()) == 1050


def test_columns_that_differ_most_between_labels_are_shown(tmp_path: Path) -> None:
    """Of 20 columns the two that tell the labels apart are among those shown."""
    truth = np.arange(200) % 2
    features = np.random.default_rng(0).normal(size=(200, 20))
    features[:, [7, 13]] += 3 * truth[:, None]
    titles = [figure.title for figure in written(tmp_path, features, truth, labelled(2)).box_plots()]
    assert {"x7 by label", "x13 by label"} <= {*titles}


def test_outliers_are_sampled_and_counted() -> None:
    """Whiskers end within 1.5 boxes; of many values beyond, some are drawn and all are counted."""
    values = np.concatenate([np.linspace(0, 1, 101), np.linspace(5, 9, 400)[:100], [np.nan, np.inf]])
    (box,) = boxes("t", "", "x", {"a": values}).data["boxes"]
    assert (box["missing"], box["rows"]) == (2, 201)
    (skewed,) = boxes("t", "", "x", {"a": np.concatenate([np.linspace(0, 1, 1001), np.linspace(5, 9, 100)])}).data[
        "boxes"
    ]
    assert skewed["high"] == 1
    assert skewed["beyond"] == 100
    assert len(skewed["outliers"]) <= 2 * MAX_OUTLIERS
    assert (min(skewed["outliers"]), max(skewed["outliers"])) == (5, 9)
    assert boxes("t", "", "x", {"none": np.array([np.nan])}).data["boxes"] == []
