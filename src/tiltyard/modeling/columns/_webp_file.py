"""Sanitise WebP files before decoding: keep the chunks of one still image, and read its size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tiltyard.modeling.columns import _image_orientation

MAX_CHUNKS = 100
ALPHA = 0x10  # the flag in VP8X


class Webp(NamedTuple):
    """A file with the chunks of the pixels alone, its size, and the orientation that it notes."""

    content: bytes
    width: int
    height: int
    orientation: int


def is_webp(content: bytes) -> bool:
    """Return whether a file begins like WebP."""
    return content[:4] == b"RIFF" and content[8:12] == b"WEBP"


def stripped(content: bytes) -> Webp:
    """Return a still image without its metadata; raise ValueError for an animation or a damaged file."""
    chunks = dict(_chunks(content))
    if b"ANIM" in chunks or b"ANMF" in chunks:
        raise ValueError("expected a still image; received an animation")
    pixels = next((name for name in (b"VP8 ", b"VP8L") if name in chunks), None)
    if pixels is None:
        raise ValueError("expected a whole WebP file")
    width, height = _lossy_size(chunks[pixels]) if pixels == b"VP8 " else _lossless_size(chunks[pixels])
    parts: list[tuple[bytes, bytes]] = [(pixels, chunks[pixels])]
    if pixels == b"VP8 " and b"ALPH" in chunks:
        canvas = struct.pack("<I", ALPHA) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts = [(b"VP8X", canvas), (b"ALPH", chunks[b"ALPH"]), *parts]
    body = b"WEBP" + b"".join(_chunk(name, data) for name, data in parts)
    orientation = _image_orientation.of_exif(chunks.get(b"EXIF", b""))
    return Webp(b"RIFF" + struct.pack("<I", len(body)) + body, width, height, orientation)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 12
    for _ in range(MAX_CHUNKS):
        if place + 8 > len(content):
            return
        name, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        yield name, content[place + 8 : place + 8 + size]
        place += 8 + size + size % 2
    raise ValueError(f"expected a WebP file of at most {MAX_CHUNKS} chunks")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _lossy_size(data: bytes) -> tuple[int, int]:
    if len(data) < 10 or data[3:6] != b"\x9d\x01\x2a":
        raise ValueError("expected a whole WebP file")
    width, height = struct.unpack_from("<HH", data, 6)
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(data: bytes) -> tuple[int, int]:
    if len(data) < 5 or data[0] != 0x2F:
        raise ValueError("expected a whole WebP file")
    bits = int.from_bytes(data[1:5], "little")
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
