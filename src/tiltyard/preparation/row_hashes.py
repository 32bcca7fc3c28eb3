"""Content hashes of rows: 64 bits of BLAKE2b, the same for identical rows, whatever the width of their text columns."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Self

import numpy as np

from tiltyard.arrays import Array, Cells, Coded, decoded, row_count
from tiltyard.preparation import hash_worker
from tiltyard.runtime import threads

BLOCK_ROWS = 1 << 12  # rows whose bytes are laid out at a time, so that they stay in the processor's cache
FEW_ROWS = 1 << 16  # hashing so few rows takes less time than starting a worker
PIPE_BYTES = 1 << 20
MAX_WORKERS = 4  # one thread lays out the bytes for all workers

Block = tuple[bytes, Array]  # the bytes of some rows one after another, and the length of each
Keys = Callable[[Mapping[str, Cells]], Callable[[], Array]]


def row_keys(rows: Mapping[str, Cells], seed: int) -> Array:
    """Return a hash of each row's features; identical rows have the same one."""
    return _keys([hash_worker.hash_rows(content, lengths.tolist()) for content, lengths in _blocks(rows, seed)])


@contextlib.contextmanager
def hashing(seed: int) -> Iterator[Keys]:
    """Yield a function like `row_keys` that returns at once a function that waits for the keys.

    Many rows are hashed by worker processes, which end with this one.
    """
    with contextlib.ExitStack() as stack:
        pool: list[_Workers] = []
        total = 0

        def keys(rows: Mapping[str, Cells]) -> Callable[[], Array]:
            nonlocal total
            total += row_count(rows)
            if total <= FEW_ROWS or not (workers := threads.cores() // 2):
                hashes = row_keys(rows, seed)
                return lambda: hashes
            if not pool:
                pool.append(stack.enter_context(_Workers(min(workers, MAX_WORKERS))))
            digests = [pool[0].submit(block) for block in _blocks(rows, seed)]
            return lambda: _keys([digest.result() for digest in digests])

        yield keys


class _Workers:
    """Processes that hash blocks of rows."""

    def __init__(self, number: int) -> None:
        self.executor = ThreadPoolExecutor(number)
        self.idle: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()
        self.processes = [_start() for _ in range(number)]
        for process in self.processes:
            self.idle.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.shutdown(cancel_futures=True)
        for process in self.processes:
            with contextlib.suppress(BrokenPipeError):
                process.communicate()

    def submit(self, block: Block) -> Future[bytes]:
        return self.executor.submit(self._hash, *block)

    def _hash(self, content: bytes, lengths: Array) -> bytes:
        """Hash a block in an idle worker, or in this process if that worker has died."""
        process = self.idle.get()
        try:
            digests = _request_hashes(process.stdin, process.stdout, content, lengths)
        except BrokenPipeError:
            digests = b""
        finally:
            self.idle.put(process)
        is_complete = len(digests) == hash_worker.DIGEST_BYTES * len(lengths)
        return digests if is_complete else hash_worker.hash_rows(content, lengths.tolist())


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", hash_worker.__file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pipesize=PIPE_BYTES)


def _request_hashes(requests: IO[bytes] | None, replies: IO[bytes] | None, content: bytes, lengths: Array) -> bytes:
    assert requests is not None and replies is not None  # noqa: S101, PT018 - for the type checker: both are pipes
    requests.write(hash_worker.HEAD.pack(len(lengths), len(content)))
    requests.write(lengths.astype(np.uint32).tobytes())
    requests.write(content)
    requests.flush()
    return replies.read(hash_worker.DIGEST_BYTES * len(lengths))


def _keys(digests: list[bytes]) -> Array:
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _blocks(rows: Mapping[str, Cells], seed: int) -> Iterator[Block]:
    """Yield the bytes to hash for each row: those of the seed, then of all columns without padding."""
    columns = [rows[name] for name in sorted(rows)]
    sizes = [_sizes(cells) for cells in columns]
    seed_bytes = np.frombuffer(seed.to_bytes(8, "little", signed=True), dtype=np.uint8)
    for first in range(0, row_count(rows), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        parts = [decoded(cells[block]) for cells in columns]
        yield _contents(seed_bytes, parts, [None if size is None else decoded(size[block]) for size in sizes])


def _sizes(cells: Cells) -> Cells | None:
    """Return the length of each text of a column in bytes, or None if all rows have the full width.

    An empty text counts as one character.
    """
    values = cells.distinct if isinstance(cells, Coded) else cells
    if values.dtype.kind not in "SU":
        return None
    lengths = np.maximum(np.strings.str_len(values), 1) * (4 if values.dtype.kind == "U" else 1)
    if (lengths == values.itemsize).all():
        return None
    return Coded(lengths, cells.places) if isinstance(cells, Coded) else lengths


def _contents(seed_bytes: Array, columns: list[Array], sizes: list[Array | None]) -> Block:
    """Return the bytes of all rows one after another, and the length of each."""
    rows = len(columns[0])
    raw = [np.broadcast_to(seed_bytes, (rows, len(seed_bytes)))]
    raw += [np.ascontiguousarray(values).reshape(rows, -1).view(np.uint8) for values in columns]
    unit = _unit([part.shape[1] for part in raw], columns)
    words, borders = np.hstack(raw).view(f"u{unit}"), np.cumsum([part.shape[1] for part in raw]) // unit
    lengths = np.full(rows, words.shape[1] * unit)
    mask = None if all(size is None for size in sizes) else np.ones(words.shape, dtype=bool)
    for size, first, last in zip(sizes, borders, borders[1:], strict=False):
        if size is not None and mask is not None:
            mask[:, first:last] = np.arange(last - first) < (size // unit)[:, None]
            lengths += size - (last - first) * unit
    return (words if mask is None else words[mask]).tobytes(), lengths


def _unit(widths: list[int], columns: list[Array]) -> int:
    """Return how many bytes can be moved at a time: four, the size of a character, or one."""
    return 1 if any(width % 4 for width in widths) or any(values.dtype.kind == "S" for values in columns) else 4
