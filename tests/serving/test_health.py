"""Health checks, cached metrics and the request log."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import prometheus_client
import pytest

from tiltyard.serving.http import health
from tiltyard.serving.http.answered_request import AnsweredRequest
from tiltyard.serving.http.health import MetricsEndpoint
from tiltyard.serving.http.prometheus import RequestMetrics


class RecordingWriter:
    """Replaces the function that creates the text, and waits once for a turn of the event loop."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.turned = threading.Event()

    def __call__(self, _: Any) -> bytes:
        """Create the text."""
        self.threads.append(threading.current_thread())
        assert self.turned.wait(10), "the event loop is held up"
        return b"%d" % len(self.threads)


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> RecordingWriter:
    """Install the replacement."""
    writer = RecordingWriter()
    monkeypatch.setattr(prometheus_client, "generate_latest", writer)
    return writer


async def _concurrent_responses(text: MetricsEndpoint, writer: RecordingWriter, times: int) -> set[bytes]:
    """Return the texts that concurrent clients receive."""
    responses = [asyncio.create_task(text.respond(None)) for _ in range(times)]  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    writer.turned.set()
    return {bytes((await response).body) for response in responses}


def test_concurrent_requests_share_one_metrics_text(writer: RecordingWriter) -> None:
    """Concurrent requests of /metrics share one text, which a thread creates."""
    text = MetricsEndpoint()
    assert asyncio.run(_concurrent_responses(text, writer, 20)) == {b"1"}
    assert asyncio.run(_concurrent_responses(text, writer, 20)) == {b"1"}
    assert writer.threads[0] is not threading.main_thread()


def test_metrics_are_at_most_a_second_old(writer: RecordingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of /metrics is at most a second old."""
    text, clock = MetricsEndpoint(), [100.0]
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    writer.turned.set()

    async def ask() -> bytes:
        return bytes((await text.respond(None)).body)  # type: ignore[arg-type]

    responses = []
    for clock[0] in (100.0, 100.9, 101.0, 101.5, 116.0):
        responses.append(asyncio.run(ask()))
    assert responses == [b"1", b"1", b"2", b"2", b"3"]


def test_failure_is_not_cached(writer: RecordingWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure, the next request creates the text again."""
    text = MetricsEndpoint()
    with monkeypatch.context() as patch:
        patch.setattr(prometheus_client, "generate_latest", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            asyncio.run(text.respond(None))  # type: ignore[arg-type]
    assert asyncio.run(_concurrent_responses(text, writer, 1)) == {b"1"}


def test_empty_and_removed_metrics_files_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is still empty is left out, and so is one that is removed while the metrics are rendered."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    program = "import prometheus_client as p; p.Gauge('ready', 'Ready', multiprocess_mode='livemin').set(7)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    (tmp_path / "counter_1.db").touch()
    (tmp_path / "gauge_livemin_2.db").symlink_to("gone")
    assert b"\nready 7.0\n" in health._render()


@pytest.mark.parametrize(
    "text", ["\x9b2J", "\u202egnp.exe", "\x7f\x1b[2J\n", "\u2028\u2066\u200f", "gr\u00fc\u00df \U0001f600", "\ud800"]
)
def test_request_log_is_ascii(capsysbinary: pytest.CaptureFixture[bytes], text: str) -> None:
    """Lines of the request log are ASCII, since a terminal would obey control characters."""
    metrics = RequestMetrics(log=True, registry=prometheus_client.CollectorRegistry())
    metrics.count(AnsweredRequest("a", "c", text, "GET", f"/{text}", 404, 0.1))
    line = capsysbinary.readouterr().out
    assert line.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in line[:-1])
    entry = json.loads(line)
    assert (entry["key"], entry["path"]) == (text, f"/{text}")
