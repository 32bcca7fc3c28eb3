"""Soak test: ten minutes at 70 % of the service's capacity, without memory growth or errors; writes benchmarks/SOAK.md.

Run `tiltyard run` first; then `python benchmarks/soak.py [--minutes N] [--task NAME]` on an idle machine. wrk measures
the capacity. Requests are then sent at fixed times, whether or not earlier responses have arrived (open loop), and
latency counts from these times. Client and service share the machine, so the load is 70 % of what both can do together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from watched import Seen, look

from tiltyard import files
from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.workspace import Workspace

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "SOAK.md"
SHARE = 0.7
CONNECTIONS = 16
FLAT = 1.02  # times the memory of the second tenth, in the last one
TENTHS = 10
LOOKS = 6  # at what it can do; neighbours on the machine only ever slow it down, so the lowest counts
WORN = 0.95  # of the requests that are due must be sent: else the client, not the service, was measured
SCRIPT = 'wrk.method = "POST"\nwrk.body = [==[{body}]==]\nwrk.headers["Content-Type"] = "application/json"\n'


@dataclass
class Tenth:
    """Measurements of a tenth of the time."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    seen: list[Seen] = field(default_factory=list)


class Client(asyncio.Protocol):
    """A connection with requests that wait for their responses in order."""

    def __init__(self, tenths: list[Tenth]) -> None:
        self.tenths, self.due, self.data = tenths, deque[tuple[float, int]](), b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is one of TCP
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Count the requests without a response."""
        self.transport = None
        for _, place in self.due:
            self.tenths[place].errors += 1

    def ask(self, request: bytes, due: float, place: int) -> None:
        """Send a request with its scheduled time, in a tenth."""
        if self.transport is None:
            self.tenths[place].errors += 1
            return
        self.due.append((due, place))
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Time each response that is complete."""
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            head = self.data[:end].lower()
            whole = end + 4 + int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(self.data) < whole:
                return
            self.data = self.data[whole:]
            due, place = self.due.popleft()
            self.tenths[place].seconds.append(time.perf_counter() - due)
            self.tenths[place].errors += not head.startswith(b"http/1.1 200")


async def soaked(server: smoke_test.Server, request: bytes, rate: float, seconds: float) -> list[Tenth]:
    """Send requests at their scheduled times; sample the service once a second."""
    tenths = [Tenth() for _ in range(TENTHS)]
    loop, port = asyncio.get_running_loop(), int(server.url.rpartition(":")[2])
    clients = [(await loop.create_connection(lambda: Client(tenths), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    begun = looked = time.perf_counter()
    number = 0
    while (now := time.perf_counter()) < begun + seconds:
        while (due := begun + number / rate) <= now:
            place = min(int(TENTHS * (due - begun) / seconds), TENTHS - 1)
            clients[number % CONNECTIONS].ask(request, due, place)
            number += 1
        if now >= looked:
            tenths[min(int(TENTHS * (now - begun) / seconds), TENTHS - 1)].seen.append(look(server.process.pid))
            looked += 1
        await asyncio.sleep(0.001)
    await asyncio.sleep(2)  # for the last answers
    for client in clients:
        if client.transport:
            client.transport.close()
    await asyncio.sleep(0.1)
    return tenths


def capacity(server: smoke_test.Server, path: str, body: str, seconds: int) -> float:
    """Measure how many requests per second the service handles for 16 concurrent clients."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "post.lua")
        script.write_text(SCRIPT.replace("{body}", body), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), server.url + path]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", told)
    if not found or "Non-2xx" in told:
        raise SystemExit(f"expected answers of 200; wrk says:\n{told}")
    return float(found[1])


def main() -> None:
    """Serve the champion of a task, measure the capacity, run the soak test, judge and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--task", default="iris")
    given, workspace = parser.parse_args(), Workspace.find()
    folders = serve.champions(workspace, [given.task])
    body = json.dumps({"instances": [files.read_json(folders[given.task] / "schema.json")["example"]]})
    path = f"/v1/models/{given.task}:predict"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with tempfile.TemporaryDirectory() as folder:
        environment = serve.environment(serve.fixed_packages(folders), Path(folder))
        with smoke_test.running(serve.ARGUMENTS, environment, Path(folder)) as server:
            most = min([capacity(server, path, body, 5) for _ in range(LOOKS)][1:])  # the first warms up
            rate = SHARE * most
            tenths = asyncio.run(soaked(server, (head + body).encode(), rate, 60 * given.minutes))
    text, faults = told(given, tenths, most)
    print(text)
    if faults:
        raise SystemExit("\n".join(faults))
    files.write_text(RESULTS, text)


def told(given: argparse.Namespace, tenths: list[Tenth], most: float) -> tuple[str, list[str]]:
    """Return the table of tenths, and a sentence about faults."""
    lines = ["| minutes | requests | errors | p50 ms | p99 ms | max ms | MiB | open files |", "|---|" + "--:|" * 7]
    each, memory = given.minutes / TENTHS, [float(np.mean([seen.mib for seen in tenth.seen])) for tenth in tenths]
    for place, tenth in enumerate(tenths):
        p50, p99, worst = np.percentile(tenth.seconds or [np.nan], [50, 99, 100]) * 1000
        counts = f"{len(tenth.seconds)} | {tenth.errors} | {p50:.2f} | {p99:.2f} | {worst:.1f}"
        lines.append(f"| to {each * (place + 1):g} | {counts} | {memory[place]:.1f} | {tenth.seen[-1].files} |")
    sent, errors = sum(len(tenth.seconds) for tenth in tenths), sum(tenth.errors for tenth in tenths)
    wanted, growth = SHARE * most * 60 * given.minutes, memory[-1] / memory[1]
    faults = [f"{errors} errors"] * (errors > 0) + [f"memory grew {growth:.3f} times"] * (growth > FLAT)
    faults += [f"{tenths[1].seen[-1].files} open files became {tenths[-1].seen[-1].files}"] * (
        tenths[-1].seen[-1].files > tenths[1].seen[-1].files
    )
    faults += [f"only {sent} of {wanted:.0f} requests were answered: lower SHARE"] * (sent < WORN * wanted)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = f"""# Soak

{given.minutes:g} minutes at {SHARE:.0%} of capacity, {datetime.now(UTC):%Y-%m-%d}: {machine}; load average at the end
{os.getloadavg()[0]:.1f}. Written by `python benchmarks/soak.py`, which ends with an error instead if a request fails,
memory in the last tenth is more than {FLAT:g} times that of the second, a file stays open, or the client falls behind.

One worker, `{given.task}`, one instance a request, {CONNECTIONS} connections on the same machine. wrk found
{most:.0f} requests a second; {SHARE * most:.0f} a second were sent by the clock, {sent:,} in all, and timed from when
they were due.

{chr(10).join(lines)}

Memory is that of all processes of the service, resident, on the average of a look a second; in the last tenth it was
{growth:.3f} times that of the second.
"""
    return text, faults


if __name__ == "__main__":
    main()
