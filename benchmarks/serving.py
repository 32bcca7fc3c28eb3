"""Benchmark of serving: requests per second with wrk, for our service and other frameworks with the same ONNX files.

tiltyard run; python benchmarks/serving.py [--peers PYTHON] [--rounds N] [--seconds N]

Writes benchmarks/SERVING.md. PYTHON belongs to an environment with mlserver, litserve, onnxruntime, msgspec, httptools
and uvloop: the first two conflict with the requirements of this project.

All services run at once, with one worker each unless stated otherwise, and are measured alternately, so that a slow
machine affects all of them; the median of the rounds counts. Other frameworks receive encoded features and check
nothing or only JSON types; our service receives named values, checks each, counts the request and returns labels.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import page
import services
import wrk
from services import Service

from tiltyard import files
from tiltyard.environment import configure_tools
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.serving import serve
from tiltyard.workspace import Workspace

TASKS = {"diabetes": "a table", "digits": "a picture", "sine": "a series"}
TARGET = page.ROOT / "benchmarks" / "SERVING.md"
MANY, ROWS, STARTS = 256, 32, 5
Figures = dict[tuple[str, str], list[wrk.Figure]]  # by service and task


def main() -> None:
    """Start all services, measure them alternately, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="python3", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    asked = parser.parse_args()
    workspace = Workspace.find()
    configure_tools(workspace)
    folders = serve.champions(workspace, ["iris", *TASKS])
    with tempfile.TemporaryDirectory() as home:
        given = services.environment(workspace, folders, Path(home))
        started = _starts(given, Path(home))
        with contextlib.ExitStack() as stack:
            up = [*_all(stack, given, folders, [*services.ours(), *services.peers(asked.peers, Path(home))])]
            usual, many, rows = (defaultdict(list) for _ in range(3))
            for turn in range(asked.rounds):
                for name, (service, address) in itertools.product(TASKS, up):
                    print(f"round {turn + 1}: {name}, {service.name}", flush=True)
                    ask = _asking(service, address, name, folders[name], asked.seconds)
                    usual[service.name, name].append(ask(1, 16))
                    if service.own or service.name == services.BARE:
                        rows[service.name, name].append(ask(ROWS, 16))
                        many[service.name, name].append(ask(1, MANY))
    files.write_text(TARGET, _page(usual, many, rows, started))
    print(TARGET.read_text(encoding="utf-8"))


def _all(
    stack: contextlib.ExitStack, given: dict[str, str], folders: dict[str, Path], wanted: list[Service]
) -> Iterator[tuple[Service, str]]:
    """Start every service and request each task once; report and skip a service that cannot be started."""
    for service in wanted:
        home = Path(given["BENTOML_HOME"]) / service.name.replace(" ", "_")
        try:
            address, _ = stack.enter_context(services.running(service, {**given, "BENTOML_HOME": str(home)}, home))
        except (RuntimeError, OSError) as error:
            print(f"{service.name} is left out: {error}")
            continue
        for name in TASKS:
            url = address + service.path.format(name=name)
            body, kind = service.body(name, _spellings(folders[name], 1)), {"Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=60).close()  # noqa: S310 - our own
        yield service, address


def _spellings(folder: Path, rows: int) -> dict[bool, list[Any]]:
    """Return the example so many times: as a client sends it (True), and as encoded features."""
    encoder = Encoder.load(folder / "encoder.json")
    example = [files.read_json(folder / "schema.json")["example"]]
    return {True: example * rows, False: encoder.encode(encoder.parse(example)).tolist() * rows}


def _asking(service: Service, address: str, name: str, folder: Path, seconds: float) -> Any:
    def ask(rows: int, clients: int) -> wrk.Figure:
        body = service.body(name, _spellings(folder, rows))
        return wrk.measure(address + service.path.format(name=name), body, clients, seconds)

    return ask


def _starts(given: dict[str, str], home: Path) -> list[str]:
    """Start our service several times with four champions; return the median seconds until ready, and the memory."""
    lines = ["| service | ready after, s | resident, MiB |", "|---|--:|--:|"]
    for service in services.ours():
        seconds, resident = [], []
        for _ in range(STARTS):
            begun = time.perf_counter()
            with services.running(service, given, home / "start") as (_, process):
                seconds.append(time.perf_counter() - begun)
                family = [process, *process.children(recursive=True)]
                resident.append(sum(one.memory_info().rss for one in family) / 2**20)
        lines.append(f"| {service.name} | {statistics.median(seconds):.2f} | {max(resident):.0f} |")
    return lines


def _page(usual: Figures, many: Figures, rows: Figures, started: list[str]) -> str:
    """Return the tables."""
    said = f"Measured by `benchmarks/serving.py` on {datetime.now(UTC):%Y-%m-%d}: {page.machine()}, wrk beside it."
    why = (__doc__ or "").split("\n\n")[3].strip().replace("\n", " ")
    parts = ["# Serving", f"{said} {why}"]
    for name, what in TASKS.items():
        parts += [f"## {name}, {what}: one row a request, 16 clients", _table(usual, name)]
    parts += [f"## {MANY} clients, one row a request", *(f"### {name}\n\n{_table(many, name)}" for name in TASKS)]
    parts += [f"## {ROWS} rows a request, 16 clients", *(f"### {name}\n\n{_table(rows, name, ROWS)}" for name in TASKS)]
    parts += ["## Start with four champions, all processes counted", "\n".join(started)]
    return "\n\n".join(parts) + "\n"


def _table(figures: Figures, name: str, rows: int = 1) -> str:
    """Return a line for each service; ratios are of medians."""
    unit = "requests/s" if rows == 1 else "rows/s"
    lines = [
        f"| service | {unit} | ours / its | p50, ms | p99, ms | p99 / p50 | errors |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    ours = _median(figures[services.OURS, name], "per_second")
    for service in [service for service, task in figures if task == name]:
        found = figures[service, name]
        rate, p50, p99 = (_median(found, what) for what in ("per_second", "p50", "p99"))
        ratio = f"{ours / rate:.2f}" if rate else "no answer in time"
        spread = f"{p99 / p50:.1f}" if p50 else ""
        errors = sum(figure.errors for figure in found)
        lines.append(f"| {service} | {rate * rows:,.0f} | {ratio} | {p50:.2f} | {p99:.2f} | {spread} | {errors} |")
    return "\n".join(lines)


def _median(figures: list[wrk.Figure], what: str) -> float:
    return float(statistics.median(getattr(figure, what) for figure in figures))


if __name__ == "__main__":
    main()
