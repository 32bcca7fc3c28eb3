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
PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # of a PNG: those that determine its pixels
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
NO_LENGTH = {0x01, *range(0xD0, 0xD9)}  # markers without a length
MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # all but the restart markers within a scan
MAX_PARTS = 1000  # parts of a file, plus one per 256 bytes of a PNG
APP1, EXIF = 0xE1, b"Exif\0\0"
MAX_EXIF_BYTES = 1 << 16  # that are looked at
MAX_PIXELS = 4096 * 4096
MAX_SCANS = 64  # of a JPEG; encoders write 1, or about 10


class ImageFile(NamedTuple):
    """A file without metadata that decodes to the same pixels, its number of scans, and its orientation in Exif."""

    content: bytes
    scans: int = 1
    orientation: int = _image_orientation.NORMAL


def stripped(content: bytes, max_pixels: int = MAX_PIXELS) -> ImageFile:
    """Return a file without its metadata; raise ValueError if it has more parts than any encoder writes.

    WebP and TIFF files of more than `max_pixels` are refused here, since their decoders allocate the memory at once. A
    damaged or unknown file is not changed; the decoder refuses it.
    """
    if content.startswith(PNG):
        orientations: list[int] = []
        chunks = b"".join(_chunks(content, orientations))
        return ImageFile(PNG + chunks, orientation=(orientations or [_image_orientation.NORMAL])[0])
    if _webp_file.is_webp(content):
        webp = _webp_file.stripped(content)
        if webp.width * webp.height > max_pixels:
            raise ValueError(f"expected at most {max_pixels:,} pixels; received {webp.width}x{webp.height}")
        return ImageFile(webp.content, orientation=webp.orientation)
    if _tiff_file.is_tiff(content):
        _tiff_file.check(content, max_pixels)
        return ImageFile(content)  # Pillow turns it by itself
    return _jpeg(content) if content.startswith(JPEG) else ImageFile(content)


def _chunks(content: bytes, orientations: list[int]) -> Iterator[bytes]:
    """Yield the chunks of a PNG that determine its pixels; append its orientation."""
    position, count, max_chunks = len(PNG), 0, MAX_PARTS + len(content) // 256
    while position < len(content):
        if (count := count + 1) > max_chunks:
            raise ValueError(f"expected a PNG file of at most {max_chunks:,} chunks")
        kind = content[position + 4 : position + 8]
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        if kind == b"eXIf":
            exif = content[position + 8 : min(end - 4, position + 8 + MAX_EXIF_BYTES)]
            orientations.append(_image_orientation.of_exif(exif))
        if kind in PIXEL_CHUNKS:
            yield content[position:end]
        if kind == b"IEND":
            return
        position = end


def _jpeg(content: bytes) -> ImageFile:
    """Drop metadata and padding before the first scan, and count the scans."""
    header, scans, scan_start, orientation = [JPEG], 0, len(content), _image_orientation.NORMAL
    for count, (code, start, end) in enumerate(_segments(content)):
        if count >= MAX_PARTS:
            raise ValueError(f"expected a JPEG file of at most {MAX_PARTS:,} segments")
        if code in ARITHMETIC:
            raise ValueError("expected a JPEG file in Huffman coding; received one in arithmetic coding")
        if code == START_OF_SCAN:
            scans, scan_start = scans + 1, min(scan_start, start)
        elif not scans and code == APP1 and content[start + 4 : start + 10] == EXIF:
            orientation = _image_orientation.of_exif(content[start + 4 : end])
        elif not scans and code not in METADATA:
            header.append(content[start:end])
        if scans > MAX_SCANS:
            raise ValueError(f"expected a JPEG file of at most {MAX_SCANS} scans")
    return ImageFile(b"".join([*header, content[scan_start:]]), max(1, scans), orientation)


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the marker, start and end of each segment of a JPEG."""
    position = len(JPEG)
    while match := MARKER.search(content, position):
        code, position = match[0][1], match.end()
        if code not in NO_LENGTH:
            position += max(2, int.from_bytes(content[position : position + 2], "big")) if code != END_OF_IMAGE else 0
        yield code, match.start(), position
        if code == END_OF_IMAGE:
            return
