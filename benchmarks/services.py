"""The services that benchmarks/serving.py compares: how each is started, and the requests that it receives."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import page
import psutil

from tiltyard.serving import serve
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

PEERS = Path(__file__).parent / "peers"
BENTO = [sys.executable, "-m", "bentoml", "serve"]
UVICORN = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--no-access-log", "--app-dir", str(PEERS)]
LISTEN = ["--host", "127.0.0.1", "--port", "{port}"]
OURS, TWICE, IN_BENTO, PLAIN = "tiltyard", "tiltyard, 2 workers", "tiltyard in its Bento", "plain Starlette + msgspec"


def _rows(_: str, rows: Any) -> Any:
    return {"instances": rows}


def _with_name(name: str, rows: Any) -> Any:
    return {"name": name, "instances": rows}


def _tensor(_: str, rows: Any) -> Any:
    """Return the rows as a tensor of the Open Inference Protocol."""
    data = np.array(rows, dtype=np.float32)
    shape = {"name": "x", "shape": list(data.shape), "datatype": "FP32"}
    return {"inputs": [{**shape, "data": data.ravel().tolist()}]}


@dataclass(frozen=True)
class Service:
    """A service; `wrap` returns the body of a request for a model and some rows."""

    name: str
    command: list[str]
    path: str
    wrap: Callable[[str, Any], Any]
    ready: str = "/readyz"
    own: bool = False  # receives values as clients send them, not encoded features
    workers: int = 1  # of our service; other frameworks have one

    def body(self, name: str, rows: dict[bool, list[Any]]) -> bytes:
        """Return the body for rows, which are given both as encoded features and as a client sends them."""
        return msgspec.json.encode(self.wrap(name, rows[self.own]))


def ours() -> list[Service]:
    """Return both ways to start our service, and the first one with a worker for each core."""
    predict = "/v1/models/{name}:predict"
    bento = [*BENTO, "service:Tiltyard", "--working-dir", str(page.ROOT / "serving"), *LISTEN]
    listen = [sys.executable, *SERVER, *LISTEN]
    return [
        Service(OURS, listen, predict, _rows, own=True),
        Service(IN_BENTO, bento, predict, _rows, own=True),
        Service(TWICE, listen, predict, _rows, own=True, workers=2),
    ]


def peers(python: str, home: Path) -> list[Service]:
    """Return other frameworks with the same files."""
    ml = [python, str(PEERS / "ml_server.py"), "{port}", str(home / "mlserver")]
    lit = [python, str(PEERS / "lit.py"), "{port}"]
    api, naive = ([*BENTO, f"bento:{name}", "--working-dir", str(PEERS), *LISTEN] for name in ("Api", "Naive"))
    return [
        Service(PLAIN, [*UVICORN, *LISTEN, "plain:app"], "/predict/{name}", _rows),
        Service("FastAPI", [*UVICORN, *LISTEN, "fast:app"], "/predict/{name}", _rows),
        Service("MLServer", ml, "/v2/models/{name}/infer", _tensor, ready="/v2/health/ready"),
        Service("LitServe", lit, "/predict", _with_name, ready="/health"),
        Service("BentoML, ordinary API", api, "/predict", _with_name),
        Service("BentoML + model.predict", naive, "/predict", _with_name),
    ]


def environment(workspace: Workspace, folders: dict[str, Path], home: Path) -> dict[str, str]:
    """Return the environment variables of a service."""
    own = {f"TILTYARD_{name}": value for name, value in serve.fixed_packages(folders).items()}
    onnx = {name: str(folder / "model.onnx") for name, folder in folders.items()}
    keras = {name: str(workspace.out(name, "train") / "model.keras") for name in folders}
    return {
        **os.environ,
        **own,
        "PEER_MODELS": json.dumps(onnx),
        "KERAS_MODELS": json.dumps(keras),
        "PYTHONPATH": str(PEERS),
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "CUDA_VISIBLE_DEVICES": "",
    }


@contextlib.contextmanager
def running(service: Service, variables: dict[str, str], home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run a service during the block; yield its address and process."""
    home.mkdir(parents=True, exist_ok=True)
    port = str(smoke_test.free_port())
    address = f"http://127.0.0.1:{port}"
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [part.replace("{port}", port) for part in service.command],
            env={**variables, "TILTYARD_WORKERS": str(service.workers)},
            cwd=home,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(process, address + service.ready, home / "log")
            yield address, psutil.Process(process.pid)
        finally:
            smoke_test.stop(process)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            return
        time.sleep(0.01)
    raise RuntimeError(log.read_text(encoding="utf-8", errors="replace")[-800:])
