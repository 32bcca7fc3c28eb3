"""Fashion-MNIST as its authors publish it: four compressed IDX files with checksums, found locally or downloaded."""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from pathlib import Path

import numpy as np

from tiltyard.arrays import Array
from tiltyard.data.sources._location import FileLocation
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

# File and MD5 of each array, as published with the data set. The files of MNIST have the same names.
FILES = {
    "x_train": ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "y_train": ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    "x_test": ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    "y_test": ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
}
UNSIGNED_BYTES = 8  # the code of their type in an IDX header
MAX_BYTES = 1 << 27  # of an unpacked file; the largest has 47 million


def read(workspace: Workspace, address: str | None) -> dict[str, Array]:
    """Return the four arrays; download missing files from `address`, if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: _read(Path(folder) / file, md5, workspace, address) for name, (file, md5) in FILES.items()}


def _read(path: Path, md5: str, workspace: Workspace, address: str | None) -> Array:
    FileLocation(path=path.name, url=address and address + path.name, sha256=None).copy_to(path, workspace)
    content = path.read_bytes()
    if (received := hashlib.md5(content, usedforsecurity=False).hexdigest()) != md5:
        raise SourceError(
            f"{path.name}: expected MD5 {md5}, as published; received {received}",
            hint="MNIST has files of the same names: put those of Fashion-MNIST into a folder of their own",
        )
    return parsed(content, path.name)


def parsed(content: bytes, name: str) -> Array:
    """Return the array of a compressed IDX file of bytes: a header with the size of each dimension, then the values."""
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        unpacked = unpacker.decompress(content, MAX_BYTES)
    except zlib.error as error:
        raise SourceError(f"{name}: expected a whole compressed file: {error}") from None
    dimensions = unpacked[3] if len(unpacked) > 3 else 0
    start = 4 + 4 * dimensions
    shape = np.frombuffer(unpacked[4:start], dtype=">u4")
    is_whole = unpacker.eof and len(shape) == dimensions and len(unpacked) - start == int(np.prod(shape, dtype=object))
    if unpacked[:3] != bytes([0, 0, UNSIGNED_BYTES]) or not dimensions or not is_whole:
        raise SourceError(f"{name}: expected an IDX file of bytes, with as many values as its header says")
    return np.frombuffer(unpacked, dtype=np.uint8, offset=start).reshape(tuple(map(int, shape)))
