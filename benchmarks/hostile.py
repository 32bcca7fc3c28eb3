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

from corpus import Model
from watched import Seen, look
from wires import Request, dealt, sent

from tiltyard import files
from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "HOSTILE.md"
CLIENTS = 8
PART = 500  # requests between two looks at memory
FLAT = 1.1  # times the memory of the second fifth, in the last one
SECONDS = "5"  # TILTYARD_TIMEOUT


@dataclass
class Outcome:
    """Counts of responses and faults."""

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by kind
    faults: list[str] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)  # before, and after each part

    def note(self, request: Request, answers: list[int]) -> None:
        """Count a request; a missing response is a fault, and so is a 5xx other than that of the timeout."""
        self.statuses[request.kind].update(map(str, answers) if answers else ["none"])
        wrong = [status for status in answers if status >= 500 and not (status == 503 and request.drips)]
        if wrong or len(answers) < request.answers:
            self.faults.append(f"{request.kind}: {answers} for {request.wire[:300]!r} ({len(request.wire)} bytes)")

    @property
    def growth(self) -> float:
        """Return the mean memory in the last fifth of the samples, divided by that in the second fifth."""
        fifth = max(1, len(self.seen) // 5)
        early, late = self.seen[fifth : 2 * fifth], self.seen[-fifth:]
        return sum(seen.mib for seen in late) / sum(seen.mib for seen in early)


def hammer(server: smoke_test.Server, golden: dict[str, Any], count: int, seed: int) -> Outcome:
    """Send requests; then check that the same processes are ready and predict golden rows as before."""
    dice, outcome, port = Random(seed), Outcome(), int(server.url.rpartition(":")[2])  # noqa: S311 - no secret
    models = [_model(server, name) for name in golden]
    outcome.seen.append(look(server.process.pid))
    with ThreadPoolExecutor(CLIENTS) as clients:
        for start in range(0, count, PART):
            requests = [dealt(dice, models) for _ in range(min(PART, count - start))]
            for request, answers in zip(requests, clients.map(lambda one: sent(port, one), requests), strict=True):
                outcome.note(request, answers)
            outcome.seen.append(look(server.process.pid))
    for name, rows in golden.items():
        smoke_test.replay(server, name, rows["version"], rows)
    with urllib.request.urlopen(f"{server.url}/readyz", timeout=10) as answer:  # noqa: S310 - loopback
        assert answer.status == 200  # noqa: S101 - urlopen raises otherwise
    if gone := {*outcome.seen[0].processes} - {*outcome.seen[-1].processes}:  # another may have come for long work
        outcome.faults.append(f"processes that ended: {sorted(gone)}")
    return outcome


def _model(server: smoke_test.Server, name: str) -> Model:
    return Model(name, server.ask(f"/v1/models/{name}/schema"), server.ask(f"/v2/models/{name}")["inputs"])


def main() -> None:
    """Serve the champions, send the requests, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given, workspace = parser.parse_args(), Workspace.find()
    folders = serve.champions(workspace, [])
    golden = {
        name: {**files.read_json(folder / "golden.json"), "version": folder.name} for name, folder in folders.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        environment = serve.environment({**serve.fixed_packages(folders), "TIMEOUT": SECONDS}, Path(folder))
        with smoke_test.running(serve.ARGUMENTS, environment, Path(folder)) as server:
            outcome = hammer(server, golden, given.requests, given.seed)
    text = told(outcome, given.requests, given.seed)
    print(text)
    if outcome.faults or outcome.growth > FLAT:
        raise SystemExit(
            "\n".join([*outcome.faults[:20], f"{len(outcome.faults)} faults, memory {outcome.growth:.3f} times"])
        )
    heading = "## One kind of attack at a time"
    second = RESULTS.read_text(encoding="utf-8").partition(heading)[2] if RESULTS.is_file() else ""
    files.write_text(RESULTS, f"{text}\n{heading}{second}" if second else text)  # attacks.py writes that part


def told(outcome: Outcome, count: int, seed: int) -> str:
    """Return the summary of the outcome."""
    sums = Counter[str]()
    for counts in outcome.statuses.values():
        sums.update(counts)
    columns = sorted(sums)
    lines = [f"| kind | {' | '.join(columns)} |", f"|---|{'--:|' * len(columns)}"]
    for kind, counts in [*sorted(outcome.statuses.items()), ("all", sums)]:
        lines.append(f"| {kind} | {' | '.join(str(counts[column] or '') for column in columns)} |")
    warm = outcome.seen[len(outcome.seen) // 5]
    table = "\n".join(lines)
    memory = ", ".join(f"{seen.mib:.0f}" for seen in outcome.seen[:: max(1, len(outcome.seen) // 10)])
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"""# Hostile requests

{count:,} requests with seed {seed}, sent by {CLIENTS} clients over loopback, each on a connection of its own, on
{datetime.now(UTC):%Y-%m-%d}: {machine}. Written by `python benchmarks/hostile.py`, which ends with an error
instead if there is a 5xx but the timeout's (503, to clients that drip for longer than {SECONDS} s), a missing answer,
a process that ended, a golden row answered otherwise, or more than {FLAT:g} times the memory in the last fifth that
there was in the second, on the average of looks after every {PART} requests.

Answers by status; several where requests were pipelined, `none` where HTTP knows no answer, or the client left:

{table}

- processes: {len(outcome.seen[0].processes)} before, all of them there after, {len(outcome.seen[-1].processes)} then; \
ready; all golden rows answered as evaluated
- faults: {len(outcome.faults)}
- resident memory of all processes, MiB: in the last fifth {outcome.growth:.3f} times that of the second; on \
the way {memory}
- open files: {warm.files} after a fifth, {outcome.seen[-1].files} at the end
"""


if __name__ == "__main__":
    main()
