"""Runs of pytest on a copy of the project, each in a fork of a process that has the heavy libraries loaded.

Importing them takes longer than most of the tests. The process imports nothing of the project itself, so that each fork
reads its modules as they are then.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

# no library that pytest has a plug-in of, such as hypothesis: pytest must import it first, to rewrite its assertions
HEAVY = ("pandas", "pyarrow.parquet", "sklearn.ensemble", "onnxruntime", "great_expectations", "tensorflow", "keras")
MARKED = "not smoke and not catalogue and not jax"
Run = Callable[[tuple[str, ...], float], str]


@contextlib.contextmanager
def warm_tests(project: Path, preload: tuple[str, ...] = HEAVY) -> Iterator[Run]:
    """Yield a function that runs test files of a folder, which holds a copy of the project.

    It returns "killed" if a test fails, "survives" if none does, and "hangs" after the seconds given.
    """
    paths = [str(project / name) for name in ("src", "", "tests", "benchmarks")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, str(Path(__file__).resolve()), *preload]
    process = subprocess.Popen(
        command, cwd=project, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with process as server:
        requests, results = cast("IO[bytes]", server.stdin), cast("IO[bytes]", server.stdout)

        def run(tests: tuple[str, ...], seconds: float) -> str:
            requests.write(json.dumps({"tests": tests, "seconds": seconds}).encode() + b"\n")
            requests.flush()
            if not (end := results.readline().decode().strip()):
                raise SystemExit(f"the process of the tests ended with {server.wait()}")
            return end

        yield run
        requests.close()


def main() -> None:
    """Load the modules that the arguments name, then serve requests, one JSON object per line, until stdin ends."""
    results = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        results.write(_fork(request["tests"], request["seconds"]) + "\n")
        results.flush()


def _fork(tests: list[str], seconds: float) -> str:
    """Run pytest in a forked process with a separate session; kill the session after the time limit."""
    pid, deadline = os.fork(), time.monotonic() + seconds
    if pid == 0:
        _run_pytest(tests)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return "survives" if status == 0 else "killed"
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


def _run_pytest(tests: list[str]) -> None:
    """Run pytest and end this process with its exit code."""
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        import pytest

        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", MARKED, *(f"tests/{name}" for name in tests)])
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
