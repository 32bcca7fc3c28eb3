"""Notifications: sent once to each channel by real servers, with bounded attempts, and without showing a secret."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from message_servers import smtp_server, web_server

from tiltyard import files
from tiltyard.config.notify_section import Notify
from tiltyard.config.operate_section import Operate
from tiltyard.operations import channels, notify
from tiltyard.operations.decide import Step
from tiltyard.operations.facts import DAY, HOUR, Facts
from tiltyard.operations.messages import MAX_SENTENCE, Message, of_decisions, of_facts, of_service, one_line
from tiltyard.registry.decision import Decision
from tiltyard.workspace import Workspace

NOW = 1_700_000_000.0
DRIFT = Message("drift", "iris", "petal_length drifted: PSI 0.4", "tiltyard monitor iris", "petal_length")
SECRET = "hunter2-and-more"  # noqa: S105 - of a test


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(notify, "PAUSE", 0.0)


def settings(*channels: dict[str, Any], **more: Any) -> Notify:
    """Return the section with these channels."""
    return Notify.model_validate({"channels": [*channels], **more})


def sent(space: Path, section: Notify, *messages: Message, now: float = NOW, told: Any = None) -> Any:
    """Notify; return what was sent when, and what failed."""
    return notify.notify(Workspace(space), section, messages, told or {}, now)


def test_a_webhook_receives_the_sentence_and_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A POST of JSON with the token from the environment."""
    monkeypatch.setenv("HOOK_TOKEN", SECRET)
    with web_server() as server:
        section = settings({"kind": "webhook", "url": server.url, "token_from": "HOOK_TOKEN"})
        _, failures = sent(tmp_path, section, DRIFT)
    assert failures == []
    (body,) = server.bodies
    assert body["text"] == "iris: petal_length drifted: PSI 0.4; type: tiltyard monitor iris"
    assert (body["event"], body["task"], body["command"]) == ("drift", "iris", "tiltyard monitor iris")
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"


def test_slack_reads_no_markup_from_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message to Slack is text with the command as code; mentions and links in names of data are escaped."""
    with web_server() as server:
        monkeypatch.setenv("SLACK_URL", server.url)
        message = Message("drift", "iris", "<!channel> & `x` drifted", "tiltyard monitor iris")
        sent(tmp_path, settings({"kind": "slack", "url_from": "SLACK_URL"}), message)
    assert server.bodies == [{"text": "*iris*: &lt;!channel&gt; &amp; 'x' drifted\n`tiltyard monitor iris`"}]


def test_an_email_is_sent_to_all(tmp_path: Path) -> None:
    """A mail over SMTP has the sentence in its subject and the command in its text."""
    email = {"kind": "email", "host": "127.0.0.1", "security": "none", "sender": "a@b.example"}
    with smtp_server() as server:
        section = settings({**email, "port": server.port, "to": ["c@d.example", "e@f.example"]})
        _, failures = sent(tmp_path, section, DRIFT)
    assert failures == []
    (mail,) = server.mails
    assert "Subject: [tiltyard] iris: petal_length drifted: PSI 0.4" in mail
    assert "\r\ntiltyard monitor iris\r\n" in mail
    assert len(server.recipients) == 2


def test_a_password_is_not_sent_without_encryption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot encrypt receives no mail and no password."""
    monkeypatch.setenv("MAIL_USER", "me")
    monkeypatch.setenv("MAIL_PASSWORD", SECRET)
    email = {"kind": "email", "host": "127.0.0.1", "sender": "a@b.example", "to": ["c@d.example"]}
    with smtp_server() as server:
        secrets = {"user_from": "MAIL_USER", "password_from": "MAIL_PASSWORD"}
        _, failures = sent(tmp_path, settings({**email, **secrets, "port": server.port}), DRIFT)
    assert failures == ["email: the SMTP server did not take the message: SMTPNotSupportedError"]
    assert server.mails == []


def test_a_temporary_refusal_of_mail_is_tried_again(tmp_path: Path) -> None:
    """An SMTP server that says 451 once takes the mail at the second attempt; one that says 550 is not asked again."""
    email = {"kind": "email", "host": "127.0.0.1", "security": "none", "sender": "a@b.example", "to": ["c@d.example"]}
    with smtp_server() as server:
        server.statuses = [451]
        section = settings({**email, "port": server.port})
        assert sent(tmp_path, section, DRIFT)[1] == []
        server.statuses = [550, 250]
        assert sent(tmp_path, section, DRIFT)[1] == ["email: the SMTP server answered 550"]
        assert server.statuses == [250]
    assert len(server.mails) == 1


def test_a_file_gets_a_line(tmp_path: Path) -> None:
    """Each message is a line of JSON; a link out of the project is refused."""
    section = settings({"kind": "file", "path": "logs/messages.jsonl"})
    sent(tmp_path, section, DRIFT, Message("reject", "iris", "REJECT 1", "tiltyard why iris", "1"))
    lines = (tmp_path / "logs" / "messages.jsonl").read_bytes().splitlines()
    assert [files.parse_json(line)["event"] for line in lines] == ["drift", "reject"]
    outside = tmp_path / "outside"
    inside = tmp_path / "project"
    outside.mkdir()
    inside.mkdir()
    (inside / "logs").symlink_to(outside)
    (inside / "linked.jsonl").symlink_to(outside / "target")
    for path in ("logs/messages.jsonl", "linked.jsonl"):
        _, failures = sent(inside, settings({"kind": "file", "path": path}), DRIFT)
        assert len(failures) == 1
    assert [*outside.iterdir()] == []


def test_a_message_is_sent_once_while_its_cause_lasts(tmp_path: Path) -> None:
    """The same matter is told again only after repeat_hours; another channel or another feature is another message."""
    with web_server() as server:
        hook = {"kind": "webhook", "url": server.url}
        section = settings(hook, repeat_hours=24)
        told, _ = sent(tmp_path, section, DRIFT, DRIFT)
        assert len(server.bodies) == 1
        told, _ = sent(tmp_path, section, DRIFT, now=NOW + 23 * HOUR, told=told)
        assert len(server.bodies) == 1
        told, _ = sent(tmp_path, section, DRIFT, now=NOW + 24 * HOUR, told=told)
        assert len(server.bodies) == 2
        sent(tmp_path, section, DRIFT, now=NOW - DAY, told=told)  # the clock was set back
        assert len(server.bodies) == 3


def test_only_wanted_events_are_told(tmp_path: Path) -> None:
    """A channel gets the events that it names."""
    with web_server() as server:
        sent(tmp_path, settings({"kind": "webhook", "url": server.url, "events": ["rollback"]}), DRIFT)
    assert server.bodies == []


def test_attempts_are_bounded(tmp_path: Path) -> None:
    """A server that is busy is asked three times, one that refuses once; what failed is told at the next look."""
    with web_server() as server:
        section = settings({"kind": "webhook", "url": server.url})
        server.statuses = [503, 503, 503]
        told, failures = sent(tmp_path, section, DRIFT)
        assert (len(server.bodies), failures) == (3, ["webhook: the webhook answered 503"])
        server.statuses = [404]
        told, failures = sent(tmp_path, section, DRIFT, told=told)
        assert (len(server.bodies), failures) == (4, ["webhook: the webhook answered 404"])
        told, failures = sent(tmp_path, section, DRIFT, told=told)
        assert (len(server.bodies), failures, len(told)) == (5, [], 1)


def test_a_slow_server_is_left(tmp_path: Path) -> None:
    """An answer is waited for no longer than the limit, in each of three attempts."""
    with web_server() as server:
        server.pause = 1.0
        start = time.monotonic()
        _, failures = sent(tmp_path, settings({"kind": "webhook", "url": server.url}, seconds=0.1), DRIFT)
        assert time.monotonic() - start < 5
    assert failures == ["webhook: the webhook does not answer: TimeoutError"]


def test_a_redirect_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token does not go to another address."""
    monkeypatch.setenv("HOOK_TOKEN", SECRET)
    with web_server() as first, web_server() as second:
        first.statuses, first.location = [302], second.url
        section = settings({"kind": "webhook", "url": first.url, "token_from": "HOOK_TOKEN"})
        _, failures = sent(tmp_path, section, DRIFT)
    assert failures == ["webhook: the webhook answered 302"]
    assert second.headers == []


@pytest.mark.parametrize(
    "value", [None, "", f"http://127.0.0.1:1/{SECRET}", f"ftp://{SECRET}", f"{SECRET}\nX: y", SECRET]
)
def test_no_failure_shows_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str | None
) -> None:
    """Whatever is wrong with an address from the environment, neither the error nor the log has it."""
    monkeypatch.delenv("SLACK_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("SLACK_URL", value)
    with caplog.at_level(logging.DEBUG):
        _, failures = sent(tmp_path, settings({"kind": "slack", "url_from": "SLACK_URL"}), DRIFT)
    assert len(failures) == 1
    assert SECRET not in failures[0] + caplog.text


def test_any_failure_of_a_channel_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in the code of a channel does not stop the watch, nor the channels after it."""

    def fail(*_: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(channels, "_slack", fail)
    section = settings({"kind": "slack", "url_from": "SLACK_URL"}, {"kind": "file", "path": "messages.jsonl"})
    _, failures = sent(tmp_path, section, DRIFT)
    assert failures == ["slack: RuntimeError"]
    assert (tmp_path / "messages.jsonl").is_file()


def test_messages_of_facts() -> None:
    """Drift, a spent budget, and a service that does not follow are told with what to type."""
    rules = Operate.model_validate({"service": "http://127.0.0.1:3000"})
    facts = Facts(NOW, "a" * 12, drifted=(("petal_length", 0.5),), served="b" * 12)
    step = Step("none", "it has drifted", blocked="operate.budget.retrainings: 2 of 2 in 7 days are spent")
    drift, budget = of_facts(rules, "iris", facts, step)
    assert (drift.event, drift.command) == ("drift", "tiltyard monitor iris")
    assert (budget.event, budget.command) == ("budget", "edit operate.budget in tasks/iris.yaml")
    (behind,) = of_service(rules, "iris", facts, "")
    assert behind.sentence == f"http://127.0.0.1:3000 serves {'b' * 12}; the champion is {'a' * 12}"
    assert not [*of_service(rules, "iris", replace(facts, since=NOW - 30), "")], "it has just become champion"
    (silent,) = of_service(rules, "iris", facts, "http://127.0.0.1:3000 does not answer")
    assert (silent.event, silent.command) == ("behind", "tiltyard serve iris")


def test_messages_of_decisions() -> None:
    """HOLD, REJECT and ROLLBACK of any command are told; a HOLD for approval names the command that approves."""
    failed = {"code": "approval", "title": "", "state": "failed", "text": "", "severity": "HOLD", "repeatable": False}
    fields: dict[str, Any] = {"task": "iris", "version": "a" * 12, "reasons": ["because"]}
    decisions = [
        Decision(**fields, verdict="HOLD", checks=[failed]),
        Decision(**fields, verdict="REJECT"),
        Decision(**fields, verdict="ROLLBACK", champion="b" * 12),
        Decision(**fields, verdict="OPERATE"),
    ]
    found = [*of_decisions(decisions)]
    assert [(one.event, one.command) for one in found] == [
        ("hold", f"tiltyard approve iris {'a' * 12}"),
        ("reject", f"tiltyard why iris {'a' * 12}"),
        ("rollback", "tiltyard history iris"),
    ]


def test_a_sentence_is_one_short_line() -> None:
    """Control characters and line breaks of quoted data are removed, and long texts are cut off."""
    assert one_line("a\r\nBcc: x\x1b[31m") == "a Bcc: x [31m"
    assert len(one_line("x" * 10_000)) == MAX_SENTENCE + 3
