"""Image files that cost more than their size: compressed metadata, and excessive numbers of parts and scans."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageFile, PngImagePlugin

from tiltyard.modeling import deadline
from tiltyard.modeling.columns import _image_sanitizer
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.deadline import OutOfTimeError

UNPACKED = zlib.compress(bytes(1_000_000), 9)
COLOURS = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
COLUMN = Image(height=8, width=8, channels=3)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def segment(code: int, content: bytes) -> bytes:
    """Return a segment of a JPEG file."""
    return bytes([0xFF, code]) + struct.pack(">H", len(content) + 2) + content


def encoded(image: Any, kind: str, **settings: Any) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, kind, **settings)
    return file.getvalue()


def png(*more: bytes, after_pixels: bool = False) -> bytes:
    """Return a PNG file with additional chunks before or after its pixels."""
    content = encoded(COLOURS, "PNG")
    position = content.index(b"IEND" if after_pixels else b"IDAT") - 4
    return content[:position] + b"".join(more) + content[position:]


def progressive(size: int, repetitions: int) -> bytes:
    """Return a progressive grey JPEG file whose last scan is repeated."""
    content = encoded(np.full((size, size), 128, dtype=np.uint8), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * repetitions + content[-2:]


@pytest.mark.parametrize(
    "more",
    [
        chunk(b"iCCP", b"a\0\0" + UNPACKED),
        chunk(b"zTXt", b"a\0\0" + UNPACKED),
        chunk(b"iTXt", b"a\0\1\0\0\0" + UNPACKED),
    ],
)
@pytest.mark.parametrize("after_pixels", [False, True])
def test_metadata_is_not_decompressed(more: bytes, after_pixels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand bytes of metadata would become a million; the pixels are unchanged."""
    unpacked: list[int] = []
    real: Callable[..., bytes] = PngImagePlugin._safe_zlib_decompress

    def counting_decompress(content: bytes) -> bytes:
        unpacked.append(len(content))
        return real(content)

    monkeypatch.setattr(PngImagePlugin, "_safe_zlib_decompress", counting_decompress)
    assert np.array_equal(COLUMN.open(png(*[more] * 100, after_pixels=after_pixels)), COLOURS)
    assert unpacked == []


@pytest.mark.parametrize("kind", [b"gAMA", b"tEXt", b"IDAT", b"tRNS"])
def test_png_with_too_many_chunks_is_rejected(kind: bytes) -> None:
    """Each chunk takes time to decode, however small it is."""
    with pytest.raises(ValueError, match=r"expected a PNG file of at most .* chunks"):
        COLUMN.open(png(*[chunk(kind, b"")] * 2000))


@pytest.mark.parametrize("content", [segment(0xDB, b"\0" + bytes([1] * 64)), segment(0xFE, b""), segment(0xE2, b"x")])
def test_jpeg_with_too_many_segments_is_rejected(content: bytes) -> None:
    """The segments are tables, comments and profiles."""
    complete = encoded(COLOURS, "JPEG")
    with pytest.raises(ValueError, match="expected a JPEG file of at most 1,000 segments"):
        COLUMN.open(complete[:2] + content * 1001 + complete[2:])


def test_padding_between_segments_is_dropped() -> None:
    """Pillow processes each byte of padding in Python."""
    complete = encoded(COLOURS, "JPEG")
    padded = complete[:2] + b"\xff" * 100_000 + complete[2:]
    assert len(_image_sanitizer.stripped(padded).content) <= len(complete)
    assert np.array_equal(COLUMN.open(padded), COLUMN.open(complete))


@pytest.mark.parametrize("between", [b"", b"\xff", b"\0", b"\xff\xd0"])
def test_too_many_scans_are_rejected(between: bytes) -> None:
    """Each scan processes all pixels; bytes that a decoder skips do not hide scans."""
    content = progressive(64, 0)
    last = content[content.rindex(b"\xff\xda") : -2]
    column = Image(height=64, width=64)
    assert column.open(progressive(64, 50)).shape == (64, 64, 1)
    with pytest.raises(ValueError, match="expected a JPEG file of at most 64 scans"):
        column.open(content[:-2] + (between + last) * 64 + content[-2:])


@pytest.mark.parametrize("code", [0xC9, 0xCA])
def test_arithmetic_coding_is_rejected(code: int) -> None:
    """Browsers do not support it, and a few of its bytes can decode to many pixels."""
    content = encoded(COLOURS, "JPEG")
    with pytest.raises(ValueError, match="expected a JPEG file in Huffman coding"):
        COLUMN.open(content.replace(b"\xff\xc0", bytes([0xFF, code]), 1))


def test_scan_cost_is_checked_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would exceed the deadline is rejected before the first pixel is decoded."""
    column = Image(height=8, width=8, resize=True)
    loaded: list[object] = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", loaded.append)
    few, many = progressive(2000, 0), progressive(2000, 50)
    assert _image_sanitizer.stripped(many).scans == _image_sanitizer.stripped(few).scans + 50
    with deadline.limit_until(time.monotonic() + 0.3), pytest.raises(OutOfTimeError):
        column.open(many)
    assert loaded == []


def test_images_of_cameras_and_editors_are_accepted() -> None:
    """Profiles, comments, previews and restart markers do not change pixels."""
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("XML:com.adobe.xmp", "x" * 200_000, zip=True)
    exif = Pillow.Exif()
    exif[0x010E] = "a flower"
    profile = np.random.default_rng(1).bytes(300_000)
    complete = encoded(COLOURS, "PNG", pnginfo=notes, icc_profile=profile, exif=exif, dpi=(300, 300))
    assert np.array_equal(COLUMN.open(complete), COLOURS)
    for settings in ({}, {"progressive": True}, {"restart_marker_blocks": 1}, {"quality": 95, "subsampling": 0}):
        content = encoded(COLOURS, "JPEG", icc_profile=profile, exif=exif, comment=b"by hand", **settings)
        with Pillow.open(io.BytesIO(content)) as right:
            assert np.array_equal(COLUMN.open(content), np.asarray(right))


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L", "RGB"])
def test_colour_space_is_kept(mode: str) -> None:
    """JPEG segments state whether colours are inverted or transformed."""
    file = io.BytesIO()
    Pillow.fromarray(COLOURS).convert(mode).save(file, "JPEG", quality=100)
    with (
        Pillow.open(io.BytesIO(file.getvalue())) as right,
        Pillow.open(io.BytesIO(_image_sanitizer.stripped(file.getvalue()).content)) as found,
    ):
        assert np.array_equal(np.asarray(found), np.asarray(right))
        assert found.mode == right.mode


def test_animation_is_its_first_frame() -> None:
    """Later frames are ignored."""
    file = io.BytesIO()
    first, second = Pillow.fromarray(COLOURS), Pillow.fromarray(255 - COLOURS)
    first.save(file, "PNG", save_all=True, append_images=[second])
    assert np.array_equal(COLUMN.open(file.getvalue()), COLOURS)
