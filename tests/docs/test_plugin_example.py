"""The check in the how-to page about plug-ins works as it stands on the page."""

from __future__ import annotations

from typing import Any

from documented_commands import written_files
from duels import build_duel, diabetes, linear_model
from workspaces import ROOT


def test_check_of_the_page_observes_a_duel() -> None:
    """It fails a challenger of two megabytes, and does not apply if the size is unknown."""
    example: dict[str, Any] = {}
    exec(dict(written_files(ROOT / "docs" / "how-to" / "plug-in.md"))["shop_checks.py"], example)  # noqa: S102 - ours
    check = example["SmallFile"]()
    large = build_duel(diabetes(), linear_model(diabetes()), more={"facts": {"size_mb": 2.0}})
    outcome = check.outcome(large)
    assert (outcome.state, outcome.severity) == ("failed", "HOLD")
    assert outcome.text == "a model of 2 MB; expected at most 1 MB"
    unknown = build_duel(diabetes(), linear_model(diabetes()), more={"facts": {}})
    assert check.outcome(unknown).state == "not applicable"
