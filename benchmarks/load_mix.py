"""Load mix: plain requests beside slow clients, heavy explanations, a shadow and promotions, also all at once.

python benchmarks/load_mix.py [--rounds N] [--seconds N] [--rate N]

Writes benchmarks/LOAD_MIX.md. One worker serves tables with random models. Plain requests are one row each, sent over
16 connections at fixed times, whether or not earlier responses have arrived (open loop); latency counts from these
times. Clients, service and its compute processes share the machine. Slow clients: 64 connections that send a body byte
by byte. Explanations: two clients that explain 64 rows, the most, again and again. Shadow: every plain request is
copied to a challenger. Promotions: another task of the same service gets another champion twice a second, one of four
in turn, so that each is loaded. A second process does all this beside the plain requests, so that it delays none of
them in the process that measures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import page
import soak

sys.path.insert(0, str(page.ROOT / "tests/builders"))

import random_models
from workspaces import new_workspace

from tiltyard import files
from tiltyard.config import loader
from tiltyard.monitoring import traffic
from tiltyard.runtime.environment import configure_tools
from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

TARGET = page.ROOT / "benchmarks" / "LOAD_MIX.md"
PLAIN, OTHER = "diabetes", "iris"  # the task of the plain requests, and the task that is promoted
VERSIONS = {PLAIN: 2, OTHER: 4}  # of each task; the service keeps two of a task loaded
SLOW_CLIENTS, SLOW_SECONDS = 64, 0.05  # between two bytes
EXPLAINERS, EXPLAINED_ROWS = 2, 64
PROMOTION_SECONDS = 0.5
MAX_RATIO = 3.0  # of the 99th percentile, beside that of plain requests alone


@dataclass(frozen=True)
class Project:
    """A project with several versions of each task, and the service of its champions."""

    space: Workspace
    versions: dict[str, list[str]]
    server: smoke_test.Server

    def head(self, path: str, length: int) -> bytes:
        """Return the head of a POST request."""
        return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()

    def request(self, task: str, rows: int = 1, **more: bool) -> bytes:
        """Return a request for predictions."""
        example = files.read_json(self.space.package(task, self.versions[task][0]) / "schema.json")["example"]
        body = json.dumps({"instances": [example] * rows, **more}).encode()
        return self.head(f"/v1/models/{task}:predict", len(body)) + body

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection to the service."""
        return await asyncio.open_connection("127.0.0.1", int(self.server.url.rpartition(":")[2]))


Mix = Callable[[Project], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def slow_clients(project: Project) -> AsyncIterator[None]:
    """Send bodies byte by byte; a connection that the service closes is opened again."""
    async with _repeated(lambda: _send_slowly(project), SLOW_CLIENTS):
        yield


async def _send_slowly(project: Project) -> None:
    reader, writer = await project.connect()
    with contextlib.closing(writer):
        writer.write(project.head(f"/v1/models/{PLAIN}:predict", 100_000))
        while not reader.at_eof():
            writer.write(b"1")
            await asyncio.sleep(SLOW_SECONDS)


@contextlib.asynccontextmanager
async def explanations(project: Project) -> AsyncIterator[None]:
    """Request explanations of many rows, one request after the other."""
    request = project.request(PLAIN, EXPLAINED_ROWS, explain=True)
    async with _repeated(lambda: _ask(project, request), EXPLAINERS):
        yield


async def _ask(project: Project, request: bytes) -> None:
    reader, writer = await project.connect()
    with contextlib.closing(writer):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"expected an explanation; received {head!r}")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]))


@contextlib.asynccontextmanager
async def shadow(project: Project) -> AsyncIterator[None]:
    """Copy every plain request to a challenger."""
    task = loader.load(project.space, PLAIN)
    traffic.start_rollout(project.space, task, (project.versions[PLAIN][1], "shadow"), 1.0)
    await asyncio.sleep(2)  # until the service has loaded it
    try:
        yield
    finally:
        traffic.end_rollout(project.space, task)
        await asyncio.sleep(2)


@contextlib.asynccontextmanager
async def promotions(project: Project) -> AsyncIterator[None]:
    """Make one version after the other the champion of the other task."""
    versions = itertools.cycle(reversed(project.versions[OTHER]))

    async def promote() -> None:
        await asyncio.to_thread(random_models.set_champion, project.space, next(versions), OTHER)
        await asyncio.sleep(PROMOTION_SECONDS)

    async with _repeated(promote, 1):
        yield


@contextlib.asynccontextmanager
async def all_at_once(project: Project) -> AsyncIterator[None]:
    """Do all of these at once."""
    async with shadow(project), slow_clients(project), explanations(project), promotions(project):
        yield


@contextlib.asynccontextmanager
async def nothing(_: Project) -> AsyncIterator[None]:
    """Send plain requests only."""
    yield


MIXES: dict[str, Mix] = {
    "alone": nothing,
    f"{SLOW_CLIENTS} slow clients": slow_clients,
    f"{EXPLAINERS} clients that explain {EXPLAINED_ROWS} rows": explanations,
    "a shadow of all requests": shadow,
    "two promotions a second": promotions,
    "all at once": all_at_once,
}


@contextlib.asynccontextmanager
async def _repeated(work: Callable[[], object], count: int) -> AsyncIterator[None]:
    """Repeat some work in several tasks during the block."""

    async def forever() -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await work()  # type: ignore[misc]

    tasks = [asyncio.ensure_future(forever()) for _ in range(count)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    """Measure all mixes alternately, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rate", type=float, default=300, help="plain requests a second")
    options = parser.parse_args()
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        space = new_workspace(Path(folder))
        configure_tools(space)
        versions = {name: _write_versions(space, name, count) for name, count in VERSIONS.items()}
        given = {
            "CHAMPIONS": str(space.serving),
            "RECORDS": str(space.records),
            "STATE": str(space.state("serve", "last-good")),
        }
        with smoke_test.running(
            SERVER, serve.environment(given, space.state("serve", "home")), space.state("serve", "home")
        ) as server:
            project = Project(space, versions, server)
            for turn, name in itertools.product(range(options.rounds), MIXES):
                print(f"round {turn + 1}: {name}", flush=True)
                found[name].append(_measure(project, name, options))
    text = _page(found, options)
    print(text)
    files.write_text(TARGET, text)


def _write_versions(space: Workspace, name: str, count: int) -> list[str]:
    """Write versions of a task; the first is the champion."""
    seeds = reversed(range(count))
    folders = [random_models.write_champion(space, random_models.write_evaluated(space, name, seed)) for seed in seeds]
    return [folder.name for folder in reversed(folders)]


def _measure(project: Project, name: str, options: argparse.Namespace) -> tuple[float, float, float]:
    """Return the median and the 99th percentile in milliseconds, and the number of errors."""
    with _disturbed(project, name):
        tenths = asyncio.run(soak.run_soak_test(project.server, project.request(PLAIN), options.rate, options.seconds))
    p50, p99 = np.percentile([second for tenth in tenths for second in tenth.seconds], [50, 99]) * 1000
    return float(p50), float(p99), float(sum(tenth.errors for tenth in tenths))


@contextlib.contextmanager
def _disturbed(project: Project, name: str) -> Iterator[None]:
    """Run a mix in another process during the block."""
    context = multiprocessing.get_context("fork")
    ready, stop = context.Event(), context.Event()
    process = context.Process(target=lambda: asyncio.run(_disturb(MIXES[name](project), ready, stop)))
    process.start()
    try:
        if not ready.wait(60):
            raise SystemExit(f"expected {name} to begin")
        yield
    finally:
        stop.set()
        process.join()


async def _disturb(mix: contextlib.AbstractAsyncContextManager[None], ready: Event, stop: Event) -> None:
    async with mix:
        ready.set()
        await asyncio.to_thread(stop.wait)


def _page(found: dict[str, list[tuple[float, float, float]]], options: argparse.Namespace) -> str:
    """Return the table, and a sentence about the goal."""
    today, why = f"{datetime.now(UTC):%Y-%m-%d}", (__doc__ or "").split("\n\n")[2].strip().replace("\n", " ")
    why = why.partition(". ")[2]
    lines = ["| beside plain requests | p50, ms | p99, ms | p99 / alone | errors |", "|---|--:|--:|--:|--:|"]
    medians = {
        name: [statistics.median(one[place] for one in several) for place in (0, 1)] for name, several in found.items()
    }
    for name, (p50, p99) in medians.items():
        errors = sum(one[2] for one in found[name])
        lines.append(f"| {name} | {p50:.2f} | {p99:.2f} | {p99 / medians['alone'][1]:.1f} | {errors:.0f} |")
    reached = "reached" if medians["all at once"][1] <= MAX_RATIO * medians["alone"][1] else "not reached"
    goal = f"The goal is a 99th percentile of at most {MAX_RATIO:g} times that alone: {reached}."
    rate = f"{options.rate:g} plain requests a second, {options.rounds} rounds of {options.seconds:g} seconds, medians."
    intro = f"Measured by `benchmarks/load_mix.py` on {today}: {page.machine_with_load()}. {rate} {why}"
    return "\n\n".join(["# Load mix", intro, "\n".join(lines), goal]) + "\n"


if __name__ == "__main__":
    main()
