"""Check the first directory of TIFF files before decoding: size, compression, tiles, and where the pixels are."""

from __future__ import annotations

import struct

MARKS = {b"II*\0": "<", b"MM\0*": ">"}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # bytes by type
COMPRESSIONS = {1: "none", 5: "LZW", 8: "Deflate", 32946: "Deflate", 32773: "PackBits"}
MAX_ENTRIES = 500
MAX_VALUES = 1 << 16  # of an entry, such as the places of strips
WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 258, 259, 277, 322, 323
OFFSETS = {273: 279, 324: 325}  # the entries with the places of strips or tiles, and those with their sizes


def is_tiff(content: bytes) -> bool:
    """Return whether a file begins like TIFF."""
    return content[:4] in MARKS


def check(content: bytes, max_pixels: int) -> None:
    """Raise ValueError unless the first image has at most `max_pixels`, usual compression, and lies within the file."""
    try:
        entries = _entries(content)
    except struct.error:
        raise ValueError("expected a whole TIFF file") from None

    def first(tag: int, usual: int) -> int:
        return (entries.get(tag) or [usual])[0]

    width, height = first(WIDTH, 0), first(HEIGHT, 0)
    tile = first(TILE_WIDTH, 1) * first(TILE_HEIGHT, 1)
    if not width or not height or width * height > max_pixels or tile > max_pixels:
        raise ValueError(f"expected a TIFF file of at most {max_pixels:,} pixels; received {width}x{height}")
    if (compression := first(COMPRESSION, 1)) not in COMPRESSIONS:
        compressions = ", ".join(dict.fromkeys(COMPRESSIONS.values()))
        raise ValueError(f"expected a TIFF file with compression {compressions}; received number {compression}")
    if first(SAMPLES, 1) > 4 or max(entries.get(BITS) or [1]) > 32:
        raise ValueError("expected a TIFF file of at most 4 bands of 32 bits")
    for offsets, lengths in OFFSETS.items():
        places, sizes = entries.get(offsets, []), entries.get(lengths, [])
        if len(places) != len(sizes) or any(a + b > len(content) for a, b in zip(places, sizes, strict=False)):
            raise ValueError("expected a whole TIFF file")


def _entries(content: bytes) -> dict[int, list[int]]:
    """Return the whole numbers of the first directory, by tag."""
    order = MARKS[content[:4]]
    (start,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, start)
    if count > MAX_ENTRIES:
        raise ValueError(f"expected a TIFF file of at most {MAX_ENTRIES} entries; received {count}")
    entries = {}
    for place in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", content, place)
        letter = {1: "B", 3: "H", 4: "I"}.get(kind)
        if not letter:
            continue
        if number > MAX_VALUES:
            raise ValueError(f"expected a TIFF file with at most {MAX_VALUES:,} values in an entry")
        inline = number * SIZES[kind] <= 4
        (where,) = (place + 8,) if inline else struct.unpack_from(f"{order}I", content, place + 8)
        entries[tag] = list(struct.unpack_from(f"{order}{number}{letter}", content, where))
    return entries
