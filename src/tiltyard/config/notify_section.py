"""The `notify:` section of a task file: who is told what needs attention. Secrets are named, never written."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from tiltyard.settings import Settings

Event = Literal["failed", "hold", "reject", "drift", "quality", "retrained", "promoted", "rollback", "behind", "budget"]
URL = r"^https?://[^\s@]+$"  # without a user and password, which are secrets
VARIABLE = "^[A-Z][A-Z0-9_]{0,99}$"
ADDRESS = r"^[^@\s<>,;]+@[^@\s<>,;]+$"
EVENTS: list[Event] = ["failed", "hold", "reject", "drift", "quality", "rollback", "behind", "budget"]


class Channel(Settings):
    """A way in which people are told."""

    events: list[Event] = Field(
        default_factory=lambda: [*EVENTS],
        min_length=1,
        description="What is told: failed (a retraining or run), hold and reject (verdicts), drift, quality (below the "
        "limit), retrained, promoted, rollback, behind (a service serves another version), budget (spent).",
    )


class Webhook(Channel):
    """A POST of JSON."""

    kind: Literal["webhook"]
    url: str | None = Field(None, pattern=URL, description="The address, if it is no secret.")
    url_from: str | None = Field(None, pattern=VARIABLE, description="The environment variable with the address.")
    token_from: str | None = Field(
        None, pattern=VARIABLE, description="The environment variable with a token, sent as Authorization: Bearer."
    )

    @model_validator(mode="after")
    def _one_address(self) -> Webhook:
        if (self.url is None) == (self.url_from is None):
            received = "both" if self.url else "neither"
            raise ValueError(f"expected url, or url_from: the environment variable with it; received {received}")
        return self


class Slack(Channel):
    """A message by an incoming webhook of Slack, or of a service that takes the same JSON."""

    kind: Literal["slack"]
    url_from: str = Field(pattern=VARIABLE, description="The environment variable with the address, which is a secret.")


class Email(Channel):
    """A message by SMTP."""

    kind: Literal["email"]
    host: str = Field(pattern=r"^[^\s/@]+$", description="The SMTP server.")
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the connection is encrypted; tls from its beginning, usually at port 465."
    )
    sender: str = Field(pattern=ADDRESS, description="The address that it comes from.")
    to: list[Annotated[str, Field(pattern=ADDRESS)]] = Field(
        min_length=1, max_length=50, description="The addresses that it goes to."
    )
    user_from: str | None = Field(None, pattern=VARIABLE, description="The environment variable with the user.")
    password_from: str | None = Field(None, pattern=VARIABLE, description="The environment variable with the password.")

    @model_validator(mode="after")
    def _consistent(self) -> Email:
        if (self.user_from is None) != (self.password_from is None):
            raise ValueError("expected user_from and password_from together; received one of them")
        if self.user_from and self.security == "none":
            raise ValueError("security: expected starttls or tls with a password; received none")
        return self


class MessageFile(Channel):
    """A line of JSON at the end of a file."""

    kind: Literal["file"]
    path: str = Field(min_length=1, max_length=200, description="The file, relative to the project.")

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError(f"expected a path inside the project; received {path}")
        return path


class Notify(Settings):
    """Who is told, and how often."""

    channels: list[Annotated[Webhook | Slack | Email | MessageFile, Field(discriminator="kind")]] = Field(
        default_factory=list, max_length=10, description="Where messages go."
    )
    repeat_hours: float = Field(
        24.0, gt=0, le=8760, description="Hours after which the same message is sent again, while its cause lasts."
    )
    seconds: float = Field(10.0, gt=0, le=60, description="The time limit of each attempt to send a message.")
