"""Restricted Boltzmann machines: scikit-learn's update, likelihoods that rise, resumed and diverged trainings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import needs_jax
from workspaces import run_in_process

from tiltyard.arrays import Array
from tiltyard.modeling.models._rbm import ContrastiveDivergence, Rbm
from tiltyard.training import partition_function

SIZE = 16  # of pictures of 4 x 4
BARS = np.array([[*np.repeat(np.eye(4)[i], 4)] for i in range(4)] + [[*np.tile(np.eye(4)[i], 4)] for i in range(4)])


def _settings(**changes: Any) -> ContrastiveDivergence:
    return ContrastiveDivergence.model_validate({"epochs": 100, "batch_size": 8, **changes})


def _run(folder: Path, settings: ContrastiveDivergence, **changes: Any) -> Any:
    from tiltyard.training.rbm_training import RbmRun

    facts = {"visible": "bernoulli", "hidden": 8, "seed": [0, 1], "title": "bars RBM 1", "digest": "", **changes}
    return RbmRun(settings, state=folder / "rbm.npz", progress_file=folder / "progress.json", **facts)


def _fitted(folder: Path, content: dict[str, Any], rows: Array = BARS, **changes: Any) -> tuple[Any, Any]:
    """Train a machine on rows; return its weights and its figures."""
    from tiltyard.training.rbm_training import fit_rbm

    rows = np.tile(rows.astype(np.float32), (8, 1))
    rbm, history = fit_rbm(_run(folder, _settings(**content), **changes), rows, lambda part: part, (rows, rows[:8]))
    return tuple(np.asarray(part) for part in rbm), history


def _likelihood(rbm: Rbm, rows: Array) -> float:
    """Return the mean logarithm of the probability of rows."""
    hidden = np.logaddexp(0, rows @ rbm.weights + rbm.hidden_bias).sum(axis=1)
    return float((rows @ rbm.visible_bias + hidden).mean() - partition_function.enumerated(rbm))


@pytest.mark.parametrize(
    "content",
    [{}, {"steps": 3, "sample_visible": True}, {"persistent": True, "learning_rate": 0.02, "batch_size": 32}],
)
def test_likelihood_rises(tmp_path: Path, content: dict[str, Any]) -> None:
    """Each kind of contrastive divergence learns bars: their exact likelihood rises far above that of pixels alone."""
    weights, history = run_in_process(_fitted, tmp_path, {"epochs": 300, **content})
    assert _likelihood(Rbm(*weights), BARS) > -5.5  # the best possible value is -log(8), -2.1
    assert _likelihood(Rbm(np.zeros((SIZE, 8)), np.log(np.full(SIZE, 1 / 3)), np.zeros(8)), BARS) < -8.9
    assert history["error"][-1] < history["error"][0] / 2


def _updates() -> tuple[list[Any], list[Any]]:
    """Return one update of persistent chains by scikit-learn and by ours, with the same random numbers."""
    from sklearn.neural_network import BernoulliRBM

    from tiltyard.training import contrastive_divergence as cd

    generator, rows = np.random.RandomState(0), BARS.astype(np.float64)
    theirs = BernoulliRBM(5, learning_rate=0.1, batch_size=8)
    theirs.components_ = generator.normal(size=(5, SIZE))
    theirs.intercept_hidden_, theirs.intercept_visible_ = generator.normal(size=5), generator.normal(size=SIZE)
    theirs.h_samples_ = generator.randint(0, 2, (8, 5)).astype(np.float64)
    theirs._n_features_out = 5
    rbm = Rbm(theirs.components_.T.copy(), theirs.intercept_visible_.copy(), theirs.intercept_hidden_.copy())
    rbm = Rbm(*(part.astype(np.float32) for part in rbm))
    energies = theirs._free_energy(rows), cd.free_energy(rbm, rows.astype(np.float32), "bernoulli")
    zeros = Rbm(*(np.zeros_like(part) for part in rbm))
    state = cd.State(rbm, zeros, np.zeros(5, np.float32), theirs.h_samples_.astype(np.float32))
    draws = np.random.RandomState(1)
    visible = draws.uniform(size=(1, 8, SIZE)).astype(np.float32)
    hidden = np.stack([np.zeros((8, 5)), draws.uniform(size=(8, 5))]).astype(np.float32)
    theirs._fit(rows, np.random.RandomState(1))
    settings = _settings(persistent=True, sample_visible=True, momentum=0.0, weight_decay=0.0)
    update = cd.update_function(settings, "bernoulli")
    state, _ = update(state, rows.astype(np.float32), hidden, visible, np.array([0, 0.1], np.float32))
    expected = [theirs.components_.T, theirs.intercept_visible_, theirs.intercept_hidden_, theirs.h_samples_]
    ours = [*state.rbm, state.chains]
    return [*expected, energies[0]], [np.asarray(part) for part in (*ours, energies[1])]


def test_an_update_is_that_of_scikit_learn() -> None:
    """With the same draws, weights, biases, chains and free energies are equal."""
    for expected, ours in zip(*run_in_process(_updates), strict=True):
        assert ours == pytest.approx(expected, abs=1e-5)


def _interrupted(folder: Path, content: dict[str, Any]) -> list[Any]:
    """Train at once, and with an interruption after the 12th epoch."""
    from tiltyard.training import checkpoint, rbm_training

    checkpoint.SHARE = 1e9
    whole = _fitted(folder / "one", content)
    write = rbm_training._write_progress

    def stop(run: Any, epoch: int, history: Any) -> None:
        if epoch == 12:
            raise KeyboardInterrupt
        write(run, epoch, history)

    rbm_training._write_progress = stop
    with pytest.raises(KeyboardInterrupt):
        _fitted(folder / "two", content)
    rbm_training._write_progress = write
    epochs: list[int] = []
    rbm_training._epoch = _counted(rbm_training._epoch, epochs)
    return [whole, _fitted(folder / "two", content), epochs]


def _counted(function: Any, epochs: list[int]) -> Any:
    def epoch(run: Any, number: int, *others: Any) -> Any:
        epochs.append(number)
        return function(run, number, *others)

    return epoch


@pytest.mark.parametrize("content", [{"epochs": 20}, {"epochs": 20, "persistent": True, "sparsity": {"rho": 0.2}}])
def test_a_resumed_training_has_the_same_weights(tmp_path: Path, content: dict[str, Any]) -> None:
    """Weights, momentum, chains and figures continue where the last state was written."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (weights, history), (again, figures), epochs = run_in_process(_interrupted, tmp_path, content)
    assert epochs == list(range(11, 20))
    assert figures == history
    for expected, ours in zip(weights, again, strict=True):
        assert np.array_equal(expected, ours)


def _other(folder: Path) -> list[float]:
    """Train twice into the same state, with other settings."""
    return [_fitted(folder, {"epochs": 3, "learning_rate": rate})[1]["error"][0] for rate in (0.1, 0.2)]


def test_the_state_of_other_settings_is_not_resumed(tmp_path: Path) -> None:
    """The fingerprint of the state holds the settings."""
    first, second = run_in_process(_other, tmp_path)
    assert first != second


def _diverged(folder: Path) -> list[str]:
    from tiltyard.errors import TrainingError

    with pytest.raises(TrainingError) as raised:
        _fitted(folder, {"learning_rate": 1e20}, visible="gaussian")
    return [raised.value.message, str(raised.value.hint)]


def test_divergence_is_an_error(tmp_path: Path) -> None:
    """It names the machine, the epoch and the rate to lower; no state of it is kept."""
    message, hint = run_in_process(_diverged, tmp_path)
    assert message == "bars RBM 1 diverged in epoch 1: expected finite weights; received NaN or infinity"
    assert hint == "lower model.pretrain.learning_rate (now 1e+20)"
    assert not (tmp_path / "rbm.npz").exists()


def _means(folder: Path) -> list[float]:
    found = []
    for name, sparsity in (("plain", None), ("sparse", {"rho": 0.05, "weight": 1.0})):
        (folder / name).mkdir()
        (weights, _, bias), _ = _fitted(folder / name, {"sparsity": sparsity})
        found.append(float((1 / (1 + np.exp(-BARS @ weights - bias))).mean()))
    return found


def test_sparsity_lowers_activations(tmp_path: Path) -> None:
    """The mean activation of hidden units is pulled towards rho."""
    plain, sparse = run_in_process(_means, tmp_path)
    assert 0.02 < sparse < 0.15
    assert plain > 0.2


def _gaussian(folder: Path) -> list[Any]:
    """Train on standardised numbers that are one factor and noise; return what the machine explains of them."""
    generator = np.random.default_rng(0)
    rows = np.sign(generator.normal(size=(100, 1))) * np.ones((1, 4)) + 0.3 * generator.normal(size=(100, 4))
    settings = {"epochs": 60, "sample_visible": True, "batch_size": 20}
    _, history = _fitted(folder, settings, rows / rows.std(axis=0), visible="gaussian", hidden=2)
    return [history["error"][0], history["error"][-1]]


def test_gaussian_units_learn_numbers(tmp_path: Path) -> None:
    """The squared error of numbers of variance 1 falls from 1 to little more than their noise."""
    first, last = run_in_process(_gaussian, tmp_path)
    assert first > 0.8
    assert last < 0.3


def test_enumeration_is_the_sum_over_all_states() -> None:
    """The logarithm of Z is that of brute force over visible and hidden units, whichever layer is smaller."""
    generator = np.random.default_rng(0)
    for visible, hidden in ((5, 3), (3, 5), (4, 4)):
        weights, bias, offset = (generator.normal(size=size) for size in ((visible, hidden), visible, hidden))
        states = [np.array(list(np.ndindex(*[2] * count))) for count in (visible, hidden)]
        energies = states[0] @ weights @ states[1].T + (states[0] @ bias)[:, None] + states[1] @ offset
        expected = float(np.log(np.exp(energies).sum()))
        assert partition_function.enumerated(Rbm(weights, bias, offset)) == pytest.approx(expected, rel=1e-12)


def test_annealed_importance_sampling_agrees_with_enumeration() -> None:
    """The estimate has the exact value within three standard errors, which are small; larger machines have no other."""
    generator = np.random.default_rng(1)
    rbm = Rbm(generator.normal(size=(30, 12)) / 2, generator.normal(size=30) - 1, generator.normal(size=12))
    exact = partition_function.log_partition(rbm, np.full((2, 30), 0.3))
    estimate = partition_function.annealed(rbm, np.zeros(30), 200, 2000, 0)
    assert exact.exact
    assert not estimate.exact
    assert estimate.low is not None
    assert estimate.low < exact.value < estimate.high
    assert estimate.high - estimate.low < 1
    wide = Rbm(np.zeros((30, 25)), np.full(30, np.log(0.3 / 0.7)), np.zeros(25))  # its Z has a closed form
    expected = 30 * np.log(1 + 0.3 / 0.7) + 25 * np.log(2)
    assert partition_function.log_partition(wide, np.full((2, 30), 0.3), 50, 10).value == pytest.approx(expected)


def test_nothing_is_set_without_epochs() -> None:
    """Settings of a training that is left out are refused, since they would do nothing."""
    assert ContrastiveDivergence.model_validate({"epochs": 0}).epochs == 0
    with pytest.raises(ValueError, match="epochs: expected 1 or more with other settings; received 0"):
        ContrastiveDivergence.model_validate({"epochs": 0, "steps": 2})


@pytest.mark.jax
@needs_jax
def test_backends_learn_the_same(tmp_path: Path) -> None:
    """Random numbers are drawn by NumPy, so JAX learns what TensorFlow learns."""
    (tmp_path / "jax").mkdir()
    _, history = run_in_process(_fitted, tmp_path, {"epochs": 5, "persistent": True})
    code = (
        "import json, pathlib, test_contrastive_divergence as tests; "
        f"print(json.dumps(tests._fitted(pathlib.Path({str(tmp_path / 'jax')!r}), "
        "{'epochs': 5, 'persistent': True})[1]['error']))"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert np.array(json.loads(done.stdout.splitlines()[-1])) == pytest.approx(history["error"], rel=1e-4)


def test_an_estimate_by_one_chain_has_no_lower_end() -> None:
    """If one weight outweighs all others, three standard errors reach below zero; the record is JSON nevertheless."""
    estimate = partition_function._estimate(0.0, np.array([0.0, 100.0, 0.0]))
    assert estimate.low is None
    assert estimate.high > estimate.value
    json.dumps(asdict(estimate), allow_nan=False)
