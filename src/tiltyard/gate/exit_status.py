"""The exit status of a command that judged challengers."""

from __future__ import annotations

from collections.abc import Iterable

from tiltyard.gate.verdict import Verdict

EXIT_STATUS = {"HOLD": 3, "REJECT": 4}


def exit_status(verdicts: Iterable[Verdict]) -> int:
    """Return the exit status for verdicts: 4 if any is REJECT, else 3 if any is HOLD, else 0."""
    return max((EXIT_STATUS.get(verdict.shown_verdict, 0) for verdict in verdicts), default=0)
