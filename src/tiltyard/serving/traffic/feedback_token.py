"""Feedback tokens: who has one may say what became true of an answer.

A token is made when an answer is recorded. It names the owner of the answer and how many instances it has, and is
signed with a secret of the records, so nothing has to be stored for it. The record keeps the owner; the id alone proves
nothing, since clients choose ids and two may choose the same.
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
SECRET_BYTES = 32  # of the secret
SIGNATURE_DIGITS = 32  # of a signature: 128 bits

log = logging.getLogger("bentoml.tiltyard")


class Claim(NamedTuple):
    """What a token proves: whose answer it is, and how many instances it has."""

    owner: str
    instances: int


class FeedbackTokens:
    """Makes and checks tokens. All workers share the secret, which lies in the folder of the records."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.logged = folder, False

    @cached_property
    def secret(self) -> bytes:
        """The secret, made when it is first needed."""
        return read_secret(self.folder)

    def owner(self, key_name: str) -> str:
        """Return whose an answer is: of a holder of a key always the same, of anyone else a new one for each answer."""
        return self._signed("key", key_name) if key_name else secrets.token_hex(SIGNATURE_DIGITS // 2)

    def issue(self, task: str, request: str, owner: str, count: int) -> str:
        """Return the token of an answer."""
        return f"{owner}.{count}.{self._signed('answer', task, request, owner, str(count))}"

    def verify(self, task: str, request: str, token: str) -> Claim | None:
        """Return what a token proves for the answer to a request; None if it is not the token of that answer."""
        if not (parts := TOKEN.fullmatch(token)):
            return None
        owner, count, signature = parts.groups()
        right = self._signed("answer", task, request, owner, count)
        return Claim(owner, int(count)) if hmac.compare_digest(signature, right) else None

    def log_failure(self, error: Exception) -> None:
        """Log once that no token can be made: answers are recorded all the same."""
        if not self.logged:
            self.logged = True
            log.error("recorded answers carry no feedback token: %s", error)

    def _signed(self, *words: str) -> str:
        return hmac.digest(self.secret, "\n".join(words).encode(), hashlib.sha256).hex()[:SIGNATURE_DIGITS]


def read_secret(folder: Path) -> bytes:
    """Read the secret of a folder, or make it; whoever comes second waits, so that there is one."""
    path = folder / ".secret"
    with files.locked(folder / ".secret.lock"):
        if not path.exists():
            files.write_private(path, secrets.token_bytes(SECRET_BYTES), replace=True)
        found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise WorkspaceError(
            f"{path}: expected {SECRET_BYTES} bytes; received {len(found)}",
            hint=f"remove it, and a new one is made; feedback to earlier answers is then refused: rm {path}",
        )
    return found
