"""The exit status of a command that judged challengers."""

from __future__ import annotations

from collections.abc import Iterable

EXIT_STATUS = {"HOLD": 3, "REJECT": 3}  # --json says which of them


def exit_status(verdicts: Iterable[str]) -> int:
    """Return the exit status for verdicts: 3 if a challenger was held or rejected, else 0."""
    return max((EXIT_STATUS.get(verdict, 0) for verdict in verdicts), default=0)
