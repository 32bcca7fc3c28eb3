"""Image files that are broken, of another size, blank, or duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tiltyard.modeling.columns.image import DECODES, Image
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, join_first, share

if TYPE_CHECKING:
    import pandas as pd


MAX_DECODED = 2000  # images of a table that are examined


class Images(Finding):
    """Broken files stop the pipeline, and a file with two labels has a wrong one."""

    code: ClassVar = "images"
    title: ClassVar = "images that cannot be decoded, of another size, blank, duplicate, or with two labels"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Examine the facts about images that validation uses."""
        if subject.task.modality == "mixed":
            yield from self._in_cells(subject)
        if subject.task.modality != "image":
            return
        frame, ((name, column),) = subject.frame, subject.task.columns.items()
        assert isinstance(column, Image)  # noqa: S101 - for the type checker
        broken = frame[~frame["decodes"].astype(bool)]
        if len(broken):
            text = f"{self._count_and_paths(broken, frame)} cannot be decoded"
            text += "; expected whole PNG, JPEG, WebP or TIFF files"
            yield self.found("critical", name, text, "replace or remove these files")
        yield from self._sizes(frame[frame["decodes"].astype(bool)], name, column)
        yield from self._duplicates(frame, subject.task.target.column or name)

    def _in_cells(self, subject: CheckedData) -> Iterator[Found]:
        """Decode some of the images in the cells of a table."""
        for name, column in subject.task.columns.items():
            if not isinstance(column, Image) or name not in subject.frame:
                continue
            cells = subject.frame[name].iloc[:: max(1, len(subject.frame) // MAX_DECODED)]
            facts = dict(zip(cells.index.tolist(), column.facts(cells.tolist()), strict=True))
            broken = [row for row, fact in facts.items() if fact != DECODES]
            if broken:
                text = f"{share(len(broken), len(facts))} examined images cannot be read: rows {join_first(broken)}; "
                text += f"row {broken[0]}: {facts[broken[0]] or 'missing'}"
                yield self.found("critical", name, text, "replace the files, or remove these rows")

    def _sizes(self, frame: pd.DataFrame, name: str, column: Image) -> Iterator[Found]:
        expected = (column.width, column.height, column.channels)
        other_sizes = frame[(frame[["width", "height", "channels"]].to_numpy() != expected).any(axis=1)]
        if len(other_sizes) and not column.resize:
            sizes = Counter(
                zip(*(other_sizes[name].astype(int) for name in ("width", "height", "channels")), strict=True)
            )
            shown = join_first([f"{'x'.join(map(str, size))} ({count:,})" for size, count in sizes.most_common()])
            text = f"{self._count_and_paths(other_sizes, frame)} have another size: {shown}"
            text += f"; expected {'x'.join(map(str, expected))}"
            yield self.found(
                "critical", name, text, "set `resize: true` in the column, or its height, width and channels"
            )
        blank = frame[frame["darkest"] == frame["brightest"]]
        if len(blank):
            text = f"{self._count_and_paths(blank, frame)} have one colour only; expected several"
            yield self.found("note", name, text, "see whether these files are intended")

    def _duplicates(self, frame: pd.DataFrame, target: str) -> Iterator[Found]:
        duplicates = frame[frame["digest"].duplicated()]
        if len(duplicates):
            text = f"{self._count_and_paths(duplicates, frame)} are the same file as an earlier one; expected each once"
            yield self.found("warning", target, text, "remove the copies: each counts twice")
        if target not in frame:  # without a target, images have no labels
            return
        labels = frame.groupby("digest")[target].transform("nunique")
        conflicting = frame[labels > 1]
        if len(conflicting):
            text = f"{self._count_and_paths(conflicting, frame)} are the same file with two labels; expected one label"
            yield self.found("warning", target, text, "keep each under its true label")

    def _count_and_paths(self, images: pd.DataFrame, all_images: pd.DataFrame) -> str:
        return f"{share(len(images), len(all_images))} images ({join_first(images['path'].tolist())})"
