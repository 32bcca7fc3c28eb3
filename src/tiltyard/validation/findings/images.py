"""Image files that are broken, of another size, blank, or duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from tiltyard.modeling.columns.image import Image
from tiltyard.validation.findings._dataset import CheckedData
from tiltyard.validation.findings.base import Finding, Found, join_first, share

if TYPE_CHECKING:
    import pandas as pd


class Images(Finding):
    """Broken files stop the pipeline, and a file with two labels has a wrong one."""

    code: ClassVar = "images"
    title: ClassVar = "images that cannot be decoded, of another size, blank, duplicate, or with two labels"
    serving: ClassVar = True

    def detect(self, subject: CheckedData) -> Iterator[Found]:
        """Examine the facts about images that validation uses."""
        if subject.task.modality != "image":
            return
        frame, ((name, column),) = subject.frame, subject.task.columns.items()
        assert isinstance(column, Image)  # noqa: S101 - for the type checker
        broken = frame[~frame["decodes"].astype(bool)]
        if len(broken):
            text = f"{self._some(broken, frame)} cannot be decoded; expected whole PNG, JPEG, WebP or TIFF files"
            yield self.found("critical", name, text, "replace or remove these files")
        yield from self._sizes(frame[frame["decodes"].astype(bool)], name, column)
        yield from self._twice(frame, subject.task.target.column)

    def _sizes(self, frame: pd.DataFrame, name: str, column: Image) -> Iterator[Found]:
        wanted = (column.width, column.height, column.channels)
        odd = frame[(frame[["width", "height", "channels"]].to_numpy() != wanted).any(axis=1)]
        if len(odd) and not column.resize:
            sizes = Counter(zip(*(odd[name].astype(int) for name in ("width", "height", "channels")), strict=True))
            shown = join_first([f"{'x'.join(map(str, size))} ({count:,})" for size, count in sizes.most_common()])
            text = f"{self._some(odd, frame)} have another size: {shown}; expected {'x'.join(map(str, wanted))}"
            yield self.found(
                "critical", name, text, "set `resize: true` in the column, or its height, width and channels"
            )
        blank = frame[frame["darkest"] == frame["brightest"]]
        if len(blank):
            text = f"{self._some(blank, frame)} have one colour only; expected several"
            yield self.found("note", name, text, "see whether these files are intended")

    def _twice(self, frame: pd.DataFrame, target: str) -> Iterator[Found]:
        again = frame[frame["digest"].duplicated()]
        if len(again):
            text = f"{self._some(again, frame)} are the same file as an earlier one; expected each once"
            yield self.found("warning", target, text, "remove the copies: each counts twice")
        labels = frame.groupby("digest")[target].transform("nunique")
        conflicting = frame[labels > 1]
        if len(conflicting):
            text = f"{self._some(conflicting, frame)} are the same file with two labels; expected one label"
            yield self.found("warning", target, text, "keep each under its true label")

    def _some(self, frame: pd.DataFrame, whole: pd.DataFrame) -> str:
        return f"{share(len(frame), len(whole))} images ({join_first(frame['path'].tolist())})"
