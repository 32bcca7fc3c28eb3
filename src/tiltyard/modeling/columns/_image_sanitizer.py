"""Sanitise image files before decoding: drop metadata but the orientation, and limit the number of parts and scans.

Profiles, texts and other metadata may unpack to a thousand times their size, and each scan of a progressive JPEG
takes few bytes but time for all pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tiltyard.modeling.columns import _image_orientation, _tiff_file, _webp_file

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
APP1, EXIF = 0xE1, b"Exif\0\0"
EXIF_BYTES = 1 << 16  # that are looked at
MOST_PIXELS = 4096 * 4096
SCANS = 64  # of a JPEG; encoders write 1, or about 10


class ImageFile(NamedTuple):
    """A file without metadata that decodes to the same pixels, its number of scans, and its orientation in Exif."""

    content: bytes
    scans: int = 1
    orientation: int = _image_orientation.NORMAL


def stripped(content: bytes, most: int = MOST_PIXELS) -> ImageFile:
    """Return a file without its metadata; raise ValueError if it has more parts than any encoder writes.

    WebP and TIFF files of more than `most` pixels are refused here, since their decoders take the memory at once. A
    damaged or an unknown file is left for the decoder to refuse.
    """
    if content.startswith(PNG):
        notes: list[int] = []
        chunks = b"".join(_chunks(content, notes))
        return ImageFile(PNG + chunks, orientation=(notes or [_image_orientation.NORMAL])[0])
    if _webp_file.is_webp(content):
        webp = _webp_file.stripped(content)
        if webp.width * webp.height > most:
            raise ValueError(f"expected at most {most:,} pixels; received {webp.width}x{webp.height}")
        return ImageFile(webp.content, orientation=webp.orientation)
    if _tiff_file.is_tiff(content):
        _tiff_file.check(content, most)
        return ImageFile(content)  # Pillow turns it by itself
    return _jpeg(content) if content.startswith(JPEG) else ImageFile(content)


def _chunks(content: bytes, notes: list[int]) -> Iterator[bytes]:
    """Yield the chunks of a PNG that determine its pixels; `notes` receives its orientation."""
    place, count, most = len(PNG), 0, MOST + len(content) // 256
    while place < len(content):
        if (count := count + 1) > most:
            raise ValueError(f"expected a PNG file of at most {most:,} chunks")
        kind = content[place + 4 : place + 8]
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        if kind == b"eXIf":
            notes.append(_image_orientation.of_exif(content[place + 8 : min(end - 4, place + 8 + EXIF_BYTES)]))
        if kind in CHUNKS:
            yield content[place:end]
        if kind == b"IEND":
            return
        place = end


def _jpeg(content: bytes) -> ImageFile:
    """Drop metadata and padding before the first scan, and count the scans."""
    kept, scans, begun, orientation = [JPEG], 0, len(content), _image_orientation.NORMAL
    for count, (code, start, end) in enumerate(_segments(content)):
        if count >= MOST:
            raise ValueError(f"expected a JPEG file of at most {MOST:,} segments")
        if code in ARITHMETIC:
            raise ValueError("expected a JPEG file in Huffman coding; received one in arithmetic coding")
        if code == START_OF_SCAN:
            scans, begun = scans + 1, min(begun, start)
        elif not scans and code == APP1 and content[start + 4 : start + 10] == EXIF:
            orientation = _image_orientation.of_exif(content[start + 4 : end])
        elif not scans and code not in METADATA:
            kept.append(content[start:end])
        if scans > SCANS:
            raise ValueError(f"expected a JPEG file of at most {SCANS} scans")
    return ImageFile(b"".join([*kept, content[begun:]]), max(1, scans), orientation)


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
