"""Boxes and masks of a user's pictures: the forms that are read, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from shapes import EXAMPLE, LABELS, SIDE, write_shapes
from workspaces import fetch_raw

from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.data.images import objects
from tiltyard.data.images.objects import PictureObject
from tiltyard.data.sources.images import Images
from tiltyard.errors import DataError, TaskError
from tiltyard.preparation.modalities.image import Image as Pictures
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

BOX = (2.0, 3.0, 12.0, 13.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two pictures."""
    for name in ("one", "two"):
        _picture(tmp_path / "data" / "pictures" / f"{name}.png")
    return tmp_path / "data"


def _picture(path: Path, value: int = 100, size: tuple[int, int] = (SIDE, SIDE)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)


def fetched(folder: Path, **settings: Any) -> dict[str, list[PictureObject]]:
    """Fetch the folder, and return the objects of its pictures."""
    raw = folder.parent / "raw"
    raw.mkdir()
    Images(kind="images", path="data", **settings).fetch(raw, Workspace(folder.parent))
    return objects.read(raw)


COCO = {
    "images": [{"id": 7, "file_name": "one.png"}, {"id": 8, "file_name": "two.png"}],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [{"image_id": 7, "category_id": 3, "bbox": [2, 3, 10, 10]}],
}
FORMS = {
    "corners.csv": "file,label,left,top,right,bottom\none.png,cat,2,3,12,13\n",
    "mins.csv": "file,label,xmin,ymin,xmax,ymax\npictures/one.png,cat,2,3,12,13\n",
    "sides.csv": "file,label,x,y,width,height\none,cat,2,3,10,10\n",
    "objects.csv": 'file,objects\none.png,"[{""label"": ""cat"", ""box"": [2, 3, 12, 13]}]"\ntwo.png,[]\n',
    "coco.json": json.dumps(COCO),
}


@pytest.mark.parametrize("name", [*FORMS])
def test_forms_of_boxes_are_read(folder: Path, name: str) -> None:
    """All give the same object; a picture without a row has none."""
    (folder / name).write_text(FORMS[name], encoding="utf-8")
    assert fetched(folder, boxes=name) == {"one.png": [PictureObject("cat", BOX)], "two.png": []}


def test_boxes_of_a_parquet_file_are_read(folder: Path) -> None:
    """Tables may have any format that is read; tracks are numbers."""
    rows = {
        "file": ["one.png"],
        "label": ["cat"],
        "left": [2.0],
        "top": [3],
        "right": [12],
        "bottom": [13],
        "track": [4],
    }
    pd.DataFrame(rows).to_parquet(folder / "boxes.parquet")
    assert fetched(folder, boxes="boxes.parquet")["one.png"] == [PictureObject("cat", BOX, 4)]


def test_boxes_of_pictures_that_are_not_taken_are_left_out(folder: Path) -> None:
    """A table may also be about pictures of other folders."""
    _picture(folder / "more" / "three.png")
    (folder / "boxes.csv").write_text(f"{FORMS['corners.csv']}three.png,cat,2,3,12,13\n", encoding="utf-8")
    assert [*fetched(folder, boxes="boxes.csv", under=["pictures"])] == ["one.png", "two.png"]


HEAD = "file,label,left,top,right,bottom\n"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.csv", f"{HEAD}none.png,cat,2,3,12,13\n", "expected a file for each row; 1 rows without one: none.png"),
        ("a.csv", f"{HEAD}one.png,cat,12,3,2,13\n", "a.csv: row 0: expected a box .* with left below right"),
        ("a.csv", f"{HEAD}one.png,cat,2,3,x,13\n", "a.csv: row 0: expected a number of pixels; received 'x'"),
        ("a.csv", f"{HEAD}one.png,cat,2,3,inf,13\n", "expected a number of pixels"),
        ("a.csv", f"{HEAD}one.png,,2,3,12,13\n", "a.csv: row 0: expected a label"),
        ("a.csv", "file,label,left\none.png,cat,2\n", "expected the columns label, left, top, right, bottom"),
        ("a.csv", "name,label\none.png,cat\n", "expected the columns file; received name, label"),
        ("a.csv", "file,objects\none.png,[{]\n", "a.csv: row 0: expected a list in JSON"),
        ("a.csv", 'file,objects\none.png,"[{""box"": 1}]"\n', 'object 0: expected {"label"'),
        ("a.csv", f"{HEAD[:-1]},track\none.png,cat,2,3,12,13,-1\n", "expected a whole number from 0 as track"),
        ("a.json", "[", "a.json: expected JSON"),
        ("a.json", "{}", 'expected {"images"'),
        ("a.json", json.dumps({**COCO, "images": [{"id": 7}]}), "an image or a category lacks 'file_name'"),
        (
            "a.json",
            json.dumps({**COCO, "annotations": [{"image_id": 9}]}),
            "annotation 0: expected image_id of the file",
        ),
        ("a.json", json.dumps({**COCO, "annotations": [3]}), "annotation 0: expected image_id of the file; received 3"),
        (
            "a.json",
            json.dumps({**COCO, "annotations": [{"image_id": 7, "category_id": 3, "bbox": [1]}]}),
            "annotation 0: expected bbox",
        ),
        ("none.json", None, "no file of boxes none.json"),
    ],
)
def test_broken_boxes_are_refused(folder: Path, name: str, content: str | None, text: str) -> None:
    """The message says which row, and what was expected."""
    if content is not None:
        (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=text):
        fetched(folder, boxes=name)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", 'line 1: expected {"file"'),
        ('{"file": 1, "objects": []}', 'line 1: expected {"file"'),
        ('{"file": "a", "objects": {}}', "expected a list of at most 1,000 objects"),
        ('{"file": "a", "objects": [1]}', "object 0: expected"),
        ('{"file": "a", "objects": [{"label": "x", "box": [1, 2, 3]}]}', "expected a box of four numbers"),
        ('{"file": "a", "objects": [{"label": "x", "box": "abcd"}]}', "expected a box of four numbers"),
        ('{"file": "a", "objects": [{"label": "x", "box": [1, 2, NaN, 4]}]}', "expected a box of four numbers"),
        ('{"file": "a", "objects": [{"label": true, "box": [1, 2, 3, 4]}]}', "expected a text as label"),
        (
            '{"file": "a", "objects": [{"label": "x", "box": [1, 2, 3, 4], "track": 1.5}]}',
            "whole number from 0 as track",
        ),
        ('{"file": "a", "objects": []}\n{"file": "a", "objects": []}', "line 2: expected each picture once"),
        ("x" * (1 << 19), "line 1: expected at most 262,144 bytes"),
    ],
)
def test_broken_lines_are_refused(tmp_path: Path, line: str, text: str) -> None:
    """The file beside the pictures is read line by line, with bounds."""
    (tmp_path / objects.FILE).write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=text):
        objects.read(tmp_path)


def test_folder_without_boxes_says_how_to_get_them(tmp_path: Path) -> None:
    """The hint names the source."""
    with pytest.raises(DataError, match=r"no boxes: expected .*objects\.jsonl"):
        objects.read(tmp_path)


def test_masks_are_found_by_name(folder: Path) -> None:
    """The folder of masks is no folder of pictures; a missing mask is named."""
    raw, source = folder.parent / "raw", Images(kind="images", path="data", masks="masks")
    raw.mkdir()
    _picture(folder / "masks" / "one.png", 1)
    with pytest.raises(
        DataError, match=r"expected a mask for each image in masks; none has the name of pictures/two\.png"
    ):
        source.fetch(raw, Workspace(folder.parent))
    _picture(folder / "masks" / "two.png", 1)
    source.fetch(raw, Workspace(folder.parent))
    assert (raw / objects.MASKS).is_file()
    assert Pictures()._names(raw) == ["one.png", "two.png"]


def test_labels_are_not_given_twice() -> None:
    """Boxes and masks already say what is in a picture."""
    with pytest.raises(ValidationError, match="labels: expected none with boxes or masks"):
        Images(kind="images", path="data", boxes="b.csv", labels="l.csv")


@pytest.fixture
def shapes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project with pictures of shapes, their boxes and their masks."""
    monkeypatch.chdir(workspace.root)
    return workspace


def _rows(workspace: Workspace) -> tuple[Array, Array]:
    task = loader.load(workspace, "shapes")
    fetch_raw(workspace, "shapes")
    rows, truth = Pictures().rows(task, workspace.raw("shapes"))
    return rows["picture"], truth


@pytest.mark.parametrize("size", [SIDE, SIDE // 2])
def test_boxes_and_masks_are_scaled_with_pictures(shapes: Workspace, size: int) -> None:
    """With `resize`, both are in pixels of the size that the model reads."""
    column = {"type": "image", "height": size, "width": size, "channels": 1, "resize": True}
    example = np.array(EXAMPLE)[:size, :size].tolist()
    serve = {"max_instances": 4, "example": example}
    write_shapes(shapes, "detection", columns={"picture": column}, serve=serve)
    pictures, truth = _rows(shapes)
    label, left, top, right, bottom = truth[0, 0, :5]
    assert pictures[0].shape == (size, size, 1)
    bright = np.argwhere(pictures[0, :, :, 0] > 110)
    assert np.abs(np.array([top, left]) - bright.min(axis=0)).max() <= 1
    assert np.abs(np.array([bottom, right]) - bright.max(axis=0) - 1).max() <= 1
    assert label in (0, 1)
    assert (truth[0, 1:, 0] == -1).all()


def test_masks_are_read_by_label(shapes: Workspace) -> None:
    """Pixels are the numbers of the labels; the mask lies where the picture is bright."""
    write_shapes(shapes, "segmentation")
    pictures, truth = _rows(shapes)
    assert np.array_equal(truth > 0, pictures[..., 0] >= 200)
    assert {*np.unique(truth).tolist()} == {0, 1, 2}


def test_frames_know_their_clip(shapes: Workspace) -> None:
    """Rows of a clip follow one another and share its number; objects keep theirs."""
    write_shapes(shapes, "tracking")
    _, truth = _rows(shapes)
    assert truth[:6, 0, 6].tolist() == [0] * 6
    assert truth[6, 0, 6] == 1
    assert truth[0, :, 5].tolist() == [1, 2, 0, 0]


@pytest.mark.parametrize(
    ("section", "value", "text"),
    [
        (
            "target",
            {"column": "objects", "classes": LABELS, "max_objects": 1},
            "expected at most 1 objects",
        ),
        (
            "target",
            {"column": "objects", "classes": ["block", "x"]},
            "expected block, x; .* holds frame",
        ),
    ],
)
def test_objects_that_the_task_does_not_know_are_refused(
    shapes: Workspace, section: str, value: Any, text: str
) -> None:
    """More objects than allowed, and other labels; validation finds the labels before."""
    write_shapes(shapes, "detection", **{section: value})
    with pytest.raises(DataError, match=text):
        _rows(shapes)
    if "x" in value["classes"]:
        with pytest.raises(DataError, match="objects"):
            validate(shapes, loader.load(shapes, "shapes"))


def test_box_outside_of_its_picture_is_refused(shapes: Workspace) -> None:
    """The message has the size of the picture and the box."""
    write_shapes(shapes, "detection")
    with (shapes.root / "shapes" / "boxes.csv").open("a", encoding="utf-8") as file:
        file.write("239.png,block,20,20,40,30\n")
    with pytest.raises(DataError, match=r"239\.png: expected boxes within the picture of 32x32 pixels"):
        _rows(shapes)


@pytest.mark.parametrize(
    ("size", "value", "text"),
    [
        ((SIDE, SIDE), 9, "expected pixels from 0 to 2, the numbers of target.classes; received 9"),
        ((8, 8), 1, "expected the size of the picture, 32x32; received 8x8"),
    ],
)
def test_broken_masks_are_refused(shapes: Workspace, size: tuple[int, int], value: int, text: str) -> None:
    """Numbers without a label and other sizes are refused, by validation as well."""
    write_shapes(shapes, "segmentation")
    _picture(shapes.root / "shapes" / "masks" / "005.png", value, size)
    with pytest.raises(DataError, match=f"005.png: {text}"):
        _rows(shapes)
    with pytest.raises(DataError, match="mask"):
        validate(shapes, loader.load(shapes, "shapes"))


def test_mask_that_is_no_picture_is_refused(shapes: Workspace) -> None:
    """So are colours, which are no numbers of labels."""
    write_shapes(shapes, "segmentation")
    Image.new("RGB", (SIDE, SIDE)).save(shapes.root / "shapes" / "masks" / "005.png")
    with pytest.raises(DataError, match=r"masks\.zip: 005\.png: expected an 8-bit PNG.*received RGB"):
        _rows(shapes)


def test_objects_without_tracks_are_refused_for_tracking(shapes: Workspace) -> None:
    """Each object of a frame needs a number of its own."""
    write_shapes(shapes, "tracking")
    path = shapes.root / "clips" / "boxes.csv"
    lines = [line.rsplit(",", maxsplit=1)[0] for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected for each object a track, a number from 1"):
        _rows(shapes)


@pytest.mark.parametrize(
    ("problem", "changes", "text"),
    [
        ("detection", {"model": {"family": "cnn"}}, "model.family: expected detector for detection; received cnn"),
        ("segmentation", {"model": {"family": "detector"}}, "problem: expected detection or tracking for detector"),
        (
            "detection",
            {"train": {"epochs": 1, "augment": {"flip": "both"}}},
            "augment.flip: expected none",
        ),
        ("detection", {"train": {"epochs": 1, "folds": 3}}, "train.folds: expected none for detection"),
        ("detection", {"train": {"epochs": 1, "tensorboard": ["embeddings"]}}, "expected no embeddings for detection"),
        (
            "segmentation",
            {"target": {"column": "m", "classes": ["a", "b"], "max_objects": 3}},
            "only for objects",
        ),
        (
            "segmentation",
            {"target": {"column": "mask", "classes": [*map(str, range(70))]}},
            "at most 64; received 70",
        ),
        (
            "segmentation",
            {"serve": {"max_instances": 5000, "example": EXAMPLE}},
            "expected at most 4096",
        ),
        (
            "detection",
            {"gate": {"metric": "ap50", "slices": ["picture"]}},
            "expected no behaviours",
        ),
        ("detection", {"target": {"column": "objects"}}, "target.classes: expected the list of labels"),
    ],
)
def test_settings_that_do_not_fit_are_refused(shapes: Workspace, problem: str, changes: Any, text: str) -> None:
    """The message names the key, and what is expected."""
    write_shapes(shapes, problem, **changes)
    with pytest.raises(TaskError, match=text):
        loader.load(shapes, "shapes")


def test_brightness_may_be_augmented(shapes: Workspace) -> None:
    """It moves no box."""
    write_shapes(shapes, "detection", train={"epochs": 1, "batch_size": 8, "augment": {"noise": 0.05}})
    assert loader.load(shapes, "shapes").train.augment is not None
