"""Benchmark of denial-of-service attacks: latency of ordinary requests while eight hostile clients of one kind attack.

tiltyard run; python benchmarks/attacks.py [--seconds N] [--files N] [--only WORDS] [--against FOLDER]

FOLDER is the source tree of another version of this project, whose service is attacked in the same way, alternately.
Writes the second part of benchmarks/HOSTILE.md. All traffic stays on the loopback interface.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import page
from process_stats import measure_processes

sys.path.insert(0, str(page.ROOT / "tests/builders"))

import text_writer  # from tests/: a model that writes text
from workspaces import new_workspace

from tiltyard import files
from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

TARGET = page.ROOT / "benchmarks" / "HOSTILE.md"
HEADING = "## One kind of attack at a time"
CLIENTS = 8
PARQUET = "application/vnd.apache.parquet"
Send = Callable[[int, float], None]  # sends to a port until a time


@dataclass
class AttackResult:
    """Result of an attack: latencies of ordinary requests in seconds, and memory of the service."""

    seconds: list[float] = field(default_factory=list)
    lost: int = 0  # requests without a response of 200
    before: float = 0.0  # MiB
    peak: float = 0.0
    after: float = 0.0
    died: bool = False

    @property
    def row(self) -> str:
        """Return a row of the table."""
        if self.died or not self.seconds:
            return f"ended | | {self.lost} | {self.before:.0f} | {self.peak:.0f} | "
        ordered = sorted(self.seconds)
        p99 = 1000 * ordered[int(0.99 * (len(ordered) - 1))]
        median = 1000 * statistics.median(ordered)
        return f"{median:.1f} | {p99:.0f} | {self.lost} | {self.before:.0f} | {self.peak:.0f} | {self.after:.0f}"


def post(path: str, content: bytes, kind: str = "application/json") -> bytes:
    """Return the bytes of a POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def repeat_requests(*requests: bytes) -> Send:
    """Send requests one after the other over one connection, and wait for each response."""

    def send(port: int, end: float) -> None:
        cycle = itertools.cycle(requests)
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=40) as client:
                while time.monotonic() < end:
                    client.sendall(next(cycle))
                    if not client.recv(1 << 16):
                        break
            time.sleep(0.005)

    return send


def on_connections(count: int, request: bytes) -> Send:
    """Send a request again and again over several connections of one client."""

    def send(port: int, end: float) -> None:
        threads = [threading.Thread(target=repeat_requests(request), args=(port, end)) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return send


def flood(begin: bytes, again: bytes, max_bytes: int) -> Send:
    """Send as fast as the service accepts, and read no response."""

    def send(port: int, end: float) -> None:
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
                client.sendall(begin)
                part = again * max(1, (1 << 20) // len(again))
                for _ in range(max_bytes // len(part)):
                    if time.monotonic() > end:
                        break
                    client.sendall(part)
            time.sleep(0.05)

    return send


def send_and_disconnect(request: bytes) -> Send:
    """Send requests from a separate address, and close each connection without waiting for the response."""

    def send(port: int, end: float) -> None:
        source = (f"127.0.{os.getpid() % 200}.{os.getpid() // 200 % 250 + 2}", 0)
        while time.monotonic() < end:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), timeout=2, source_address=source) as client,
            ):
                client.sendall(request)
            time.sleep(0.01)

    return send


def keep_connections_open(begin: bytes, again: bytes, each: int, pause: float) -> Send:
    """Hold many connections open, and send a few bytes on each from time to time, as many as are accepted."""

    def send(port: int, end: float) -> None:
        connections: list[socket.socket] = []
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                while len(connections) < each:
                    connections.append(socket.create_connection(("127.0.0.1", port), timeout=1))
                    connections[-1].sendall(begin)
                    connections[-1].setblocking(False)
            for one in [*connections]:
                try:
                    one.send(again)
                except BlockingIOError:
                    continue
                except OSError:
                    connections.remove(one)
            time.sleep(pause)

    return send


def attacks(song: str) -> dict[str, Send]:
    """Return all kinds of attacks by name."""
    instance = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    body = json.dumps({"instances": [instance]}).encode()
    one = post("/v1/models/iris:predict", body)
    listing = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    head = b"POST /v1/models/iris:predict HTTP/1.1\r\nHost: x\r\n"
    explain = b'{"instances": %s, "\\u0065xplain": true}' % json.dumps([instance] * 64).encode()
    write = json.dumps({"instances": [{"prompt": "green", "length": 2000}] * 50}).encode()
    images = json.dumps({"instances": [{"b64": _image()}] * 145}).encode()
    draw, code = b'{"count": 32}', json.dumps({"code": [[0.5] * 4] * 32}).encode()
    deep = b'{"instances": [%s]}' % (b"[" * 960 + b"]" * 960)
    wide = ",".join(f"c{index}" for index in range(20_000)).encode() + b"\n1"
    large = json.dumps({"instances": [instance] * 1000}).encode()
    return {
        "none": repeat_requests(one),
        "endless pipelined requests": flood(b"", listing, 20 << 20),
        "endless pipelined predictions": flood(b"", one, 20 << 20),
        "endless headers": flood(head, b"a: b\r\n", 60 << 20),
        "endless header value": flood(head + b"a: ", b"b" * 1024, 60 << 20),
        "endless path": flood(b"GET /", b"a" * 1024, 60 << 20),
        "endless trailers": flood(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n", 60 << 20),
        "endless chunks of one byte": flood(head + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", 60 << 20),
        "1,600 slow heads": keep_connections_open(b"POST / HT", b"a", 200, 0.5),
        "1,600 slow bodies": keep_connections_open(one[:-20], b"a", 200, 0.5),
        "25 pipelining connections per client": keep_connections_open(b"", listing * 1_600, 25, 0.05),
        "empty lines on 50 connections per client": keep_connections_open(b"", b"\r\n\r\n" * 16_384, 50, 0.05),
        "GET /metrics": repeat_requests(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
        "path of 7,000 bytes": repeat_requests(b"GET /v1/models/%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 7_000)),
        "V2 data nested 18 levels deep": repeat_requests(post("/v2/models/iris/infer", _nested_tensor())),
        "20 explanations, connection closed at once": send_and_disconnect(
            post("/v1/models/iris:predict", json.dumps({"instances": [instance] * 20, "explain": True}).encode())
        ),
        "64 explanations, escaped key": repeat_requests(post("/v1/models/iris:predict", explain)),
        "50 texts of 2,000 characters": repeat_requests(post(f"/v1/models/{song}:predict", write)),
        "145 images of 64 pixels": repeat_requests(post("/v1/models/digits:predict", images)),
        "image with 184 colour profiles": repeat_requests(post("/v1/models/digits:predict", _image_with_profiles())),
        "25 connections of one row per client": on_connections(25, one),
        "25 connections of samples per client": on_connections(25, post("/v1/models/vae_digits:sample", draw)),
        "32 samples of a code": repeat_requests(post("/v1/models/vae_digits:sample", code)),
        "JSON nested 960 levels deep": repeat_requests(post("/v1/models/iris:predict", deep)),
        "CSV with 20,000 columns": repeat_requests(post("/v1/models/iris:predict", wide, "text/csv")),
        "1,000 rows of JSON": repeat_requests(post("/v1/models/iris:predict", large)),
        "damaged Parquet": repeat_requests(
            *[post("/v1/models/iris:predict", one, PARQUET) for one in damaged_parquet_files(0, 200)]
        ),
    }


def _image() -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def _nested_tensor() -> bytes:
    """Return a body of 16 kB with a tensor that is nested deeper than its shape."""
    data = b",".join([b"[" * 18 + b"1" + b"]" * 18] * 420)
    return b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [%s]}]}' % data


def _image_with_profiles() -> bytes:
    """Return a body with a small image whose colour profiles unpack to 184 MB."""
    content = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
    content += _chunk(b"iCCP", b"a\0\0" + zlib.compress(b"\0" * 1_000_000, 9)) * 184
    content += _chunk(b"IDAT", zlib.compress(b"\0" * 72)) + _chunk(b"IEND", b"")
    return json.dumps({"instances": [{"b64": base64.b64encode(content).decode()}]}).encode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def damaged_parquet_files(seed: int, count: int) -> Iterator[bytes]:
    """Return Parquet files of several shapes with some bytes changed, removed or inserted."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng, names = Random(seed), ["sepal_length", "sepal_width", "petal_length", "petal_width"]  # noqa: S311 - no secret
    kinds: list[dict[str, Any]] = [{}, {"compression": "none"}, {"version": "1.0"}, {"row_group_size": 7}]
    shapes: list[bytes] = []
    for rows, options in itertools.product((1, 40), kinds):
        file = io.BytesIO()
        values = pa.array([3.4 - index / 100 for index in range(rows)])
        pq.write_table(pa.table([values] * 4, names=names), file, store_schema=False, **options)
        shapes.append(file.getvalue())
    for _ in range(count):
        content = bytearray(rng.choice(shapes))
        for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
            content[rng.randrange(len(content) // 2 if rng.random() < 0.8 else 0, len(content))] = rng.randrange(256)
        if rng.random() < 0.1:
            index = rng.randrange(len(content))
            del content[index : index + rng.randrange(1, 50)]
        if rng.random() < 0.1:
            index = rng.randrange(len(content))
            content[index:index] = rng.choice(shapes)[: rng.randrange(1, 500)]
        yield bytes(content)


def measure_attack(server: smoke_test.Server, send: Send, seconds: float) -> AttackResult:
    """Send ordinary requests repeatedly while eight clients attack."""
    port, result = int(server.url.rpartition(":")[2]), AttackResult()
    result.before = result.peak = measure_processes(server.process.pid).mib
    end = time.monotonic() + seconds
    context = multiprocessing.get_context("fork")
    attackers = [context.Process(target=send, args=(port, end), daemon=True) for _ in range(CLIENTS)]
    for attacker in attackers:
        attacker.start()
    body = b'{"instances": [{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]}'
    request, sampled_at = post("/v1/models/iris:predict", body), 0.0
    while time.monotonic() < end:
        _send_ordinary_requests(port, request, end, result)
        if time.monotonic() - sampled_at > 0.5:
            sampled_at = time.monotonic()
            result.peak = max(result.peak, measure_processes(server.process.pid).mib)
    for attacker in attackers:
        attacker.join(5)
        attacker.kill()
    time.sleep(3)
    result.died = server.process.poll() is not None
    result.after = 0.0 if result.died else measure_processes(server.process.pid).mib
    return result


def _send_ordinary_requests(port: int, request: bytes, end: float, result: AttackResult) -> None:
    """Send some requests over one connection, as ordinary clients do."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            for _ in range(50):
                if time.monotonic() > end:
                    return
                started_at = time.perf_counter()
                client.sendall(request)
                if client.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                    result.seconds.append(time.perf_counter() - started_at)
                else:
                    result.lost += 1
                    return
                time.sleep(0.002)
    except OSError:
        result.lost += 1
        time.sleep(0.05)


def send_damaged_files(server: smoke_test.Server, count: int) -> dict[str, int]:
    """Send damaged Parquet files over four connections; count the responses."""
    import httpx

    result: dict[str, int] = {}
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for content in damaged_parquet_files(1, count):
            response = client.post("/v1/models/iris:predict", content=content, headers={"Content-Type": PARQUET})
            result[str(response.status_code)] = result.get(str(response.status_code), 0) + 1
    return result


def main() -> None:
    """Attack this version, and another if one is given; write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="attacks whose names contain them; nothing is written"
    )
    parser.add_argument("--files", type=int, default=20_000, help="damaged Parquet files")
    parser.add_argument("--against", type=Path, metavar="FOLDER")
    options, workspace = parser.parse_args(), Workspace.find()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        song = text_writer.song_model(new_workspace(home / "song"))
        assert song.folder  # noqa: S101 - for the type checker
        folders = {**serve.champions(workspace, ["iris", "digits", "vae_digits"]), "song": song.folder}
        versions = {"this": page.ROOT / "src"} | ({"before": options.against / "src"} if options.against else {})
        rows: list[str] = []
        for kind, send in ((kind, send) for kind, send in attacks("song").items() if options.only in kind):
            for name, source in versions.items():
                with _run_service(source, folders, home / name) as server:
                    print(f"{kind}: {name}", flush=True)
                    rows.append(f"| {kind} | {name} | {measure_attack(server, send, options.seconds).row} |")
                print(rows[-1], flush=True)
        if options.only:
            return
        with _run_service(page.ROOT / "src", folders, home / "fuzz") as server:
            before = measure_processes(server.process.pid)
            statuses = send_damaged_files(server, options.files)
            after = measure_processes(server.process.pid)
    _write_section(rows, statuses, (before.processes[:2], after.processes[:2]), options)


@contextlib.contextmanager
def _run_service(source: Path, folders: dict[str, Path], home: Path) -> Iterator[smoke_test.Server]:
    shutil.rmtree(home, ignore_errors=True)
    environment = serve.environment(serve.fixed_packages(folders), home)
    with smoke_test.running(SERVER, {**environment, "PYTHONPATH": str(source)}, home) as server:
        try:
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):  # a process that hangs ignores SIGTERM
                os.killpg(server.process.pid, signal.SIGKILL)


def _write_section(
    rows: list[str], statuses: dict[str, int], processes: tuple[Any, Any], options: argparse.Namespace
) -> None:
    counts = ", ".join(f"{count:,} times {status}" for status, count in sorted(statuses.items()))
    same = "the same" if processes[0] == processes[1] else "DIFFERENT"
    text = f"""{HEADING}

Eight clients attack one worker in one way for {options.seconds:g} seconds, while a ninth sends an ordinary request for
one row every 2 ms, over connections of 50 requests each. All share the machine. Latencies are those of the ninth
client; memory is that of all processes of the service in MiB: before, maximum, and 3 seconds after. `lost` counts
requests of the ninth without a response of 200. Written by
`benchmarks/attacks.py` on {datetime.now(UTC):%Y-%m-%d}: {page.machine()}.
`this` is this version{", `before` that of --against" if options.against else ""}.

| attack | version | median, ms | p99, ms | lost | MiB before | maximum | after |
|---|---|--:|--:|--:|--:|--:|--:|
{chr(10).join(rows)}

{sum(statuses.values()):,} Parquet files of eight shapes, damaged with seed 1, were sent one after the other; responses:
{counts}.
The processes of the service were {same} before and after.
"""
    first = TARGET.read_text(encoding="utf-8").partition(HEADING)[0]  # hostile.py writes it
    files.write_text(TARGET, first.rstrip() + "\n\n" + text)
    print(text)


if __name__ == "__main__":
    main()
