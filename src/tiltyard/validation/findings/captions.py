"""Captions that are empty or too long, and words that a model cannot learn or is never shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tiltyard.modeling.problems.captioning import MAX_WORDS
from tiltyard.preparation.split import PART_COLUMN, parse_part
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import MIN_ROWS, Finding, Found, join_first, share

if TYPE_CHECKING:
    import pandas as pd

MAX_RARE = 0.05  # share of the captions that hold a word of no other caption
MAX_UNKNOWN = 0.05  # share of the test captions that hold a word of no training caption
MAX_EQUAL = 0.5  # share of the most frequent caption


class Captions(Finding):
    """A caption cannot be right if the model never saw one of its words."""

    code: ClassVar = "captions"
    title: ClassVar = "captions that are empty, too long or all alike, and words that are rare or unknown"

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Count the words of the captions."""
        name = subject.task.target.column
        if subject.task.problem != "captioning" or name not in subject.frame or not len(subject.frame):
            return
        words = subject.frame[name].fillna("").astype(str).str.split()
        yield from self._lengths(subject, name, words)
        yield from self._rare(name, words)
        yield from self._alike(subject, name)
        if subject.task.split.kind == "given" and PART_COLUMN in subject.frame:
            yield from self._unknown(subject, name, words)

    def _lengths(self, subject: CheckedData, name: str, words: pd.Series[list[str]]) -> Iterator[Found]:
        longest, lengths = subject.task.target.length or 0, words.map(len)
        wrong = subject.frame[(lengths < 1) | (lengths > longest)]
        if len(wrong):
            text = f"{share(len(wrong), len(words))} captions are empty or too long, such as "
            text += f"{join_first(wrong['path'].tolist())}; expected 1 to {longest} words"
            hint = f"raise target.length to {lengths.max()}" if lengths.max() > longest else "write the captions"
            yield self.found("critical", name, text, hint)

    def _rare(self, name: str, words: pd.Series[list[str]]) -> Iterator[Found]:
        counts = Counter(word for caption in words for word in {*caption})
        once = {word for word, count in counts.items() if count == 1}
        rare = sum(not once.isdisjoint(caption) for caption in words)
        if len(words) >= MIN_ROWS and rare > MAX_RARE * len(words):
            text = f"{share(rare, len(words))} captions hold a word that no other caption has, such as "
            text += f"{join_first(sorted(once))}; expected at most {MAX_RARE:.0%}"
            yield self.found("note", name, text, "use fewer, simpler words, or more pictures")
        if len(counts) > MAX_WORDS:
            text = (
                f"{len(counts):,} different words; expected at most {MAX_WORDS:,}, the most frequent, which are learned"
            )
            yield self.found("note", name, text, "use fewer, simpler words")

    def _alike(self, subject: CheckedData, name: str) -> Iterator[Found]:
        counts = subject.frame[name].value_counts()
        if len(subject.frame) >= MIN_ROWS and counts.iloc[0] > MAX_EQUAL * len(subject.frame):
            text = f"{share(int(counts.iloc[0]), len(subject.frame))} captions are the same: {counts.index[0]}; "
            text += f"expected at most {MAX_EQUAL:.0%}"
            yield self.found("warning", name, text, "see whether the captions belong to the pictures")

    def _unknown(self, subject: CheckedData, name: str, words: pd.Series[list[str]]) -> Iterator[Found]:
        part = subject.frame[PART_COLUMN].astype(str).map(parse_part)
        known = {word for caption in words[part == "train"] for word in caption}
        later = words[part == "test"]
        unknown = [sorted({*caption} - known) for caption in later]
        count = sum(map(bool, unknown))
        if count > MAX_UNKNOWN * len(later):
            shown = join_first(sorted({word for missing in unknown for word in missing}))
            text = f"{share(count, len(later))} test captions hold words of no training caption, such as {shown}; "
            text += f"expected at most {MAX_UNKNOWN:.0%}"
            yield self.found("warning", name, text, "divide the pictures anew, so that training shows all words")
