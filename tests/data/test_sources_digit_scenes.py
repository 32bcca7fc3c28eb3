"""Source `digit_scenes`: digits of different parts of MNIST on each part, with boxes and masks that fit them."""

from __future__ import annotations

import io
import itertools
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.data.images import objects
from tiltyard.data.sources import _digit_scene
from tiltyard.data.sources.digit_scenes import DigitScenes
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

SMALL: dict[str, Any] = {"kind": "digit_scenes", "train": 6, "validation": 2, "test": 3}


@pytest.fixture
def mnist(tmp_path: Path) -> Workspace:
    """A project with a small mnist.npz, whose training pictures are squares and whose test pictures are crosses."""
    square, cross = np.zeros((2, 28, 28), dtype=np.uint8)
    square[6:22, 6:22], cross[13:15, 4:24], cross[4:24, 13:15] = 255, 255, 255
    content = io.BytesIO()
    np.savez(
        content,
        x_train=np.repeat(square[None], 400, axis=0),
        y_train=np.arange(400) % 10,
        x_test=np.repeat(cross[None], 200, axis=0),
        y_test=np.arange(200) % 10,
    )
    (tmp_path / "mnist.npz").write_bytes(content.getvalue())
    return Workspace(tmp_path)


def fetched(workspace: Workspace, name: str = "a", **settings: Any) -> Path:
    """Return the folder that a source with these settings wrote."""
    folder = workspace.root / name / "raw"
    folder.mkdir(parents=True)
    DigitScenes(**{**SMALL, **settings}).fetch(folder, workspace)
    return folder


def pictures(folder: Path, name: str = "images.zip") -> dict[str, Array]:
    """Return the pictures of a zip file."""
    with zipfile.ZipFile(folder / name) as archive:
        return {entry: np.asarray(Image.open(io.BytesIO(archive.read(entry)))) for entry in archive.namelist()}


def test_every_picture_has_objects_and_a_mask(mnist: Workspace) -> None:
    """Names, boxes and masks agree: the pixels of a mask reach exactly to the box of a digit that nothing covers."""
    folder = fetched(mnist, digits=(1, 1))
    found, masks = objects.read(folder), pictures(folder, objects.MASKS)
    assert [*found] == [*masks] == [*pictures(folder)]
    assert {name.partition("-")[0] for name in found} == {"train", "validation", "test"}
    for name, (one,) in found.items():
        down, across = np.nonzero(masks[name])
        assert one.box == (across.min(), down.min(), across.max() + 1, down.max() + 1)
        assert {*np.unique(masks[name]).tolist()} == {0, int(one.label) + 1}


def test_test_scenes_have_digits_of_the_test_part(mnist: Workspace) -> None:
    """Without clutter, training scenes show squares alone and test scenes crosses alone."""
    folder = fetched(mnist, digits=(1, 1), clutter=0, sizes=(24, 24))
    for name, mask in pictures(folder, objects.MASKS).items():
        ((left, top, right, bottom),) = (one.box for one in objects.read(folder)[name])
        filled = (mask > 0).sum() / ((right - left) * (bottom - top))
        assert filled < 0.5 if name.startswith("test") else filled == 1


def test_same_settings_give_the_same_bytes(mnist: Workspace) -> None:
    """The seed decides everything; another one gives other pictures."""
    digests = [files.sha256(fetched(mnist, name, seed=seed)) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    assert digests[0] == digests[1] != digests[2]


def test_digits_of_a_clip_move_and_stay_inside(mnist: Workspace) -> None:
    """A digit keeps its number and its size, moves by at most the speed, and no box leaves the picture."""
    folder = fetched(mnist, frames=40, digits=(2, 2), speed=6.0, train=2, validation=2, test=2)
    clip = [own for name, own in objects.read(folder).items() if name.startswith("train-00000")]
    assert len(clip) == 40
    for before, after in itertools.pairwise(clip):
        assert [one.track for one in before] == [one.track for one in after] == [1, 2]
        for one, other in zip(before, after, strict=True):
            steps = np.array(other.box) - one.box
            assert steps[:2].tolist() == steps[2:].tolist()
            assert np.abs(steps).max() <= 7
            assert min(other.box) >= 0 and max(other.box) <= 64  # noqa: PT018 - one fact
    assert len({own[0].box for own in clip}) > 10


def test_rows_make_fewer_of_each_part(mnist: Workspace) -> None:
    """A smoke run has pictures of all parts."""
    names = [*objects.read(fetched(mnist, train=40, validation=10, test=10, rows=24))]
    assert [sum(name.startswith(part) for name in names) for part in ("train", "validation", "test")] == [16, 4, 4]


def test_too_many_digits_are_refused(mnist: Workspace) -> None:
    """Each picture is used once, so there must be enough of them."""
    with pytest.raises(SourceError, match=r"source.test: expected scenes with at most 190 digits.*received 200"):
        fetched(mnist, train=2, test=100, digits=(2, 2))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"digits": (3, 2)}, "digits: expected the smaller, then the larger number, 1 to 8; received 3, 2"),
        ({"sizes": (4, 20)}, "sizes: expected the smaller, then the larger number, 8 to 64"),
        ({"frames": 100, "train": 5000}, "expected at most 100,000 frames; received 500,500"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], text: str) -> None:
    """The message names the key, and what is possible."""
    with pytest.raises(ValidationError, match=text):
        DigitScenes(**{**SMALL, **settings})


def test_blank_picture_stays_a_picture() -> None:
    """A picture without ink has a size all the same."""
    assert min(_digit_scene.cropped(np.zeros((28, 28), dtype=np.uint8), 20).shape) > 0
