"""One-row latency and requests a second of :predict, against a BentoML service that calls model.predict.

A closed loop: each client sends its next request when it has the answer to the last one. Clients are threads with
plain sockets, on the same machine as the server, so that both figures hold the same load of the client.
Run `tiltyard run` first; then `python benchmarks/rest.py [TASK...]`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard import files, serve, trial
from tiltyard.encoder import Encoder
from tiltyard.quiet import silence
from tiltyard.workspace import Workspace

CLIENTS = (1, 16)
SECONDS = 3.0  # of each measurement; the first WARM of them are not counted
WARM = 0.5
TASKS = ("iris", "digits")


@dataclass(frozen=True)
class Figure:
    """What one service did for some clients."""

    service: str
    task: str
    clients: int
    per_second: float
    p50_ms: float
    p99_ms: float


def main(names: list[str]) -> None:
    """Measure both services one after the other, print ratios, write a line for each figure."""
    workspace = Workspace.find()
    silence(workspace)
    folders = serve.champions(workspace, names or TASKS)
    figures = [*_tiltyard(workspace, folders), *_naive(workspace, folders)]
    target = workspace.root / "out" / "benchmarks" / "serving.jsonl"
    files.write_text(target, "".join(json.dumps(asdict(figure)) + "\n" for figure in figures))
    print(table(figures))


def table(figures: list[Figure]) -> str:
    """Draw up each figure of ours beside the naive one, and how many times better it is."""
    found = {(figure.service, figure.task, figure.clients): figure for figure in figures}
    lines = [
        "| task | clients | requests/s | naive | times | p50 ms | naive | times | p99 ms | naive |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for (service, task, clients), ours in found.items():
        if service == "tiltyard":
            other = found["naive", task, clients]
            lines.append(
                f"| {task} | {clients} | {ours.per_second:.0f} | {other.per_second:.0f} "
                f"| {ours.per_second / other.per_second:.0f}x | {ours.p50_ms:.2f} | {other.p50_ms:.1f} "
                f"| {other.p50_ms / ours.p50_ms:.0f}x | {ours.p99_ms:.2f} | {other.p99_ms:.0f} |"
            )
    return "\n".join(lines)


def _tiltyard(workspace: Workspace, folders: dict[str, Path]) -> Iterator[Figure]:
    port = trial.free_port()
    command = serve.command("127.0.0.1", port)
    environment = serve.environment(serve.fixed(folders), workspace.state("serve", str(port)))
    with _running(command, environment, port):
        for name, folder in folders.items():
            body = {"instances": [files.read_json(folder / "schema.json")["example"]]}
            yield from _measure("tiltyard", name, port, f"/v1/models/{name}:predict", body)


def _naive(workspace: Workspace, folders: dict[str, Path]) -> Iterator[Figure]:
    port = trial.free_port()
    service = ["naive:Naive", "--working-dir", str(Path(__file__).parent), "--host", "127.0.0.1", "--port", str(port)]
    models = {name: str(workspace.out(name, "train") / "model.keras") for name in folders}
    environment = {**os.environ, "NAIVE_MODELS": json.dumps(models), "CUDA_VISIBLE_DEVICES": ""}
    with _running([sys.executable, "-m", "bentoml", "serve", *service], environment, port):
        for name, folder in folders.items():
            encoder = Encoder.load(folder / "encoder.json")
            rows = encoder.parse([files.read_json(folder / "schema.json")["example"]])
            body = {"name": name, "instances": encoder.encode(rows).tolist()}
            yield from _measure("naive", name, port, "/predict", body)


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], port: int) -> Iterator[None]:
    """Keep a service running, away from the Bento store."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env={**environment, "BENTOML_HOME": folder},
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            trial.wait(trial.Server(process, f"http://127.0.0.1:{port}", Path(folder, "log")))
            yield
        finally:
            trial.stop(process)


def _measure(service: str, task: str, port: int, path: str, body: Any) -> Iterator[Figure]:
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    request = head.encode() + content
    for clients in CLIENTS:
        end = time.perf_counter() + SECONDS
        times: list[float] = []
        threads = [threading.Thread(target=_client, args=(port, request, end, times)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not times:
            raise SystemExit(f"{service} did not answer {path} with 200")
        p50, p99 = np.percentile(times, [50, 99]) * 1000
        yield Figure(service, task, clients, round(len(times) / (SECONDS - WARM), 1), round(p50, 3), round(p99, 3))


def _client(port: int, request: bytes, end: float, times: list[float]) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while (start := time.perf_counter()) < end:
            connection.sendall(request)
            _receive(connection)
            if start > end - SECONDS + WARM:
                times.append(time.perf_counter() - start)


def _receive(connection: socket.socket) -> None:
    """Read one answer; anything but a 200 ends the client."""
    data = connection.recv(65_536)
    while b"\r\n\r\n" not in data:
        data += connection.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data.decode(errors="replace"))
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(rest) < length:
        rest += connection.recv(65_536)


if __name__ == "__main__":
    main(sys.argv[1:])
