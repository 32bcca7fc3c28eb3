"""Sends a message by webhook, Slack, e-mail or to a file. Secrets come from the environment, and are never shown."""

from __future__ import annotations

import json
import logging
import os
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from http.client import HTTPException
from typing import Any

from tiltyard import files
from tiltyard.config.notify_section import Channel, Email, MessageFile, Slack, Webhook
from tiltyard.errors import TiltyardError
from tiltyard.operations.messages import Message
from tiltyard.workspace import Workspace

log = logging.getLogger(__name__)
PERMANENT = 500  # answers of an SMTP server from which on another attempt is useless
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses after which another attempt may succeed
MAX_FILE_BYTES = 10_000_000  # of a file of messages; further ones are refused


class SendError(TiltyardError):
    """A message that was not sent; `transient` if another attempt may succeed."""

    def __init__(self, message: str, hint: str = "", *, transient: bool = False) -> None:
        super().__init__(message, hint)
        self.transient = transient


def send(workspace: Workspace, channel: Channel, message: Message, seconds: float) -> None:
    """Send a message within a time limit; raise SendError, whose text has no secret."""
    senders: dict[type[Channel], Callable[[], None]] = {
        Webhook: lambda: _webhook(channel, message, seconds),
        Slack: lambda: _slack(channel, message, seconds),
        Email: lambda: _email(channel, message, seconds),
        MessageFile: lambda: _file(workspace, channel, message),
    }
    senders[type(channel)]()


def secret(name: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the value of an environment variable."""
    value = (os.environ if environment is None else environment).get(name, "").strip()
    if not value or any(letter in value for letter in "\r\n"):
        text = f"environment variable {name}: expected one line of text; received {'none' if not value else 'several'}"
        raise SendError(text, f"set it where the watch runs: export {name}=...")
    return value


def _webhook(channel: Any, message: Message, seconds: float) -> None:
    headers = {"Authorization": f"Bearer {secret(channel.token_from)}"} if channel.token_from else {}
    _post(channel.url or secret(channel.url_from), message.to_json(), headers, seconds)


def _slack(channel: Any, message: Message, seconds: float) -> None:
    text = f"*{message.task}*: {_escaped(message.sentence)}\n`{_escaped(message.command)}`"
    _post(secret(channel.url_from), {"text": text}, {}, seconds)


def _escaped(text: str) -> str:
    """Return a text in which Slack reads no links and no mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("`", "'")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: a token must not go to another address."""

    def redirect_request(self, *_: Any) -> None:
        """Return no request."""


def _post(url: str, content: dict[str, Any], headers: dict[str, str], seconds: float) -> None:
    """Post JSON. The address may be a secret, so errors name only what happened."""
    if not url.startswith(("http://", "https://")):
        raise SendError("expected an address with http:// or https://; received another")
    body = json.dumps(content, ensure_ascii=False).encode(errors="replace")
    try:
        request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers}, method="POST")  # noqa: S310
        urllib.request.build_opener(_NoRedirects).open(request, timeout=seconds).close()
    except urllib.error.HTTPError as error:
        error.close()
        raise SendError(f"the webhook answered {error.code}", transient=error.code in TRANSIENT) from None
    except (OSError, HTTPException, ValueError) as error:
        raise SendError(f"the webhook does not answer: {_kind(error)}", transient=True) from None


def _email(channel: Any, message: Message, seconds: float) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"] = channel.sender, ", ".join(channel.to)
    mail["Subject"] = f"[tiltyard] {message.task}: {message.sentence}"[:150]
    mail.set_content(f"{message.task}: {message.sentence}\n\n{message.command}\n")
    try:
        with _smtp(channel, seconds) as server:
            if channel.user_from:
                server.login(secret(channel.user_from), secret(channel.password_from))
            refused = server.send_message(mail)
        if refused:
            log.warning("the SMTP server refused %s of %s recipients", len(refused), len(channel.to))
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        raise SendError(f"the SMTP server answered {max(codes)}", transient=max(codes) < PERMANENT) from None
    except smtplib.SMTPResponseException as error:
        raise SendError(f"the SMTP server answered {error.smtp_code}", transient=error.smtp_code < PERMANENT) from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise SendError(f"the SMTP server did not take the message: {_kind(error)}", transient=True) from None


def _smtp(channel: Any, seconds: float) -> smtplib.SMTP:
    """Connect, and encrypt unless the task says otherwise."""
    if channel.security == "tls":
        return smtplib.SMTP_SSL(channel.host, channel.port, timeout=seconds, context=ssl.create_default_context())
    server = smtplib.SMTP(channel.host, channel.port, timeout=seconds)
    try:
        if channel.security == "starttls":
            server.starttls(context=ssl.create_default_context())
    except BaseException:
        server.close()
        raise
    return server


def _file(workspace: Workspace, channel: Any, message: Message) -> None:
    """Append a line in one write; a link out of the project is refused."""
    path = workspace.root / channel.path
    line = json.dumps(message.to_json(), ensure_ascii=False).encode(errors="replace") + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.parent.resolve().is_relative_to(workspace.root.resolve()):
            raise SendError(f"{channel.path}: expected a file in the project; a link leads out of it")
        with files.locked(path.with_name(f".{path.name}.lock")):
            _append(path, line)
    except OSError as error:
        raise SendError(f"{channel.path} cannot be written: {error.strerror}", transient=False) from None


def _append(path: Any, line: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o640)
    try:
        if os.fstat(handle).st_size > MAX_FILE_BYTES:
            raise SendError(
                f"{path.name} has more than {MAX_FILE_BYTES:,} bytes", f"move it away: mv {path} {path}.old"
            )
        os.write(handle, line)
    finally:
        os.close(handle)


def _kind(error: BaseException) -> str:
    """Return what happened without the address, which the text of an error may quote."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, BaseException) else error
    return getattr(cause, "strerror", None) or type(cause).__name__
