"""Joins by key: rows keep their order and number, and what would lose or multiply rows is refused or told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tiltyard.data.joins import joined_table
from tiltyard.data.joins.joined_table import JoinedFiles, JoinedTable
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.table_reader import TableFile
from tiltyard.errors import DataError

Open = Callable[..., TableFile]
FILMS = "film,genre,year\n1,drama,1990\n2,comedy,\n3,drama,2001\n"
RATINGS = "user,film,stars\na,2,5\nb,1,3\na,3,4\n"


@pytest.fixture
def open_joined(tmp_path: Path) -> Open:
    """Return a function that writes a main and a joined table, and opens them joined."""

    def run(main: str, joined: str, suffix: str = "csv", texts: tuple[str, ...] = (), **rule: Any) -> TableFile:
        (tmp_path / "joins" / "films").mkdir(parents=True, exist_ok=True)
        (tmp_path / "table.csv").write_text(main, encoding="utf-8")
        (tmp_path / "joins" / "films" / f"table.{suffix}").write_text(joined, encoding="utf-8")
        strict = rule.pop("strict", True)
        settings = JoinRule.model_validate({"key": "film", "unmatched": "refuse", **rule})
        return joined_table.open_table(
            tmp_path / "table.csv", None, JoinedFiles({"films": settings}, tmp_path, strict), texts
        )

    return run


def test_each_row_gets_the_columns_of_its_key(open_joined: Open) -> None:
    """The rows and their order are those of the main table; keys are not repeated, missing cells stay missing."""
    frame = open_joined(RATINGS, FILMS).to_frame()
    assert frame.columns.tolist() == ["user", "film", "stars", "genre", "year"]
    assert frame["genre"].tolist() == ["comedy", "drama", "drama"]
    assert frame["year"].fillna(0).tolist() == [0, 1990, 2001]
    assert frame["stars"].tolist() == [5, 3, 4]


def test_columns_can_be_chosen_and_prefixed(open_joined: Open) -> None:
    """Only the named columns are added, below their prefixed names."""
    table = open_joined(RATINGS, FILMS, columns=["year"], prefix="film_")
    assert [*table.layout.columns] == ["user", "film", "stars", "film_year"]
    assert table.to_frame(["film_year", "user"]).columns.tolist() == ["film_year", "user"]


def test_names_that_clash_are_refused(open_joined: Open) -> None:
    """A joined column does not replace one of the main table; a prefix resolves the clash."""
    films = "film,stars\n1,5\n2,5\n3,5\n"
    with pytest.raises(DataError, match="expected new names of columns; stars is in another table") as caught:
        open_joined(RATINGS, films)
    assert "joins.films.prefix" in caught.value.hint
    assert "film_stars" in open_joined(RATINGS, films, prefix="film_").layout.columns


@pytest.mark.parametrize(
    ("unmatched", "genres", "note"),
    [
        ("missing", ["comedy", None, None, "drama"], "films: 2 of 4 rows have no match: kept without values"),
        ("drop", ["comedy", "drama"], "films: 2 of 4 rows have no match: left out"),
    ],
)
def test_rows_without_a_match(open_joined: Open, unmatched: str, genres: list[str | None], note: str) -> None:
    """Rows without a match, or without a key, are kept or left out as the task says; both is told, and counted."""
    main = "user,film,stars\na,2,5\nb,9,3\nb,,3\na,3,4\n"
    table = open_joined(main, FILMS, unmatched=unmatched)
    frame = table.to_frame()
    assert [None if pd.isna(cell) else cell for cell in frame["genre"]] == genres
    assert table.layout.rows == len(frame) == len(genres)
    assert note in table.layout.repairs
    assert frame.index.tolist() == [*range(len(genres))]


def test_a_row_without_a_match_can_be_refused(open_joined: Open) -> None:
    """The message counts such rows, those without a key among them, and names the first keys."""
    with pytest.raises(DataError, match=r"for every row; 2 of 4 rows have none, 1 of them without a value, such as 9"):
        open_joined("user,film,stars\na,2,5\nb,9,3\nb,,3\na,3,4\n", FILMS)


def test_a_join_that_matches_nothing_is_refused(open_joined: Open) -> None:
    """Even if rows without a match are allowed: two columns of other meaning are no join."""
    with pytest.raises(DataError, match=r"none of 3 rows has one, such as 2, 1, 3"):
        open_joined(RATINGS, "film,genre\n70,x\n80,y\n", unmatched="missing")


def test_keys_of_the_joined_table_are_unique(open_joined: Open) -> None:
    """A repeated key would multiply rows; the message names it. Blanks around a key do not make it another."""
    with pytest.raises(DataError, match=r"expected one row for each film; 2 rows repeat one: 1, 2") as caught:
        open_joined(RATINGS, "film,genre\n1,x\n2,y\n2,z\n1,w\n3,v\n")
    assert "duplicates" not in caught.value.hint
    with pytest.raises(DataError, match="1 row repeats one: 'a'"):
        open_joined("film,stars\na,1\n", "film,genre\na,x\n a ,y\n")


def test_blanks_around_keys_do_not_matter(open_joined: Open) -> None:
    """Keys are compared without blanks around them; cells keep them."""
    frame = open_joined("film,stars\n a ,1\nb,2\n", 'film,genre\n"b  ",x\na,y\n').to_frame()
    assert frame["genre"].tolist() == ["y", "x"]
    assert frame["film"].tolist() == [" a ", "b"]


def test_joined_rows_without_a_key_match_nothing(open_joined: Open) -> None:
    """A missing key is not equal to a missing key; the joined rows without one are counted."""
    table = open_joined("film,stars\na,1\n,2\n", "film,genre\na,x\n,y\n", unmatched="missing")
    assert table.to_frame()["genre"].fillna("-").tolist() == ["x", "-"]
    assert "films: 1 of its rows have no key or time, and match nothing" in table.layout.repairs


def test_types_that_differ_are_refused(open_joined: Open) -> None:
    """Text 01 and number 1 may or may not be the same: the task says how they are compared."""
    films = "film,genre\n01,x\n02,y\n03,z\n"
    with pytest.raises(DataError, match=r"whole numbers, in film of table\.csv, and text, such as 01, in film") as no:
        open_joined(RATINGS, films)
    assert "match: number (01 is 1), or match: text" in no.value.hint
    assert open_joined(RATINGS, films, match="number").to_frame()["genre"].tolist() == ["y", "x", "z"]
    with pytest.raises(DataError, match="none of 3 rows has one"):
        open_joined(RATINGS, films, match="text")
    with pytest.raises(DataError, match=r"joins\.films\.match: expected numbers in film of joined films; received 'x'"):
        open_joined(RATINGS, "film,genre\nx,x\n", match="number")


def test_numbers_match_whether_or_not_they_have_fractions(open_joined: Open) -> None:
    """A column of whole numbers that another program wrote as 1.0 holds the same keys."""
    assert open_joined(RATINGS, "film,genre\n1.0,x\n2.0,y\n3.0,z\n").to_frame()["genre"].tolist() == ["y", "x", "z"]
    large = "film,stars\n9007199254740993,1\n"
    with pytest.raises(DataError, match="expected whole numbers up to 9,007,199,254,740,992"):
        open_joined(large, "film,genre\n9007199254740992.5,x\n")


def test_a_key_that_the_task_reads_as_text_is_compared_by_its_type(open_joined: Open) -> None:
    """A category of numbers is read as text; its join must not depend on that."""
    table = open_joined(RATINGS, FILMS, texts=("film", "year"))
    frame = table.to_frame()
    assert frame["film"].tolist() == ["2", "1", "3"]
    assert frame["genre"].tolist() == ["comedy", "drama", "drama"]
    assert frame["year"].fillna("-").tolist() == ["-", "1990", "2001"]


def test_key_of_several_columns_with_other_names(open_joined: Open) -> None:
    """All columns of the key must be equal."""
    main = "shop,day,sold\na,1,10\nb,1,20\na,2,30\n"
    joined = "place,when,price\na,1,.5\na,2,.6\nb,1,.7\n"
    frame = open_joined(main, joined, key={"shop": "place", "day": "when"}).to_frame()
    assert frame["price"].tolist() == [0.5, 0.7, 0.6]
    with pytest.raises(DataError, match="expected one row for each place; 1 row repeats one: 'a'"):
        open_joined(main, joined, key={"shop": "place"})


def test_a_missing_column_is_named(open_joined: Open) -> None:
    """A key or a column that a table lacks is an error that lists what there is."""
    with pytest.raises(DataError, match=r"joins\.films: expected movie in table\.csv or a table joined before"):
        open_joined(RATINGS, FILMS, key={"movie": "film"})
    with pytest.raises(DataError, match="expected the columns movie; received film, genre, year"):
        open_joined(RATINGS, FILMS, key={"film": "movie"})
    with pytest.raises(DataError, match="expected the columns director; received film, genre, year"):
        open_joined(RATINGS, FILMS, columns=["director"])


def test_joined_table_of_another_format(open_joined: Open) -> None:
    """Each table may have any format."""
    lines = [json.dumps({"film": film, "tags": f"t{film}"}) for film in (1, 2, 3)]
    assert open_joined(RATINGS, "\n".join(lines), "jsonl").to_frame()["tags"].tolist() == ["t2", "t1", "t3"]


def test_a_table_can_be_joined_to_a_joined_one(tmp_path: Path) -> None:
    """The key of a later join may be a column of an earlier one, also if that column is not asked for."""
    texts = {"table.csv": RATINGS, "joins/films/table.csv": FILMS, "joins/eras/table.csv": "year,era\n1990,old\n"}
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    joins = {
        "films": JoinRule(key="film", unmatched="refuse"),
        "eras": JoinRule(key="year", unmatched="drop"),
    }
    table = joined_table.open_table(tmp_path / "table.csv", None, JoinedFiles(joins, tmp_path))
    assert table.to_frame(["user", "era"]).to_numpy().tolist() == [["b", "old"]]
    assert table.layout.rows == 1


def test_repeated_keys_are_only_counted_when_asked(open_joined: Open) -> None:
    """`tiltyard check` reports all faults of a join instead of the first."""
    table = open_joined(RATINGS, "film,genre\n1,x\n1,w\n70,v\n", strict=False)
    assert isinstance(table, JoinedTable)
    (counted,) = table.statistics
    assert (counted.rows, counted.matched, counted.matching.repeats) == (3, 1, 1)


def test_parts_are_those_of_the_whole(tmp_path: Path) -> None:
    """100,000 rows joined with 100,000 take seconds, equal a merge of pandas, and can be read in parts."""
    rows, chance = 100_000, np.random.default_rng(0)
    left = pd.DataFrame({"key": chance.integers(0, rows, rows), "x": chance.random(rows)})
    right = pd.DataFrame({"key": chance.permutation(rows), "y": chance.random(rows)})
    right["z"] = chance.choice(["a", "b"], rows)
    (tmp_path / "joins" / "b").mkdir(parents=True)
    left.to_csv(tmp_path / "table.csv", index=False)
    right.to_csv(tmp_path / "joins" / "b" / "table.csv", index=False)
    start = time.process_time()
    joins = JoinedFiles({"b": JoinRule(key="key", unmatched="refuse")}, tmp_path)
    table = joined_table.open_table(tmp_path / "table.csv", None, joins)
    frame = pd.concat(table.parts(rows=10_000))
    assert time.process_time() - start < 10
    pd.testing.assert_frame_equal(frame, left.merge(right, on="key", how="left"), check_dtype=False)


def test_a_joined_table_that_is_too_large_is_refused(open_joined: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined tables are held in memory, so there is a limit, and the message says what to do."""
    monkeypatch.setattr(joined_table, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="which are held in memory"):
        open_joined(RATINGS, FILMS).to_frame()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unmatched": "drop"}, "expected key, time, or both; received neither"),
        ({"key": "a"}, "unmatched\n  Field required"),
        ({"key": ["a", "a"], "unmatched": "drop"}, "key: expected different columns; received a, a"),
        ({"key": {"a": "c", "b": "c"}, "unmatched": "drop"}, "different columns of the joined table; received c, c"),
        ({"key": "a", "unmatched": "drop", "max_age": 3}, "max_age: expected only with time; received 3"),
        ({"key": "a", "unmatched": "drop", "duplicates": "last"}, "duplicates: expected only with time; received last"),
        ({"time": "t", "unmatched": "drop", "max_age": "soon"}, "such as 15min; received soon"),
        ({"time": "t", "unmatched": "drop", "max_age": -1}, "max_age: expected 0 or more; received -1"),
        ({"time": "t", "unmatched": "drop", "match": "text"}, "match: expected only with key"),
        ({"time": {"a": "b", "c": "d"}, "unmatched": "drop"}, "time: expected one column; received a, c"),
        ({"time": "t", "unmatched": "drop", "format": "%Q"}, "format: expected directives"),
        (
            {"key": "a", "unmatched": "drop", "columns": ["b", "b"]},
            "columns: expected different columns; received b, b",
        ),
        ({"key": "a", "unmatched": "forget"}, "'missing', 'drop' or 'refuse'"),
    ],
)
def test_settings_without_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    """The message says what was expected, and what was received."""
    with pytest.raises(ValidationError, match=message):
        JoinRule.model_validate(settings)
