"""Sources with labelled anomalies: a table with spoiled rows, and a signal with spikes and level shifts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from tiltyard.data.sources.planted_faults import NO_FAULT, PlantedFaults
from tiltyard.data.sources.pulses import SHIFT_STEPS, Pulses
from tiltyard.errors import DataError, SourceError
from tiltyard.workspace import Workspace

FAULTS: list[dict[str, Any]] = [{"swap": ["a", "b"]}, {"scale": "b", "by": 0.1}, {"mix": "kind"}]


def _table(rows: int = 300) -> pd.DataFrame:
    dice = np.random.default_rng(0)
    b = np.where(dice.random(rows) < 0.5, 0, dice.integers(100, 200, rows))
    return pd.DataFrame({"a": np.arange(rows), "b": b, "kind": dice.choice(["x", "y", "z"], rows)})


def _fetch(folder: Path, **changes: Any) -> pd.DataFrame:
    _table().to_csv(folder / "rows.csv", index=False)
    (raw := folder / "raw").mkdir(exist_ok=True)
    content = {"kind": "planted_faults", "path": "rows.csv", "faults": FAULTS, "share": 0.2, **changes}
    PlantedFaults.model_validate(content, strict=False).fetch(raw, Workspace(folder))
    return pd.read_csv(raw / "table.csv", keep_default_na=False)


def test_each_labelled_row_differs_as_its_label_says(tmp_path: Path) -> None:
    """Equal shares of the rows get each fault; a 0 has no other unit, and rows without a fault are as they were."""
    spoiled, rows = _fetch(tmp_path), _table()
    counts = spoiled["fault"].value_counts().to_dict()
    assert counts == {NO_FAULT: 240, "a and b swapped": 20, "b times 0.1": 20, "kind of another row": 20}
    parts = {name: (spoiled[spoiled["fault"] == name], rows[spoiled["fault"] == name]) for name in counts}
    after, before = parts[NO_FAULT]
    assert after[[*rows]].to_numpy().tolist() == before.to_numpy().tolist()
    after, before = parts["a and b swapped"]
    assert after[["b", "a"]].to_numpy().tolist() == before[["a", "b"]].to_numpy().tolist()
    after, before = parts["b times 0.1"]
    assert np.allclose(after["b"], before["b"] / 10)
    assert (before["b"] > 0).all()
    after, before = parts["kind of another row"]
    assert (after["kind"] != before["kind"]).all()
    assert after["a"].tolist() == before["a"].tolist()


def test_another_seed_spoils_other_rows(tmp_path: Path) -> None:
    """The same seed gives the same rows."""
    first, again, other = (_fetch(tmp_path, seed=seed)["fault"].tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        ([{"swap": ["a", "b"], "mix": "a"}], "expected one of swap, scale with by, and mix; received swap and mix"),
        ([{"scale": "b"}], "expected one of swap, scale with by, and mix; received scale"),
        ([{}], "received none"),
    ],
)
def test_faults_are_of_one_kind(faults: list[dict[str, Any]], text: str) -> None:
    """A fault swaps, scales or mixes."""
    with pytest.raises(ValidationError, match=text):
        PlantedFaults.model_validate({"kind": "planted_faults", "path": "rows.csv", "faults": faults}, strict=False)


def test_columns_must_be_there_and_fit(tmp_path: Path) -> None:
    """The message names the column; a name cannot have another unit, and a label needs a free name."""
    with pytest.raises(DataError, match="nothing"):
        _fetch(tmp_path, faults=[{"mix": "nothing"}])
    with pytest.raises(SourceError, match="expected a column of numbers; received kind"):
        _fetch(tmp_path, faults=[{"scale": "kind", "by": 2}])
    with pytest.raises(SourceError, match="expected a name that no column has; received kind"):
        _fetch(tmp_path, label="kind")


def test_spikes_and_shifts_are_where_the_labels_are(tmp_path: Path) -> None:
    """Without noise, a signal with small faults differs from one with large faults only in labelled steps."""
    signals = []
    for size in (0.2, 0.4):
        Pulses(kind="pulses", rows=3000, faults=10, noise=0, spike=size, shift=size).fetch(
            tmp_path, Workspace(tmp_path)
        )
        signals.append(pd.read_csv(tmp_path / "series.csv", keep_default_na=False))
    first, second = signals
    changed = ~np.isclose(first["value"], second["value"])
    assert changed.tolist() == (first["fault"] != "none").tolist()
    assert (first["fault"] == "spike").sum() == 10
    assert 10 * SHIFT_STEPS[0] <= (first["fault"] == "shift").sum() <= 10 * SHIFT_STEPS[1]
    apart = np.diff(np.flatnonzero(np.diff((first["fault"] != "none").astype(int)) == 1))
    assert apart.min() >= 100
