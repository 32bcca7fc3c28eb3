"""Train one restricted Boltzmann machine on batches of rows: resumable, with its progress, until it is done."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.errors import TrainingError
from tiltyard.modeling.models._rbm import ContrastiveDivergence, Rbm, Visible
from tiltyard.preparation.array_file import Features
from tiltyard.runtime import progress
from tiltyard.training import checkpoint
from tiltyard.training import contrastive_divergence as cd
from tiltyard.training.batches import Batches
from tiltyard.training.contrastive_divergence import State

MEASURED_ROWS = 1000  # training and validation rows of which free energies are measured
Lift = Callable[[Array], Any]  # from encoded features to the rows of a machine, in [0, 1] or standardised
History = dict[str, list[float]]


@dataclass(frozen=True)
class RbmRun:
    """What one machine learns from, and where its state is kept."""

    settings: ContrastiveDivergence
    visible: Visible
    hidden: int
    seed: list[int]
    title: str
    state: Path
    progress_file: Path
    digest: str  # of everything before: rows, and the machines below

    @property
    def fingerprint(self) -> str:
        """Hash everything that decides the outcome, so that the state of another training is not resumed."""
        facts = [self.settings.model_dump_json(), self.visible, self.hidden, self.seed, self.digest]
        facts += [keras.__version__, keras.backend.backend()]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def fit_rbm(run: RbmRun, features: Features, lift: Lift, measured: tuple[Array, Array]) -> tuple[Rbm, History]:
    """Return the trained machine and its figures by epoch; `measured` has training and validation features."""
    size = min(run.settings.batch_size, len(features))
    batches = Batches((features,), size, run.seed[0])
    samples = [ops.convert_to_tensor(lift(rows)) for rows in measured]
    width = int(samples[0].shape[1])
    state, history = _restored(run) or (cd.initial_state(width, run.hidden, size, run.seed), {})
    state, update = _tensors(state), cd.update_function(run.settings, run.visible)
    saved_at, cost, done = -math.inf, 0.0, len(history.get("error", ()))
    with progress.progress_bar(run.title, run.settings.epochs, done, "epochs") as show:
        for epoch in range(done, run.settings.epochs):
            state, error = _epoch(run, epoch, state, update, (batches, lift, size, width))
            _record(history, error, state.rbm, samples, run.visible)
            _refuse_diverged(run, epoch, history)
            show(epoch + 1)
            _write_progress(run, epoch + 1, history)
            started = time.monotonic()
            if epoch + 1 == run.settings.epochs or cost <= checkpoint.SHARE * (started - saved_at):
                _save(run, state, history)
                saved_at = time.monotonic()
                cost = saved_at - started
    return Rbm(*(np.asarray(part) for part in state.rbm)), history


def _epoch(
    run: RbmRun, epoch: int, state: State, update: Callable[..., Any], rows: tuple[Batches, Lift, int, int]
) -> tuple[State, float]:
    """Update with every whole batch of an epoch; the rows of a smaller last one are others in each epoch."""
    batches, lift, size, width = rows
    batches.deal(epoch)
    rate, errors = run.settings.rate(run.visible, epoch), list[Any]()
    speed = np.array([cd.momentum_of(run.settings, epoch), rate], dtype=np.float32)
    for place in range(len(batches.order) // size):
        (features,) = batches[place]
        draws = cd.draw((size, width, run.hidden), run.settings, run.visible, [*run.seed, epoch, place])
        state, error = update(state, lift(features), draws.hidden, draws.visible, speed)
        errors.append(error)
    return state, float(np.mean([float(error) for error in errors]))


def _tensors(state: State) -> State:
    """Return a state whose parts are tensors, so that the update is compiled once."""
    return State(
        *(
            Rbm(*(ops.convert_to_tensor(array) for array in part))
            if isinstance(part, Rbm)
            else ops.convert_to_tensor(part)
            for part in state
        )
    )


def _record(history: History, error: float, rbm: Rbm, samples: Iterable[Any], kind: Visible) -> None:
    """Add the figures of an epoch: free energies of validation rows above those of training rows show over-fitting."""
    energies = (float(ops.mean(cd.free_energy(rbm, rows, kind))) for rows in samples)
    for name, value in zip(("error", "free_energy", "val_free_energy"), (error, *energies), strict=True):
        history.setdefault(name, []).append(value)


def _refuse_diverged(run: RbmRun, epoch: int, history: History) -> None:
    if all(math.isfinite(values[-1]) for values in history.values()):
        return
    rate = run.settings.rate(run.visible)
    raise TrainingError(
        f"{run.title} diverged in epoch {epoch + 1}: expected finite weights; received NaN or infinity",
        hint=f"lower model.pretrain.learning_rate (now {rate:g})",
    )


def _write_progress(run: RbmRun, epoch: int, history: History) -> None:
    facts = {"epoch": epoch, "epochs": run.settings.epochs, "monitor": "error of the RBM"}
    files.write_json(run.progress_file, {**facts, "best": min(history["error"])})


def _save(run: RbmRun, state: State, history: History) -> None:
    rbm, velocity, activation, chains = state
    arrays = {f"rbm_{name}": np.asarray(part) for name, part in rbm._asdict().items()}
    arrays |= {f"velocity_{name}": np.asarray(part) for name, part in velocity._asdict().items()}
    facts = json.dumps({"fingerprint": run.fingerprint, "history": history})
    with files.atomic_file(run.state) as temporary:
        np.savez(
            temporary,
            allow_pickle=False,
            facts=np.array(facts),
            activation=np.asarray(activation),
            chains=np.asarray(chains),
            **arrays,
        )


def _restored(run: RbmRun) -> tuple[State, History] | None:
    """Return the state of an interrupted training with the same fingerprint, if there is one."""
    if not run.state.is_file():
        return None
    with np.load(run.state, allow_pickle=False) as arrays:
        facts = json.loads(str(arrays["facts"]))
        if facts["fingerprint"] != run.fingerprint:
            return None
        rbm, velocity = (Rbm(*(arrays[f"{kind}_{name}"] for name in Rbm._fields)) for kind in ("rbm", "velocity"))
        return State(rbm, velocity, arrays["activation"], arrays["chains"]), facts["history"]
