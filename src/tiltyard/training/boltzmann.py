"""Fit a restricted Boltzmann machine as a generative model: contrastive divergence, long chains, and log Z."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.modeling.models._rbm import ContrastiveDivergence
from tiltyard.modeling.models._rbm import Rbm as Machine
from tiltyard.modeling.models.rbm import Rbm
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training.fit import FitResult, RunPaths
from tiltyard.training.partition_function import log_partition
from tiltyard.training.rbm_training import MEASURED_ROWS, RbmRun, fit_rbm
from tiltyard.training.samplers.base import open_sampler
from tiltyard.training.samplers.rbm import CHAINS
from tiltyard.training.samplers.rbm import Rbm as RbmSampler

CHAIN_STEPS = 300  # of the chains, from training rows
TEMPERATURES, ESTIMATES = 2000, 100  # of annealed importance sampling, and its chains
BASE_ROWS = 5000  # training rows whose means are the pixels of its first machine
DEFAULT_RATE = 0.05


def fit_boltzmann(task: Task, rows: TrainingRows, paths: RunPaths) -> FitResult:
    """Train the machine, run its chains, estimate log Z, and put all of them into the network that is exported."""
    family, seed = task.model, task.train.seed
    assert isinstance(family, Rbm)  # noqa: S101 - for the type checker
    keras.utils.set_random_seed(seed)
    sampler = open_sampler(family, rows.encoder)
    assert isinstance(sampler, RbmSampler)  # noqa: S101 - for the type checker
    run = _run(task, family, rows, paths)

    def scaled(features: Array) -> Array:
        return np.asarray(features[:, : sampler.rows.width], dtype=np.float32) / np.float32(sampler.rows.scale)

    measured = tuple(sample_rows(part, MEASURED_ROWS)[0] for part in (rows.train, rows.validation))
    machine, history = fit_rbm(run, rows.train[0], scaled, (measured[0], measured[1]))
    known = scaled(sample_rows(rows.train, BASE_ROWS)[0])
    chains = run_chains(machine, known[np.resize(np.arange(len(known)), CHAINS)], CHAIN_STEPS, seed)
    partition = log_partition(machine, known, ESTIMATES, TEMPERATURES, seed)
    body = sampler.body()
    sampler.fill(body, machine, chains, partition.value)
    last = {name: values[-1] for name, values in history.items()}
    units = {"visible": len(machine.visible_bias), "hidden": len(machine.hidden_bias)}
    record = {
        "epochs": task.train.epochs,
        "best_epoch": task.train.epochs,  # the last: nothing is chosen by validation rows
        "stopped_early": False,
        "parameters": sum(part.size for part in machine),
        "seed": seed,
        "history": {"loss": history["error"]},
        "log_partition": asdict(partition),
        "pretraining": {"rows": len(rows.train[0]), "machines": [{**units, **last, "history": history}]},
    }
    return FitResult(body, record, [])


def _run(task: Task, family: Rbm, rows: TrainingRows, paths: RunPaths) -> RbmRun:
    train = task.train
    settings = ContrastiveDivergence(
        epochs=train.epochs,
        batch_size=train.batch_size,
        learning_rate=train.learning_rate or DEFAULT_RATE,
        momentum=family.momentum,
        weight_decay=family.weight_decay,
        steps=family.gibbs_steps,
        persistent=family.persistent,
        sparsity=family.sparsity,
        decay=True,
    )
    state, progress = paths.state / "rbm.npz", paths.state / "progress.json"
    return RbmRun(
        settings, "bernoulli", family.hidden, [train.seed, 1], f"{paths.title} RBM", state, progress, rows.digest
    )


def run_chains(machine: Machine, rows: Array, steps: int, seed: int) -> Array:
    """Return the hidden units at the end of chains that start at rows, one each."""
    generator, pixels = np.random.default_rng(seed), rows
    hidden = np.zeros((len(rows), len(machine.hidden_bias)), dtype=np.float32)
    for _ in range(steps):
        hidden = _drawn(pixels @ machine.weights + machine.hidden_bias, generator)
        pixels = _drawn(hidden @ machine.weights.T + machine.visible_bias, generator)
    return hidden


def _drawn(logits: Array, generator: np.random.Generator) -> Array:
    means = 0.5 * (1 + np.tanh(0.5 * logits))
    return (generator.random(logits.shape, dtype=np.float32) < means).astype(np.float32)
