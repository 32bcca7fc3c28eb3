"""Unusual files: each is read correctly with a reported repair, or refused with a clear error."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tiltyard.config import loader
from tiltyard.config.draft import draft as init
from tiltyard.config.draft.request import DraftRequest
from tiltyard.data import fetch
from tiltyard.errors import TiltyardError
from tiltyard.preparation import array_file, prepare
from tiltyard.validation import validate
from tiltyard.workspace import Workspace

HEAD = "size,weight,answer"
ROWS = [f"{size},{(size * 37) % 101 / 10},{'yes' if size % 3 else 'no'}" for size in range(60, 0, -1)]


def lines(*rows: Iterable[str] | str) -> str:
    """Join the parts of a file."""
    flat = [line for row in rows for line in ([row] if isinstance(row, str) else row)]
    return "\n".join(flat) + "\n"


def with_filler_column(name: str, *cells: str) -> str:
    """Add a column whose cells repeat in turn."""
    return lines(f"{HEAD},{name}", [f"{row},{cells[i % len(cells)]}" for i, row in enumerate(ROWS)])


REPAIRED: dict[str, tuple[str | bytes, str]] = {
    "wrong delimiter": (lines(HEAD, ROWS).replace(",", ";"), "semicolons as delimiter"),
    "byte order mark": ("\ufeff" + lines(HEAD, ROWS), "byte order mark dropped"),
    "mixed encodings": (
        lines(f"{HEAD},town", [f"{row},Köln" for row in ROWS]).encode()
        + lines([f"{row},Zürich" for row in ROWS[:9]]).encode("latin-1"),
        "mixed encodings: UTF-8, but decoded as cp1252 in line 62",
    ),
    "thousands separators": (
        with_filler_column("sold", '"7,380,500"', '"1,200,000"'),
        "thousands separators removed in sold",
    ),
    "the header again": (lines(HEAD, ROWS[:30], HEAD, ROWS[30:]), "the header repeats in row 31: left out"),
    "a name twice": (lines("size,size,answer", ROWS), "repeated column name size: size_2"),
}
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "ragged rows": (
        lines(HEAD, ROWS[:30], "1,2", ROWS[30:]),
        "expected 3 cells in every row, .* received 2 in line 32",
    ),
    "no header": (lines(ROWS), "expected the columns answer; received column_1, column_2, column_3"),
    "an empty file": ("", "expected a header and rows; the file is empty"),
    "a header alone": (f"{HEAD}\n", "expected rows; received a header alone"),
    "a target of one value": (
        lines(HEAD, [r.replace("no", "yes") for r in ROWS]),
        "expected 2 to 1000 labels; received 1",
    ),
    "two rows": (lines(HEAD, ROWS[:2]), "expected 10 rows or more with a known answer; received 2"),
    "no table at all": (bytes(range(256)) * 9, "table.csv: "),
}


def draft(workspace: Workspace, content: str | bytes) -> init.Drafted:
    """Draft a task from a new file."""
    (workspace.root / "strange.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return init.draft_task(workspace, "strange", DraftRequest("strange.csv", "answer"))


@pytest.mark.parametrize(("content", "expected_repair"), REPAIRED.values(), ids=REPAIRED)
def test_repairs_are_reported(workspace: Workspace, content: str | bytes, expected_repair: str) -> None:
    """Repairs are reported by init, in the task file and by validation, and all rows reach the three parts."""
    drafted = draft(workspace, content)
    assert any(repair.startswith(expected_repair) for repair in drafted.repairs)
    task = loader.load(workspace, "strange")
    assert f"# Read with a repair: {expected_repair}" in workspace.task_file("strange").read_text(encoding="utf-8")
    fetch.get(workspace, task)
    assert any(repair.startswith(expected_repair) for repair in validate.validate(workspace, task).repairs)
    assert min(prepare.prepare(workspace, task)["rows"].values()) > 5


@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_unreadable_files_are_rejected(workspace: Workspace, content: str | bytes, message: str) -> None:
    """The error is one sentence, and nothing is written."""
    before = workspace.params.read_bytes()
    with pytest.raises(TiltyardError, match=message):
        draft(workspace, content)
    assert not workspace.task_file("strange").exists()
    assert workspace.params.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        (
            with_filler_column("day", "2024-01-02", "03.04.2024", "5/6/24"),
            {"day": "dates in several formats: convert them to one"},
        ),
        (
            lines(
                f"{HEAD},name",
                [
                    f"{size},{size % 50},{'yes' if size % 3 else 'no'},n{size * 7 % 10000}"
                    for size in range(20000, 0, -1)
                ],
            ),
            {"name": "10,000 categories in 20,000 rows: too many to learn from"},
        ),
    ],
    ids=["dates in three spellings", "ten thousand categories"],
)
def test_useless_columns_are_left_out(workspace: Workspace, content: str, reasons: dict[str, str]) -> None:
    """Useless columns are left out with a reason, and the others are kept."""
    drafted = draft(workspace, content)
    left = {
        traits.name: traits.reason
        for traits in drafted.traits
        if traits.reason and not traits.reason.startswith("an id")
    }
    assert left == reasons


def test_any_column_names_are_supported(workspace: Workspace) -> None:
    """Column names with emoji, quotes and blanks work from the file to the features."""
    rows = [f"{size % 40},{(size * 37) % 101 / 10},{'yes' if size % 3 else 'no'}" for size in range(60)]
    draft(workspace, lines('🦊 size,"it\'s: {odd}",answer', rows))
    task = loader.load(workspace, "strange")
    assert list(task.columns) == ["🦊 size", "it's: {odd}"]
    fetch.get(workspace, task)
    validate.validate(workspace, task)
    prepare.prepare(workspace, task)
    features, _ = array_file.read_part(workspace.out("strange", "prepare") / "train.npz")
    assert features.shape[1] == 2


def test_repeated_rows_leave_no_test_part(workspace: Workspace) -> None:
    """The error states the number of distinct rows."""
    draft(workspace, lines(HEAD, [f"{i % 3},1.5,{'yes' if i % 2 else 'no'}" for i in range(60)]))
    task = loader.load(workspace, "strange")
    fetch.get(workspace, task)
    with pytest.raises(TiltyardError, match="is empty") as caught:
        prepare.prepare(workspace, task)
    assert "only 3 of 60 differ" in caught.value.hint
    assert not workspace.out("strange", "prepare").exists()
