"""Sanitise PNG and JPEG files before decoding: drop metadata, and limit the number of parts and scans.

Profiles, texts and other metadata may unpack to a thousand times their size, and each scan of a progressive JPEG
takes few bytes but time for all pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # magic numbers
CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # of a PNG: those that determine its pixels
METADATA = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # segments of a JPEG; E0 and EE are kept, since they define its colours
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
ARITHMETIC = {
    0xC9,
    0xCA,
    0xCB,
    0xCD,
    0xCE,
    0xCF,
}  # rare codings in which a byte may hold thousands of values
BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # all but the restart markers within a scan
MOST = 1000  # parts of a file, plus one per 256 bytes of a PNG
SCANS = 64  # of a JPEG; encoders write 1, or about 10


class ImageFile(NamedTuple):
    """A file without metadata that decodes to the same pixels, and its number of scans."""

    content: bytes
    scans: int = 1


def stripped(content: bytes) -> ImageFile:
    """Return a PNG or JPEG without its metadata; raise ValueError if it has more parts than any encoder writes.

    A damaged or an unknown file is left for the decoder to refuse.
    """
    if content.startswith(PNG):
        return ImageFile(PNG + b"".join(_chunks(content)))
    return _jpeg(content) if content.startswith(JPEG) else ImageFile(content)


def _chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks of a PNG that determine its pixels."""
    place, count, most = len(PNG), 0, MOST + len(content) // 256
    while place < len(content):
        if (count := count + 1) > most:
            raise ValueError(f"expected a PNG file of at most {most:,} chunks")
        kind = content[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if kind in CHUNKS:
            yield content[place:end]
        if kind == b"IEND":
            return
        place = end


def _jpeg(content: bytes) -> ImageFile:
    """Drop metadata and padding before the first scan, and count the scans."""
    kept, scans, begun = [JPEG], 0, len(content)
    for count, (code, start, end) in enumerate(_segments(content)):
        if count >= MOST:
            raise ValueError(f"expected a JPEG file of at most {MOST:,} segments")
        if code in ARITHMETIC:
            raise ValueError("expected a JPEG file in Huffman coding; received one in arithmetic coding")
        if code == START_OF_SCAN:
            scans, begun = scans + 1, min(begun, start)
        elif not scans and code not in METADATA:
            kept.append(content[start:end])
        if scans > SCANS:
            raise ValueError(f"expected a JPEG file of at most {SCANS} scans")
    return ImageFile(b"".join([*kept, content[begun:]]), max(1, scans))


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment of a JPEG."""
    place = len(JPEG)
    while found := MARKER.search(content, place):
        code, place = found[0][1], found.end()
        if code not in BARE:
            place += max(2, int.from_bytes(content[place : place + 2], "big")) if code != END_OF_IMAGE else 0
        yield code, found.start(), place
        if code == END_OF_IMAGE:
            return
