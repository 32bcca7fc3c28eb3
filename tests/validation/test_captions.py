"""Findings about captions: their length, rare and unknown words, and captions that are alike."""

from __future__ import annotations

import pytest
from captioned_pictures import TASK, faulty_captions
from workspaces import edit_task

from tiltyard.config import loader
from tiltyard.errors import TiltyardError
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


def test_each_fault_of_captions_is_reported(workspace: Workspace) -> None:
    """Length, rare and unknown words, and captions that are alike; each with how many there are."""
    found = [one for one in faulty_captions(workspace).findings if one.code == "captions"]
    assert [(one.severity, one.text.partition(" captions")[0]) for one in found] == [
        ("critical", "1 of 28 (3.6%)"),
        ("warning", "24 of 28 (85.7%)"),
        ("warning", "2 of 2 (100.0%) test"),
        ("note", "4 of 28 (14.3%)"),
    ]
    assert found[0].hint == "raise target.length to 7"
    assert "a red circle and more of it/train-24.png" in found[0].text


def test_validation_refuses_captions_that_are_too_long(workspace: Workspace) -> None:
    """The longest has seven words: with four allowed it is named, with seven all captions pass."""
    faulty_captions(workspace)
    with pytest.raises(TiltyardError, match="expect_column_values_to_match_regex"):
        validate(workspace, loader.load(workspace, "captions"))
    edit_task(workspace, "captions", {"target": {**TASK["target"], "length": 7}})
    validate(workspace, loader.load(workspace, "captions"))
