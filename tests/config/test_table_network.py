"""The network that `tiltyard init` drafts for a table."""

from __future__ import annotations

import pytest

from tiltyard.config.draft import table_network
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.config.train_section import Train
from tiltyard.modeling.models.tabm import Tabm


def _features(numbers: int, names: int = 2) -> list[ColumnProfile]:
    kinds = ["number"] * numbers + ["category"] * names
    return [ColumnProfile(f"c{place}", kind, 100, 0, 50, "", {"type": kind}) for place, kind in enumerate(kinds)]


@pytest.mark.parametrize("rows", [1, 3, 12, 1_000, 1_001, 30_000, 5_000_000])
@pytest.mark.parametrize("numbers", [0, 5, 300])
def test_sections_are_valid_for_all_sizes(rows: int, numbers: int) -> None:
    """The settings are accepted, and an epoch has at least four steps if there are four rows."""
    sections = table_network.sections(rows, _features(numbers))
    assert Tabm.model_validate(sections["model"]).units
    train = Train.model_validate(sections["train"])
    assert train.batch_size <= max(1, rows / 4)


def test_wide_tables_get_input_scales() -> None:
    """With many numbers, input scales are learned, and embeddings are shorter."""
    wide, narrow = (Tabm.model_validate(table_network.sections(3000, _features(n))["model"]) for n in (300, 10))
    assert wide.input_rate > 0 == narrow.input_rate
    assert wide.embedding_size < narrow.embedding_size


def test_more_rows_get_fewer_epochs_and_larger_batches() -> None:
    """Training time grows more slowly than the number of rows."""
    trains = [table_network.sections(rows, _features(5))["train"] for rows in (500, 3_000, 10_000, 60_000, 200_000)]
    assert [train["epochs"] for train in trains] == sorted((train["epochs"] for train in trains), reverse=True)
    assert [train["batch_size"] for train in trains] == sorted(train["batch_size"] for train in trains)


def test_tables_are_drafted_with_references() -> None:
    """The drafted network is averaged with boosted trees and a linear model."""
    assert table_network.sections(600, _features(5))["model"]["blend_references"]
