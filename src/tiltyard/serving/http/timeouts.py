"""Timeouts of a connection: clients that send a request, or read a response, too slowly (slowloris)."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from uvicorn.protocols.http.flow_control import FlowControl

HEAD_SECONDS = 10.0  # from the first byte of a head to its end, or from the connection to the first byte
BODY_GRACE_SECONDS = 5.0  # before the minimum rate of a body applies
MIN_BODY_BYTES_PER_SECOND = 8_192  # on average, after that
BODY_STALL_SECONDS = 10.0  # without any data of a body
LINGER_SECONDS = 2.0  # to read the rest of a refused body, so that the client can read the response
WRITE_STALL_SECONDS = 30.0  # in which a client does not read its response


class Connection(Protocol):
    """What a timeout depends on."""

    transport: asyncio.Transport
    timeout_keep_alive: int
    pending: bytes
    expecting: str
    queued: bool
    is_new: bool
    waiting_since: float
    last_body_at: float
    body_bytes: int

    @property
    def flow(self) -> FlowControl:
        """Whether reading and writing are paused."""

    @property
    def busy(self) -> bool:
        """Whether the response to a request is not complete yet."""

    def refuse(self, status: int, code: str, message: str) -> None:
        """Respond with an error and close the connection."""


def check(connection: Connection) -> None:
    """Close or refuse the connection of a client that is too slow; called once a second."""
    waited = time.monotonic() - connection.waiting_since
    if connection.flow.write_paused:
        if waited > WRITE_STALL_SECONDS:
            connection.transport.abort()
    elif connection.expecting:
        _check_body(connection, waited)
    elif not connection.busy and not connection.queued and (connection.pending or connection.is_new):
        if waited > HEAD_SECONDS:
            message = f"expected a complete request head within {HEAD_SECONDS:g} seconds"
            connection.refuse(408, "slow_head", message)
    elif not connection.busy and waited > connection.timeout_keep_alive:
        connection.transport.close()


def _check_body(connection: Connection, waited: float) -> None:
    if not connection.busy:  # it was refused, and the rest of its body is ignored
        if waited > LINGER_SECONDS:
            connection.transport.close()
    elif (
        waited > BODY_GRACE_SECONDS + connection.body_bytes / MIN_BODY_BYTES_PER_SECOND
        or time.monotonic() - connection.last_body_at > BODY_STALL_SECONDS
    ):
        message = f"expected a body of at least {MIN_BODY_BYTES_PER_SECOND:,} bytes a second"
        connection.refuse(408, "slow_body", message)
