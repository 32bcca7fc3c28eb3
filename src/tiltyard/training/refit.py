"""Train a network again on more rows: as many epochs as were best on validation rows, at the same learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiltyard.arrays import Array
from tiltyard.config.task import Task
from tiltyard.files import Json
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.training.objective import Objective

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Plan:
    """What the first training decided by validation rows: the number of epochs, and the rates that a plateau set."""

    epochs: int
    rates: tuple[float, ...] = ()

    @classmethod
    def of(cls, training: Json) -> Plan:
        """Read it from the record of a training."""
        epochs = int(training["best_epoch"])
        return cls(epochs, tuple(training["history"].get("learning_rate", ())[:epochs]))


def refit(task: Task, encoder: Encoder, plan: Plan, known: tuple[Array, Array], asked: Array) -> Array:
    """Train on the known rows from new weights; return the forecasts for others. Nothing is chosen by any row.

    `known` has encoded features and truth, `asked` encoded features.
    """
    import keras

    from tiltyard.training import network

    keras.backend.clear_session()
    keras.utils.set_random_seed(task.train.seed)
    body = network.build_core(task, encoder, known[0])
    _run(task, network.build_trainer(task.train, body), Objective.of(task, encoder), plan, known)
    return network.outputs(network.build_inference(task.model, body, encoder), asked)


def _run(task: Task, model: keras.Model, objective: Objective, plan: Plan, known: tuple[Array, Array]) -> None:
    """Train for all epochs of the plan."""
    import keras

    from tiltyard.training.batches import Batches
    from tiltyard.training.epochs import Epochs
    from tiltyard.training.optimizer import optimizer

    (features, truth), train = known, task.train
    steps = -(-len(truth) // train.batch_size)
    model.compile(optimizer=optimizer(train, steps), loss=objective.loss, weighted_metrics=[], jit_compile=train.jit)
    targets = objective.training_targets(truth)
    rows = Batches((features, targets, objective.weights(truth, targets)), train.batch_size, train.seed)
    replayed = [] if callable(getattr(model.optimizer, "_learning_rate", None)) else [*plan.rates]

    def set_rate(epoch: int, _: object = None) -> None:
        if epoch < len(replayed):
            model.optimizer.learning_rate = replayed[epoch]

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=set_rate)
    Epochs(model, rows, None, train.steps_per_execution).run(range(plan.epochs), [callback])
