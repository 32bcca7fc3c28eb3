"""Hostile requests against a running service, a short version of benchmarks/hostile.py: no 5xx, crash or leak."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest
import random_models
from hostile import Outcome, send_requests
from hostile_bodies import BODIES, PLACEHOLDER, Model, _with_placeholders
from process_stats import ProcessStats
from raw_requests import WRAPPINGS, Request, random_request, statuses

from tiltyard.serving import serve
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import smoke_test
from tiltyard.serving.variables import SERVER

IRIS = {"sepal_length": 5.1, "petal_length": 1.4}
INPUTS = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in IRIS]
MODEL = Model("iris", {"example": IRIS, "limits": {"max_instances": 3, "max_body_bytes": 1000}}, INPUTS)


@pytest.mark.smoke
def test_service_survives_a_thousand_hostile_requests(packages: dict[str, Path], tmp_path: Path) -> None:
    """The processes survive a thousand of the 10,000 requests of benchmarks/hostile.py."""
    golden = {}
    for name in random_models.TASKS:
        served = LoadedModel.load(packages[name])
        rows = [served.schema["example"]]
        golden[name] = {"instances": rows, "predictions": served.predict(rows), "version": served.version}
    environment = serve.environment({**serve.fixed_packages(packages), "TIMEOUT": "10"}, tmp_path)
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        outcome = send_requests(server, golden, 1000, seed=1)
    assert outcome.faults == []
    assert outcome.growth < 2  # includes pyarrow and large bodies; the long run has a smaller limit
    assert len(outcome.statuses) == len({*BODIES}) + len({*WRAPPINGS})


def test_same_seed_gives_the_same_requests() -> None:
    """A seed always generates the same requests, and another seed generates others."""
    first, again, other = (random_request(Random(seed), [MODEL]) for seed in (0, 0, 1))  # noqa: S311 - no secret
    assert first == again != other


def test_mutations_reach_every_part_of_a_body() -> None:
    """Mutations reach the whole body, each part and each key."""
    found = {json.dumps(changed) for changed in _with_placeholders({"a": [1], "b": 2})}
    placeholder = f'"{PLACEHOLDER}"'
    assert {
        placeholder,
        f'{{"a": {placeholder}, "b": 2}}',
        f'{{"a": [{placeholder}], "b": 2}}',
        f'{{"b": 2, {placeholder}: [1]}}',
    } <= found


def test_server_errors_and_missing_responses_are_faults() -> None:
    """A fault is a 5xx, except the timeout of a slow client, or a missing response."""
    outcome = Outcome()
    for request, responses in (
        (Request("plain", b"", responses=1), [200]),
        (Request("loose", b""), []),
        (Request("slow", b"", slow_parts=3), [503]),
    ):
        outcome.count_request(request, responses)
    assert outcome.faults == []
    for request, responses in (
        (Request("plain", b"", responses=1), [500]),
        (Request("plain", b"", responses=2), [200]),
        (Request("plain", b"", responses=1), [503]),
    ):
        outcome.count_request(request, responses)
    assert len(outcome.faults) == 3
    outcome.samples = [ProcessStats((1,), mib, 1) for mib in (50, 50, 90, 110, 100, 100, 200, 200, 120, 180)]
    assert outcome.growth == 1.5


def test_responses_are_counted_in_received_data() -> None:
    """Several responses in received data are counted, the last of which may be incomplete."""
    response = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert statuses(response + response.replace(b"200", b"404") + b"HTTP/1.1 5") == [200, 404]
    assert statuses(b"") == statuses(b"nothing") == []
