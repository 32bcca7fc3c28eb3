"""What a join finds for the rows of the main table: matches, rows without one, and the ages of values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tiltyard.data.joins.matching import Matching
from tiltyard.data.joins.rule import JoinRule
from tiltyard.errors import DataError, format_value

if TYPE_CHECKING:
    import pyarrow as pa

MAX_EXAMPLES = 3  # keys without a match that are named


@dataclass
class JoinStatistics:
    """The counts of one join."""

    name: str
    rule: JoinRule
    matching: Matching
    rows: int = 0
    matched: int = 0
    without_key: int = 0  # rows of the main table whose key or time is missing
    examples: list[str] = field(default_factory=list)  # the first keys without a match
    oldest: float | None = None  # the greatest age of a value taken, in the unit of the times

    @property
    def unmatched(self) -> int:
        """The number of rows without a match."""
        return self.rows - self.matched

    def add(self, batch: pa.Table) -> None:
        """Count some rows of the main table."""
        places = self.matching.find(batch)
        self.rows, self.matched = self.rows + len(places), self.matched + int((places >= 0).sum())
        missing = np.zeros(len(places), dtype=bool)
        for column in self.matching.main_columns:
            missing |= batch[column].is_null().to_numpy()
        self.without_key += int(missing.sum())
        for row in np.flatnonzero((places < 0) & ~missing)[: max(0, MAX_EXAMPLES - len(self.examples))].tolist():
            values = (format_value(batch[column][row].as_py()) for column in self.matching.main_columns)
            self.examples.append(" ".join(values))
        if self.rule.times and (places >= 0).any():
            self.oldest = max(float(self.matching.ages(batch, places).max()), self.oldest or 0.0)

    def similar(self) -> list[tuple[str, str]]:
        """Return examples of keys without a match that another case or other blanks would match, with the match."""
        codes = self.matching.codes
        if codes is None or len(codes.known) != 1 or codes.kinds != ["string"]:
            return []
        known = {_bare(text): text for text in codes.known[0].to_pylist()}
        return [(here, format_value(known[_bare(here)])) for here in self.examples if _bare(here) in known]


def _bare(text: str) -> str:
    """Return a text without case, quotes, blanks, marks and leading zeros."""
    return "".join(character for character in text.casefold() if character.isalnum()).lstrip("0")


def sentences(statistics: Iterable[JoinStatistics]) -> list[str]:
    """Return what was done with rows without a match, and joined rows without a key, in sentences."""
    texts = []
    for counted in statistics:
        if counted.unmatched:
            what = "left out" if counted.rule.unmatched == "drop" else "kept without values"
            texts.append(f"{counted.name}: {counted.unmatched:,} of {counted.rows:,} rows have no match: {what}")
        if lost := counted.matching.without_key:
            texts.append(f"{counted.name}: {lost:,} of its rows have no key or time, and match nothing")
        if counted.matching.repeats:
            texts.append(f"{counted.name}: {counted.matching.repeats:,} of its rows repeat a time: the last is taken")
    return texts


def refuse_repeated(counted: JoinStatistics) -> None:
    """Raise for keys or times that several joined rows have, unless the last is to be taken."""
    rule, count, examples = counted.rule, counted.matching.repeats, counted.matching.repeated
    if not count or rule.duplicates == "last":
        return
    on = [*rule.keys.values(), *([rule.times[1]] if rule.times else [])]
    repeat = "1 row repeats one" if count == 1 else f"{count:,} rows repeat one"
    text = f"joins.{counted.name}: expected one row for each {' and '.join(on)}; {repeat}: {', '.join(examples)}"
    last = f", or take the last of each: joins.{counted.name}.duplicates: last" if rule.times else ""
    more = ", ..." if count > len(examples) else ""
    raise DataError(f"{text}{more}", hint=f"keep one row of each in the joined table{last}")


def refuse(statistics: Iterable[JoinStatistics]) -> None:
    """Raise for a join that matches nothing, or whose task refuses rows without a match."""
    for counted in statistics:
        refuse_repeated(counted)
        named = f" such as {', '.join(counted.examples)}" if counted.examples else ""
        columns = " and ".join(counted.matching.main_columns)
        if counted.rows and not counted.matched:
            text = f"joins.{counted.name}: expected matches by {columns}; none of {counted.rows:,} rows has one,{named}"
            raise DataError(text, hint="see whether both columns have the same meaning, unit and spelling")
        if counted.unmatched and counted.rule.unmatched == "refuse":
            missing = f", {counted.without_key:,} of them without a value" if counted.without_key else ""
            text = f"{counted.unmatched:,} of {counted.rows:,} rows have none{missing}{named and ',' + named}"
            raise DataError(
                f"joins.{counted.name}: expected a match by {columns} for every row; {text}",
                hint=f"complete the joined table, or set joins.{counted.name}.unmatched: missing or drop",
            )
