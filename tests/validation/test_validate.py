"""The stage `validate`: critical failures, warnings, invalid expectations, and their messages."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hostile_images import bomb
from workspaces import edit_task, fetch_raw

from tiltyard import files
from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import DataError, TaskError
from tiltyard.validation.validate import Validation, validate
from tiltyard.workspace import Workspace


@pytest.fixture
def raw(workspace: Workspace) -> Path:
    """The raw table of iris."""
    fetch_raw(workspace, "iris")
    return workspace.raw("iris") / "table.csv"


def run_validation(workspace: Workspace, name: str = "iris") -> Validation:
    """Validate as the command does."""
    return validate(workspace, loader.load(workspace, name))


def add_expectation(workspace: Workspace, name: str, severity: str = "critical", **arguments: Any) -> None:
    """Add one expectation to iris."""
    one = {"expectation": name, "severity": severity, "arguments": arguments}
    edit_task(workspace, "iris", {"expect": [one]})


def corrupt_cell(path: Path, line: int, column: int, value: str) -> None:
    """Change one cell; line 0 is the header."""
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    lines[line][column] = value
    path.write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")


def test_data_of_every_task_pass(workspace: Workspace, task_name: str) -> None:
    """The data of each source meet all expectations."""
    fetch_raw(workspace, task_name)
    validation = run_validation(workspace, task_name)
    assert validation.outcomes
    assert all(outcome.success for outcome in validation.outcomes)
    assert (workspace.out(task_name, "docs") / "index.html").is_file()


@pytest.mark.usefixtures("raw")
def test_result_file_is_identical_in_each_run(workspace: Workspace) -> None:
    """result.json is the same in each run, so later stages need not run again."""
    path = workspace.out("iris", "validate") / "result.json"
    run_validation(workspace)
    first = path.read_bytes()
    run_validation(workspace)
    assert path.read_bytes() == first
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        (0, "99", r"sepal_length: expect_column_values_to_be_between \(min_value=3.0, max_value=10.0\): 1 row: 7 \(99"),
        (0, "inf", r"sepal_length: expect_column_values_to_be_between .*: 1 row: 7 \(inf\)"),
        (1, "", r"sepal_width: expect_column_values_to_not_be_null: 1 row: 7 \(missing\)"),
        (2, "wide", r"petal_length: expect_column_values_to_not_be_null: 1 row: 7 \(missing\)"),
        (4, "rose", r"species: expect_column_values_to_be_in_set .*: 1 row: 7 \(rose\)"),
        (3, "3.9", r"petal_length, petal_width: expect_column_pair_values_a_to_be_greater_than_b: 1 row: 7 \("),
    ],
)
def test_invalid_cell_is_named(workspace: Workspace, raw: Path, column: int, value: str, message: str) -> None:
    """The error names expectation, column, number of rows, and the row with its value."""
    corrupt_cell(raw, 8, column, value)
    with pytest.raises(DataError, match=message) as caught:
        run_validation(workspace)
    assert "out/iris/docs/index.html" in caught.value.hint


def test_failure_writes_docs_but_no_output(workspace: Workspace, raw: Path) -> None:
    """A failure writes Data Docs, but no output of the stage."""
    corrupt_cell(raw, 8, 0, "99")
    with pytest.raises(DataError):
        run_validation(workspace)
    docs = workspace.out("iris", "docs")
    assert (docs / "index.html").is_file()
    assert files.read_json(docs / "result.json")["failed"]["critical"] == 1
    assert not workspace.out("iris", "validate").exists()


@pytest.mark.usefixtures("raw")
def test_first_ten_rows_are_named(workspace: Workspace) -> None:
    """Ten of many rows are shown, and all are counted."""
    add_expectation(workspace, "expect_column_values_to_be_between", column="sepal_length", max_value=4.0)
    with pytest.raises(DataError, match="150 rows, the first 10: 0 ") as caught:
        run_validation(workspace)
    assert caught.value.message.splitlines()[1].count("(") == 11


@pytest.mark.usefixtures("raw")
def test_warning_is_reported_and_does_not_stop_the_stage(workspace: Workspace) -> None:
    """A warning does not stop the stage, and reports the observed value."""
    add_expectation(workspace, "expect_column_mean_to_be_between", "warning", column="sepal_width", min_value=9)
    (failed,) = run_validation(workspace).failed("warning")
    assert (
        failed.sentence() == "sepal_width: expect_column_mean_to_be_between (min_value=9): observed 3.0573333333333337"
    )
    assert files.read_json(workspace.out("iris", "validate") / "result.json")["failed"]["warning"] == 1


@pytest.mark.usefixtures("raw")
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "expect_column_values_to_be_betwixt",
            {},
            r"expect\[0\].expectation: no .* expect_column_values_to_be_between",
        ),
        ("expect_column_values_to_be_between", {"column": "sepal", "min_value": 0}, r"no column 'sepal'.*sepal_length"),
        ("expect_column_values_to_be_between", {"min_value": 0}, r"expect\[0\].arguments: column: field required"),
        ("expect_column_values_to_be_between", {"column": "sepal_width", "low": 0}, "low: extra fields not permitted"),
        ("expect_column_values_to_be_between", {"column": "sepal_width", "min_value": "x"}, "not a valid float"),
        ("expect_column_mean_to_be_between", {"column": "species", "min_value": 0}, "could not be computed"),
    ],
)
def test_invalid_expectation_is_refused(
    workspace: Workspace, name: str, arguments: dict[str, Any], message: str
) -> None:
    """The error names the invalid key of the task file and what was expected."""
    add_expectation(workspace, name, **arguments)
    with pytest.raises(TaskError, match=message):
        run_validation(workspace)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (
            b"sepal_length,species\n1,setosa\n",
            "sepal_width, petal_length, petal_width .*; received",
        ),
        (b"\x00\x01\x02", "expected text; received binary data"),
        (None, "no raw data: expected iris/table.csv"),
    ],
)
def test_invalid_raw_file_is_refused(workspace: Workspace, raw: Path, content: bytes | None, message: str) -> None:
    """Each error is one sentence."""
    if content is None:
        raw.unlink()
    else:
        raw.write_bytes(content)
    with pytest.raises(DataError, match=message):
        run_validation(workspace)


def test_table_without_rows_is_refused(workspace: Workspace, raw: Path) -> None:
    """A header without rows is refused."""
    raw.write_text(raw.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"table.csv: expected rows; received a header alone"):
        run_validation(workspace)


def test_repairs_are_reported(workspace: Workspace, raw: Path) -> None:
    """A repaired file passes, and result.json lists the repairs."""
    raw.write_text("\ufeff" + raw.read_text(encoding="utf-8").replace(",", ";"), encoding="utf-8")
    validation = run_validation(workspace)
    assert validation.repairs == ["byte order mark dropped", "semicolons as delimiter"]
    assert files.read_json(workspace.out("iris", "validate") / "result.json")["repairs"] == validation.repairs
    message = CliRunner().invoke(cli, ["validate", "iris"]).output
    assert "iris: 150 rows meet" in message
    assert "repaired: semicolons as delimiter" in message


@pytest.mark.usefixtures("raw")
def test_two_raw_files_are_refused(workspace: Workspace) -> None:
    """Two raw files are refused as ambiguous."""
    (workspace.raw("iris") / "table.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"expected one raw file in iris; received table\.csv, table\.parquet"):
        run_validation(workspace)


def test_images_are_named_by_their_paths(workspace: Workspace) -> None:
    """Broken and duplicate images are named by their paths."""
    fetch_raw(workspace, "digits")
    with zipfile.ZipFile(workspace.raw("digits") / "images.zip", "a") as archive:
        archive.writestr("3/broken.png", b"no picture")
        archive.writestr("4/again.png", archive.read("0/0000.png"))
    with pytest.raises(DataError) as caught:
        run_validation(workspace, "digits")
    assert "decodes: expect_column_values_to_be_in_set (value_set=[True]): 1 row: 3/broken.png" in caught.value.message
    results = files.read_json(workspace.out("digits", "docs") / "result.json")["expectations"]
    twice = next(result for result in results if result["column"] == "digest")
    assert [row["path"] for row in twice["unexpected"]] == ["0/0000.png", "4/again.png"]


def test_image_bomb_is_reported_as_undecodable(workspace: Workspace) -> None:
    """A small PNG with a header of 100,000 x 100,000 pixels fails the expectation, and nothing is raised by Pillow."""
    fetch_raw(workspace, "digits")
    with zipfile.ZipFile(workspace.raw("digits") / "images.zip", "a") as archive:
        archive.writestr("3/bomb.png", bomb())
    with pytest.raises(DataError, match=r"decodes: .*1 row: 3/bomb\.png"):
        run_validation(workspace, "digits")


def test_gap_in_a_series_is_found(workspace: Workspace) -> None:
    """A missing line in a series is found as a gap of two steps."""
    fetch_raw(workspace, "sine")
    path = workspace.raw("sine") / "series.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[:500] + lines[501:]) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"gap: expect_column_values_to_be_in_set .*: 1 row: 499 \(2.0\)"):
        run_validation(workspace, "sine")
