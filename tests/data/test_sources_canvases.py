"""The source `canvases`: several pictures at random places, each used once, and no test picture in training."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tiltyard.arrays import Array
from tiltyard.data import stand_in
from tiltyard.data.images.image_files import notes
from tiltyard.data.sources.canvases import Canvases
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

SETTINGS: dict[str, Any] = {"kind": "canvases", "train": 50, "test": 12}


@pytest.fixture
def digits(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Write a data set in which the brightness of a picture's square is its number: 100 for training, 24 for tests."""
    monkeypatch.delenv("TILTYARD_MIRROR", raising=False)
    arrays: dict[str, Any] = {}
    for part, first, rows in (("train", 1, 100), ("test", 201, 24)):
        pictures = np.zeros((rows, 28, 28), dtype=np.uint8)
        pictures[:, 8:20, 8:20] = np.arange(first, first + rows)[:, None, None]
        arrays |= {f"x_{part}": pictures, f"y_{part}": np.arange(first, first + rows) % 10}
    np.savez_compressed(workspace.root / "mnist.npz", allow_pickle=False, **arrays)
    return workspace


def fetched(workspace: Workspace, **settings: Any) -> dict[str, Array]:
    """Fetch; return the pixels of each canvas by its name in the archive."""
    folder = workspace.root / "raw"
    folder.mkdir(exist_ok=True)
    Canvases.model_validate(SETTINGS | settings).fetch(folder, workspace)
    with zipfile.ZipFile(folder / "images.zip") as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert notes(archive) == []
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_labels_are_those_of_the_pictures_and_parts_are_separate(digits: Workspace) -> None:
    """Each canvas shows two whole pictures of its part, whose labels name its folder, and no picture is used twice."""
    seen: dict[str, list[int]] = {"train": [], "test": []}
    for name, pixels in fetched(digits).items():
        assert pixels.shape == (40, 56)
        labels, _, file = name.partition("/")
        numbers, counts = np.unique(pixels[pixels > 0], return_counts=True)
        assert counts.tolist() == [144, 144]
        assert labels.split("|") == sorted({str(number % 10) for number in numbers.tolist()})
        seen[file.partition("-")[0]] += numbers.tolist()
    assert [len(numbers) for numbers in seen.values()] == [100, 24]
    assert sorted(seen["train"]) == [*range(1, 101)]
    assert sorted(seen["test"]) == [*range(201, 225)]


def test_places_differ_and_a_seed_gives_the_same_bytes(digits: Workspace) -> None:
    """Another seed gives other canvases; the same one the same archive."""
    first, again, other = fetched(digits), fetched(digits), fetched(digits, seed=1)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert first.keys() != other.keys()
    tops = {int(np.flatnonzero(pixels.any(axis=1))[0]) for pixels in first.values()}
    assert len(tops) > 5


def test_fewer_canvases_of_both_parts(digits: Workspace) -> None:
    """`rows` limits training and test canvases alike, for smoke runs; other sizes and numbers are possible."""
    parts = [name.partition("/")[2].partition("-")[0] for name in fetched(digits, rows=30)]
    assert (parts.count("train"), parts.count("test")) == (20, 10)
    single = fetched(digits, pictures=1, height=28, width=28, train=10, test=10)
    assert {pixels.shape for pixels in single.values()} == {(28, 28)}


def test_too_many_canvases_and_too_small_ones_are_refused(digits: Workspace) -> None:
    """The sentence says how many there can be, and how much room is needed."""
    with pytest.raises(SourceError, match=r"source.train: expected at most 50, as there are 100 pictures; received 51"):
        fetched(digits, train=51)
    with pytest.raises(ValueError, match=r"room for 4 pictures of 20x20; received 28x56"):
        Canvases.model_validate(SETTINGS | {"pictures": 4, "height": 28})


def test_made_up_pictures_are_marked(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the data, `stand_in` gives canvases of generated pictures, and the raw data say so."""
    monkeypatch.delenv("TILTYARD_MIRROR", raising=False)
    assert len(fetched(workspace, stand_in=True, rows=40)) == 40
    assert "stand in for mnist" in stand_in.reason(Path(workspace.root / "raw"))
