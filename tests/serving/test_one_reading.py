"""Values are parsed by the same rules in training files, CSV bodies, JSON and feedback."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiltyard.data import table_reader
from tiltyard.data.tables.dialect import Dialect
from tiltyard.errors import DataError, RequestError
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.boolean import SPELLED, Boolean
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.date import Date
from tiltyard.modeling.columns.number import Number
from tiltyard.serving.http import feedback
from tiltyard.serving.requests import csv_cells

COLUMNS: dict[str, Column] = {
    "one": Number(missing="median"),
    "two": Number(missing="median"),
    "yes": Boolean(missing="bucket"),
    "name": Category(unseen="bucket", missing="bucket"),
    "day": Date(missing="median"),
}


def csv_text(rows: list[list[str]], delimiter: str, header: list[str] | None = None) -> str:
    """Return rows as CSV text."""
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([header or [*COLUMNS], *rows])
    return text.getvalue()


def outcome(column: Column, cells: list[Any]) -> Any:
    """Return the values that a column parses from cells, or its error."""
    try:
        return column.parse(column.read(cells), "x").tolist()
    except RequestError as error:
        return error.message


def parse_both_ways(path: Path, text: str, **dialect_settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parse text as a training file and as a CSV body; return the outcomes of each column."""
    dialect = Dialect(**dialect_settings)
    path.write_text(text, encoding="utf-8", newline="")
    texts = [name for name, column in COLUMNS.items() if column.parsed_as_text]
    frame = table_reader.read(path, dialect, list(COLUMNS), texts).frame
    numbers = {name: not column.parsed_as_text for name, column in COLUMNS.items()}
    cells = csv_cells.read(text, numbers, 1000, dialect)
    file = {name: outcome(column, frame[name].tolist()) for name, column in COLUMNS.items()}
    return file, {name: outcome(column, cells[name]) for name, column in COLUMNS.items()}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("one", "two"),
    [
        (["1", "2.5", "-3e2"], ["7", "8", "9"]),
        (["1,5", "2,25", "-3,125"], ["7", "8", "NA"]),
        (["1.234,5", "2", "1.000.000,25"], ["0,5", "1", "2"]),
        (["1,234.5", "2", "1,000,000.25"], ["0.5", "1", "2"]),
        (["1,234", "2,345", "3,456"], ["0,5", "1,5", "2,5"]),
        (["1,234", "2,345", "3,456"], ["0.5", "1.5", "2.5"]),
        (["1,234", "2,345", "3,456"], ["1", "2", "3"]),
        ([" 1,5 ", "+2,5", ""], ["7", "8", "9"]),
        (["1,5", "?", "2,5"], ["7", "8", "9"]),
    ],
)
def test_numbers_are_parsed_alike(tmp_path: Path, delimiter: str, one: list[str], two: list[str]) -> None:
    """Delimiters and number formats are inferred alike; ambiguous ones are refused by both."""
    rows = [[a, b, "Yes", "007", "2024-02-29"] for a, b in zip(one, two, strict=True)]
    file, body = parse_both_ways(tmp_path / "table.csv", csv_text(rows, delimiter))
    np.testing.assert_equal(body, file)


CELLS = {
    "one": st.sampled_from(
        ["1", "2.5", "1,5", "1,234", "1.234", "1.234,5", "1,234.5", "", "NA", "x", "1e5", "007", "-2"]
    ),
    "yes": st.sampled_from([*SPELLED, "YES", " no ", "", "NULL", "maybe"]),
    "name": st.sampled_from(["a", "007", "N/A", "None", "", "1.0", "true", "a;b", "a,b", " a "]),
    "day": st.sampled_from(["2024-02-29", "", "nan", "29.02.2024"]),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_cells_are_parsed_alike(tmp_path: Path, data: st.DataObject) -> None:
    """Valid, missing and invalid cells are parsed alike."""
    kinds = [CELLS["one"], CELLS["one"], CELLS["yes"], CELLS["name"], CELLS["day"]]
    rows = data.draw(st.lists(st.tuples(*kinds).map(list), min_size=3, max_size=8))
    delimiter = data.draw(st.sampled_from([",", ";", "\t"]))
    try:
        file, body = parse_both_ways(tmp_path / "table.csv", csv_text(rows, delimiter))
    except DataError:
        return  # the file shows another delimiter, or none
    np.testing.assert_equal(body, file)


@pytest.mark.parametrize("names", [["N/A", "N/A", " a "], [" b", " a "], ["b", " a "], ["", " "], [" ", " a"]])
def test_leading_blanks_are_stripped_alike(tmp_path: Path, names: list[str]) -> None:
    """Leading blanks are stripped if every value of a column has one."""
    rows = [["1", "1", "true", name, "2024-02-29"] for name in names]
    file, body = parse_both_ways(tmp_path / "table.csv", csv_text(rows, ","))
    np.testing.assert_equal(body, file)


def test_csv_settings_of_the_task_apply_to_bodies(tmp_path: Path) -> None:
    """The delimiter, thousands separator and missing values of the task file apply to bodies, too."""
    rows = [["1'234,5", "-", "yes", "NA", "2024-02-29"], ["2", "7", "-", "x", "-"]]
    dialect_settings = {"delimiter": ":", "decimal": ",", "thousands": "'", "na": ["-"]}
    file, body = parse_both_ways(tmp_path / "table.csv", csv_text(rows, ":"), **dialect_settings)
    np.testing.assert_equal(body, file)
    assert body["one"] == [1234.5, 2.0]
    assert body["name"] == ["NA", "x"]


@pytest.mark.parametrize("value", [True, 1, *(word for word, true in SPELLED.items() if true), "Yes", " TRUE "])
def test_json_accepts_the_booleans_of_training_files(value: Any) -> None:
    """Spellings of booleans that training files accept are accepted in JSON."""
    assert Boolean().parse([value], "x").tolist() == Boolean().parse(Boolean().read([value]), "x").tolist() == [1.0]
    with pytest.raises(RequestError, match="expected true or false"):
        Boolean().parse(["maybe"], "x")


@pytest.mark.parametrize(
    ("value", "classes", "label"),
    [
        (True, ["false", "true"], "true"),
        (False, ["False", "True"], "False"),
        (1, ["0", "1"], "1"),
        (1.0, ["0", "1"], "1"),
        (" yes", ["no", "yes"], "yes"),
        ("007", ["007", "008"], "007"),
        (7, ["007", "008"], None),
        (True, ["0", "1"], None),
        (None, ["None", "x"], None),
    ],
)
def test_truth_gets_the_same_label_as_in_a_file(value: object, classes: list[str], label: str | None) -> None:
    """A truth in JSON gets the label that a file with this value would get."""
    found = next((one for one in feedback._label_spellings(value) if one in classes), None)
    assert found == label
