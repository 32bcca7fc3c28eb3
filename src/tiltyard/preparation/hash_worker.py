"""Hash rows in a separate process, since Python hashes short texts under its global lock.

This file is run as a script and imports only the standard library, so that a worker starts in milliseconds.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import BinaryIO

HEAD = struct.Struct("<QQ")  # number of rows, and of their bytes
DIGEST_BYTES = 8


def hash_rows(content: bytes, lengths: Iterable[int]) -> bytes:
    """Return the hashes of rows whose bytes follow one another, as bytes that follow one another."""
    new_digest, digests = hashlib.blake2b(digest_size=DIGEST_BYTES).copy, []  # a copy is made faster than a new one
    for start, end in pairwise(accumulate(lengths, initial=0)):
        digest = new_digest()
        digest.update(content[start:end])
        digests.append(digest.digest())
    return b"".join(digests)


def answer(requests: BinaryIO, answers: BinaryIO) -> None:
    """Hash blocks of rows until the other process closes the pipe, or dies."""
    while len(head := requests.read(HEAD.size)) == HEAD.size:
        rows, size = HEAD.unpack(head)
        lengths = array("I", requests.read(4 * rows))
        answers.write(hash_rows(requests.read(size), lengths))
        answers.flush()


if __name__ == "__main__":
    answer(sys.stdin.buffer, sys.stdout.buffer)
