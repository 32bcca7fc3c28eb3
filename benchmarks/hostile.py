"""Benchmark of robustness: 10,000 hostile requests over loopback must cause no 5xx, no crash and no memory growth.

Run `tiltyard run` first; then `python benchmarks/hostile.py [--requests N] [--seed N]`. Writes benchmarks/HOSTILE.md.
A request may take 5 seconds here; a 503 after that is accepted if the client sends slowly, any other 5xx is not.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import urllib.request
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from hostile_bodies import Model
from process_stats import ProcessStats, measure_processes
from raw_requests import Request, random_request, send

from tiltyard import files
from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "HOSTILE.md"
CLIENTS = 8
SAMPLE_EVERY = 500  # requests between two measurements of memory
MAX_GROWTH = 1.1  # maximum memory in the last fifth, relative to the second fifth
SECONDS = "5"  # TILTYARD_TIMEOUT


@dataclass
class Outcome:
    """Counts of responses and faults."""

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by kind
    faults: list[str] = field(default_factory=list)
    samples: list[ProcessStats] = field(default_factory=list)  # before, and after each part

    def count_request(self, request: Request, responses: list[int]) -> None:
        """Count a request; a missing response is a fault, and so is a 5xx other than that of the timeout."""
        self.statuses[request.kind].update(map(str, responses) if responses else ["none"])
        errors = [status for status in responses if status >= 500 and not (status == 503 and request.slow_parts)]
        if errors or len(responses) < request.responses:
            self.faults.append(f"{request.kind}: {responses} for {request.data[:300]!r} ({len(request.data)} bytes)")

    @property
    def growth(self) -> float:
        """Return the mean memory in the last fifth of the samples, divided by that in the second fifth."""
        fifth = max(1, len(self.samples) // 5)
        early, late = self.samples[fifth : 2 * fifth], self.samples[-fifth:]
        return sum(sample.mib for sample in late) / sum(sample.mib for sample in early)


def send_requests(server: smoke_test.Server, golden: dict[str, Any], count: int, seed: int) -> Outcome:
    """Send requests; then check that the same processes are ready and predict golden rows as before."""
    rng, outcome, port = Random(seed), Outcome(), int(server.url.rpartition(":")[2])  # noqa: S311 - no secret
    models = [_model(server, name) for name in golden]
    outcome.samples.append(measure_processes(server.process.pid))
    with ThreadPoolExecutor(CLIENTS) as clients:
        for start in range(0, count, SAMPLE_EVERY):
            requests = [random_request(rng, models) for _ in range(min(SAMPLE_EVERY, count - start))]
            for request, responses in zip(requests, clients.map(lambda one: send(port, one), requests), strict=True):
                outcome.count_request(request, responses)
            outcome.samples.append(measure_processes(server.process.pid))
    for name, rows in golden.items():
        smoke_test.replay(server, name, rows["version"], rows)
    with urllib.request.urlopen(f"{server.url}/readyz", timeout=10) as response:  # noqa: S310 - loopback
        assert response.status == 200  # noqa: S101 - urlopen raises otherwise
    # A process may have been added for long requests.
    if ended := {*outcome.samples[0].processes} - {*outcome.samples[-1].processes}:
        outcome.faults.append(f"processes that ended: {sorted(ended)}")
    return outcome


def _model(server: smoke_test.Server, name: str) -> Model:
    return Model(name, server.ask(f"/v1/models/{name}/schema"), server.ask(f"/v2/models/{name}")["inputs"])


def main() -> None:
    """Serve the champions, send the requests, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options, workspace = parser.parse_args(), Workspace.find()
    folders = serve.champions(workspace, [])
    golden = {
        name: {**files.read_json(folder / "golden.json"), "version": folder.name} for name, folder in folders.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        environment = serve.environment({**serve.fixed_packages(folders), "TIMEOUT": SECONDS}, Path(folder))
        with smoke_test.running(SERVER, environment, Path(folder)) as server:
            outcome = send_requests(server, golden, options.requests, options.seed)
    text = summary(outcome, options.requests, options.seed)
    print(text)
    if outcome.faults or outcome.growth > MAX_GROWTH:
        raise SystemExit(
            "\n".join([*outcome.faults[:20], f"{len(outcome.faults)} faults, memory {outcome.growth:.3f} times"])
        )
    heading = "## One kind of attack at a time"
    second = RESULTS.read_text(encoding="utf-8").partition(heading)[2] if RESULTS.is_file() else ""
    files.write_text(RESULTS, f"{text}\n{heading}{second}" if second else text)  # attacks.py writes that part


def summary(outcome: Outcome, count: int, seed: int) -> str:
    """Return the summary of the outcome."""
    totals = Counter[str]()
    for counts in outcome.statuses.values():
        totals.update(counts)
    columns = sorted(totals)
    lines = [f"| kind | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
    for kind, counts in [*sorted(outcome.statuses.items()), ("all", totals)]:
        lines.append(f"| {kind} | {' | '.join(str(counts[column] or '') for column in columns)} |")
    warm = outcome.samples[len(outcome.samples) // 5]
    table = "\n".join(lines)
    memory = ", ".join(f"{sample.mib:.0f}" for sample in outcome.samples[:: max(1, len(outcome.samples) // 10)])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"""# Hostile requests

{count:,} requests with seed {seed}, sent by {CLIENTS} clients over loopback, each over a separate connection, on
{datetime.now(UTC):%Y-%m-%d}: {machine}. Written by `python benchmarks/hostile.py`, which ends with an error
instead if there is a 5xx other than that of the timeout (503, to clients that send for longer than {SECONDS} s), a
missing response, a process that ended, another prediction for a golden row, or if the mean memory in the last fifth of
the samples, taken after every {SAMPLE_EVERY} requests, is more than {MAX_GROWTH:g} times that in the second fifth.

Responses by status; pipelined requests have several, and `none` counts requests to which HTTP defines no response or
whose client disconnected:

{table}

- processes: {len(outcome.samples[0].processes)} before, {len(outcome.samples[-1].processes)} after, none of the \
first ended; ready; all golden rows predicted as in the evaluation
- faults: {len(outcome.faults)}
- resident memory of all processes, MiB: in the last fifth {outcome.growth:.3f} times that of the second; \
samples: {memory}
- open files: {warm.files} after a fifth, {outcome.samples[-1].files} at the end
"""


if __name__ == "__main__":
    main()
