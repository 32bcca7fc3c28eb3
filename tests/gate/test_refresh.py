"""gate.refresh: a challenger on newer data, or one that serves more, must only be no worse beyond a margin."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from duels import build_duel, cancer, diabetes, linear_model
from workspaces import ROOT

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.gate_section import Gate
from tiltyard.data import versions
from tiltyard.data.dvc import Pointer
from tiltyard.gate.checks.base import Outcome
from tiltyard.gate.duel import Duel
from tiltyard.gate.duel_setup import _is_newer, champion_outputs, served_rows
from tiltyard.modeling.columns.category import Category
from tiltyard.modeling.columns.number import Number
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.workspace import Workspace


def outcome(name: str, duel: Duel) -> Outcome:
    """Run one check."""
    result: Outcome = plugins.load("checks", name)().outcome(duel)
    return result


def worse_by(share: float, *, newer: bool = True, **terms: Any) -> Duel:
    """Return a challenger whose squared errors are larger than the champion's, by a share of its gain, in each row."""
    duel = build_duel(diabetes(), linear_model(diabetes()), metric="rmse", **{"refresh": True, **terms})
    truth = duel.truth[:, None]
    signs = np.where(np.arange(len(truth)) % 2 == 0, 1.0, -1.0)[:, None]
    gain = 100.0 - 50.0
    return dataclasses.replace(
        duel,
        challenger=truth + signs * (50 + share * gain),
        champion=truth + signs * 50,
        baseline=truth + signs * 100,
        newer=newer,
    )


@pytest.mark.parametrize(
    ("share", "terms", "state"),
    [
        (0.0, {}, "passed"),
        (0.09, {}, "passed"),
        (0.11, {}, "failed"),
        (0.11, {"refresh_margin": 0.12}, "passed"),
        (0.0, {"refresh": False}, "failed"),
        (0.0, {"newer": False}, "failed"),
    ],
)
def test_newer_challenger_may_be_worse_by_the_margin(share: float, terms: dict[str, Any], state: str) -> None:
    """A tenth of the champion's gain over the baseline, if the task wants it and the data is newer."""
    result = outcome("champion", worse_by(share, **terms))
    assert result.state == state
    if terms.get("refresh", True) and terms.get("newer", True):
        assert result.limit == pytest.approx(-50 * terms.get("refresh_margin", 0.1))
        assert "of a challenger that was trained on newer data" in result.text


def test_interval_must_lie_above_the_margin() -> None:
    """An equal challenger is not surely no worse if errors of both differ much from row to row."""
    duel = worse_by(0.0)
    noise = np.random.default_rng(0).normal(0, 60, (2, len(duel.truth), 1))
    unsure = dataclasses.replace(
        duel, challenger=duel.challenger + noise[0], champion=duel.challenger + noise[1], baseline=duel.baseline + 30
    )
    result = outcome("champion", unsure)
    assert result.state == "failed"
    assert result.interval is not None
    assert result.limit is not None
    assert result.interval[0] < result.limit < 0


def test_champion_without_a_gain_gives_no_margin() -> None:
    """A share of nothing is nothing: the challenger must be no worse at all."""
    duel = worse_by(0.01)
    assert duel.champion is not None
    useless = dataclasses.replace(duel, baseline=duel.champion)
    assert useless.refresh_margin == 0
    assert outcome("champion", useless).state == "failed"


def labels(refused: int, **terms: Any) -> Duel:
    """Return models that are right on the same rows; the champion refuses the first ones."""
    duel = build_duel(cancer(), linear_model(cancer()), metric="accuracy", **{"refresh": True, **terms})
    served = np.arange(len(duel.truth)) >= refused
    right = np.eye(2)[duel.truth]
    champion = np.where(served[:, None], right, duel.baseline)
    return dataclasses.replace(duel, challenger=right, champion=champion, served=None if refused == 0 else served)


def test_rows_that_the_champion_refuses_are_not_compared() -> None:
    """The gain is that on the rows that both serve; a refused row is a reason to promote, not a win."""
    duel = labels(30)
    assert duel.over_champion is not None
    assert (duel.over_champion.value, duel.refused) == (0, 30)
    champion, mcnemar = outcome("champion", duel), outcome("mcnemar", duel)
    assert (champion.state, mcnemar.state) == ("passed", "passed")
    assert "serves 30 sealed rows that the champion refuses" in champion.text
    assert mcnemar.text.startswith("only the challenger is right on 0 rows, only the champion on 0")
    assert duel.evidence()["refresh"] == {"newer": False, "refused": 30}
    assert outcome("champion", labels(0)).state == "failed"
    assert outcome("champion", labels(30, refresh=False)).state == "failed"


def test_slices_compare_rows_that_both_serve() -> None:
    """On refused rows the champion has no predictions; a slice of them alone is not compared."""
    duel = labels(100, slices=["side"])
    side = np.where(np.arange(len(duel.truth)) < 100, "large", "small")
    result = outcome("slices", dataclasses.replace(duel, rows={**duel.rows, "side": side}))
    assert result.state == "passed"
    assert "side small" in result.text
    assert "side large" not in result.text


class FakeEncoder:
    """The columns and classes of a champion."""

    columns = {  # noqa: RUF012 - of a stand-in
        "city": Category(values=["Graz", "Wien"]),
        "area": Category(unseen="bucket"),
        "age": Number(bounds=(0, 100)),
    }
    classes = ["no", "yes"]  # noqa: RUF012


class FakePredictor:
    """A champion that always gives `yes` 70 %."""

    encoder = FakeEncoder()
    index = None

    def condensed(self, rows: dict[str, Array], _truth: Array) -> Array:
        """Return a single sigmoid for rows that it accepts."""
        assert set(rows["city"]) <= {"Graz", "Wien"}
        return np.full((len(rows["city"]), 1), 0.7)


TEST = TestRows(
    {
        "city": np.array(["Graz", "Linz", "Wien", "Wien", "Wien"]),
        "area": np.array(["a", "b", "c", "", "e"]),
        "age": np.array([1.0, 2.0, 101.0, 3.0, np.nan]),
    },
    np.array([0, 1, 2, 0, 2]),
    np.arange(5),
)


def test_champion_refuses_new_values_and_classes() -> None:
    """A category that it does not know, a number out of its bounds, an empty cell, and a new label."""
    predictor: Any = FakePredictor()
    alone = {name: np.array([0, 0, 0, 0, 0]) for name in ("city", "area", "age")}
    assert served_rows(predictor, ["no", "yes", "maybe"], TEST).tolist() == [True, False, False, False, False]
    plain = dataclasses.replace(TEST, rows={**TEST.rows, "age": np.ones(5), "area": np.array([*"abcde"])})
    assert served_rows(predictor, ["no", "yes", "maybe"], plain).tolist() == [True, False, False, True, False]
    assert served_rows(predictor, ["no", "yes"], dataclasses.replace(plain, truth=alone["age"])).tolist() == [
        True,
        False,
        True,
        True,
        True,
    ]


def test_champion_outputs_are_in_the_order_of_the_task() -> None:
    """A new class gets probability 0; refused rows get what the baseline says."""
    predictor: Any = FakePredictor()
    served = np.array([True, False, False, True, False])
    baseline = np.tile([0.5, 0.2, 0.3], (5, 1))
    found = champion_outputs(predictor, ["yes", "maybe", "no"], TEST, served, baseline)
    assert found[served].tolist() == pytest.approx(np.tile([0.7, 0.0, 0.3], (2, 1)))
    assert np.array_equal(found[~served], baseline[~served])


def test_newer_data_was_recorded_later(tmp_path: Path) -> None:
    """The order is that of data/versions, not of hashes; unknown versions are not newer."""
    workspace, task = Workspace(tmp_path), loader.load(Workspace(ROOT), "iris")
    for data in ("b" * 64, "a" * 64):
        versions.record(workspace, "iris", data, Pointer(md5="0" * 32 + ".dir", size=1, nfiles=1))
    assert _is_newer(workspace, task, "a" * 64, "b" * 64)
    assert not _is_newer(workspace, task, "b" * 64, "a" * 64)
    assert not _is_newer(workspace, task, "a" * 64, "a" * 64)
    assert not _is_newer(workspace, task, "a" * 64, "c" * 64)


def test_settings_that_are_off_are_not_written() -> None:
    """Fingerprints of tasks that do not use it stay the same."""
    assert not {"refresh", "refresh_margin"} & {*Gate(metric="rmse").model_dump()}
    assert {"refresh", "refresh_margin"} <= {*Gate(metric="rmse", refresh=True, refresh_margin=0.2).model_dump()}
