"""Text encodings: decode a stream to UTF-8, drop byte order marks, and convert and report lines in cp1252."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Collection, Iterator
from typing import IO

from tiltyard.errors import DataError

BLOCK_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 25
BYTE_ORDER_MARKS = {  # the longer first: the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
MAX_LINES_NAMED = 5  # in one sentence
ENCODING_HINT = "if it has another encoding, name it: source.read.encoding in the task file"


class Utf8Stream(io.RawIOBase):
    """A stream of UTF-8 from a stream in any encoding; `repairs` is complete once it has been read to its end."""

    def __init__(  # noqa: PLR0913 - each is a setting of the task
        self,
        stream: IO[bytes],
        name: str,
        encoding: str | None = None,
        skip_lines: int = 0,
        blank_lines: Collection[int] = (),
        *,
        spaced: bool = False,
    ) -> None:
        super().__init__()
        self.stream, self.name = stream, name
        self.has_quotes = False
        self.lines_read = 0
        self.first_cp1252_lines: list[int] = []
        self.cp1252_lines = 0  # the number of lines that are not UTF-8
        self.has_utf8 = False  # whether there are lines that are UTF-8 and not ASCII
        start = stream.read(BLOCK_BYTES)
        self.mark = next((mark for mark in BYTE_ORDER_MARKS if start.startswith(mark)), b"")
        self.encoding = encoding or BYTE_ORDER_MARKS.get(self.mark)
        self.remainder = b""
        lines = _without_lines(self._blocks(start), skip_lines)
        self.blocks = _blanked(_without_runs(lines) if spaced else lines, blank_lines)

    @property
    def repairs(self) -> list[str]:
        """The changes of the bytes, in sentences."""
        repairs = ["byte order mark dropped"] if self.mark else []
        repairs += ["decoded as utf-16"] if self.encoding == "utf-16" else []
        if self.first_cp1252_lines and not self.has_utf8:
            repairs.append("decoded as cp1252")
        elif self.first_cp1252_lines:
            more = f" and {self.cp1252_lines - MAX_LINES_NAMED} more" if self.cp1252_lines > MAX_LINES_NAMED else ""
            lines = ", ".join(map(str, self.first_cp1252_lines))
            repairs.append(f"mixed encodings: UTF-8, but decoded as cp1252 in line {lines}{more}")
        return repairs

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read bytes into the buffer; return their number."""
        while not self.remainder:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.remainder = block
        size = min(len(buffer), len(self.remainder))
        buffer[:size] = self.remainder[:size]
        self.remainder = self.remainder[size:]
        return size

    def _blocks(self, start: bytes) -> Iterator[bytes]:
        parts = self._split_lines(start) if self.encoding in (None, "utf-8-sig") else self._decoded(start)
        for block in parts:
            self.has_quotes = self.has_quotes or b'"' in block
            yield block
            self.lines_read += block.count(b"\n")

    def _decoded(self, block: bytes) -> Iterator[bytes]:
        """Decode strictly by the encoding that the byte order mark or the task names."""
        decoder, first = codecs.getincrementaldecoder(str(self.encoding))(), True
        while True:
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                expected = f"expected {self.encoding}; line {self.lines_read + 1} or one soon after is not"
                raise DataError(f"{self.name}: {expected}: {error}", hint=ENCODING_HINT) from None
            yield self._require_text(text.removeprefix("\ufeff" if first else "").encode("utf-8", "replace"))
            first = False
            if not block:
                return
            block = self.stream.read(BLOCK_BYTES)

    def _split_lines(self, block: bytes) -> Iterator[bytes]:
        """Yield blocks of whole lines, so that no character is cut; decode lines that are not UTF-8 one by one."""
        remainder = b""
        block = block[len(self.mark) :]
        while block:
            end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
            if end:
                yield self._to_utf8(remainder + block[:end])
                remainder = block[end:]
            else:
                remainder += block
            if len(remainder) > MAX_LINE_BYTES:
                text = f"expected lines; received one of more than {MAX_LINE_BYTES} bytes after line {self.lines_read}"
                raise DataError(f"{self.name}: {text}")
            block = self.stream.read(BLOCK_BYTES)
        yield self._to_utf8(remainder)

    def _require_text(self, block: bytes) -> bytes:
        """Return the block; raise if it holds a NUL byte."""
        if b"\0" in block:
            place = self.lines_read + block[: block.index(b"\0")].count(b"\n") + 1
            raise DataError(f"{self.name}: expected text; received binary data in line {place}", hint=ENCODING_HINT)
        return block

    def _to_utf8(self, block: bytes) -> bytes:
        if self._require_text(block).isascii():
            return block
        try:
            block.decode()
        except UnicodeDecodeError:
            return b"".join(self._line_to_utf8(i, line) for i, line in enumerate(block.splitlines(keepends=True)))
        self.has_utf8 = True
        return block

    def _line_to_utf8(self, place: int, line: bytes) -> bytes:
        try:
            line.decode()
        except UnicodeDecodeError:
            number = self.lines_read + place + 1
            self.cp1252_lines += 1
            self.first_cp1252_lines += [number] if self.cp1252_lines <= MAX_LINES_NAMED else []
            try:
                return line.decode("cp1252").encode()
            except UnicodeDecodeError as error:
                text = f"line {number} is neither UTF-8 nor cp1252: byte {line[error.start]:#x}"
                raise DataError(f"{self.name}: {text}", hint=ENCODING_HINT) from None
        self.has_utf8 = self.has_utf8 or not line.isascii()
        return line


def _without_lines(blocks: Iterator[bytes], lines: int) -> Iterator[bytes]:
    """Leave out the first lines, such as a title above the header."""
    for block in blocks:
        remainder, end = block, 0
        while lines and end >= 0:
            end = remainder.find(b"\n")
            remainder, lines = (remainder[end + 1 :], lines - 1) if end >= 0 else (b"", lines)
        if remainder:
            yield remainder


def _without_runs(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Leave one space of several, and none at the ends of lines; a run may go on in the next block."""
    last, held = b"\n", b""
    for block in blocks:
        spaced = re.sub(rb"[ \t]+", b" ", last + held + block)
        spaced = re.sub(rb"(?<=[\r\n]) | (?=[\r\n])", b"", spaced)
        held = b" " if spaced.endswith(b" ") else b""
        body = spaced[1 : len(spaced) - len(held)]
        yield body
        last = body[-1:] or last


def _blanked(blocks: Iterator[bytes], numbers: Collection[int]) -> Iterator[bytes]:
    """Empty some lines, counted from 1: readers ignore empty lines, and the others keep their numbers."""
    line = 1
    for block in blocks:
        parts = block.split(b"\n") if numbers else [block]
        yield b"\n".join(b"" if line + place in numbers else part for place, part in enumerate(parts))
        line += len(parts) - 1
