"""The benchmark of the nets of the course notes: what is compared, and its page; stale rows of the other benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import deep
import notes_nets
import page
import pytest
from workspaces import ROOT

from tiltyard.experiments import study_plan
from tiltyard.workspace import Workspace


def test_every_net_of_the_notes_is_compared() -> None:
    """Each task named NAME_notes is in the benchmark, and the nets that it names are tasks."""
    tasks = {*Workspace(ROOT).tasks()}
    assert {name for name in tasks if name.endswith("_notes")} <= {*notes_nets.PAIRS}
    assert {*notes_nets.PAIRS} | {pair.other for pair in notes_nets.PAIRS.values() if pair.other} <= tasks


@pytest.mark.parametrize("name", [name for name, pair in notes_nets.PAIRS.items() if pair.other])
def test_both_nets_have_the_same_rows(name: str) -> None:
    """Columns, split and seeds are those of the notes' task; network and training are the other's."""
    other = notes_nets.PAIRS[name].other
    notes, ours = notes_nets._content(name, "", 3), notes_nets._content(name, other, 3)
    assert [notes[key] for key in ("source", "columns", "split")] == [
        ours[key] for key in ("source", "columns", "split")
    ]
    assert notes["split"]["seed"] == notes["train"]["seed"] == ours["train"]["seed"] == 3
    assert ours["model"] == notes_nets._read(other)["model"]
    assert notes_nets._key(notes) != notes_nets._key(ours)


def _result(value: float) -> dict[str, Any]:
    return {
        "metrics": {"accuracy": value},
        "baseline": {"accuracy": 0.33},
        "parameters": 67,
        "seconds": 2.0,
        "machine": "a machine",
        "date": "2026-01-01",
    }


def test_page_has_intervals_and_says_what_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair with all its runs has a line and a sentence; all others are listed with their command."""
    monkeypatch.setattr(page, "RESULTS", tmp_path / "RESULTS.md")
    results = {}
    for seed in range(10):
        results[notes_nets._key(notes_nets._content("iris_notes", "", seed))] = _result(0.8 + 0.01 * (seed % 2))
        results[notes_nets._key(notes_nets._content("iris_notes", "iris", seed))] = _result(0.9)
    notes_nets._write(results)
    text = page.RESULTS.read_text(encoding="utf-8")
    assert (
        "| `iris_notes` | 67 | accuracy | .93 | **0.8050** (0.8012 to 0.8088) | **0.9000** (all equal) (`iris`)" in text
    )
    assert "- accuracy: `iris_notes` is worse than `iris` by 0.095 (95% interval 0.091 to 0.099)." in text
    assert "- `python benchmarks/notes_nets.py imdb_transformer`" in text
    assert "benchmarks/notes_nets.py iris_notes" not in text


def test_changed_task_is_stale() -> None:
    """A row is marked if any of its runs was measured with other settings than those of today's task file."""
    today = deep._settings_hash(Workspace(ROOT), "iris")
    assert deep._staleness("iris", [{"task": today}]) == ""
    assert "stale" in deep._staleness("iris", [{"task": today}, {"task": "other"}])


@pytest.mark.parametrize("name", notes_nets.STUDIES)
def test_studies_of_the_notes_can_be_read(name: str) -> None:
    """Both have variants of a task of the notes, and use all rows."""
    plan = study_plan.read(ROOT / "studies" / f"{name}.yaml")
    assert plan.rows is None
    assert len(plan.all_variants()) >= 2
