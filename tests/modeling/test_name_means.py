"""Mean targets of names for trees: tables, rows that do not see their own target, and the same values in a graph."""

from __future__ import annotations

import numpy as np
import pytest
from reference_subjects import case

from tiltyard.arrays import Array
from tiltyard.modeling.references import base
from tiltyard.modeling.references._name_means import MOST_FLAGS, PRIOR, NameMeans, _numbers, _table, named
from tiltyard.modeling.references.boosted_trees import BoostedTrees


def _means(targets: Array | None = None) -> tuple[NameMeans, base.Subject, Array, Array]:
    subject, features, truth = case("names")
    targets = subject.targets(truth) if targets is None else targets
    return NameMeans.of(subject, features, targets), subject, features, targets


def test_mean_of_a_name_is_drawn_to_that_of_all_rows() -> None:
    """By as many rows as PRIOR; the table has the number of rows of each name, too."""
    means, _, features, targets = _means()
    ((places, table),) = zip(means.places, means.tables, strict=True)
    flags = features[:, places.start : places.stop] == 1
    for name in (0, 7, len(places) - 1):
        rows = flags[:, name]
        expected = (targets[rows].sum() + PRIOR * targets.mean()) / (rows.sum() + PRIOR)
        assert table[name].tolist() == pytest.approx([expected, rows.sum()], abs=1e-6)


def test_training_rows_do_not_see_their_own_target() -> None:
    """A changed target of one row changes the means of other rows of its name, and not its own."""
    means, subject, features, targets = _means()
    changed = targets.copy()
    changed[0] += 1000.0
    before = means.held_out(features, targets, subject.units)
    after = NameMeans.of(subject, features, changed).held_out(features, changed, subject.units)
    place = means.places[0]
    flags = features[:, place.start : place.stop]
    same_name = np.flatnonzero((flags == flags[0]).all(axis=1))
    difference = np.abs(before - after).max(axis=1)
    assert difference[0] == 0
    assert difference[same_name[1:]].max() > 10


def test_columns_of_few_names_keep_their_flags() -> None:
    """So do tables with many labels, since each label would be a feature."""
    subject, features, _ = case("names")
    assert [len(places) > MOST_FLAGS for places in subject.encoder.name_places] == [True, False]
    assert named(subject) == [subject.encoder.name_places[0]]
    assert named(base.Subject("table", subject.encoder, horizon=11)) == []
    assert BoostedTrees(subject).derived_width(features.shape[1]) == features.shape[1] - len(named(subject)[0]) + 1


def test_trees_learn_better_from_means_than_from_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """New rows of sixty names, four rows of each."""
    subject, features, truth = case("names")
    losses = []
    for limit in (MOST_FLAGS, 1000):
        monkeypatch.setattr("tiltyard.modeling.references._name_means.MOST_FLAGS", limit)
        trees = BoostedTrees(subject)
        trees.fit(features[:-60], truth[:-60])
        losses.append(subject.loss(truth[-60:], trees.scores(features[-60:])))
    assert losses[0] < 0.9 * losses[1]


def test_flags_of_labels_are_counted_for_each_label() -> None:
    """Of two labels the second has a column, of three each has one."""
    subject, features, _ = case("names")
    labels, (places,) = np.arange(len(features)) % 3, named(subject)
    for units, width in ((2, 1), (3, 3)):
        table = _table(features[:, places.start : places.stop], _numbers(labels % units, units))
        assert table.shape == (len(places), width + 1)
