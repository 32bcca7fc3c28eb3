"""A task with a join through the whole pipeline: its report and its model card name the joined table."""

from __future__ import annotations

from pathlib import Path

import pytest
from joined_tables import write_sources
from workspaces import run_in_process, smoke_report

from tiltyard.workspace import Workspace


@pytest.mark.slow
@pytest.mark.smoke
def test_joined_task_runs_to_a_package(workspace: Workspace, tmp_path: Path) -> None:
    """The report has the lineage of both files; the card says that a request holds the joined columns."""
    write_sources(workspace)
    place = tmp_path / "place"
    page = run_in_process(smoke_report, str(workspace.root), str(place), "visits")
    assert "<b>Joined: shops</b>" in page
    assert "by shop = number; rows without a match are refused" in page
    assert "joins/shops/table.csv" in page
    (card,) = Workspace(place).root.rglob("card.md")
    assert "a request holds their columns" in card.read_text(encoding="utf-8")
    assert "shops (file), by shop = number" in card.read_text(encoding="utf-8")
