"""Listening: duplicates of the listening socket, so that many clients that connect at once are accepted soon.

uvloop accepts one connection per listening socket in each loop iteration, and serves those it has accepted in between.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import uvicorn

ACCEPT_SOCKETS = 32  # each wakes up for each connection, which delays clients that connect for each request


class DuplicatingServer(uvicorn.Server):
    """A server of one worker that listens on duplicates of its socket.

    With one socket, half of 256 clients that connect at once would wait for seconds, while the others are served.
    Several workers use one socket: with duplicates, the first to wake up would accept all connections.
    """

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Run until a signal ends the server, which then closes the duplicates, too."""
        super().run(duplicate(sockets or [self.config.bind_socket()]))


def duplicate(sockets: Sequence[socket.socket]) -> list[socket.socket]:
    """Return the sockets and duplicates of the first."""
    return [*sockets, *(sockets[0].dup() for _ in range(ACCEPT_SOCKETS - len(sockets)))]
