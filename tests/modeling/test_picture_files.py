"""WebP and TIFF files, and photos that a camera took upright: a column reads the pixels that a viewer shows."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from tiltyard.errors import RequestError
from tiltyard.modeling.columns import _image_orientation, _tiff_file, _webp_file
from tiltyard.modeling.columns.image import Image, decode_errors

PICTURE = Pillow.fromarray(np.random.default_rng(0).integers(0, 255, (12, 16, 3)).astype(np.uint8))


def saved(image: Pillow.Image, kind: str, **settings: Any) -> bytes:
    """Return a file."""
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def read(content: bytes, width: int = 16, height: int = 12, channels: Any = 3) -> np.ndarray[Any, Any]:
    """Return the pixels that a column reads."""
    return Image(height=height, width=width, channels=channels).open(content)


@pytest.mark.parametrize(
    "content",
    [
        saved(PICTURE, "WEBP", lossless=True),
        saved(PICTURE.convert("RGBA"), "WEBP", lossless=True, exif=b"Exif\0\0", icc_profile=b"x" * 200),
        saved(PICTURE, "TIFF"),
        saved(PICTURE, "TIFF", compression="tiff_lzw"),
        saved(PICTURE, "TIFF", compression="tiff_adobe_deflate"),
        saved(PICTURE, "TIFF", compression="packbits"),
    ],
)
def test_webp_and_tiff_are_read(content: bytes) -> None:
    """Lossless files hold the same pixels in every format."""
    assert np.array_equal(read(content), np.asarray(PICTURE))


def test_lossy_webp_with_transparency_is_shown_on_white() -> None:
    """Pixels that are transparent are white, as in other formats."""
    image = Pillow.new("RGBA", (16, 12), (200, 0, 0, 0))
    assert read(saved(image, "WEBP", quality=50)).min() == 255
    assert read(saved(PICTURE, "WEBP", quality=50)).shape == (12, 16, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    """A photo that was taken upright is read upright, whatever the format."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    smooth = PICTURE.resize((4, 3)).resize((16, 12))
    options: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}}
    settings = options.get(kind, {})
    content = saved(smooth, kind, exif=exif, **settings)
    shown = ImageOps.exif_transpose(Pillow.open(io.BytesIO(content))).convert("RGB")
    assert shown.size == ((12, 16) if orientation > 4 else (16, 12))
    assert np.array_equal(read(content, *shown.size), np.asarray(shown))


def test_deep_tiff_keeps_its_greys() -> None:
    """16 bits and fractions are scaled to 0 to 255."""
    greys = Pillow.fromarray(np.array([[0, 256, 32_768, 65_535]], dtype=np.uint16))
    assert read(saved(greys, "TIFF"), 4, 1, 1)[0, :, 0].tolist() == [0, 1, 128, 255]
    fractions = Pillow.fromarray(np.array([[0.0, 0.5, 1.0, 0.25]], dtype=np.float32))
    assert read(saved(fractions, "TIFF"), 4, 1, 1)[0, :, 0].tolist() == [0, 128, 255, 64]


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("P", "PNG"), ("P", "TIFF"), ("1", "TIFF")]
)
def test_other_colours_look_as_in_a_viewer(mode: str, kind: str) -> None:
    """Inks, palettes and black and white are converted."""
    smooth = Pillow.new("RGB", (16, 12), (200, 40, 90)).convert(mode)
    difference = np.abs(read(saved(smooth, kind)) - np.asarray(smooth.convert("RGB"), dtype=np.float32))
    assert difference.max() <= 4


def test_sizes_from_8_to_4000_pixels_are_resized() -> None:
    """Small and large photos become the size of the column."""
    column = Image(height=32, width=32, channels=3, resize=True)
    for size in ((8, 8), (4000, 3000)):
        assert column.open(saved(Pillow.new("RGB", size, "red"), "JPEG")).shape == (32, 32, 3)


def test_animations_and_bombs_are_refused_before_decoding() -> None:
    """A header that claims 16,383 x 16,383 pixels costs no memory."""
    frames = saved(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)])
    with pytest.raises(ValueError, match="expected a still image; received an animation"):
        read(frames)
    bits = (16_382 | 16_382 << 14).to_bytes(4, "little")
    bomb = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8L" + struct.pack("<I", 5) + b"\x2f" + bits + b"\0"
    with pytest.raises(ValueError, match="expected at most 16,777,216 pixels; received 16383x16383"):
        read(bomb)
    huge = bytearray(saved(PICTURE, "TIFF"))
    place = huge.index(struct.pack("<HHI", 256, 4, 1)) if struct.pack("<HHI", 256, 4, 1) in huge else -1
    place = place if place >= 0 else huge.index(struct.pack("<HHI", 256, 3, 1))
    huge[place : place + 12] = struct.pack("<HHII", 256, 4, 1, 1 << 30)
    with pytest.raises(ValueError, match="expected a TIFF file of at most"):
        read(bytes(huge))


def test_rare_compressions_of_tiff_are_refused() -> None:
    """JPEG in TIFF is decoded by nobody here."""
    content = saved(PICTURE.convert("1"), "TIFF", compression="group4")
    with pytest.raises(ValueError, match="compression none, LZW, Deflate, PackBits; received number 4"):
        read(content)


@given(st.sampled_from(["WEBP", "TIFF"]), st.data())
def test_damaged_files_are_refused(kind: str, data: st.DataObject) -> None:
    """Whatever bytes are changed, the file is decoded or refused with a sentence."""
    content = bytearray(saved(PICTURE, kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(4, len(content) - 1))] = data.draw(st.integers(0, 255))
    column = Image(height=12, width=16, channels=3)
    with contextlib.suppress(ValueError):
        assert column.open(bytes(content)).shape == (12, 16, 3)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed(content: bytes) -> None:
    """The parsers of headers raise nothing but ValueError."""
    assert 1 <= _image_orientation.of_exif(b"II*\0" + content) <= 8
    with contextlib.suppress(ValueError):
        assert _webp_file.stripped(b"RIFF1234WEBP" + content).content
    with contextlib.suppress(ValueError):
        _tiff_file.check(b"MM\0*" + content, 9)


def test_a_request_may_hold_webp() -> None:
    """The service reads the same formats as the pipeline."""
    content = saved(PICTURE, "WEBP", lossless=True)
    sent = {"b64": base64.b64encode(content).decode()}
    assert np.array_equal(Image(height=12, width=16, channels=3).parse([sent], "x")[0], np.asarray(PICTURE))
    with pytest.raises(RequestError, match="expected 8x12 pixels; received 16x12"):
        Image(height=12, width=8, channels=3).parse([sent], "x")
    assert decode_errors()
