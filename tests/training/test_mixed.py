"""A model of texts or pictures beside other columns predicts better than one that is told only one of both parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from workspaces import ROOT, new_workspace, run_in_process

from tiltyard import files
from tiltyard.config import loader
from tiltyard.preparation.prepare import prepare
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

pytestmark = pytest.mark.slow

SEEDS = range(5)
EPOCHS = 12
PARTS = {"ticket_escalation": ["message"], "digit_sums": ["image"]}  # the other part are all other columns
CRITICAL = 2.132  # of Student's t with four degrees of freedom, one-sided, 5 %


def _gains(root: str, name: str) -> dict[str, list[float]]:
    """Return for each part how much better, by seed, the model with both is than one that is told this part alone.

    The columns of the other part are shuffled between rows, so that rows, network and training are the same.
    """
    gains: dict[str, list[float]] = {"this part alone": [], "the others alone": []}
    for seed in SEEDS:
        both, *alone = (_score(Workspace(Path(root)), name, seed, shuffled) for shuffled in ((), "others", "part"))
        sign = 1 if name == "ticket_escalation" else -1  # of an error, less is better
        for part, score in zip(gains, alone, strict=True):
            gains[part].append(sign * (both - score))
    return gains


def _score(space: Workspace, name: str, seed: int, shuffled: Any) -> float:
    """Fit the network with seeds of data, split and weights; return the metric of the gate on validation rows."""
    import keras

    from tiltyard.training import network
    from tiltyard.training.objective import Objective

    task_name = f"{name}_{seed}_{shuffled or 'none'}"
    content = yaml.safe_load((ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    content["source"]["seed"] = content["split"]["seed"] = seed
    files.write_text(space.task_file(task_name), yaml.safe_dump(content, sort_keys=False))
    task = loader.load(space, task_name)
    space.raw(task_name).mkdir(parents=True)
    task.source.fetch(space.raw(task_name), space)
    names = [column for column in task.columns if (column in PARTS[name]) == (shuffled == "part")] if shuffled else []
    _shuffle(space.raw(task_name) / "table.csv", names, seed)
    prepare(space, task)
    rows = TrainingRows.load(space.out(task_name, "prepare"))
    keras.utils.set_random_seed(seed)
    body, objective = network.build_core(task, rows.encoder, rows.train[0]), Objective.of(task, rows.encoder)
    body.compile(keras.optimizers.Adam(0.005), objective.loss, jit_compile=False)
    (features, truth), (later, wanted) = rows.train, rows.validation
    body.fit(np.array(features[:]), objective.targets(truth), batch_size=64, epochs=EPOCHS, verbose=0)
    outputs = network.outputs(network.build_inference(task.model, body, rows.encoder), later)
    return task.metric.score(wanted, outputs, task.evaluator.context(truth))


def _shuffle(path: Path, names: list[str], seed: int) -> None:
    """Shuffle some columns between the rows, together."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    order = np.random.default_rng(seed).permutation(len(frame))
    frame[names] = frame[names].to_numpy()[order]
    frame.to_csv(path, index=False)


@pytest.mark.parametrize("name", PARTS)
def test_both_parts_are_used(name: str, tmp_path: Path) -> None:
    """With five seeds, the model of both parts is better than with either alone: each time, and beyond chance."""
    gains = run_in_process(_gains, str(new_workspace(tmp_path).root), name)
    for part, differences in gains.items():
        assert min(differences) > 0, (part, differences)
        assert np.mean(differences) > CRITICAL * np.std(differences, ddof=1) / np.sqrt(len(differences)), part
