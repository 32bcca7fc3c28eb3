"""Generated points: each shape is what its name says, and can be told apart by the features that its tasks use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tiltyard.data.sources.playground import CENTRE, GAP, INNER, OUTER, RADIUS, Playground
from tiltyard.workspace import Workspace


def fetched(tmp_path: Path, shape: str, **settings: object) -> pd.DataFrame:
    """Return the rows of a shape."""
    source = Playground.model_validate({"kind": "playground", "shape": shape, **settings})
    source.fetch(tmp_path, Workspace(tmp_path))
    return pd.read_csv(tmp_path / "table.csv")


def test_circle_is_a_disc_inside_a_ring(tmp_path: Path) -> None:
    """Between the labels there is a gap of distances from the centre."""
    rows = fetched(tmp_path, "circle")
    distance = pd.Series(np.hypot(rows.x1, rows.x2))
    assert distance[rows.label == "positive"].max() <= INNER * RADIUS
    assert distance[rows.label == "negative"].between(OUTER * RADIUS, RADIUS).all()


def test_xor_is_positive_where_the_signs_are_equal(tmp_path: Path) -> None:
    """The label is the sign of the product, and no point is near an axis."""
    rows = fetched(tmp_path, "xor")
    assert ((rows.x1 * rows.x2 > 0) == (rows.label == "positive")).all()
    assert rows[["x1", "x2"]].abs().min().min() >= GAP


def test_clouds_have_their_centres(tmp_path: Path) -> None:
    """The mean of each label is at its centre, up to chance."""
    rows = fetched(tmp_path, "gaussian", rows=5000)
    means = rows.groupby("label")[["x1", "x2"]].mean()
    assert np.abs(means.loc["positive"] - CENTRE).max() < 0.1
    assert np.abs(means.loc["negative"] + CENTRE).max() < 0.1


def test_arms_of_the_spiral_are_opposite(tmp_path: Path) -> None:
    """Turning one arm by half a turn gives the other."""
    rows = fetched(tmp_path, "spiral")
    arms = [rows[rows.label == name][["x1", "x2"]].to_numpy() for name in ("positive", "negative")]
    positive, negative = (arm[np.argsort(np.hypot(*arm.T), kind="stable")] for arm in arms)
    np.testing.assert_allclose(positive, -negative, atol=1e-6)


def test_plane_is_a_tenth_of_the_sum(tmp_path: Path) -> None:
    """Without noise the number is exact."""
    rows = fetched(tmp_path, "plane")
    np.testing.assert_allclose(rows.value, (rows.x1 + rows.x2) / 10, atol=1e-8)


@pytest.mark.parametrize("shape", ["circle", "xor", "gaussian", "spiral", "plane"])
def test_noise_moves_points_by_its_deviation(tmp_path: Path, shape: str) -> None:
    """With the same seed, coordinates differ by the noise alone; both labels have half of the rows, or nearly so."""
    (tmp_path / "noisy").mkdir()
    exact, noisy = fetched(tmp_path, shape, rows=2000), fetched(tmp_path / "noisy", shape, rows=2000, noise=0.5)
    moved = (noisy - exact)[["x1", "x2"]] if shape == "plane" else noisy[["x1", "x2"]] - exact[["x1", "x2"]]
    assert np.allclose(moved.std(), 0.5, atol=0.03)
    if shape != "plane":
        assert noisy.label.value_counts(normalize=True).between(0.45, 0.55).all()
