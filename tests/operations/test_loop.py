"""The loop closes: in a world that shifts, with a real service and late truths, the watch recovers and does no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from changing_world import NAME, World, watch, without_watch

from tiltyard.operations import ledger
from tiltyard.registry.registry import Registry

# At the shift, the labels in the table are wrong for three steps: a challenger trained on them passes the gate, since
# the sealed rows are as wrong; only the truths of clients show it.
WORLD = World(seed=0, steps=14, shift=4, broken=(4, 5, 6))


@pytest.mark.timeout(300)
def test_the_watch_recovers_and_serves_no_bad_challenger(tmp_path: Path) -> None:
    """Against a champion that is never retrained, and one that is retrained blindly at each step."""
    never = without_watch(tmp_path / "never", WORLD, None)
    blind = without_watch(tmp_path / "blind", WORLD, 1)
    space, watched = watch(tmp_path / "watched", WORLD)
    decisions = Registry(space).decisions(NAME)
    before, after = slice(0, WORLD.shift), slice(WORLD.shift, None)
    for course in (never, blind, watched):
        assert np.mean(course.accuracy[before]) > 0.75
    # Recovered: as good as before the shift, where the first champion stays below chance.
    assert watched.accuracy[-1] > 0.7
    assert never.accuracy[-1] < 0.5
    # No harm: the challenger of wrong labels answered no client, while the blind one served it for three steps.
    assert min(watched.accuracy) >= min(never.accuracy) - 0.01
    assert min(blind.accuracy[after]) < 0.3
    # In order: a trial that ended, then one that led to the promotion; with fewer retrainings.
    actions = [look.action for look in watched.looks if look.action not in ("none", "retrain")]
    assert actions == ["shadow", "end", "shadow", "canary", "promote"]
    retrainings = ledger.retrainings(decisions, None)
    assert sum(not one.unchanged for one in retrainings) <= 6 < blind.retrainings
    ended = next(look for look in watched.looks if look.action == "end")
    assert "worse on live requests: a gain of -0." in ended.reason
    assert [one.verdict for one in decisions][-2:] == ["OPERATE", "PROMOTE"]
    # The service followed each time, and no request of a client failed.
    events = {message.event for look in watched.looks for message in look.messages}
    assert {"drift", "quality", "hold", "retrained", "promoted"} <= events
    assert not {"behind", "failed"} & events
