"""Contract of formats: two passes over a file agree, and damaged files end in an error of Tiltyard."""

from __future__ import annotations

from pathlib import Path

from tiltyard.contracts.examples import FormatExample
from tiltyard.data import table_reader
from tiltyard.errors import TiltyardError


def reads(example: FormatExample, folder: Path) -> None:
    """Columns and rows are those of the example, and two readings are equal."""
    path = folder / f"table{example.suffix}"
    path.write_bytes(example.content)
    first, second = (table_reader.read(path).frame for _ in range(2))
    assert [*first.columns] == [*example.columns]
    assert len(first) == example.rows
    assert first.equals(second), "expected the same table from the same bytes; it differs"


def refuses_damage(example: FormatExample, folder: Path) -> None:
    """Every cut and every changed byte gives a table or a TiltyardError, and no other error."""
    path, content = folder / f"table{example.suffix}", example.content
    step = max(1, len(content) // 20)
    damaged = [content[:end] for end in range(0, len(content), step)]
    damaged += [content[:place] + b"\0" + content[place + 1 :] for place in range(0, len(content), step)]
    for part in damaged:
        path.write_bytes(part)
        try:
            table_reader.read(path)
        except TiltyardError as error:
            assert error.message  # noqa: PT017 - either outcome is right
