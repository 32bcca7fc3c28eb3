"""The command quantize: variants are evaluated beside the champion, and promoted if they are no worse and faster."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import random_models
from workspaces import new_workspace

from tiltyard import files, plugins
from tiltyard.config import loader
from tiltyard.errors import RegistryError
from tiltyard.gate import duel_setup
from tiltyard.gate.checks.base import Observation
from tiltyard.gate.quantize import VariantWorkspace, quantize
from tiltyard.registry.registry import Registry
from tiltyard.serving.packaging import package
from tiltyard.workspace import Workspace

UNTRAINED = ("baseline", "collapse", "calibration", "reference", "robustness", "provenance", "model_card")


@pytest.fixture(scope="module")
def champion_space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace in which digits has a champion."""
    found = new_workspace(tmp_path_factory.mktemp("quantize"))
    random_models.write_champion(found, random_models.write_evaluated(found, "digits"))
    return found


@pytest.fixture
def space(champion_space: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of it."""
    shutil.copytree(champion_space.root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def _outcomes(verdict: Any) -> dict[str, Any]:
    return {outcome.code: outcome for outcome in verdict.outcomes}


def test_variant_is_judged_beside_the_champion(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant is no worse than its origin, and held if it is not faster; the outputs of the stages stay."""
    monkeypatch.setattr(duel_setup, "time_ratios", lambda *_: {1: 1.1, 32: 0.5})
    task, champion = loader.load(space, "digits"), Registry(space).champion("digits")
    before = files.sha256(space.out("digits", "train") / "model.onnx", space.out("digits", "evaluate") / "report.json")
    verdict = quantize(space, task, "fp16", dry_run=True)
    assert champion
    assert verdict.champion == champion.version != verdict.version
    found = _outcomes(verdict)
    assert (found["champion"].state, found["variant_speed"].state) == ("passed", "failed")
    assert "1 row takes 1.1 of the champion's time" in found["variant_speed"].text
    assert verdict.evidence["facts"]["variant"] == {"of": champion.version, "kind": "fp16"}
    after = files.sha256(space.out("digits", "train") / "model.onnx", space.out("digits", "evaluate") / "report.json")
    assert before == after
    assert Registry(space).champion("digits") == champion


def test_faster_variant_becomes_champion(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variant that passes all checks is packaged and promoted; its card names its origin."""
    monkeypatch.setattr(duel_setup, "time_ratios", lambda *_: {1: 0.5, 32: 0.5})
    monkeypatch.setattr(package, "package", lambda w, t, *_, **__: random_models.write_package(w, t))
    passed = Observation(True, "expected 1; received 1", 1.0, 1.0)
    for name in UNTRAINED:  # checks that a random model would fail
        monkeypatch.setattr(type(plugins.load("checks", name)()), "observe", lambda *_: passed)
    origin = Registry(space).champion("digits")
    verdict = quantize(space, loader.load(space, "digits"), "fp16")
    assert verdict.verdict == "PROMOTE", verdict.reasons
    found = Registry(space).champion("digits")
    assert origin
    assert found
    assert found.version == verdict.version != origin.version
    card = (space.package("digits", found.version) / "card.md").read_text(encoding="utf-8")
    assert f"variant: fp16 of {origin.version}" in card


def test_time_ratios_compare_both_models(space: Workspace) -> None:
    """The variant is timed against the champion for one row and for a batch."""
    verdict = quantize(space, loader.load(space, "digits"), "int8", dry_run=True)
    ratios = verdict.evidence["time_ratios"]
    assert [*ratios] == ["1", "32"]
    assert all(0 < ratio < 100 for ratio in ratios.values())


def test_variant_needs_the_champion_as_trained_model(space: Workspace) -> None:
    """Without a champion, or if another model was trained since, there is nothing to make a variant of."""
    task = loader.load(space, "digits")
    random_models.write_evaluated(space, "digits", seed=7)
    with pytest.raises(RegistryError, match="expected the champion") as other:
        quantize(space, task, "fp16")
    assert "dvc pull train@digits" in other.value.hint
    space.champion("digits").unlink()
    with pytest.raises(RegistryError, match="no champion yet of digits"):
        quantize(space, task, "fp16")


def test_variants_have_folders_of_their_own(space: Workspace) -> None:
    """Only the trained model and its evaluation are those of the variant."""
    varied = VariantWorkspace(space.root, "int8")
    assert varied.out("digits", "train") == space.root / "out/digits/variants/int8/train"
    assert varied.out("digits", "prepare") == space.out("digits", "prepare")
