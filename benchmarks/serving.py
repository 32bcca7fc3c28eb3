"""Benchmark of serving: requests per second with wrk, for our service and other frameworks with the same ONNX files.

tiltyard run; python benchmarks/serving.py [--peers PYTHON] [--rounds N] [--seconds N] [--many]

Writes benchmarks/SERVING.md; with --many only its part about many clients. PYTHON belongs to an environment with
mlserver, litserve, onnxruntime, msgspec, httptools and uvloop: the first two conflict with the requirements of this
project.

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
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.runtime.environment import configure_tools
from tiltyard.serving import serve
from tiltyard.workspace import Workspace

TASKS = {"diabetes": "a table", "digits": "an image", "sine": "a series"}
TARGET = page.ROOT / "benchmarks" / "SERVING.md"
MANY, ROWS, STARTS = 256, 32, 5
MANY_TITLE = f"## {MANY} clients"
Figures = dict[tuple[str, str], list[wrk.WrkResult]]  # by service and task


def main() -> None:
    """Start all services, measure them alternately, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="python3", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--many", action="store_true", help="measure only many clients")
    options = parser.parse_args()
    workspace = Workspace.find()
    configure_tools(workspace)
    folders = serve.champions(workspace, ["iris", *TASKS])
    with tempfile.TemporaryDirectory() as home:
        variables = services.environment(workspace, folders, Path(home))
        started = [] if options.many else _measure_starts(variables, Path(home))
        peers = services.peers(options.peers, Path(home))
        peers = [one for one in peers if one.name == services.PLAIN or not options.many]
        with contextlib.ExitStack() as stack:
            running_services = [*_start_all(stack, variables, folders, [*services.ours(), *peers])]
            single_row, many_clients, rows = (defaultdict(list) for _ in range(3))
            for turn in range(options.rounds):
                for name, (service, address) in itertools.product(TASKS, running_services):
                    print(f"round {turn + 1}: {name}, {service.name}", flush=True)
                    measure = _measurement(service, address, name, folders[name], options.seconds)
                    if service.own or service.name == services.PLAIN:
                        many_clients[service.name, name].append(measure(1, MANY))
                    if options.many:
                        continue
                    single_row[service.name, name].append(measure(1, 16))
                    if service.own or service.name == services.PLAIN:
                        rows[service.name, name].append(measure(ROWS, 16))
    if options.many:
        files.write_text(TARGET, _with_many_clients(TARGET.read_text(encoding="utf-8"), many_clients))
    else:
        files.write_text(TARGET, _page(single_row, many_clients, rows, started))
    print(TARGET.read_text(encoding="utf-8"))


def _start_all(
    stack: contextlib.ExitStack, variables: dict[str, str], folders: dict[str, Path], requested: list[Service]
) -> Iterator[tuple[Service, str]]:
    """Start every service and request each task once; report and skip a service that cannot be started."""
    for service in requested:
        home = Path(variables["BENTOML_HOME"]) / service.name.replace(" ", "_")
        try:
            address, _ = stack.enter_context(services.running(service, {**variables, "BENTOML_HOME": str(home)}, home))
        except (RuntimeError, OSError) as error:
            print(f"{service.name} is left out: {error}")
            continue
        for name in TASKS:
            url = address + service.path.format(name=name)
            body, kind = service.body(name, _example_rows(folders[name], 1)), {"Content-Type": "application/json"}
            urllib.request.urlopen(urllib.request.Request(url, body, kind), timeout=60).close()  # noqa: S310 - our own
        yield service, address


def _example_rows(folder: Path, rows: int) -> dict[bool, list[Any]]:
    """Return the example repeated, as a client sends it (True) and as encoded features (False)."""
    encoder = Encoder.load(folder / "encoder.json")
    example = [files.read_json(folder / "schema.json")["example"]]
    return {True: example * rows, False: encoder.encode(encoder.parse(example)).tolist() * rows}


def _measurement(service: Service, address: str, name: str, folder: Path, seconds: float) -> Any:
    def measure(rows: int, clients: int) -> wrk.WrkResult:
        body = service.body(name, _example_rows(folder, rows))
        return wrk.measure(address + service.path.format(name=name), body, clients, seconds)

    return measure


def _measure_starts(variables: dict[str, str], home: Path) -> list[str]:
    """Start our service several times with four champions; return the median seconds until ready, and the memory."""
    lines = ["| service | ready after, s | resident, MiB |", "|---|--:|--:|"]
    for service in services.ours():
        seconds, resident = [], []
        for _ in range(STARTS):
            started_at = time.perf_counter()
            with services.running(service, variables, home / "start") as (_, process):
                seconds.append(time.perf_counter() - started_at)
                processes = [process, *process.children(recursive=True)]
                resident.append(sum(one.memory_info().rss for one in processes) / 2**20)
        lines.append(f"| {service.name} | {statistics.median(seconds):.2f} | {max(resident):.0f} |")
    return lines


def _page(single_row: Figures, many_clients: Figures, rows: Figures, started: list[str]) -> str:
    """Return the tables."""
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    intro = f"Measured by `benchmarks/serving.py` on {date}: {page.machine()}; wrk on the same machine."
    why = (__doc__ or "").split("\n\n")[3].strip().replace("\n", " ")
    parts = ["# Serving", f"{intro} {why}"]
    for name, what in TASKS.items():
        parts += [f"## {name}, {what}: one row per request, 16 clients", _table(single_row, name)]
    parts += [_many_clients(many_clients)]
    parts += [
        f"## {ROWS} rows per request, 16 clients",
        *(f"### {name}\n\n{_table(rows, name, ROWS)}" for name in TASKS),
    ]
    parts += ["## Start with four champions, memory of all processes", "\n".join(started)]
    return "\n\n".join(parts) + "\n"


def _many_clients(figures: Figures) -> str:
    """Return the part about many clients."""
    tables = (f"### {name}\n\n{_table(figures, name)}" for name in TASKS)
    return "\n\n".join([f"{MANY_TITLE}, one row per request", *tables])


def _with_many_clients(text: str, figures: Figures) -> str:
    """Return the page with another part about many clients, measured now."""
    before, _, rest = text.partition(MANY_TITLE)
    after = rest[rest.index("\n## ") :]
    title, tables = _many_clients(figures).split("\n\n", 1)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    when = f"Measured by `benchmarks/serving.py --many` on {today}: {page.machine_with_load()}, with wrk on it."
    return f"{before}{title}\n\n{when}\n\n{tables}\n{after}"


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
        ratio = f"{ours / rate:.2f}" if rate else "no response in time"
        spread = f"{p99 / p50:.1f}" if p50 else ""
        errors = sum(figure.errors for figure in found)
        lines.append(f"| {service} | {rate * rows:,.0f} | {ratio} | {p50:.2f} | {p99:.2f} | {spread} | {errors} |")
    return "\n".join(lines)


def _median(figures: list[wrk.WrkResult], what: str) -> float:
    return float(statistics.median(getattr(figure, what) for figure in figures))


if __name__ == "__main__":
    main()
