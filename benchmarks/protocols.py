"""Benchmark of the protocols: JSON rows, V2 tensors as JSON and as binary data, and gRPC, with one worker.

tiltyard run; python benchmarks/protocols.py [--peers PYTHON] [--rounds N] [--seconds N]

Writes benchmarks/PROTOCOLS.md. PYTHON belongs to an environment with mlserver, as for benchmarks/serving.py.

16 clients send the same request again and again: wrk over HTTP, which is written in C, and Python's own client over
gRPC, which takes more of the processor that it shares with the service. So the processor time that the service takes
for a request is given, too. `onnxruntime` is the time that the model alone takes for such a batch, measured between
the others, and its share of the service's time.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc_load
import msgspec
import numpy as np
import page
import psutil
import services
import wrk

from tiltyard import files
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.runtime.environment import configure_tools
from tiltyard.serving import serve
from tiltyard.serving.grpc.codec import message_class
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.model.tensors import DTYPES
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.requests import v2_codec
from tiltyard.workspace import Workspace

TASKS, ROWS, CLIENTS = {"digits": "pictures of 8x8", "sine": "series of 32 steps"}, (1, 32), 16
TARGET = page.ROOT / "benchmarks" / "PROTOCOLS.md"
ONNX, MLSERVER = "onnxruntime", "MLServer, gRPC, encoded features"
Measured = dict[tuple[str, int, str], list["Figures"]]  # by task, rows and protocol


@dataclass(frozen=True)
class Figures:
    """The results of a load, and the processor time of the service for each request in microseconds."""

    load: wrk.WrkResult
    cpu: float


@dataclass(frozen=True)
class Target:
    """A running service with its addresses, and its process."""

    http: str
    grpc: str
    process: psutil.Process

    def measure(self, load: Callable[[], wrk.WrkResult], seconds: float) -> Figures:
        """Run a load of a second of warm-up and some seconds; all of it counts for the processor time."""
        before = sum(self.process.cpu_times()[:2])
        found = load()
        requests = found.per_second * (1 + seconds)
        return Figures(found, 1e6 * (sum(self.process.cpu_times()[:2]) - before) / requests)


def main() -> None:
    """Start both services, measure all protocols alternately, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="python3", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    workspace = Workspace.find()
    configure_tools(workspace)
    folders = serve.champions(workspace, ["iris", "diabetes", *TASKS])
    measured: Measured = defaultdict(list)
    with tempfile.TemporaryDirectory() as home, contextlib.ExitStack() as stack:
        variables = services.environment(workspace, folders, Path(home))
        ours, peer = _start(stack, variables, options.peers, Path(home))
        for turn, (name, rows) in itertools.product(range(options.rounds), itertools.product(TASKS, ROWS)):
            model = LoadedModel.load(folders[name])
            for protocol, target, load in _loads(ours, peer, model, rows, options.seconds):
                print(f"round {turn + 1}: {name}, {rows} rows, {protocol}", flush=True)
                measured[name, rows, protocol].append(target.measure(load, options.seconds))
            measured[name, rows, ONNX].append(_onnxruntime(model.predictor, model, rows))
    files.write_text(TARGET, _page(measured))
    print(TARGET.read_text(encoding="utf-8"))


def _start(
    stack: contextlib.ExitStack, variables: dict[str, str], python: str, home: Path
) -> tuple[Target, Target | None]:
    """Start our service, and MLServer if it is installed."""
    address = f"127.0.0.1:{smoke_test.free_port()}"
    own = {**variables, "TILTYARD_GRPC": address}
    url, process = stack.enter_context(services.running(services.ours()[0], own, home / "ours"))
    try:
        (ml,) = (one for one in services.peers(python, home) if one.name == "MLServer")
        other, other_process = stack.enter_context(services.running(ml, variables, home / "ml"))
    except (RuntimeError, OSError) as error:
        print(f"MLServer is left out: {error}")
        return Target(url, address, process), None
    host, _, port = other.removeprefix("http://").rpartition(":")
    return Target(url, address, process), Target(other, f"{host}:{int(port) + 1}", other_process)


def _loads(
    ours: Target, peer: Target | None, model: LoadedModel, rows: int, seconds: int
) -> list[tuple[str, Target, Callable[[], wrk.WrkResult]]]:
    """Return the loads by protocol."""
    arrays, v2 = _arrays(model, rows), f"{ours.http}/v2/models/{model.task}/infer"
    json_rows = msgspec.json.encode({"instances": [model.schema["example"]] * rows})
    v1 = f"{ours.http}/v1/models/{model.task}:predict"
    found: list[tuple[str, Target, Callable[[], wrk.WrkResult]]] = [
        ("V1, JSON rows", ours, lambda: wrk.measure(v1, json_rows, CLIENTS, seconds))
    ]
    for kind, binary in (("FP64", False), ("FP64", True), ("FP32", True)):
        body, length = _v2_body(arrays, kind, binary=binary)
        headers = {v2_codec.LENGTH_HEADER: str(length)} if binary else {}
        found.append(
            (
                f"V2, {kind} as {'binary data' if binary else 'JSON'}",
                ours,
                lambda body=body, headers=headers: wrk.measure(v2, body, CLIENTS, seconds, headers),  # type: ignore[misc]
            )
        )
    message = _message(model.task, arrays, "FP32")
    found.append(("gRPC, FP32", ours, lambda: grpc_load.measure(ours.grpc, message, CLIENTS, seconds)))
    if peer:
        encoder = model.predictor.encoder
        features = encoder.encode(encoder.parse([model.schema["example"]] * rows))
        encoded = _message(model.task, {"x": features}, "FP32")
        found.append((MLSERVER, peer, lambda: grpc_load.measure(peer.grpc, encoded, CLIENTS, seconds)))
    return found


def _arrays(model: LoadedModel, rows: int) -> dict[str, Any]:
    (tensor,) = model.inputs
    return {tensor.name: np.array([model.schema["example"]] * rows, np.float64)}


def _v2_body(arrays: dict[str, Any], datatype: str, *, binary: bool) -> tuple[bytes, int]:
    """Return a V2 body and the length of its JSON; the response is binary if the request is."""
    inputs, data = [], b""
    for name, array in arrays.items():
        values = array.astype(DTYPES[datatype])
        content = {"parameters": {"binary_data_size": values.nbytes}} if binary else {"data": values.ravel().tolist()}
        inputs.append({"name": name, "shape": values.shape, "datatype": datatype, **content})
        data += values.tobytes() if binary else b""
    head = msgspec.json.encode({"inputs": inputs, "parameters": {"binary_data_output": binary}})
    return head + data, len(head)


def _message(name: str, arrays: dict[str, Any], datatype: str) -> bytes:
    """Return a ModelInferRequest with raw contents."""
    request = message_class("ModelInferRequest")(model_name=name)
    for key, array in arrays.items():
        request.inputs.add(name=key, datatype=datatype, shape=array.shape)
        request.raw_input_contents.append(array.astype(DTYPES[datatype]).tobytes())
    found: bytes = request.SerializeToString()
    return found


def _onnxruntime(predictor: Predictor, model: LoadedModel, rows: int) -> Figures:
    """Return the median time of the model alone, for a batch."""
    features = predictor.encoder.encode(predictor.encoder.parse([model.schema["example"]] * rows))
    seconds = []
    for _ in range(500):
        begun = time.perf_counter()
        predictor.run(features)
        seconds.append(time.perf_counter() - begun)
    median = statistics.median(seconds)
    return Figures(wrk.WrkResult(1 / median, 1000 * median, 0.0, 0), 1e6 * median)


def _page(measured: Measured) -> str:
    """Return the tables."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    intro = f"Measured by `benchmarks/protocols.py` on {today}: {page.machine_with_load()}, with the clients on it."
    why = (__doc__ or "").split("\n\n")[3].strip().replace("\n", " ")
    parts = ["# Protocols", f"{intro} Medians of the rounds. {why}"]
    for (name, what), rows in itertools.product(TASKS.items(), ROWS):
        parts += [f"## {name}, {what}: {rows} a request, {CLIENTS} clients", _table(measured, name, rows)]
    return "\n\n".join(parts) + "\n"


def _table(measured: Measured, name: str, rows: int) -> str:
    lines = [
        "| protocol | rows/s | p50, ms | p99, ms | processor time of a request, us | share of onnxruntime |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    found = {
        protocol: _median(several)
        for (task, size, protocol), several in measured.items()
        if (task, size) == (name, rows)
    }
    for protocol, one in found.items():
        load, share = one.load, f"{found[ONNX].cpu / one.cpu:.0%}"
        speed = f"{load.per_second * rows:,.0f} | {load.p50:.2f} | {load.p99:.2f}"
        lines.append(f"| {protocol} | {speed} | {one.cpu:.0f} | {share} |")
    return "\n".join(lines)


def _median(several: list[Figures]) -> Figures:
    """Return the medians of figures."""
    loads = [one.load for one in several]
    load = replace(
        loads[0],
        **{key: statistics.median(getattr(one, key) for one in loads) for key in ("per_second", "p50", "p99")},
        errors=sum(one.errors for one in loads),
    )
    return Figures(load, statistics.median(one.cpu for one in several))


if __name__ == "__main__":
    main()
