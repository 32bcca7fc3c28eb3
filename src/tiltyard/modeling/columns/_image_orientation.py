"""The orientation that a camera notes in Exif, read in Python, so that no library parses the rest of the metadata."""

from __future__ import annotations

import struct

NORMAL = 1
TAG = 0x0112
MAX_EXIF_ENTRIES = 1000  # of the first directory


def of_exif(content: bytes) -> int:
    """Return the orientation, 1 to 8, in Exif data; 1 if there is none or they are damaged."""
    tiff = content.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if not order:
        return NORMAL
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for place in range(min(count, MAX_EXIF_ENTRIES)):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * place)
            if tag == TAG and kind == 3:
                return int(value) if 1 <= value <= 8 else NORMAL
    except struct.error:
        pass
    return NORMAL
