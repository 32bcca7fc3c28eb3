"""Shadow and canary traffic: assignment of clients, recording, and isolation from failures."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import random_models
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette_client import TestClient
from tritonclient.utils import np_to_triton_dtype

from tiltyard.cli.main import cli
from tiltyard.config import loader
from tiltyard.errors import PackageError, RegistryError
from tiltyard.monitoring import traffic
from tiltyard.registry import rollout
from tiltyard.serving.http.champion_watcher import ChampionWatcher
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.packaging import bento, smoke_test
from tiltyard.serving.recording.process import RecordWriter
from tiltyard.serving.recording.recorder import Recorder
from tiltyard.serving.traffic import queue, traffic_split
from tiltyard.serving.traffic.append_log import list_files, read_lines
from tiltyard.serving.variables import SERVER
from tiltyard.workspace import Workspace

PREDICT = "/v1/models/iris:predict"
BODY = {"instances": [random_models.IRIS]}
TENSORS = {
    "inputs": [
        {"name": name, "shape": [1], "datatype": np_to_triton_dtype(np.float64), "data": [value]}
        for name, value in random_models.IRIS.items()
    ]
}
ServedProject = tuple[Workspace, list[str], Starlette, ChampionWatcher]


def start_rollout(project: ServedProject, way: str, share: float, version_index: int = 1) -> None:
    """Write a rollout, and let the watcher poll."""
    space, versions, _, watcher = project
    traffic.start_rollout(space, loader.load(space, "iris"), (versions[version_index], way), share)
    watcher.poll()


def read_records(folder: Path) -> list[dict[str, Any]]:
    """Return all records of iris."""
    return [json.loads(line) for path, _ in list_files(folder / "iris/answers") for line in read_lines(path)]


@pytest.fixture
def recorder(served_project: ServedProject, tmp_path: Path) -> Iterator[Recorder]:
    """Return the recorder of the app, which records only what a rollout needs."""
    recorder: Recorder = Recorder(tmp_path / "records")
    served_project[2].state.recorder = recorder
    yield recorder
    recorder.sender.close()


def test_canary_serves_its_share_of_clients(served_project: ServedProject) -> None:
    """Of 4000 keys the share is within four deviations, and no client leaves as it grows."""
    _, (first, second, _), app, _ = served_project
    before: set[int] = set()
    with TestClient(app) as client:
        for share in (0.05, 0.2, 0.5, 1.0):
            start_rollout(served_project, "canary", share)
            found = app.state.splits["iris"]
            positions = [found.position(f"user-{number}".encode()) for number in range(4000)]
            assigned = {number for number, position in enumerate(positions) if position < share}
            assert abs(len(assigned) - 4000 * share) <= 4 * np.sqrt(4000 * share * (1 - share))
            assert before <= assigned
            before = assigned
            for number in range(40):
                response = client.post(PREDICT, json=BODY, headers={"X-Tiltyard-Key": f"user-{number}"})
                assert response.json()["version"] == (second if number in assigned else first)


def test_both_protocols_use_the_same_version_for_a_client(served_project: ServedProject) -> None:
    """A key has the same version by V1 and V2; a named version or label always gets that one."""
    _, (first, second, _), app, _ = served_project
    start_rollout(served_project, "canary", 0.5)
    with TestClient(app) as client:
        versions_used = set()
        for number in range(20):
            headers = {"x-tiltyard-key": str(number)}
            one = client.post(PREDICT, json=BODY, headers=headers).json()["version"]
            assert client.post("/v2/models/iris/infer", json=TENSORS, headers=headers).json()["model_version"] == one
            versions_used.add(one)
            for path, version in (
                (f"versions/{first}", first),
                (f"versions/{second}", second),
                ("labels/champion", first),
                ("labels/challenger", second),
            ):
                response_body = client.post(f"/v1/models/iris/{path}:predict", json=BODY, headers=headers).json()
                assert response_body["version"] == version
        assert versions_used == {first, second}
        assert client.get("/v2/models/iris").json()["versions"] == [first, second]


def test_client_is_identified_by_header_api_key_or_address() -> None:
    """A client is identified by its header, API key or address, in this order."""
    scope: dict[str, Any] = {"headers": [(b"x-tiltyard-key", b"mary")], "key_name": "robot", "client": ("10.0.0.1", 7)}
    assert traffic_split.client_key(scope) == b"mary"
    assert traffic_split.client_key({**scope, "headers": []}) == b"robot"
    assert traffic_split.client_key({**scope, "headers": [], "key_name": ""}) == b"10.0.0.1"
    assert traffic_split.client_key({"headers": [], "client": None}) == b""


def test_another_challenger_is_assigned_other_clients(served_project: ServedProject) -> None:
    """Another challenger is assigned other clients."""
    start_rollout(served_project, "canary", 0.1, 1)
    one = served_project[2].state.splits["iris"]
    start_rollout(served_project, "canary", 0.1, 2)
    other = served_project[2].state.splits["iris"]
    names = [str(number).encode() for number in range(2000)]
    both = sum(one.position(name) < 0.1 and other.position(name) < 0.1 for name in names)
    assert 4 <= both <= 40


def test_predictions_of_both_arms_of_a_canary_are_recorded(served_project: ServedProject, recorder: Recorder) -> None:
    """All predictions of the challenger are recorded, and about as many of the champion."""
    _, (first, second, _), app, _ = served_project
    start_rollout(served_project, "canary", 0.25)
    with TestClient(app) as client:
        responses = [client.post(PREDICT, json=BODY, headers={"x-tiltyard-key": str(n)}) for n in range(200)]
    recorder.sender.finish()
    found = read_records(recorder.folder)
    challenger_ids = {
        response.headers["x-request-id"] for response in responses if response.json()["version"] == second
    }
    assert {line["id"] for line in found if line["arm"] == "canary"} == challenger_ids
    champion_lines = [line for line in found if line["arm"] == "champion"]
    assert 25 <= len(champion_lines) <= 75
    assert {line["version"] for line in champion_lines} == {first}
    assert found[0]["instances"] == [random_models.IRIS]
    assert found[0]["ms"] > 0


def test_shadow_predicts_copies_only(served_project: ServedProject, recorder: Recorder) -> None:
    """Clients receive the champion's prediction; both are recorded under the request's id."""
    space, (first, second, _), app, _ = served_project
    start_rollout(served_project, "shadow", 1.0)
    with TestClient(app) as client:
        response = client.post(PREDICT, json=BODY)
        assert client.post(PREDICT, content=b"{").status_code == 400
    recorder.sender.finish()
    found = {line["arm"]: line for line in read_records(recorder.folder)}
    assert response.json()["version"] == first
    assert found["champion"]["predictions"] == response.json()["predictions"]
    assert found["shadow"]["predictions"] == LoadedModel.load(space.package("iris", second)).predict(
        [random_models.IRIS]
    )
    assert {line["id"] for line in found.values()} == {response.headers["x-request-id"]}


def test_failing_or_slow_shadow_does_not_affect_responses(
    served_project: ServedProject, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A failing or slow shadow affects neither responses nor records; failures and dropped copies are counted."""

    def fail(*_: object) -> None:
        time.sleep(0.2)
        raise ZeroDivisionError("the shadow falls")

    monkeypatch.setattr(RecordWriter, "_predict", fail)
    monkeypatch.setattr(queue, "MAX_ITEMS", 3)
    start_rollout(served_project, "shadow", 1.0)
    with TestClient(served_project[2]) as client:
        started_at = time.monotonic()
        responses = [client.post(PREDICT, json=BODY) for _ in range(12)]
        assert time.monotonic() - started_at < 12 * 0.2
    assert {response.status_code for response in responses} == {200}
    recorder.sender.finish()
    counts = recorder.sender.counts
    assert counts["shadow", "failed"] + counts["shadow", "dropped"] == 12
    assert 3 <= counts["shadow", "failed"] <= 6
    assert caplog.text.count("shadow: ZeroDivisionError: the shadow falls") == 1
    assert [line["arm"] for line in read_records(recorder.folder)] == ["champion"] * 12


@pytest.mark.parametrize("limit", ["max_bytes", "max_items"])
def test_waiting_records_are_bounded(served_project: ServedProject, recorder: Recorder, limit: str) -> None:
    """Waiting records are limited by number and by bytes; those that do not fit are counted with their copies."""
    setattr(recorder.sender, limit, 0)
    start_rollout(served_project, "shadow", 1.0)
    with TestClient(served_project[2]) as client:
        assert client.post(PREDICT, json=BODY).status_code == 200
    assert recorder.sender.counts == {("champion", "dropped"): 1, ("shadow", "dropped"): 1}


def test_rollout_ends_when_the_champion_changes(served_project: ServedProject, monkeypatch: pytest.MonkeyPatch) -> None:
    """A promotion or rollback ends the rollout for good, however it was made."""
    space, (first, second, third), app, watcher = served_project
    task = loader.load(space, "iris")
    start_rollout(served_project, "canary", 1.0)
    with TestClient(app) as client:

        def version() -> Any:
            return client.post(PREDICT, json=BODY).json()["version"]

        assert version() == second
        with monkeypatch.context() as patch:
            patch.setattr(LoadedModel, "load", lambda _: pytest.fail("it was warm"))
            random_models.set_champion(space, second)
            watcher.poll()
        assert version() == second
        assert not space.traffic("iris").exists()
        random_models.set_champion(space, first)
        watcher.poll()
        assert (version(), app.state.splits) == (first, {})
        start_rollout(served_project, "canary", 1.0, 2)
        assert version() == third
        rollout_bytes = space.traffic("iris").read_bytes()
        random_models.set_champion(space, second)
        space.traffic("iris").write_bytes(rollout_bytes)  # as after a git checkout
        watcher.poll()
        assert version() == second
        assert "has ended" in traffic.traffic(space, task)["told"]


@pytest.mark.parametrize("content", ['{"version": ', '{"task": "iris", "version": "../sine/0123456789ab"}'])
def test_invalid_rollout_bytes_changes_nothing(
    served_project: ServedProject, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a damaged rollout file, the current one goes on and the log has the reason; `off` ends it."""
    space, _, app, watcher = served_project
    start_rollout(served_project, "canary", 0.5)
    current_split = app.state.splits["iris"]
    space.traffic("iris").write_text(content)
    watcher.poll()
    assert app.state.splits["iris"] is current_split
    assert "iris: the new challenger is not served" in caplog.text
    traffic.end_rollout(space, loader.load(space, "iris"))
    watcher.poll()
    assert app.state.splits == {}


def test_challenger_that_fails_its_golden_rows_is_not_served(
    served_project: ServedProject, caplog: pytest.LogCaptureFixture
) -> None:
    """A challenger that fails its golden rows is not served."""
    space, versions, app, _ = served_project
    folder = space.package("iris", versions[2])
    (folder / "golden.json").write_text((space.package("iris", versions[1]) / "golden.json").read_text())
    start_rollout(served_project, "canary", 1.0, 2)
    assert app.state.splits == {}
    assert "iris: the new challenger is not served" in caplog.text


def test_version_without_a_package_is_refused(served_project: ServedProject) -> None:
    """A version without package is refused with the command to get one; so is the champion itself."""
    space, (first, second, third), _, _ = served_project
    task = loader.load(space, "iris")
    with pytest.raises(PackageError, match="expected a packaged version, one of") as caught:
        traffic.start_rollout(space, task, ("0" * 12, "shadow"), 1.0)
    assert caught.value.hint == "train and evaluate it, then: tiltyard package iris"
    (space.package("iris", third) / "proven.json").unlink()
    with pytest.raises(PackageError, match=f"received '{third}'") as caught:
        traffic.start_rollout(space, task, (third, "shadow"), 1.0)
    assert caught.value.hint.endswith("whatever the gate's verdict: tiltyard package iris")
    space.package("iris", second).rename(space.root / "elsewhere")
    space.package("iris", second).with_suffix(".dvc").touch()
    with pytest.raises(PackageError) as caught:
        traffic.start_rollout(space, task, (second, "shadow"), 1.0)
    assert caught.value.hint == f"bring it from the remote: dvc pull serving/packages/iris/{second}"
    with pytest.raises(RegistryError, match="expected another version than the champion"):
        traffic.start_rollout(space, task, (first, "shadow"), 1.0)
    assert not space.traffic("iris").exists()


def test_traffic_command_starts_shows_and_ends_a_rollout(
    served_project: ServedProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command starts, shows and ends a rollout; conflicting options are a usage error."""
    space, (first, second, _), _, _ = served_project
    monkeypatch.chdir(space.root)

    def run(*options: str) -> Any:
        return CliRunner().invoke(cli, ["traffic", "iris", *options])

    assert f"{second} serves 0.1 of all clients, {first} the others" in run("--canary", second, "--share", "0.1").output
    assert json.loads(run("--json").output)["challenge"]["share"] == 0.1
    assert f"{second} gets a copy" in run("--shadow", second).output
    for options in (["--off"], ["--off"], []):
        assert run(*options).output.startswith(f"iris: {first} serves all requests\n")
    both = ["--off", "--shadow", second]
    for invalid_options in (["--canary", second], ["--share", "0.5"], both, ["--shadow", second, "--share", "0"]):
        assert run(*invalid_options).exit_code == 2


def test_sampling_rate_is_kept() -> None:
    """Sampling records a tenth of all requests, without a draw for each."""
    recorder = Recorder(Path("nowhere"), 0.1)
    sampled = sum((recorder.is_due, recorder.is_sampled()) == (True, True) for _ in range(50_000))
    assert abs(sampled - 5000) < 4 * np.sqrt(50_000 * 0.1 * 0.9)
    assert not any(Recorder(Path("nowhere")).is_sampled() for _ in range(100))
    assert all(Recorder(Path("nowhere"), 1.0).is_sampled() for _ in range(100))


def test_invalid_rollout_bytes_is_refused(tmp_path: Path) -> None:
    """An invalid rollout file is refused with a hint; a missing one is no rollout."""
    path = tmp_path / "iris.json"
    assert rollout.read(path) is None
    valid_content = {
        "task": "iris",
        "version": "0" * 12,
        "way": "canary",
        "share": 1,
        "champion": "1" * 12,
        "since": "now",
    }
    path.write_text(json.dumps(valid_content))
    assert rollout.read(path)
    duplicate_key = json.dumps(valid_content).replace("{", '{"share": 0.01, ')
    for content in (
        '{"task": "iris", "share": 2}',
        duplicate_key,
        "[" * 9999,
        "\ud800".encode("utf-8", "surrogatepass"),
        "7",
    ):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(RegistryError, match="is not a rollout") as caught:
            rollout.read(path)
        assert caught.value.hint == "end it: tiltyard traffic iris --off"


def test_sampled_requests_are_recorded_whatever_path_they_take(served_project: ServedProject, tmp_path: Path) -> None:
    """V1 requests, which the fast path answers, and V2 requests, which it leaves to the routes, are sampled alike."""
    app, requests = served_project[2], 600
    recorder = app.state.recorder = Recorder(tmp_path, 0.2)
    with TestClient(app) as client:
        for _ in range(requests // 2):
            assert client.post(PREDICT, json=BODY).status_code == 200
            assert client.post("/v2/models/iris/infer", json=TENSORS).status_code == 200
    recorder.sender.close()
    assert abs(recorder.sender.counts["champion", "written"] - 0.2 * requests) < 4 * np.sqrt(requests * 0.2 * 0.8)


@pytest.mark.smoke
def test_two_workers_assign_each_client_to_the_same_version(served_project: ServedProject, tmp_path: Path) -> None:
    """Two workers follow the rollout and assign a key to the same version; drift is measured."""
    space, (first, second, _), *_ = served_project
    environment = {
        **bento.clean(),
        "TILTYARD_CHAMPIONS": str(space.root / "serving"),
        "TILTYARD_WORKERS": "2",
        "TILTYARD_RECORDS": str(space.records),
        "TILTYARD_RECORD": "1",
    }
    with smoke_test.running(SERVER, environment, tmp_path / "home") as server:
        traffic.start_rollout(space, loader.load(space, "iris"), (second, "canary"), 0.5)
        versions_used: dict[int, set[str]] = {number: set() for number in range(60)}
        time.sleep(5)
        for turn in range(8):
            with httpx.Client(base_url=server.url) as client:  # another connection, perhaps to another worker
                for number, versions in versions_used.items():
                    row = {**random_models.IRIS, "petal_width": 2.5 + 0.01 * turn}
                    response = client.post(
                        PREDICT, json={"instances": [row] * 8}, headers={"x-tiltyard-key": str(number)}
                    )
                    versions.add(response.json()["version"])
        assert all(len(versions) == 1 for versions in versions_used.values())
        assert 15 <= sum(second in versions for versions in versions_used.values()) <= 45
        deadline, gauge = time.monotonic() + 60, f'feature="petal_width",model="iris",version="{first}"}}'
        while gauge not in (text := httpx.get(f"{server.url}/metrics").text):
            assert time.monotonic() < deadline
            time.sleep(1)
    psi = next(line for line in text.splitlines() if line.startswith("tiltyard_feature_psi{") and gauge in line)
    assert float(psi.split()[-1]) > 0.5
    lines_read = read_records(space.records)
    assert len({line["id"] for line in lines_read}) == len(lines_read) == 480
    assert {line["version"] for line in lines_read} == {first, second}
