"""Plain training script with the same layers, data, batches and early stopping, as a reference for the pipeline."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from tiltyard.config import loader
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.training import network
from tiltyard.training.objective import Objective
from tiltyard.training.optimizer import optimizer
from tiltyard.workspace import Workspace


def main(root: str, name: str) -> None:
    """Fit prepared rows, keep the best weights in memory, and save the model."""
    workspace = Workspace(Path(root))
    task = loader.load(workspace, name)
    parts = TrainingRows.load(workspace.out(name, "prepare"))
    keras.utils.set_random_seed(task.train.seed)
    core = network.build_core(task, parts.encoder, parts.train[0])
    objective = Objective.of(task, parts.encoder)
    model = network.build_trainer(task.train, core)
    steps = -(-len(parts.train[0]) // task.train.batch_size)
    model.compile(optimizer(task.train, steps), task.loss, metrics=["accuracy"] if task.classes else [])
    callbacks = [keras.callbacks.EarlyStopping("val_loss", patience=task.train.patience, restore_best_weights=True)]
    if task.train.schedule.kind == "plateau":
        patience = max(2, (task.train.patience or 15) // 3)
        callbacks.append(keras.callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=patience))
    (features, truth), (validation_features, validation_truth) = parts.train, parts.validation
    history = model.fit(
        features,
        objective.targets(truth),
        validation_data=(validation_features, objective.targets(validation_truth)),
        batch_size=task.train.batch_size,
        epochs=task.train.epochs,
        callbacks=callbacks,
        verbose=0,
    )
    core.save(workspace.root / "bare.keras")
    print(len(history.history["loss"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
