"""PNG and JPEG files of every mode: a column reads the pixels that a viewer shows."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from workspaces import fetch_raw

from tiltyard import plugins
from tiltyard.config import loader
from tiltyard.errors import RequestError
from tiltyard.modeling.columns.image import Image
from tiltyard.workspace import Workspace


def read(image: Pillow.Image, channels: Any = 1, kind: str = "PNG", **settings: Any) -> list[Any]:
    """Return the pixels that a column reads from a file, the same for requests and training data."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    column = Image(height=image.height, width=image.width, channels=channels)
    sent = column.parse([{"b64": base64.b64encode(file.getvalue()).decode()}], "x")[0]
    assert np.array_equal(sent, column.open(file.getvalue()))
    result: list[Any] = (sent[..., 0] if channels == 1 else sent)[0].tolist()
    return result


def test_16_bit_greys_are_scaled() -> None:
    """Different values stay different, black stays black and white white, also with three channels."""
    greys = Pillow.fromarray(np.array([[0, 256, 1_000, 12_345, 32_768, 65_534, 65_535]], dtype=np.uint16))
    assert greys.mode == "I;16"
    assert read(greys) == [0, 1, 4, 48, 128, 255, 255]
    assert read(greys, 3) == [[value] * 3 for value in (0, 1, 4, 48, 128, 255, 255)]


def test_16_bit_greys_are_spread_evenly() -> None:
    """All 65,536 values map in order to 256 values of about equal counts."""
    ramp = Pillow.fromarray(np.arange(65_536, dtype=np.uint16).reshape(256, 256))
    file = io.BytesIO()
    ramp.save(file, "PNG")
    pixels = Image(height=256, width=256).open(file.getvalue()).reshape(-1)
    assert (np.diff(pixels) >= 0).all()
    assert set(np.unique(pixels, return_counts=True)[1]) <= {128, 129, 257}


def test_transparent_pixels_are_white() -> None:
    """Black strokes on a transparent background become black on white."""
    strokes = Pillow.new("RGBA", (3, 1), (0, 0, 0, 0))
    strokes.putpixel((1, 0), (0, 0, 0, 255))
    strokes.putpixel((2, 0), (255, 0, 0, 128))
    assert read(strokes) == [255, 0, pytest.approx(165, abs=1)]
    assert read(strokes, 3)[:2] == [[255, 255, 255], [0, 0, 0]]
    grey = Pillow.fromarray(np.array([[[7, 0], [7, 255]]], dtype=np.uint8), "LA")
    assert read(grey) == [255, 7]
    for mode in ("P", "L", "RGB"):
        image = Pillow.new("L", (2, 1), 0)
        image.putpixel((1, 0), 200)
        clear = {"P": 0, "L": 0, "RGB": (0, 0, 0)}[mode]
        chosen = image.convert("RGB").quantize(2) if mode == "P" else image.convert(mode)
        dark = chosen.getpixel((0, 0)) if mode == "P" else clear
        assert read(chosen, transparency=dark) == [255, 200], mode


def test_opaque_images_keep_their_pixels() -> None:
    """Grey, binary, palette, colour and CMYK images are supported."""
    grey = Pillow.fromarray(np.array([[0, 7, 255]], dtype=np.uint8))
    assert (
        read(grey) == read(grey.convert("RGB")) == read(grey.convert("RGBA")) == read(grey.convert("P")) == [0, 7, 255]
    )
    assert read(grey.point(lambda value: 255 * (value > 100)).convert("1")) == [0, 0, 255]
    inks = Pillow.new("CMYK", (8, 8), (0, 0, 0, 0))
    assert read(inks, 3, "JPEG")[0] == pytest.approx([255, 255, 255], abs=3)
    assert read(Pillow.new("CMYK", (8, 8), (0, 0, 0, 255)), 1, "JPEG")[0] == pytest.approx(0, abs=3)


def test_training_and_serving_read_16_bit_greys_alike(workspace: Workspace) -> None:
    """The same file gives the same pixels in the archive of a task and in a request."""
    fetch_raw(workspace, "digits")
    pixels = np.random.default_rng(0).integers(0, 65_536, (8, 8)).astype(np.uint16)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "PNG")
    with zipfile.ZipFile(workspace.raw("digits") / "images.zip", "w") as archive:
        for number in range(10):
            archive.writestr(f"{number}/deep.png", file.getvalue())
    task = loader.load(workspace, "digits")
    modality = plugins.load("modalities", "image")()
    rows, _ = modality.rows(task, Path(workspace.raw("digits")))
    (column,) = task.columns.values()
    sent = column.parse([{"b64": base64.b64encode(file.getvalue()).decode()}], "x")
    assert np.array_equal(rows["image"][0], sent[0])
    assert sent[0][..., 0].tolist() == np.rint(pixels / 257).tolist()


def test_missing_palette_is_rejected() -> None:
    """Pillow raises an AssertionError; we report that the file is not whole."""
    file = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAIAQMAAAD+wSzIAAAADElEQVR4nGNgoA4AAABIAAEuuDx+AAAAAElFTkSuQmCC"
    with pytest.raises(RequestError, match="expected a whole PNG, JPEG, WebP or TIFF file"):
        Image(type="image", height=8, width=8).parse([{"b64": file}], "x")


def test_fit_of_chunks_is_that_of_all_images() -> None:
    """The largest value of all images is learned, wherever it is; black images are divided by 1."""
    column = Image(type="image", height=2, width=2, channels=1)
    images = np.arange(24, dtype=np.float32).reshape(6, 2, 2, 1)
    for values in (images, images[::-1], np.zeros_like(images)):
        assert column.fit_parts(np.split(values, [1, 4])) == column.fit(values)
