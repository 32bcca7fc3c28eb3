"""Compute processes: long requests and native parsers have limits, stop in time, and are restarted after crashes."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import signal
import statistics
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
import random_models
import text_writer
from PIL import Image
from raw_http import serve_raw
from starlette.applications import Starlette
from workspaces import new_workspace

from tiltyard.errors import RequestError
from tiltyard.modeling import deadline
from tiltyard.modeling.deadline import OutOfTimeError
from tiltyard.modeling.inference.predictor import DEADLINE_BATCH
from tiltyard.serving.compute import pool as compute_pool
from tiltyard.serving.compute.pool import ComputePool
from tiltyard.serving.http.app import create_app, install
from tiltyard.serving.http.limits import Limits
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.message import RequestMessage, ResponseMessage

PARQUET = "application/vnd.apache.parquet"
ROWS = [{**random_models.IRIS, "petal_width": 0.1 + row / 100} for row in range(3)]


@pytest.fixture
def iris(app: Starlette) -> LoadedModel:
    """Return a model of a table."""
    model: LoadedModel = app.state.models["iris"]
    return model


@pytest.fixture
def pool() -> Iterator[ComputePool]:
    """Return a pool with a timeout of ten seconds."""
    pool = ComputePool(10.0)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Return a model that generates text."""
    return text_writer.song_model(new_workspace(tmp_path_factory.mktemp("song")))


def parquet_file(**columns: Any) -> bytes:
    """Return a Parquet file."""
    file = io.BytesIO()
    pd.DataFrame(columns or ROWS).to_parquet(file)
    return file.getvalue()


def outcome(future: Future[ResponseMessage]) -> tuple[int, str]:
    """Return the status and code of a result."""
    try:
        future.result(60)
    except RequestError as error:
        return error.status, error.code
    return 200, ""


def processes(pool: ComputePool) -> set[int]:
    """Return the processes of a pool."""
    return {lane.process.process.pid for lane in (pool.quick, pool.long) if lane.process}


def test_pool_returns_the_same_responses_as_the_service(pool: ComputePool, iris: LoadedModel) -> None:
    """The pool returns the same responses as the service for JSON and Parquet, and the data to be recorded."""
    expected = iris.predict(ROWS)
    for message in (
        RequestMessage("v1", json.dumps({"instances": ROWS}).encode()),
        RequestMessage("v1", parquet_file(), PARQUET),
    ):
        response = pool.submit(iris, message, record=True).result(60)
        assert json.loads(response.content) == {"predictions": expected, "model": "iris", "version": iris.version}
        assert (response.count, json.loads(response.recorded or b"")[1]) == (3, expected)
    assert outcome(pool.submit(iris, RequestMessage("v1", b'{"instances": [{}]}'))) == (400, "missing_field")


def test_damaged_parquet_does_not_crash_a_compute_process(pool: ComputePool, iris: LoadedModel) -> None:
    """Three hundred damaged Parquet files, mostly with a damaged footer, do not crash the compute process."""
    rng, whole = random.Random(0), parquet_file()  # noqa: S311 - no secret
    assert outcome(pool.submit(iris, RequestMessage("v1", whole, PARQUET))) == (200, "")
    before, found = processes(pool), set[int]()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            content[rng.randrange(len(content) // 2 if rng.random() < 0.8 else 0, len(content))] = rng.randrange(256)
        found.add(outcome(pool.submit(iris, RequestMessage("v1", bytes(content), PARQUET)))[0])
    assert found <= {200, 400, 413, 415}
    assert processes(pool) >= before  # a slow machine starts the process for long requests, too


def test_parquet_with_unusual_types_is_refused(pool: ComputePool, iris: LoadedModel) -> None:
    """Invalid dates, invalid names and duplicate columns are refused with a message."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [*random_models.IRIS]
    for values in (
        pa.array([2**40], pa.int64()).cast(pa.timestamp("s")),
        pa.array([2**30], pa.int32()).cast(pa.date32()),
        pa.array([2**60], pa.int64()).cast(pa.timestamp("ns")),
        pa.array([1], pa.decimal128(38, 10)),
        pa.array([[1.0]]),
        pa.array([b"x"]),
    ):
        file = io.BytesIO()
        pq.write_table(pa.table([values, *[pa.array([1.0])] * 3], names=names), file)
        assert outcome(pool.submit(iris, RequestMessage("v1", file.getvalue(), PARQUET)))[0] in (200, 400)
    for invalid_names in ([*names, names[0]], [*names, ""], [*names, "a.b"], [*names, "\N{PILE OF POO}" * 500]):
        file = io.BytesIO()
        pq.write_table(pa.table([pa.array([1.0])] * 5, names=invalid_names), file)
        assert outcome(pool.submit(iris, RequestMessage("v1", file.getvalue(), PARQUET)))[0] in (200, 400)


def test_killed_process_is_replaced(pool: ComputePool, iris: LoadedModel) -> None:
    """The request that a killed process was running is computed by the next process."""
    message = RequestMessage("v1", json.dumps({"instances": ROWS}).encode())
    assert outcome(pool.submit(iris, message)) == (200, "")
    (first,) = processes(pool)
    os.kill(first, signal.SIGKILL)
    assert outcome(pool.submit(iris, message)) == (200, "")
    assert first not in processes(pool)


def test_hanging_process_is_killed_before_the_next_request_runs(pool: ComputePool, iris: LoadedModel) -> None:
    """A hanging process is killed at its deadline; the next process runs the waiting request."""
    message = RequestMessage("v1", json.dumps({"instances": ROWS}).encode())
    assert outcome(pool.submit(iris, message)) == (200, "")
    (first,) = processes(pool)
    os.kill(first, signal.SIGSTOP)
    pool.seconds = 1.0
    assert outcome(pool.submit(iris, message)) == (503, "timeout")
    assert first not in processes(pool)
    pool.seconds = 20.0
    assert outcome(pool.submit(iris, message)) == (200, "")


def test_text_generation_that_would_exceed_the_timeout_is_refused(pool: ComputePool, song: LoadedModel) -> None:
    """2,000 characters for a thousand prompts in a second are refused after a few steps."""
    prompt = {"prompt": "green", "length": 2000}
    message = RequestMessage("v1", json.dumps({"instances": [prompt] * song.predictor.encoder.max_instances}).encode())
    for warm_up_message in (
        RequestMessage("v1", b'{"instances": ["green"]}'),
        RequestMessage("v1", b" " * compute_pool.MAX_QUICK_BYTES),
    ):
        outcome(pool.submit(song, warm_up_message))  # both processes are started
    before, pool.seconds, started_at = processes(pool), 1.0, time.monotonic()
    with pytest.raises(RequestError, match=r"expected to be done in 1 seconds; it would take about \d+"):
        pool.submit(song, message).result(60)
    assert time.monotonic() - started_at < 2.5
    assert processes(pool) == before


def test_quick_requests_do_not_wait_for_long_ones(pool: ComputePool, song: LoadedModel, iris: LoadedModel) -> None:
    """While texts are generated for seconds, a CSV table is predicted."""
    pool.seconds = 60.0
    long = RequestMessage("v1", json.dumps({"instances": [{"prompt": "green", "length": 2000}] * 20}).encode())
    csv = RequestMessage("v1", (",".join(random_models.IRIS) + "\n5.1,3.5,1.4,0.2").encode(), "text/csv")
    assert outcome(pool.submit(iris, csv)) == (200, "")
    text_futures = [pool.submit(song, long) for _ in range(2)]
    time.sleep(0.3)
    started_at = time.monotonic()
    assert outcome(pool.submit(iris, csv)) == (200, "")
    assert time.monotonic() - started_at < 1.5
    assert not all(future.done() for future in text_futures)


def test_clients_take_turns(iris: LoadedModel, pool: ComputePool) -> None:
    """A client with few requests does not wait for one with many, whose waiting requests are limited."""
    pool.quick.waiting.max_per_client = 20
    message = RequestMessage("v1", json.dumps({"instances": ROWS * 30}).encode())
    finished: list[str] = []
    with pool.quick.changed:  # no job has started yet
        futures = [pool.submit(iris, message, "much") for _ in range(20)]
        futures.append(pool.submit(iris, message, "little"))
        assert outcome(pool.submit(iris, message, "much")) == (429, "too_many_requests")
        for future, name in zip(futures, ["much"] * 20 + ["little"], strict=True):
            future.add_done_callback(lambda _, name=name: finished.append(name))  # type: ignore[misc]
    assert all(outcome(future) == (200, "") for future in futures)
    assert finished.index("little") <= 2


SLOW = """
import time
from tiltyard.serving.compute import process as compute_process
from tiltyard.serving.requests import predict_request

quick = predict_request.respond

def slow(model, parsed, *, record):
    if len(parsed.request.instances) == 2:
        end = time.monotonic() + 30
        while time.monotonic() < end:  # like native code, which does not check the deadline
            pass
    return quick(model, parsed, record=record)

predict_request.respond = slow
compute_process.main()
"""


def test_request_that_ignores_its_deadline_leaves_the_quick_lane(
    pool: ComputePool, iris: LoadedModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Work that ignores its deadline is killed and moved to the long lane; a spare process takes over."""
    (tmp_path / "slow_process.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tiltyard.serving.compute.process.__name__", "slow_process")
    slow, plain = (RequestMessage("v1", json.dumps({"instances": ROWS[:count]}).encode()) for count in (2, 3))
    assert outcome(pool.submit(iris, plain)) == (200, "")
    first = pool.quick.process
    late = pool.submit(iris, slow, "slow")
    assert outcome(pool.submit(iris, plain, "other")) == (200, "")
    assert outcome(pool.submit(iris, plain, "other")) == (200, "")
    spare = pool.quick.spare
    assert spare
    assert pool.quick.process not in (first, spare)
    later = pool.submit(iris, slow, "slow")
    while pool.quick.process is not spare:
        assert outcome(pool.submit(iris, plain, "other")) == (200, "")
    assert outcome(pool.submit(iris, plain, "other")) == (200, "")
    assert [outcome(future) for future in (late, later)] == [(503, "timeout")] * 2


def test_request_of_a_disconnected_client_is_dropped(pool: ComputePool, iris: LoadedModel) -> None:
    """The request of a client that left is dropped unless it has started."""
    message = RequestMessage("v1", json.dumps({"instances": ROWS}).encode())
    with pool.quick.changed:
        futures = [pool.submit(iris, message) for _ in range(5)]
        assert futures[-1].cancel()
    assert [outcome(future) for future in futures[:-1]] == [(200, "")] * 4
    assert futures[-1].cancelled()


def test_large_image_is_refused_by_its_header() -> None:
    """A small file with millions of pixels is refused by its header, before it is decoded."""
    from tiltyard.modeling.columns.image import Image as Column

    column = Column(type="image", height=8, width=8, resize=True)
    file = io.BytesIO()
    Image.new("1", (4096, 4096)).save(file, "PNG")
    assert len(file.getvalue()) < 5_000
    with deadline.limit_until(time.monotonic() + 0.1), pytest.raises(OutOfTimeError):
        column.open(file.getvalue())
    assert column.open(file.getvalue()).shape == (8, 8, 1)


def test_missing_package_is_reported(pool: ComputePool, iris: LoadedModel, tmp_path: Path) -> None:
    """If the package is missing, the error does not blame the request."""
    import dataclasses

    missing = dataclasses.replace(iris, folder=tmp_path / "gone")
    assert outcome(pool.submit(missing, RequestMessage("v1", b"{}"))) == (503, "not_available")


def test_closing_the_pool_ends_its_processes(iris: LoadedModel) -> None:
    """After closing, processes have ended and waiting requests are dropped; the pool may be used again."""
    pool = ComputePool(10.0)
    message = RequestMessage("v1", json.dumps({"instances": ROWS}).encode())
    assert outcome(pool.submit(iris, message)) == (200, "")
    (worker_pid,) = processes(pool)
    pool.close()
    assert not psutil.pid_exists(worker_pid)
    assert outcome(pool.submit(iris, message)) == (200, "")
    pool.close()


def test_idle_process_ends(iris: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle process ends, and the next request starts another."""
    monkeypatch.setattr(compute_pool, "IDLE_SECONDS", 0.2)
    pool = ComputePool(10.0)
    message = RequestMessage("v1", json.dumps({"instances": ROWS}).encode())
    assert outcome(pool.submit(iris, message)) == (200, "")
    (worker_pid,) = processes(pool)
    end = time.monotonic() + 10
    while psutil.pid_exists(worker_pid):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert outcome(pool.submit(iris, message)) == (200, "")
    pool.close()


def _png_base64(side: int) -> str:
    file = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.smoke
def test_expensive_requests_do_not_delay_ordinary_ones(app: Starlette, song: LoadedModel) -> None:
    """While eight clients send the most expensive requests, plain ones take 5 ms (median) and 100 ms (p99) at most."""
    own = create_app(Limits(seconds=10))
    install(own, [*app.state.models.values(), song])
    own.state.metrics = own.state.admission.metrics = app.state.metrics or _request_metrics()
    explain = b'{"instances": [%s], "\\u0065xplain": true}' % b",".join([json.dumps(random_models.IRIS).encode()] * 64)
    write = json.dumps({"instances": [{"prompt": "green", "length": 2000}] * 50}).encode()
    images = json.dumps({"instances": [{"b64": _png_base64(8)}] * 145}).encode()
    header = ",".join(f"c{index}" for index in range(20_000)).encode() + b"\n1"
    attacks = [
        ("song", write, "application/json"),
        ("iris", explain, "application/json"),
        ("digits", images, "application/json"),
        ("iris", header, "text/csv"),
    ] * 2
    plain, end = json.dumps({"instances": [random_models.IRIS]}), time.monotonic() + 8
    latencies: list[float] = []
    with serve_raw(own) as port, ThreadPoolExecutor(8) as clients:
        url = f"http://127.0.0.1:{port}/v1/models"

        def attack(name: str, body: bytes, kind: str) -> set[int]:
            statuses = set[int]()
            with httpx.Client(timeout=30) as client:
                while time.monotonic() < end:
                    response = client.post(f"{url}/{name}:predict", content=body, headers={"Content-Type": kind})
                    statuses.add(response.status_code)
            return statuses

        running_attacks = [clients.submit(attack, *one) for one in attacks]
        with httpx.Client(timeout=30) as client:
            while time.monotonic() < end:
                started_at = time.perf_counter()
                assert client.post(f"{url}/iris:predict", content=plain).status_code == 200
                latencies.append(time.perf_counter() - started_at)
                time.sleep(0.002)
        assert set().union(*(one.result() for one in running_attacks)) <= {200, 400, 429, 503}
    own.state.pool.close()
    sorted_latencies = sorted(latencies)
    assert sorted_latencies[int(0.99 * len(sorted_latencies))] < 0.5
    assert statistics.median(latencies) < 0.05  # measured in the attackers' process


def _request_metrics() -> Any:
    from prometheus_client import CollectorRegistry

    from tiltyard.serving.http.prometheus import RequestMetrics

    return RequestMetrics(registry=CollectorRegistry())


def test_slow_model_is_not_called_if_the_call_would_exceed_the_deadline(iris: LoadedModel) -> None:
    """A call cannot be interrupted: by the measured pace, its job moves on instead of ending the process."""
    predictor, features = replace(iris.predictor), np.zeros((40, 4), dtype=np.float32)
    predictor.__dict__["pace"] = (0.0, 1.0)  # seconds of a call and of a row
    with deadline.limit_until(time.monotonic() + 20), pytest.raises(OutOfTimeError) as moved:
        predictor.run(features)
    assert moved.value.seconds == DEADLINE_BATCH
    with deadline.limit_until(time.monotonic() + 60):
        assert len(predictor.run(features)) == 40


def test_steps_that_would_exceed_the_deadline_are_stopped_early() -> None:
    """Steps that would end too late are stopped as soon as that can be estimated."""
    started_at = time.monotonic()
    with deadline.limit_until(started_at + 1.0), pytest.raises(OutOfTimeError) as stopped:
        deque(map(time.sleep, (0.01 for _ in deadline.stepwise(range(1000)))))
    assert time.monotonic() - started_at < 0.5
    assert stopped.value.seconds > 1.0
    assert sum(1 for _ in deadline.stepwise(range(1000))) == 1000
    assert not deadline.is_limited()
    thread = threading.Thread(target=deadline.check)
    thread.start()
    thread.join()
