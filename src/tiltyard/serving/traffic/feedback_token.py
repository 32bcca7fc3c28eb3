"""Feedback tokens: signed tokens that allow a client to send the ground truth of its own predictions.

A token is issued when a response is recorded. It holds the owner of the response and the number of its instances, and
is signed with a secret, so no token has to be stored. The record keeps the owner. The request id alone proves nothing,
since clients choose ids and two may choose the same.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tiltyard import files
from tiltyard.errors import WorkspaceError

HEADER = b"x-feedback-token"
TOKEN = re.compile(r"([0-9a-f]{32})\.([0-9]{1,9})\.([0-9a-f]{32})", re.ASCII)
PATTERN = "^[0-9a-f]{32}\\.[0-9]{1,9}\\.[0-9a-f]{32}$"
SECRET_BYTES = 32
SIGNATURE_DIGITS = 32  # hexadecimal: 128 bits

log = logging.getLogger("bentoml.tiltyard")


class Claim(NamedTuple):
    """The content of a valid token: the owner of the response and the number of its instances."""

    owner: str
    instances: int


class FeedbackTokens:
    """Issues and verifies tokens. All workers share the secret, a file in the folder of the records."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.logged = folder, False

    @cached_property
    def secret(self) -> bytes:
        """The secret, created when it is first needed."""
        return read_secret(self.folder)

    def owner(self, key_name: str) -> str:
        """Return the owner of a response: the same for each request with an API key, otherwise a random one."""
        return self._signature("key", key_name) if key_name else secrets.token_hex(SIGNATURE_DIGITS // 2)

    def issue(self, task: str, request: str, owner: str, count: int) -> str:
        """Return the token of a response."""
        return f"{owner}.{count}.{self._signature('answer', task, request, owner, str(count))}"

    def verify(self, task: str, request: str, token: str) -> Claim | None:
        """Return the content of a token; None if it is not the token of the response to that request."""
        if not (match := TOKEN.fullmatch(token)):
            return None
        owner, count, signature = match.groups()
        expected = self._signature("answer", task, request, owner, count)
        return Claim(owner, int(count)) if hmac.compare_digest(signature, expected) else None

    def log_failure(self, error: Exception) -> None:
        """Log once that no token can be issued; responses are recorded all the same."""
        if not self.logged:
            self.logged = True
            log.error("recorded responses carry no feedback token: %s", error)

    def _signature(self, *parts: str) -> str:
        return hmac.digest(self.secret, "\n".join(parts).encode(), hashlib.sha256).hex()[:SIGNATURE_DIGITS]


def read_secret(folder: Path) -> bytes:
    """Read the secret of a folder, or create it; a lock ensures that processes create only one."""
    path = folder / ".secret"
    with files.locked(folder / ".secret.lock"):
        if not path.exists():
            files.write_private_file(path, secrets.token_bytes(SECRET_BYTES), replace=True)
        secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise WorkspaceError(
            f"{path}: expected {SECRET_BYTES} bytes; received {len(secret)}",
            hint=f"remove it to create a new one; feedback on earlier predictions is then refused: rm {path}",
        )
    return secret
