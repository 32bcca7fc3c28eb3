"""Compiled loops over batches: the same weights and figures as Keras' own `fit`, however many steps a call makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from workspaces import run_in_process

from tiltyard.arrays import Array

if TYPE_CHECKING:
    import keras

    from tiltyard.training.batches import Batches

pytestmark = pytest.mark.slow
EPOCHS = 3
SIZE = 8


def _model(kind: str) -> keras.Model:
    """Build and compile a small model with random layers, a schedule by step, and a state beside its weights."""
    import keras

    keras.utils.set_random_seed(7)
    layers = keras.layers
    features = keras.Input((6, 6, 1), name="features")
    if kind == "cnn":
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(features))
        x = layers.Flatten()(layers.RandomFlip(seed=1)(x))
    else:
        x = layers.LSTM(5)(layers.Reshape((6, 6))(features)) if kind == "lstm" else layers.Flatten()(features)
    x = layers.Dropout(0.3)(layers.Dense(8, "relu", kernel_regularizer="l2")(x))
    model = keras.Model(features, layers.Dense(3, "softmax")(x))
    rate = keras.optimizers.schedules.ExponentialDecay(0.05, 5, 0.5)
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9, clipnorm=1.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        weighted_metrics=[],
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _batches(rows: int, missing: int | None = None) -> tuple[Batches, Batches]:
    """Return training and validation rows; the training row that is drawn at one place may be missing."""
    from tiltyard.training.batches import Batches

    chance = np.random.default_rng(rows)
    features, labels = chance.normal(size=(rows, 6, 6, 1)).astype(np.float32), chance.integers(0, 3, rows)
    train = Batches((features, labels.astype(np.int32), chance.random(rows).astype(np.float32)), SIZE, 5)
    validation = Batches((features[:13].copy(), labels[:13].astype(np.int32)), SIZE)
    if missing is not None:
        features[train.order[missing]] = np.nan
    return train, validation


def _by_keras(kind: str, rows: int) -> tuple[Any, list[Array]]:
    """Train by Keras' own loop, one step at a time."""
    import keras

    class Dataset(keras.utils.PyDataset):  # type: ignore[misc]
        def __init__(self, batches: Batches) -> None:
            super().__init__()
            self.batches = batches

        def __len__(self) -> int:
            return len(self.batches)

        def __getitem__(self, place: int) -> Any:
            return self.batches[place]

    (train, validation), model = _batches(rows), _model(kind)
    deal = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: train.deal(epoch))
    data = {"x": Dataset(train), "validation_data": Dataset(validation)}
    history = model.fit(**data, epochs=EPOCHS, callbacks=[deal], shuffle=False, verbose=0).history
    return history, _state(model)


def _by_loop(kind: str, rows: int, steps: int | None, *, assembled: bool = False) -> tuple[Any, list[Array]]:
    """Train by the compiled loop, with rows in memory or assembled."""
    import keras

    from tiltyard.training import batches, epochs

    batches.ASSEMBLED = 2 * SIZE * 36 * 4
    if assembled:
        batches.Batches.all_rows = None  # type: ignore[assignment,method-assign]
    epochs.SECONDS_A_CALL = 0.003  # a few steps
    model, history = _model(kind), keras.callbacks.History()
    epochs.Epochs(model, *_batches(rows), steps).run(range(EPOCHS), [history])
    return history.history, _state(model)


def _state(model: keras.Model) -> list[Array]:
    return [np.array(variable) for variable in (*model.variables, *model.optimizer.variables)]


def _same(found: tuple[Any, list[Array]], expected: tuple[Any, list[Array]]) -> bool:
    return found[0] == expected[0] and all(map(np.array_equal, found[1], expected[1]))


def _different(kind: str) -> list[Any]:
    """Return the numbers of rows and of steps with which a loop and Keras disagree."""
    found: list[Any] = []
    expected = {rows: _by_keras(kind, rows) for rows in (50, 48, 5)}
    for rows, ways in ((50, (None, 1, 2, 3)), (48, (3,)), (5, (100,))):
        found += [(rows, steps) for steps in ways if not _same(_by_loop(kind, rows, steps), expected[rows])]
    if not _same(_by_loop(kind, 50, None, assembled=True), expected[50]):
        found.append("assembled")
    return found


@pytest.mark.parametrize("kind", ["dense", "cnn", "lstm"])
def test_loop_gives_the_same_bits_as_keras(kind: str) -> None:
    """Weights, optimizer, random states and figures are equal, for full and partial last batches and assembled rows."""
    assert run_in_process(_different, kind) == []


def _stopped() -> list[tuple[int, float]]:
    """Train on a missing row in the third batch; return the steps of the optimizer and the loss for each pace."""
    import keras

    from tiltyard.training import epochs

    found, shown = [], dict[str, float]()
    for steps in (1, 100, None):
        model, (train, validation) = _model("dense"), _batches(50, missing=2 * SIZE + 1)
        train.deal = lambda epoch: None  # type: ignore[method-assign]  # noqa: ARG005
        note = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: shown.update(logs))
        epochs.Epochs(model, train, validation, steps).run(range(1), [note])
        found.append((int(model.optimizer.iterations), shown["loss"]))
    return found


def test_loop_stops_at_the_first_loss_that_is_not_finite() -> None:
    """The steps after it are not made, however many a call makes, so a diagnosis sees the weights of that moment."""
    found = run_in_process(_stopped)
    steps = {steps for steps, _ in found}
    assert steps in ({3}, {4})  # on some processors, relu hides a third batch that is not finite
    assert not any(np.isfinite(loss) for _, loss in found)


def test_pace_follows_the_time_of_the_calls() -> None:
    """The first call, which compiles, says nothing; a fixed number of steps stays."""
    from tiltyard.training.epochs import Pace

    pace, fixed = Pace(None), Pace(3)
    for steps, seconds, expected in [(1, 9.0, 1), (1, 0.01, 25), (25, 0.05, 125), (125, 500.0, 1), (1, 0.0, 250_000)]:
        pace.note(steps, seconds)
        fixed.note(steps, seconds)
        assert (pace.steps, fixed.steps) == (expected, 3)
