"""Training of two networks against each other: losses, alternating steps, collapse, resuming, and the same seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from model_families import needs_jax
from workspaces import ROOT, edit_task, fetch_raw, kill_training_when, new_workspace, run_in_process, train_tasks

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.evaluation.evaluate import evaluate
from tiltyard.modeling.distances.frechet_distance import frechet_distance
from tiltyard.modeling.inference.feature_network import FeatureNetwork
from tiltyard.modeling.inference.predictor import Predictor, version
from tiltyard.preparation import array_file, prepare
from tiltyard.report.sections.training import training_sections
from tiltyard.training.adversarial.collapse import find_failure, window
from tiltyard.workspace import Workspace

TASK = "digits_gan"
QUICK = "--xla_backend_optimization_level=0"  # compiled for two steps, not for speed
SMALL = {"model.filters": [4, 8], "model.latent": 4}


def write_gan(workspace: Workspace, changes: dict[str, Any]) -> None:
    """Write the task of the catalogue with some changes."""
    content = (ROOT / "tasks" / f"{TASK}.yaml").read_text(encoding="utf-8")
    workspace.task_file(TASK).write_text(content, encoding="utf-8")
    edit_task(workspace, TASK, {**SMALL, "train.patience": None, **changes})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The prepared digits; trainings of the module share the classifier."""
    workspace = new_workspace(tmp_path_factory.mktemp("gan"))
    write_gan(workspace, {})
    fetch_raw(workspace, TASK)
    prepare.prepare(workspace, loader.load(workspace, TASK))
    return workspace


def _losses() -> dict[str, float]:
    from keras import ops

    from tiltyard.training.adversarial.losses import accuracy, adversarial_loss

    real, fake = ops.array([[1.0], [-2.0]]), ops.array([[0.5], [-3.0]])
    found = {"accuracy": float(accuracy(real, fake))}
    for name in ("non_saturating", "hinge"):
        both = adversarial_loss(name, 0.1)
        found |= {f"{name} d": float(both.of_discriminator(real, fake)), f"{name} g": float(both.of_generator(fake))}
    return found


def sigmoid(x: float) -> float:
    """Return the probability of a logit."""
    return float(1 / (1 + np.exp(-x)))


def test_losses_worked_by_hand() -> None:
    """Cross-entropy of sigmoids, with real pictures at 0.9; hinges with a margin of 1; half of four are right."""
    found = run_in_process(_losses)
    real = np.mean([-0.9 * np.log(sigmoid(x)) - 0.1 * np.log(1 - sigmoid(x)) for x in (1.0, -2.0)])
    fake = np.mean([-np.log(1 - sigmoid(x)) for x in (0.5, -3.0)])
    assert found["non_saturating d"] == pytest.approx(real + fake, rel=1e-5)
    assert found["non_saturating g"] == pytest.approx(np.mean([-np.log(sigmoid(x)) for x in (0.5, -3.0)]), rel=1e-5)
    assert found["hinge d"] == pytest.approx((0 + 3) / 2 + (1.5 + 0) / 2)
    assert found["hinge g"] == pytest.approx(1.25)
    assert found["accuracy"] == 0.5


def _steps(conditional: bool, settings: dict[str, Any]) -> dict[str, float]:
    """Make steps in which one side has a learning rate of 0; return how far the weights of each side moved."""
    import keras
    from model_families import model_settings

    from tiltyard.training.adversarial.epoch import compiled_step
    from tiltyard.training.samplers.base import Rows
    from tiltyard.training.samplers.gan import Gan

    generator, found = np.random.default_rng(0), dict[str, float]()
    family: Any = model_settings(
        {"family": "gan", "filters": [4, 8], "latent": 3, "conditional": conditional, **settings}
    )
    for still, rates in (("generator", (0.0, 0.1)), ("discriminator", (0.1, 0.0))):
        keras.utils.set_random_seed(0)
        sampler = Gan(family, Rows((6, 5, 1), 16.0, 2 if conditional else 0))
        trainer = sampler.trainer(sampler.body(), 1, 0)
        trainer.equip(*(keras.optimizers.SGD(rate) for rate in rates))
        before = {name: [np.array(v) for v in getattr(trainer, name).trainable_variables] for name in SIDES}
        pictures = generator.random((8, 6, 5, 1), dtype=np.float32)
        flags = np.eye(2, dtype=np.float32)[np.arange(8) % 2] if conditional else None
        step, noise = compiled_step(trainer), generator.standard_normal((2, 8, 3), dtype=np.float32)
        figures = [step((pictures, flags), noise) for _ in range(2)][-1]
        for name in SIDES:
            after = [np.array(v) for v in getattr(trainer, name).trainable_variables]
            moved = max(float(np.abs(a - b).max()) for a, b in zip(after, before[name], strict=True))
            found[f"{name} while {still} is still"] = moved
        found[f"finite {still}"] = float(all(np.isfinite(float(value)) for value in figures.values()))
        found["steps"] = float(trainer.steps)
    return found


SIDES = ("generator", "discriminator")
KINDS: list[tuple[bool, dict[str, Any]]] = [
    (False, {}),
    (True, {"loss": "hinge", "gradient_penalty": 1.0, "dropout": 0.0}),
]


def _check_steps(found: dict[str, float]) -> None:
    assert found["generator while generator is still"] == 0
    assert found["discriminator while discriminator is still"] == 0
    assert found["generator while discriminator is still"] > 0
    assert found["discriminator while generator is still"] > 0
    assert found["finite generator"] == found["finite discriminator"] == 1
    assert found["steps"] == 2


@pytest.mark.parametrize(("conditional", "settings"), KINDS)
def test_a_step_of_one_side_leaves_the_other_as_it_is(conditional: bool, settings: dict[str, Any]) -> None:
    """With a learning rate of 0 a side does not move, whatever the other does."""
    _check_steps(run_in_process(_steps, conditional, settings))


def _under_jax(call: str) -> Any:
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICK, "PYTHONPATH": paths}
    code = f"import json, test_adversarial; print(json.dumps(test_adversarial.{call}))"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.jax
@needs_jax
def test_steps_alternate_under_jax() -> None:
    """Variables are arguments there, and gradients are of functions; also those of the penalty."""
    _check_steps(_under_jax("_steps(*KINDS[1])".replace("KINDS", "test_adversarial.KINDS")))


@pytest.mark.slow
@pytest.mark.jax
@needs_jax
def test_a_training_under_jax_exports_both_graphs(prepared: Workspace) -> None:
    """JAX trains the classifier and both networks; ONNX has the distance that the kept epoch had."""
    write_gan(prepared, {"train.epochs": 3, "train.learning_rate": 0.003})
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", "from tiltyard.cli.main import main; main()", "train", TASK]
    done = subprocess.run(command, cwd=prepared.root, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    out = prepared.out(TASK, "train")
    record = files.read_json(out / "training.json")
    assert files.read_json(out / "device.json")["backend"] == "jax"
    assert record["parity"] < 1e-4
    generator = np.random.default_rng([0, 1])  # the seed of the training, and the stream of samples
    codes = generator.standard_normal((270, SMALL["model.latent"]), dtype=np.float32)
    validation = array_file.read_part(prepared.out(TASK, "prepare") / "validation.npz")[0]
    network, brightest = FeatureNetwork.load(out), validation.max()
    samples, rows = (
        network.describe(pixels).features
        for pixels in (Predictor.load(out).decode_codes(codes), validation / np.float32(brightest))
    )
    kept = record["history"]["val_loss"][record["best_epoch"] - 1]
    assert frechet_distance(samples, rows) == pytest.approx(kept, rel=1e-3)


def _largest_norms() -> list[float]:
    """Make steps with spectral norms; return the largest singular value of each layer of the discriminator."""
    import keras
    from model_families import model_settings

    from tiltyard.training.adversarial.epoch import compiled_step
    from tiltyard.training.samplers.base import Rows
    from tiltyard.training.samplers.gan import Gan

    keras.utils.set_random_seed(0)
    family: Any = model_settings({"family": "gan", "filters": [4, 8], "latent": 3, "spectral_norm": True})
    sampler = Gan(family, Rows((8, 8, 1), 16.0, 0))
    trainer = sampler.trainer(sampler.body(), 1, 0)
    trainer.equip(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    generator, step = np.random.default_rng(0), compiled_step(trainer)
    pictures, noise = generator.random((8, 8, 8, 1), dtype=np.float32), np.zeros((2, 8, 3), np.float32)
    for _ in range(20):
        step((pictures, None), noise)
    kernels = [np.array(v) for v in trainer.discriminator.trainable_variables if v.path.endswith("kernel")]
    return [float(np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)) for kernel in kernels]


def test_spectral_norms_are_one() -> None:
    """Each layer of the discriminator is divided by its largest singular value."""
    assert run_in_process(_largest_norms) == pytest.approx([1.0] * 3, abs=0.1)


def _slopes() -> list[float]:
    """Return gradients of a sum of cubes by the input."""
    from keras import ops

    from tiltyard.training.adversarial import tensorflow_step

    return [*map(float, tensorflow_step._by_input(lambda x: ops.sum(x**3), ops.array([1.0, 2.0])))]


def test_the_gradient_penalty_is_of_the_input() -> None:
    """The slope of a sum of cubes is three times the squares."""
    assert run_in_process(_slopes) == pytest.approx([3.0, 12.0])


def _history(epochs: int, **figures: float) -> dict[str, list[float]]:
    usual = {"val_loss": 5.0, "variety": 0.9, "classes": 10.0, "discriminator_accuracy": 0.7, "loss": 1.0}
    return {name: [value] * epochs for name, value in {**usual, **figures}.items()}


def test_a_symptom_counts_once_it_has_lasted() -> None:
    """Five epochs, or 500 steps; then the sentence names what was seen, and what to change."""
    assert (window(400), window(18)) == (5, 28)
    assert find_failure(_history(30), 10, 400) is None
    assert find_failure(_history(4, variety=0.01), 10, 400) is None
    collapsed = find_failure(_history(5, variety=0.01), 10, 400)
    assert str(collapsed) == (
        "the generator collapsed: expected a variety of samples of at least 10% of that of real rows; received 1.0% or "
        "less in all of epochs 1 to 5"
    )
    vanished = find_failure(_history(7, classes=4.0), 10, 400)
    assert "expected samples of at least 5 of 10 classes; received 4 or fewer in all of epochs 3 to 7" in str(vanished)
    won = find_failure(_history(9, discriminator_accuracy=0.995), 10, 400)
    assert "the discriminator won: expected it to be right for less than 99% of the pictures" in str(won)
    assert won is not None
    assert "lower model.discriminator_rate" in str(won.hint)


def test_a_discriminator_that_is_right_may_teach() -> None:
    """Nothing is wrong while samples get better; one class of one is all of them."""
    history = _history(9, discriminator_accuracy=0.995)
    history["val_loss"] = [9.0 - epoch for epoch in range(9)]
    assert find_failure(history, 10, 400) is None
    assert find_failure(_history(9, classes=1.0), 1, 400) is None


def _fails(root: str, changes: dict[str, Any]) -> str:
    from tiltyard.errors import TrainingError
    from tiltyard.training import train

    workspace = Workspace(Path(root))
    write_gan(workspace, changes)
    try:
        train.train(workspace, loader.load(workspace, TASK))
    except TrainingError as error:
        return f"{error} | {error.hint}"
    return "it ran to the end"


@pytest.mark.slow
def test_a_generator_that_collapses_stops_the_training(prepared: Workspace) -> None:
    """A discriminator that hardly learns is deceived by one picture for all codes."""
    slow = {"model.discriminator_rate": 0.02, "model.loss": "hinge", "train.epochs": 40, "train.learning_rate": 0.02}
    said = run_in_process(_fails, str(prepared.root), slow)
    assert "the generator collapsed: expected a variety of samples of at least 10% of that of real rows" in said
    assert "model.discriminator_rate" in said


@pytest.mark.slow
def test_a_discriminator_that_wins_stops_the_training(prepared: Workspace) -> None:
    """One that learns twenty times as fast, without dropout, is always right, and the generator learns nothing."""
    fast = {"model.discriminator_rate": 20, "model.dropout": 0, "model.smoothing": 0, "model.latent": 16}
    said = run_in_process(_fails, str(prepared.root), {**fast, "train.learning_rate": 0.0005, "train.epochs": 80})
    assert "the discriminator won: expected it to be right for less than 99% of the pictures; received" in said
    assert "lower model.discriminator_rate" in said


def test_losses_that_are_not_finite_stop_the_training(prepared: Workspace) -> None:
    """The weights after a step of such a size overflow."""
    said = run_in_process(_fails, str(prepared.root), {"train.learning_rate": 1e30, "train.epochs": 3})
    assert "training diverged in epoch 1: expected a finite loss; received NaN or infinity" in said


def test_a_killed_training_resumes_to_the_same_version(prepared: Workspace) -> None:
    """Both networks, both optimizers and the averages are restored; the same seed gives the same files."""
    write_gan(prepared, {"train.epochs": 4, "train.learning_rate": 0.003})
    train_tasks(prepared, TASK)
    out = prepared.out(TASK, "train")
    whole, first = files.read_json(out / "training.json"), version(out)
    progress = prepared.state(TASK, "train") / "progress.json"
    kill_training_when(prepared, TASK, lambda: progress.is_file() and files.read_json(progress)["epoch"] == 2)
    assert version(out) == first  # nothing was half-written
    train_tasks(prepared, TASK)
    assert version(out) == first
    assert files.read_json(out / "training.json") == whole
    edit_task(prepared, TASK, {"train.seed": 1})
    train_tasks(prepared, TASK)
    assert version(out) != first


@pytest.mark.slow
def test_samples_of_a_class_come_near_to_rows(prepared: Workspace) -> None:
    """The distance falls to a fraction, the nearest epoch is kept, and most samples are of the class asked for."""
    quick = {"train.epochs": 40, "train.learning_rate": 0.003, "model.filters": [16, 32], "model.conditional": True}
    write_gan(prepared, quick)
    train_tasks(prepared, TASK)
    task, record = loader.load(prepared, TASK), files.read_json(prepared.out(TASK, "train") / "training.json")
    distances = record["history"]["val_loss"]
    assert min(distances) == distances[record["best_epoch"] - 1] < distances[0] / 4
    assert record["features"]["accuracy"] > 0.9
    html = training_sections(task, {}, {**record, "parity": 0})[0].content
    assert "Fréchet distance of samples from validation rows" in html
    assert "Losses of both networks" in html
    report = evaluate(prepared, task)
    assert report["samples"]["real_rows"]["frechet"] < report["metrics"]["frechet"] < 3
    assert report["metrics"]["agreement"] > 0.5  # 0.1 by chance
    assert report["metrics"]["recall"] > report["baseline"]["recall"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"train.then": {"epochs": 2}}, "train.then: expected none for gan, which trains two networks"),
        ({"train.schedule": "plateau"}, "train.schedule: expected none for gan, which trains two networks; received p"),
        ({"train.mixed_precision": True}, "train.mixed_precision: expected none for gan"),
        ({"model.family": "vae"}, "latent"),
        ({"target": None, "model.conditional": True}, "model.conditional: expected a target with classes; received no"),
        ({"model.smoothing": 0.7}, "smoothing"),
    ],
)
def test_settings_of_one_network_are_refused(workspace: Workspace, change: dict[str, Any], text: str) -> None:
    """Each error names the key, what was expected, and what was received."""
    write_gan(workspace, change)
    with pytest.raises(TaskError, match=text):
        loader.load(workspace, TASK)


def test_models_of_the_catalogue_differ_in_the_condition_alone() -> None:
    """So that their distances compare."""
    sections = [yaml.safe_load((ROOT / "tasks" / f"{name}.yaml").read_text()) for name in ("gan", "gan_conditional")]
    assert sections[1]["model"] == {**sections[0]["model"], "conditional": True}
