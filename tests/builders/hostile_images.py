"""Small image files that are expensive to decode."""

from __future__ import annotations

import struct
import zlib


def bomb() -> bytes:
    """Return a small PNG whose header declares a huge size."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b""), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
