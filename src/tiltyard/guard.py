"""The guard: who may come in, and how many at a time."""

from __future__ import annotations

from collections.abc import Iterable

from tiltyard import keys, page
from tiltyard.errors import RequestError
from tiltyard.limits import Limits

BEARER = b"bearer "
Headers = Iterable[tuple[bytes, bytes]]


class Guard:
    """Knows the limits, and how many requests are inside."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.inside = limits, 0

    def admit(self, path: str, headers: Headers) -> str:
        """Say whose key a request brings, which may be nobody's, or refuse it."""
        who = keys.holder(self.limits.keys, _key(headers)) if self.limits.keys else ""
        if self.limits.keys and not who and path not in page.FILES:  # it has the field for a key
            raise RequestError("unknown_key", "expected a key: Authorization: Bearer KEY", status=401)
        if self.inside >= self.limits.concurrency:
            text = f"expected at most {self.limits.concurrency} requests at a time; come again in a second"
            raise RequestError("too_many_requests", text, status=429)
        return who


def _key(headers: Headers) -> str:
    """Give the key that a request brings, by either of the two usual headers."""
    for name, value in headers:
        if name == b"authorization" and value[: len(BEARER)].lower() == BEARER:
            return str(value[len(BEARER) :].strip(), "latin-1")
        if name == b"x-api-key":
            return str(value.strip(), "latin-1")
    return ""
