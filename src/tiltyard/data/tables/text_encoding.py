"""From bytes to UTF-8, as a stream: byte order marks dropped, lines in an old Windows encoding mended and reported."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO

from tiltyard.errors import DataError

BLOCK = 1 << 20
LONGEST = 1 << 25  # bytes in a line
MARKS = {  # the longer first: the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NAMED = 5  # lines named in a sentence
ENCODING_HINT = "name the encoding, if it has another: source.read.encoding in the task file"


class Utf8Stream(io.RawIOBase):
    """A stream of UTF-8 made from one in any encoding; `repairs` is complete when it has been read to its end."""

    def __init__(self, stream: IO[bytes], name: str, encoding: str | None = None) -> None:
        super().__init__()
        self.stream, self.name = stream, name
        self.quotes = False  # whether there is any quote
        self.lines = 0  # read so far
        self.odd: list[int] = []  # the first lines that are no UTF-8
        self.odds = 0  # how many there are
        self.proper = False  # whether there are lines that are UTF-8 and not ASCII
        start = stream.read(BLOCK)
        self.marked = next((mark for mark in MARKS if start.startswith(mark)), b"")
        self.encoding = encoding or MARKS.get(self.marked)
        self.rest = b""
        self.blocks = self._blocks(start)

    @property
    def repairs(self) -> list[str]:
        """What was done to the bytes, in sentences."""
        told = ["byte order mark dropped"] if self.marked else []
        told += ["decoded as utf-16"] if self.encoding == "utf-16" else []
        if self.odd and not self.proper:
            told.append("decoded as cp1252")
        elif self.odd:
            more = f" and {self.odds - NAMED} more" if self.odds > NAMED else ""
            lines = ", ".join(map(str, self.odd))
            told.append(f"mixed encodings: UTF-8, but decoded as cp1252 in line {lines}{more}")
        return told

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as there is something."""
        while not self.rest:
            block = next(self.blocks, None)
            if block is None:
                return 0
            self.rest = block
        size = min(len(buffer), len(self.rest))
        buffer[:size] = self.rest[:size]
        self.rest = self.rest[size:]
        return size

    def _blocks(self, start: bytes) -> Iterator[bytes]:
        parts = self._lines(start) if self.encoding in (None, "utf-8-sig") else self._decoded(start)
        for block in parts:
            self.quotes = self.quotes or b'"' in block
            yield block
            self.lines += block.count(b"\n")

    def _decoded(self, block: bytes) -> Iterator[bytes]:
        """Decode strictly by the encoding that a mark or the task names."""
        decoder, first = codecs.getincrementaldecoder(str(self.encoding))(), True
        while True:
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeError as error:
                expected = f"expected {self.encoding}; line {self.lines + 1} or one soon after is not"
                raise DataError(f"{self.name}: {expected}: {error}", hint=ENCODING_HINT) from None
            yield self._text(text.removeprefix("\ufeff" if first else "").encode("utf-8", "replace"))
            first = False
            if not block:
                return
            block = self.stream.read(BLOCK)

    def _lines(self, block: bytes) -> Iterator[bytes]:
        """Cut at ends of lines, so that no character is cut; what is no UTF-8 is decoded line by line."""
        rest = b""
        block = block[len(self.marked) :]
        while block:
            end = max(block.rfind(b"\n"), block.rfind(b"\r")) + 1
            if end:
                yield self._mended(rest + block[:end])
                rest = block[end:]
            else:
                rest += block
            if len(rest) > LONGEST:
                text = f"expected lines; received one of more than {LONGEST} bytes after line {self.lines}"
                raise DataError(f"{self.name}: {text}")
            block = self.stream.read(BLOCK)
        yield self._mended(rest)

    def _text(self, block: bytes) -> bytes:
        """Refuse what no text holds."""
        if b"\0" in block:
            place = self.lines + block[: block.index(b"\0")].count(b"\n") + 1
            raise DataError(f"{self.name}: expected text; received binary data in line {place}", hint=ENCODING_HINT)
        return block

    def _mended(self, block: bytes) -> bytes:
        if self._text(block).isascii():
            return block
        try:
            block.decode()
        except UnicodeDecodeError:
            return b"".join(self._line(i, line) for i, line in enumerate(block.splitlines(keepends=True)))
        self.proper = True
        return block

    def _line(self, place: int, line: bytes) -> bytes:
        try:
            line.decode()
        except UnicodeDecodeError:
            number = self.lines + place + 1
            self.odds += 1
            self.odd += [number] if self.odds <= NAMED else []
            try:
                return line.decode("cp1252").encode()
            except UnicodeDecodeError as error:
                text = f"line {number} is neither UTF-8 nor cp1252: byte {line[error.start]:#x}"
                raise DataError(f"{self.name}: {text}", hint=ENCODING_HINT) from None
        self.proper = self.proper or not line.isascii()
        return line
