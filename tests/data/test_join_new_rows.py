"""New rows for a task with joins: a file with the joined columns is read as it is, another is joined again."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tiltyard.data.joins.joined_table import JoinedFiles, open_rows
from tiltyard.data.joins.rule import JoinRule
from tiltyard.errors import DataError

JOINS = {
    "films": JoinRule(key="film", unmatched="refuse"),
    "eras": JoinRule(key="year", unmatched="drop", columns=["era"]),
}
WANTED = ("genre", "era")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The folder of raw data with two joined tables."""
    texts = {"films": "film,genre,year,cost\n1,drama,1990,5\n2,comedy,2001,6\n", "eras": "year,era\n1990,old\n"}
    for name, text in texts.items():
        (tmp_path / "raw" / "joins" / name).mkdir(parents=True)
        (tmp_path / "raw" / "joins" / name / "table.csv").write_text(text, encoding="utf-8")
    return tmp_path / "raw"


def _rows(raw: Path, text: str, names: tuple[str, ...] = WANTED) -> pd.DataFrame:
    path = raw.parent / "new.csv"
    path.write_text(text, encoding="utf-8")
    return open_rows(path, None, JoinedFiles(JOINS, raw), names).to_frame()


def test_a_main_file_is_joined_again(raw: Path) -> None:
    """Only the columns that the task needs are added; no row is refused or left out."""
    frame = _rows(raw, "film,user\n1,a\n2,b\n9,c\n")
    assert frame.columns.tolist() == ["film", "user", "genre", "year", "era"]
    assert frame["genre"].fillna("-").tolist() == ["drama", "comedy", "-"]
    assert frame["era"].fillna("-").tolist() == ["old", "-", "-"]


def test_a_file_with_the_joined_columns_is_read_as_it_is(raw: Path) -> None:
    """As the rows of a request: nothing is looked up, also if tables and file differ."""
    assert _rows(raw, "genre,era\nwestern,new\n").to_numpy().tolist() == [["western", "new"]]
    frame = _rows(raw, "film,genre,year\n1,western,1990\n")
    assert (frame["genre"].tolist(), frame["era"].tolist()) == (["western"], ["old"])


def test_a_part_of_the_columns_of_a_join_is_refused(raw: Path) -> None:
    """Values of a file and values of a table in one row would be nobody's."""
    with pytest.raises(DataError, match="expected all columns of the join films or none; it has genre, and not cost"):
        _rows(raw, "film,genre\n1,western\n", ("genre", "cost"))


def test_repeated_keys_are_refused(raw: Path) -> None:
    """Which of two rows is meant cannot be guessed for a prediction either."""
    with (raw / "joins" / "films" / "table.csv").open("a", encoding="utf-8") as file:
        file.write("1,western,1990,5\n")
    with pytest.raises(DataError, match=r"joins\.films: expected one row for each film; 1 row repeats one: 1"):
        _rows(raw, "film\n1\n")


def test_a_table_that_is_not_here_is_an_error(raw: Path) -> None:
    """The sentence names the columns, the join, and both ways to go on."""
    (raw / "joins").rename(raw.parent / "elsewhere")
    with pytest.raises(DataError, match=r"genre, era; they are not in it, and the table that the task joins") as caught:
        _rows(raw, "film\n1\n")
    assert "tiltyard fetch raw; or add the columns to the file" in caught.value.hint


def test_a_key_that_is_missing_is_named(raw: Path) -> None:
    """Without the key and without the columns there is nothing to join by."""
    with pytest.raises(DataError, match=r"joins\.films: expected film in new\.csv"):
        _rows(raw, "user\na\n")
