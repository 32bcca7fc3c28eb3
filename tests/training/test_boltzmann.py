"""A restricted Boltzmann machine that draws samples: scores are probabilities, samples follow them, runs resume."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pytest
from workspaces import ROOT, edit_task, fetch_raw, kill_training_when, run_in_process, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.modeling.inference import codes
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.modeling.models._rbm import Rbm as Machine
from tiltyard.preparation import prepare
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

SHAPE = (3, 3, 1)
GRAPHS = ("model.onnx", "decoder.onnx")
STATES = np.array(list(np.ndindex(*[2] * 9)), dtype=np.float32)


def _small(steps: int) -> dict[str, Any]:
    """Return scores of all pictures of nine pixels, and samples, of a machine with known weights."""
    from tiltyard.modeling.models.rbm import Rbm as Family
    from tiltyard.training.boltzmann import run_chains
    from tiltyard.training.partition_function import enumerated
    from tiltyard.training.samplers.base import Rows
    from tiltyard.training.samplers.rbm import CHAINS, Rbm

    generator = np.random.default_rng(0)
    parts = (generator.normal(size=size).astype(np.float32) for size in ((9, 6), 9, 6))
    machine = Machine(*parts)
    family = Family.model_validate({"family": "rbm", "hidden": 6, "sampling_steps": steps})
    sampler = Rbm(family, Rows(SHAPE, 255.0, 0))
    body, start = sampler.body(), STATES[generator.integers(0, len(STATES), CHAINS)]
    sampler.fill(body, machine, run_chains(machine, start, 100, 0), enumerated(machine))
    outputs = np.asarray(sampler.scorer(body)(255 * STATES.reshape(-1, *SHAPE)))
    drawn = codes.draw("uniform", 6, 0, 4000)
    pixels = np.asarray(sampler.decoder(body)(drawn))
    hidden = 1 / (1 + np.exp(-(STATES @ machine.weights + machine.hidden_bias)))
    return {"outputs": outputs, "pixels": pixels, "hidden": hidden, "again": np.asarray(sampler.decoder(body)(drawn))}


def test_scores_are_logarithms_of_probabilities() -> None:
    """Over all pictures the probabilities add up to 1; codes are the probabilities of hidden units."""
    found = run_in_process(_small, 1)
    assert np.exp(-found["outputs"][:, -1].astype(np.float64)).sum() == pytest.approx(1, rel=1e-4)
    assert found["outputs"][:, 9:15] == pytest.approx(found["hidden"], abs=1e-5)


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_samples_follow_the_model(steps: int) -> None:
    """Means and products of pixels are those of the exact distribution; the same codes give the same pictures."""
    found = run_in_process(_small, steps)
    probabilities = np.exp(-found["outputs"][:, -1].astype(np.float64))
    assert found["pixels"].mean(axis=0) == pytest.approx(probabilities @ STATES, abs=0.06)
    assert np.array_equal(found["pixels"], found["again"])
    assert len(np.unique(found["pixels"], axis=0)) > 30


def _prepared(workspace: Workspace, **changes: Any) -> None:
    shutil.copy(ROOT / "tasks" / "vae_digits.yaml", workspace.task_file("drawn"))
    model = {"family": "rbm", "hidden": 24, "gibbs_steps": 2}
    train = {"train": {"epochs": 8, "batch_size": 20}, "target": None, "gate": {"metric": "log_likelihood"}}
    edit_task(workspace, "drawn", {"model": model, **train, **changes})
    fetch_raw(workspace, "drawn")
    prepare.prepare(workspace, loader.load(workspace, "drawn"))


def test_killed_training_resumes_to_the_same_model(workspace: Workspace) -> None:
    """After kill -9 both ONNX files are those of an uninterrupted training; its record has log Z and the figures."""
    _prepared(workspace, **{"train.epochs": 60})
    train_tasks(workspace, "drawn")
    out = workspace.out("drawn", "train")
    record, graphs = files.read_json(out / "training.json"), [(out / name).read_bytes() for name in GRAPHS]
    assert record["parity"] < 1e-4
    assert record["log_partition"]["low"] < record["log_partition"]["value"] < record["log_partition"]["high"]
    assert len(record["pretraining"]["machines"][0]["history"]["error"]) == 60
    (out / "training.json").unlink()
    kill_training_when(workspace, "drawn", (workspace.state("drawn", "train") / "rbm.npz").is_file)
    train_tasks(workspace, "drawn")
    assert files.read_json(out / "training.json") == record
    assert [(out / name).read_bytes() for name in GRAPHS] == graphs


def test_samples_depend_on_the_seed_alone(workspace: Workspace) -> None:
    """The exported decoder draws the same picture for a seed and a place, whatever else is asked for."""
    _prepared(workspace)
    train_tasks(workspace, "drawn")
    predictor = Predictor.load(workspace.out("drawn", "train"))
    few, many = (predictor.decode_codes(codes.draw("uniform", 24, 7, count)) for count in (2, 40))
    assert np.array_equal(few, many[:2])
    assert not np.array_equal(few, predictor.decode_codes(codes.draw("uniform", 24, 8, 2)))
    assert many.min() >= 0
    assert many.max() <= 1
