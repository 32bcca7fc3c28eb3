"""Image labels from a table: each image has exactly one row, and each row one image."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tiltyard.arrays import is_missing
from tiltyard.data.images.image_files import ImageFiles
from tiltyard.errors import DataError, join_first

if TYPE_CHECKING:
    import pandas as pd

SPLIT_FOLDERS = {"train", "training", "test", "testing", "val", "valid", "validation"}  # these are not classes
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
LABEL_COLUMNS = {"label", "class", "target", "category"}  # common names of a column of labels


@dataclass(frozen=True)
class ImageLabels:
    """The rows of a table of labels: name of the image, label."""

    table: str
    rows: list[tuple[str, str]]

    @classmethod
    def read(cls, table: str, tree: ImageFiles, root: Path, columns: tuple[str, str]) -> ImageLabels:
        """Read a table of labels that is among the images, or in the project."""
        frame = read(table, tree, root)
        if missing := [name for name in columns if name not in frame.columns]:
            text = f"expected the columns {', '.join(missing)}; received {', '.join(map(str, frame.columns))}"
            raise DataError(f"{table}: {text}", hint="name them: source.file_column and source.label_column")
        names, labels = (["" if is_missing(cell) else str(cell).strip() for cell in frame[name]] for name in columns)
        return cls(table, list(zip(names, labels, strict=True)))

    def match(self, images: Sequence[str]) -> dict[str, str]:
        """Return the label of each image that has one; raise if a row matches no image, several, or one again."""
        by_name = _by_name(images)
        folder = PurePosixPath(self.table).parent
        labels: dict[str, str] = {}
        lost = []
        for name, label in self.rows:
            short = name.replace("\\", "/").removeprefix("./")
            matches = by_name.get((folder / short).as_posix()) or by_name.get(short) or []
            if len(matches) > 1:
                text = f"{name} may be {join_first(matches)}"
                raise DataError(f"{self.table}: expected names of one file each; {text}", hint="write the folder, too")
            if matches and matches[0] in labels:
                raise DataError(f"{self.table}: expected one row for each image; received {name} twice")
            if matches:
                labels[matches[0]] = label
            else:
                lost.append(name or "an empty name")
        if lost:
            text = f"{len(lost):,} rows without one: {join_first(lost)}"
            raise DataError(
                f"{self.table}: expected a file for each row; {text}", hint="add the files, or drop the rows"
            )
        return labels


def guess(tree: ImageFiles, images: Sequence[str], target: str) -> dict[str, str]:
    """Find the table that holds the labels; return its settings, or none if folders name the classes."""
    if len({PurePosixPath(name).parent.name for name in images} - SPLIT_FOLDERS - {""}) > 1:
        return {}
    tables = [name for name in tree.sizes() if name.lower().endswith(TABLE_SUFFIXES)]
    for table in tables:
        frame = read(table, tree, tree.path)
        named = next((str(name) for name in frame.columns if _names_images(frame[name], table, images)), None)
        if named:
            return {"labels": table, "file_column": named, "label_column": _label(frame, table, named, target)}
    text = f"expected each image in the folder of its class, or a table of labels; received {join_first(images)}"
    raise DataError(f"{tree.path.name}: {text}", hint="see `kind: images` in: tiltyard schema")


def _names_images(cells: pd.Series[Any], table: str, images: Sequence[str]) -> bool:
    """Return whether every cell of a column names an image."""
    try:
        return bool(ImageLabels(table, [(str(cell), "") for cell in cells]).match(images))
    except DataError:
        return False


def _label(frame: pd.DataFrame, table: str, named: str, target: str) -> str:
    candidates = [str(name) for name in frame.columns if name != named]
    likely = [name for name in candidates if name.lower() in LABEL_COLUMNS] if len(candidates) > 1 else candidates
    if target in candidates or len(likely) == 1:
        return target if target in candidates else likely[0]
    raise DataError(
        f"{table}: expected one column of labels; received {join_first(candidates)}", hint="name it: --target"
    )


def read(table: str, tree: ImageFiles, root: Path) -> pd.DataFrame:
    """Read all columns of a table as text, from among the images or from the project."""
    from tiltyard.data import table_reader

    inside = table in tree.sizes()
    if not inside and not (root / table).is_file():
        text = f"looked in {tree.path.name} and at {root / table}"
        raise DataError(f"no table of labels {table}: {text}", hint="see source.labels")
    with tempfile.TemporaryDirectory() as temporary:
        path = root / table
        if inside:
            path = Path(temporary) / PurePosixPath(table).name
            path.write_bytes(tree.read(table))
        columns = table_reader.survey(path).columns
        return table_reader.read(path, texts=columns).frame


def _by_name(images: Sequence[str]) -> dict[str, list[str]]:
    """Index images by path, by file name, and by file name without suffix; a path takes precedence."""
    names: dict[str, list[str]] = {}
    for name_of in (PurePosixPath.as_posix, lambda path: path.name, lambda path: path.stem):
        index: dict[str, list[str]] = {}
        for image in images:
            index.setdefault(name_of(PurePosixPath(image)), []).append(image)
        names = index | names
    return names
