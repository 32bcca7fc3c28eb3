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
from process_stats import ProcessStats, measure_processes

from tiltyard import files
from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "SOAK.md"
SHARE = 0.7
CONNECTIONS = 16
MAX_GROWTH = 1.02  # maximum memory in the last tenth, relative to the second tenth
TENTHS = 10
CAPACITY_RUNS = 6  # measurements of the capacity; the lowest counts, so that the load stays below it
MIN_SENT_SHARE = (
    0.95  # minimum share of due requests that are sent; with fewer, the client would be measured, not the service
)
SCRIPT = 'wrk.method = "POST"\nwrk.body = [==[{body}]==]\nwrk.headers["Content-Type"] = "application/json"\n'


@dataclass
class Tenth:
    """Measurements of a tenth of the time."""

    seconds: list[float] = field(default_factory=list)
    errors: int = 0
    samples: list[ProcessStats] = field(default_factory=list)


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
        for _, index in self.due:
            self.tenths[index].errors += 1

    def send(self, request: bytes, due: float, index: int) -> None:
        """Send a request with its scheduled time, in a tenth."""
        if self.transport is None:
            self.tenths[index].errors += 1
            return
        self.due.append((due, index))
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
            due, index = self.due.popleft()
            self.tenths[index].seconds.append(time.perf_counter() - due)
            self.tenths[index].errors += not head.startswith(b"http/1.1 200")


async def run_soak_test(server: smoke_test.Server, request: bytes, rate: float, seconds: float) -> list[Tenth]:
    """Send requests at their scheduled times; sample the service once a second."""
    tenths = [Tenth() for _ in range(TENTHS)]
    loop, port = asyncio.get_running_loop(), int(server.url.rpartition(":")[2])
    clients = [(await loop.create_connection(lambda: Client(tenths), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)]
    started_at = next_sample = time.perf_counter()
    number = 0
    while (current_time := time.perf_counter()) < started_at + seconds:
        while (due := started_at + number / rate) <= current_time:
            index = min(int(TENTHS * (due - started_at) / seconds), TENTHS - 1)
            clients[number % CONNECTIONS].send(request, due, index)
            number += 1
        if current_time >= next_sample:
            tenths[min(int(TENTHS * (current_time - started_at) / seconds), TENTHS - 1)].samples.append(
                measure_processes(server.process.pid)
            )
            next_sample += 1
        await asyncio.sleep(0.001)
    await asyncio.sleep(2)  # for the last responses
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
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if not found or "Non-2xx" in output:
        raise SystemExit(f"expected responses of 200; output of wrk:\n{output}")
    return float(found[1])


def main() -> None:
    """Serve the champion of a task, measure the capacity, run the soak test, judge and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--task", default="iris")
    options, workspace = parser.parse_args(), Workspace.find()
    folders = serve.champions(workspace, [options.task])
    body = json.dumps({"instances": [files.read_json(folders[options.task] / "schema.json")["example"]]})
    path = f"/v1/models/{options.task}:predict"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with tempfile.TemporaryDirectory() as folder:
        environment = serve.environment(serve.fixed_packages(folders), Path(folder))
        with smoke_test.running(SERVER, environment, Path(folder)) as server:
            max_rate = min([capacity(server, path, body, 5) for _ in range(CAPACITY_RUNS)][1:])  # the first warms up
            rate = SHARE * max_rate
            tenths = asyncio.run(run_soak_test(server, (head + body).encode(), rate, 60 * options.minutes))
    text, faults = summary(options, tenths, max_rate)
    print(text)
    if faults:
        raise SystemExit("\n".join(faults))
    files.write_text(RESULTS, text)


def summary(options: argparse.Namespace, tenths: list[Tenth], max_rate: float) -> tuple[str, list[str]]:
    """Return the table of tenths, and a sentence about faults."""
    lines = ["| minutes | requests | errors | p50 ms | p99 ms | max ms | MiB | open files |", "|---|" + "--:|" * 7]
    each, memory = (
        options.minutes / TENTHS,
        [float(np.mean([sample.mib for sample in tenth.samples])) for tenth in tenths],
    )
    for index, tenth in enumerate(tenths):
        p50, p99, worst = np.percentile(tenth.seconds or [np.nan], [50, 99, 100]) * 1000
        counts = f"{len(tenth.seconds)} | {tenth.errors} | {p50:.2f} | {p99:.2f} | {worst:.1f}"
        lines.append(f"| to {each * (index + 1):g} | {counts} | {memory[index]:.1f} | {tenth.samples[-1].files} |")
    sent, errors = sum(len(tenth.seconds) for tenth in tenths), sum(tenth.errors for tenth in tenths)
    expected, growth = SHARE * max_rate * 60 * options.minutes, memory[-1] / memory[1]
    faults = [f"{errors} errors"] * (errors > 0) + [f"memory grew {growth:.3f} times"] * (growth > MAX_GROWTH)
    faults += [f"{tenths[1].samples[-1].files} open files became {tenths[-1].samples[-1].files}"] * (
        tenths[-1].samples[-1].files > tenths[1].samples[-1].files
    )
    faults += [f"only {sent} of {expected:.0f} requests got a response: lower SHARE"] * (
        sent < MIN_SENT_SHARE * expected
    )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    text = f"""# Soak

{options.minutes:g} minutes at {SHARE:.0%} of capacity, {datetime.now(UTC):%Y-%m-%d}: {machine}; load average at the end
{os.getloadavg()[0]:.1f}. Written by `python benchmarks/soak.py`, which ends with an error instead if a request fails,
memory in the last tenth is more than {MAX_GROWTH:g} times that in the second, a file stays open, or the client is late.

One worker, `{options.task}`, one instance per request, {CONNECTIONS} connections on the same machine. wrk measured
{max_rate:.0f} requests per second; {SHARE * max_rate:.0f} per second were sent at scheduled times, {sent:,} in total,
and latency counts from these times.

{chr(10).join(lines)}

Memory is the mean resident memory of all processes of the service, sampled once a second; in the last tenth it was
{growth:.3f} times that in the second.
"""
    return text, faults


if __name__ == "__main__":
    main()
