"""Files for TensorBoard: its own readers find histograms, the graph and the projector's vectors of each run."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from movies import movies
from workspaces import edit_task, fetch_raw, new_workspace, run_in_process, train_tasks

from tiltyard.config import loader
from tiltyard.config.draft.draft import draft_task
from tiltyard.config.draft.request import DraftRequest
from tiltyard.errors import TaskError
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

ALL = ["histograms", "graph", "embeddings"]
WORDS: dict[str, Any] = {
    "columns": {"title": {"type": "text", "by": "words", "length": 8, "vocabulary": 50}},
    "model": {"family": "bow", "embedding": 4, "units": [8]},
    "train": {"epochs": 2, "tensorboard": ALL},
    "serve.example": "a long night",
}
TASKS: dict[str, dict[str, Any]] = {
    "iris": {"train.epochs": 4, "train.tensorboard": ALL, "train.patience": None},
    "plain": {"train.epochs": 4, "train.patience": None},
    "words": WORDS,
    "tabm": {"model": {"family": "tabm", "members": 2, "units": [8]}, "train.epochs": 2, "train.tensorboard": ALL},
}


@pytest.fixture(scope="module")
def trained_tasks(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A task for each case, trained; read-only."""
    workspace = new_workspace(tmp_path_factory.mktemp("tensorboard"))
    movies().to_csv(workspace.root / "movies.csv", index=False)
    draft_task(workspace, "words", DraftRequest("movies.csv", "genres"))
    for name in ("plain", "tabm"):
        workspace.task_file(name).write_bytes(workspace.task_file("iris").read_bytes())
    for name, changes in TASKS.items():
        edit_task(workspace, name, changes)
        fetch_raw(workspace, name)
        prepare.prepare(workspace, loader.load(workspace, name))
    for name in TASKS:  # each has a time limit of its own
        train_tasks(workspace, name)
    return workspace


def _run(workspace: Workspace, name: str) -> Path:
    (run,) = workspace.logs(name).iterdir()
    return run


def _read(folder: str) -> dict[str, Any]:
    """Read a run with TensorBoard's own accumulators."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    events = EventAccumulator(folder, size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()
    return {
        "tensors": {
            tag: [(event.step, tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)]
            for tag in tags["tensors"]
        },
        "nodes": {node.name: [*node.input] for node in events.Graph().node} if tags["graph"] else {},
    }


@pytest.mark.slow
def test_histograms_of_weights_and_gradients_are_read(trained_tasks: Workspace) -> None:
    """At epochs 0, 1, 2 and 4, each layer has a histogram that counts all of its weights, and of their gradients."""
    tensors = run_in_process(_read, str(_run(trained_tasks, "iris")))["tensors"]
    for kind in ("weights", "gradients"):
        points = tensors[f"{kind}/dense/kernel"]
        assert [step for step, _ in points] == [0, 1, 2, 4]
        assert all(buckets.shape[1] == 3 and buckets[:, 2].sum() == 4 * 16 for _, buckets in points)
    scalars = [(step, float(value)) for step, value in tensors["val_loss"]]
    assert [step for step, _ in scalars] == [0, 1, 2, 3]
    points = tensors["weights/output/kernel"]
    assert not np.array_equal(points[0][1], points[-1][1])


@pytest.mark.slow
def test_graph_has_the_layers_and_their_connections(trained_tasks: Workspace) -> None:
    """Each layer is a node with the layers before it as inputs."""
    nodes = run_in_process(_read, str(_run(trained_tasks, "iris")))["nodes"]
    assert nodes["features"] == []
    assert nodes["standard"] == ["features"]
    assert (nodes["flatten"], nodes["dense"], nodes["output"]) == (["standard"], ["flatten"], ["dense"])
    tabm = run_in_process(_read, str(_run(trained_tasks, "tabm")))["nodes"]
    assert all(parent in tabm for inputs in tabm.values() for parent in inputs)


def _nested_graph(folder: str) -> dict[str, Any]:
    """Write and read the graph of a model with two inner models, one of which calls a layer twice."""
    import keras

    from tiltyard.training import ensemble
    from tiltyard.training.event_writer import EventWriter

    def body() -> keras.Model:
        features, shared = keras.Input((4,), name="features"), keras.layers.Dense(4, name="shared")
        return keras.Model(features, keras.layers.Add(name="sum")([shared(shared(features)), features]))

    writer = EventWriter(Path(folder))
    writer.add_graph(ensemble.join([body(), body()], [0.5, 0.5], ["one", "two"]))
    writer.close()
    return _read(folder)


@pytest.mark.slow
def test_inner_models_are_scopes_of_the_graph(tmp_path: Path) -> None:
    """Layers of members have the member's name as prefix; a second call of a layer is a node of its own."""
    nodes = run_in_process(_nested_graph, str(tmp_path))["nodes"]
    assert nodes["one/features"] == nodes["two/features"] == ["features"]
    assert (nodes["one/shared"], nodes["one/shared_call_1"]) == (["one/features"], ["one/shared"])
    assert nodes["one/sum"] == ["one/shared_call_1", "one/features"]
    ends = [inputs for inputs in nodes.values() if inputs and inputs[0].endswith("/sum")]
    assert sorted(ends) == [["one/sum"], ["two/sum"]]


def _served(logs: str, runs: list[str]) -> dict[str, Any]:
    """Start TensorBoard, and return what its plugins answer."""
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", logs, "--port", "0", "--load_fast", "false"])
    url = board.launch()

    def get(path: str) -> str:
        with urllib.request.urlopen(f"{url}data/plugin/{path}") as answer:  # noqa: S310 - loopback
            text: str = answer.read().decode()
            return text

    end = time.monotonic() + 60
    while time.monotonic() < end and not {*runs} <= {*json.loads(get("projector/runs"))}:
        time.sleep(0.5)
    found: dict[str, Any] = {"histograms": json.loads(get("histograms/tags")), "graphs": json.loads(get("graphs/info"))}
    for run in runs:
        found[run] = config = json.loads(get(f"projector/info?run={run}"))
        for embedding in config["embeddings"]:
            query = f"run={run}&name={embedding['tensorName']}"
            embedding["labels"] = get(f"projector/metadata?{query}").splitlines()
    return found


@pytest.mark.slow
def test_tensorboard_shows_the_files(trained_tasks: Workspace) -> None:
    """The server lists histograms and graphs, and its projector has the vectors with species or words as labels."""
    logs = trained_tasks.root / "logs"
    iris, words = (str(_run(trained_tasks, name).relative_to(logs)) for name in ("iris", "words"))
    found = run_in_process(_served, str(logs), [iris, words])
    assert "weights/dense/kernel" in found["histograms"][iris]
    assert found["graphs"][iris]["run_graph"]
    (hidden,) = found[iris]["embeddings"]
    assert hidden["tensorShape"] == [30, 16]
    assert {*hidden["labels"]} == {"setosa", "versicolor", "virginica"}
    (embedding,) = found[words]["embeddings"]
    assert embedding["tensorShape"] == [len(embedding["labels"]), 4]
    assert embedding["labels"][:2] == ["(padding)", "(unknown)"]
    assert {"funny", "night"} <= {*embedding["labels"]}


@pytest.mark.slow
def test_files_for_tensorboard_do_not_change_the_model(trained_tasks: Workspace) -> None:
    """With or without them the model is the same to the byte; without, a run has curves only."""
    models = [(trained_tasks.out(name, "train") / "model.onnx").read_bytes() for name in ("iris", "plain")]
    assert models[0] == models[1]
    assert {path.name.partition(".")[0] for path in _run(trained_tasks, "plain").iterdir()} == {"events"}
    plain = run_in_process(_read, str(_run(trained_tasks, "plain")))
    assert plain["nodes"] == {}
    assert not any(tag.endswith("/kernel") for tag in plain["tensors"])


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"tensorboard": ["histograms"], "watch": False}, "histograms only with watch: true"),
        ({"tensorboard": ["images"]}, "train.tensorboard.0"),
    ],
)
def test_what_cannot_be_written_is_refused(workspace: Workspace, train: dict[str, Any], message: str) -> None:
    """Histograms need the gradients that `watch` records; unknown names are refused with the known ones."""
    edit_task(workspace, "iris", {f"train.{key}": value for key, value in train.items()})
    with pytest.raises(TaskError, match=message):
        loader.load(workspace, "iris")


def test_families_without_epochs_write_nothing(workspace: Workspace) -> None:
    """A reference has no run folder, so the setting is refused."""
    changes = {"model": {"family": "reference"}, "train": {"epochs": 1, "tensorboard": ["graph"]}}
    edit_task(workspace, "iris", changes)
    with pytest.raises(TaskError, match=r"train\.tensorboard: expected none for the family reference"):
        loader.load(workspace, "iris")
