"""The comparison of networks for tables with boosted trees: its tables, its rows, its scores and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import table_report
import tables
from table_data import MIRRORED, TABLES, Table

SMALL = [name for name in TABLES if name not in MIRRORED and not name.endswith("000")]


@pytest.mark.parametrize("name", SMALL)
def test_tables_depend_on_the_seed_alone(name: str) -> None:
    """The same seed gives the same table; each has a target for every row, and at least two values of it."""
    first, again = TABLES[name](1), TABLES[name](1)
    assert first.features.equals(again.features)
    assert np.array_equal(first.target, again.target)
    assert len(first.features) == len(first.target)
    assert len(np.unique(first.target)) > 1


def test_parts_hold_all_classes_and_no_row_twice() -> None:
    """A rare class is in each part; the parts are 60, 20 and 20 % of the rows."""
    table = Table(TABLES["rare_two_percent"](0).features.head(500), np.arange(500) % 50 == 0, "classification")
    part = tables._parts(table, 0)
    assert [np.sum(part == number) for number in range(3)] == [300, 100, 100]
    assert [np.sum(table.target[part == number]) for number in range(3)] == [6, 2, 2]


def test_a_constant_scores_as_chance() -> None:
    """The score that is normalised to 0 is that of a constant prediction."""
    rng = np.random.default_rng(0)
    numbers, labels = rng.random(200), np.arange(200) % 5 % 3
    table = Table(TABLES["iris"](0).features, labels, "classification")
    shares = np.bincount(labels) / 200
    assert tables.score("classification", labels, np.tile(shares, (200, 1))) == tables._chance(table, labels)
    assert tables.score("regression", numbers, np.full(200, numbers.mean())) == pytest.approx(0)
    assert tables.score("skewed", numbers, np.full(200, np.median(numbers))) == pytest.approx(0)


def test_the_page_counts_what_is_clearly_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table counts as lost if the whole interval of the difference is below zero."""

    def cell(table: str, high: float) -> dict[str, Any]:
        peer = {"score": 0.9, "seconds": 2.0, "interval": [-0.2, high]}
        models = {"tiltyard": {"score": 0.7, "seconds": 4.0}, "trees": peer, "catboost": peer, "linear": peer}
        return {
            "table": table,
            "seed": 0,
            "rows": 100,
            "columns": 3,
            "kind": "classification",
            "chance": 0.5,
            "models": models,
        }

    monkeypatch.setattr(table_report, "PAGE", tmp_path / "TABLES.md")
    table_report.write_report({"a": cell("lost", -0.1), "b": cell("equal", 0.1)})
    page = (tmp_path / "TABLES.md").read_text(encoding="utf-8")
    assert "Against CatBoost: 0 of 2 clearly won, 1 clearly lost." in page
    assert "- lost, 100 rows, with 1 of 1 seeds: not examined." in page
    assert "- equal" not in page
    assert "| Tiltyard | 0.5000 | 0.5000 | 1.0 |" in page
    assert "| CatBoost | 1.0000 | 1.0000 | 2.0 |" in page
