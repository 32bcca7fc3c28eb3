"""Labels of pictures from a table that names them: each picture has one row, and each row one picture."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tiltyard.arrays import empty
from tiltyard.data.images.files import ImageFiles
from tiltyard.errors import DataError, listed

if TYPE_CHECKING:
    import pandas as pd

PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}  # folders that name no class
TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
LABELS = {"label", "class", "target", "category"}  # what a column of labels is often called


@dataclass(frozen=True)
class ImageLabels:
    """Pairs of what a table calls a picture and its label."""

    table: str
    rows: list[tuple[str, str]]

    @classmethod
    def read(cls, table: str, tree: ImageFiles, root: Path, columns: tuple[str, str]) -> ImageLabels:
        """Read a table that lies beside the pictures, or in the project."""
        frame = read(table, tree, root)
        if missing := [name for name in columns if name not in frame.columns]:
            text = f"expected the columns {', '.join(missing)}; received {', '.join(map(str, frame.columns))}"
            raise DataError(f"{table}: {text}", hint="name them: source.file_column and source.label_column")
        names, labels = (["" if empty(cell) else str(cell).strip() for cell in frame[name]] for name in columns)
        return cls(table, list(zip(names, labels, strict=True)))

    def of(self, pictures: Sequence[str]) -> dict[str, str]:
        """Return the label of each picture that has one; refuse rows without a picture, or with another's."""
        called = _called(pictures)
        folder = PurePosixPath(self.table).parent
        found: dict[str, str] = {}
        lost = []
        for name, label in self.rows:
            short = name.replace("\\", "/").removeprefix("./")
            meant = called.get((folder / short).as_posix()) or called.get(short) or []
            if len(meant) > 1:
                text = f"{name} may be {listed(meant)}"
                raise DataError(f"{self.table}: expected names of one file each; {text}", hint="write the folder, too")
            if meant and meant[0] in found:
                raise DataError(f"{self.table}: expected one row for each picture; received {name} twice")
            if meant:
                found[meant[0]] = label
            else:
                lost.append(name or "an empty name")
        if lost:
            text = f"{len(lost):,} rows without: {listed(lost)}"
            raise DataError(
                f"{self.table}: expected a file for each row; {text}", hint="add the files, or drop the rows"
            )
        return found


def guess(tree: ImageFiles, pictures: Sequence[str], target: str) -> dict[str, str]:
    """Return which table holds the labels; none if folders do."""
    if len({PurePosixPath(name).parent.name for name in pictures} - PARTS - {""}) > 1:
        return {}
    tables = [name for name in tree.sizes() if name.lower().endswith(TABLES)]
    for table in tables:
        frame = read(table, tree, tree.path)
        named = next((str(name) for name in frame.columns if _names(frame[name], table, pictures)), None)
        if named:
            return {"labels": table, "file_column": named, "label_column": _label(frame, table, named, target)}
    text = f"expected each picture in the folder of its class, or a table that names them; received {listed(pictures)}"
    raise DataError(f"{tree.path.name}: {text}", hint="see docs of `kind: images`: tiltyard schema")


def _names(cells: pd.Series[Any], table: str, pictures: Sequence[str]) -> bool:
    """Return whether a column names pictures."""
    try:
        return bool(ImageLabels(table, [(str(cell), "") for cell in cells]).of(pictures))
    except DataError:
        return False


def _label(frame: pd.DataFrame, table: str, named: str, target: str) -> str:
    others = [str(name) for name in frame.columns if name != named]
    likely = [name for name in others if name.lower() in LABELS] if len(others) > 1 else others
    if target in others or len(likely) == 1:
        return target if target in others else likely[0]
    raise DataError(f"{table}: expected one column of labels; received {listed(others)}", hint="name it: --target")


def read(table: str, tree: ImageFiles, root: Path) -> pd.DataFrame:
    """Read a table as it is spelled, from beside the pictures or from the project."""
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


def _called(pictures: Sequence[str]) -> dict[str, list[str]]:
    """Return the pictures that a name may mean: the whole name, else that of the file, else that without its suffix."""
    called: dict[str, list[str]] = {}
    for spell in (PurePosixPath.as_posix, lambda path: path.name, lambda path: path.stem):
        tier: dict[str, list[str]] = {}
        for name in pictures:
            tier.setdefault(spell(PurePosixPath(name)), []).append(name)
        called = tier | called
    return called
