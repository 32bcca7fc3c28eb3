"""Notifications: each message goes once to each channel that wants it, with bounded attempts; failures stop nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from tiltyard.config.notify_section import Notify
from tiltyard.operations.channels import SendError, send
from tiltyard.operations.facts import HOUR
from tiltyard.operations.messages import Message
from tiltyard.workspace import Workspace

ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt; twice as long before the third
log = logging.getLogger(__name__)
Told = dict[str, float]  # by channel and key of a message: when it was sent


def notify(
    workspace: Workspace, settings: Notify, messages: Iterable[Message], told: Told, now: float
) -> tuple[Told, list[str]]:
    """Send what was not sent lately; return what was sent when, and what failed.

    A message that failed is sent at the next look. A time in the future is not counted: the clock was set back.
    """
    repeat = settings.repeat_hours * HOUR
    told, failures = {key: time for key, time in told.items() if 0 <= now - time < repeat}, []
    for message in messages:
        for channel in settings.channels:
            key = f"{channel.kind} {settings.channels.index(channel)} {message.key}"
            if message.event not in channel.events or key in told:
                continue
            if failure := _try(workspace, channel, message, settings.seconds):
                failures.append(f"{channel.kind}: {failure}")
            else:
                told[key] = now
    return told, failures


def _try(workspace: Workspace, channel: Any, message: Message, seconds: float) -> str:
    """Send a message in a few attempts; return why that failed, or an empty text."""
    for attempt in range(ATTEMPTS):
        try:
            send(workspace, channel, message, seconds)
        except SendError as error:
            failure, transient = error.message, error.transient
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the watch; its text may hold a secret
            failure, transient = type(error).__name__, False
        else:
            return ""
        if not transient:
            break
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE * 2**attempt)
    log.warning("%s was not told by %s: %s", message.key, channel.kind, failure)
    return failure
