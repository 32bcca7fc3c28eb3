"""Pre-training of a deep belief network: a restricted Boltzmann machine for each layer, on what the one below says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.modeling.models._rbm import Rbm, Visible
from tiltyard.modeling.models.dbn import Dbn
from tiltyard.preparation.training_rows import TrainingRows, sample_rows
from tiltyard.training.contrastive_divergence import compiled, hidden_probabilities
from tiltyard.training.rbm_training import MEASURED_ROWS, Lift, RbmRun, fit_rbm

if TYPE_CHECKING:
    import keras

STANDARD = "standard"  # name of the layer that standardises the features


def pretrain(task: Task, rows: TrainingRows, place: tuple[Path, str], body: keras.Model) -> Json:
    """Give the hidden layers of the network the weights of trained machines; return what was learned, for the record.

    The machines see training rows, and those without labels if the task has them; validation rows are only measured.
    `place` is the folder of the state and the title of the training.
    """
    model = task.model
    if not isinstance(model, Dbn) or not model.pretrain.epochs:
        return {}
    features, below, records = rows.unlabelled if rows.unlabelled is not None else rows.train[0], list[Rbm](), []
    measured = tuple(
        sample_rows((part, np.zeros(len(part))), MEASURED_ROWS)[0] for part in (features, rows.validation[0])
    )
    for number, layer in enumerate(model.hidden_layers(body), 1):
        run = _run(task, rows, place, number, pixels=len(body.input_shape) == 4)
        rbm, history = fit_rbm(run, features, _lift(body, below), (measured[0], measured[1]))
        layer.set_weights([rbm.weights, rbm.hidden_bias])
        below.append(rbm)
        units = {"visible": len(rbm.visible_bias), "hidden": len(rbm.hidden_bias)}
        records.append({**units, **_last(history), "history": history})
    return {"pretraining": {"rows": len(features), "machines": records}}


def _run(task: Task, rows: TrainingRows, place: tuple[Path, str], number: int, *, pixels: bool) -> RbmRun:
    model, (folder, title) = task.model, place
    assert isinstance(model, Dbn)  # noqa: S101 - for the type checker
    settings = model.pretrain
    own: Visible = settings.visible or ("bernoulli" if pixels else "gaussian")
    return RbmRun(
        settings,
        own if number == 1 else "bernoulli",  # hidden units of the machine below are probabilities
        model.units[number - 1],
        [task.train.seed, number],
        f"{title} RBM {number}",
        folder / f"rbm-{number}.npz",
        folder / "progress.json",
        f"{rows.digest} {model.units[:number]} {own}",
    )


def _lift(body: keras.Model, below: list[Rbm]) -> Lift:
    """Return the function from features to the input of the next machine: standardised rows, through those below."""
    layer, machines = body.get_layer(STANDARD), [Rbm(*map(ops.convert_to_tensor, rbm)) for rbm in below]

    def lifted(features: Any) -> Any:
        x = ops.reshape(layer(features), (features.shape[0], -1))
        for rbm in machines:
            x = hidden_probabilities(rbm, x)
        return x

    run = compiled(lifted)
    return lambda features: run(features.astype(np.float32, copy=False))


def _last(history: dict[str, list[float]]) -> dict[str, float]:
    return {name: values[-1] for name, values in history.items()}
