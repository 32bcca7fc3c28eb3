"""Contract of generative families: size, facts, training that lowers the loss, and export of both graphs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_families import needs_jax
from workspaces import run_in_process

from tiltyard import plugins
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.problems.sampling import Facts, Sampling

pytestmark = pytest.mark.slow

FAMILIES = plugins.names("samplers")
SETTINGS: dict[str, dict[str, Any]] = {
    "vae": {"units": [16], "code": 3},
    "gan": {"latent": 3, "filters": [4, 8]},
    "rbm": {"hidden": 8},
}
# vae: 64 x 16 + 16, twice 16 x 3 + 3; 3 x 16 + 16, 16 x 64 + 64; with classes 2 x 16 more in the decoder
PARAMETERS = {"vae": 1040 + 2 * 51 + 64 + 1088}
ROWS, CLASSES = 64, 2
TRAINED_BY_KERAS = ("vae",)  # the others have steps of their own: see tests/training


def open_encoder(*, conditional: bool = False) -> Encoder:
    """Return the encoder of pictures of 8 by 8 pixels, of two kinds."""
    column = Image(height=8, width=8)
    target = {"labels": ["left", "right"]} if conditional else {}
    fitted = {"image": {"mean": 0.0, "std": 255.0}}
    return Encoder("t", Sampling(), {"image": column}, fitted, target, [], bare=True, max_instances=8)


def pictures(rows: int = ROWS) -> tuple[Any, Any]:
    """Return pictures that are bright on the left or on the right, flat, and which they are."""
    truth = np.arange(rows) % CLASSES
    bright = np.where(np.arange(8) < 4, 1 - truth[:, None], truth[:, None])[:, None, :] * np.ones((1, 8, 1))
    noise = np.random.default_rng(0).random((rows, 8, 8)) * 60
    return np.rint(190 * bright + noise).reshape(rows, -1).astype(np.uint8), truth


def open_sampler(name: str, *, conditional: bool = False) -> tuple[Any, Encoder]:
    """Return the sampler of a small model of a family, and its encoder."""
    from tiltyard.training.samplers import base

    more = {"conditional": True} if conditional else {}
    family = plugins.load("models", name).model_validate({"family": name, **SETTINGS[name], **more})
    encoder = open_encoder(conditional=conditional)
    return base.open_sampler(family, encoder), base.with_facts(encoder, family)


def train_and_export(name: str, conditional: bool, folder: str) -> dict[str, Any]:
    """Build, train a little, and export both graphs; return sizes, losses and differences."""
    import keras

    from tiltyard.training.onnx.export import export, export_decoder

    keras.utils.set_random_seed(0)
    sampler, encoder = open_sampler(name, conditional=conditional)
    body, (features, truth) = sampler.body(), pictures()
    flags = np.eye(CLASSES, dtype=np.uint8)[truth] if conditional else np.empty((ROWS, 0), np.uint8)
    rows = np.concatenate([features, flags], axis=1).astype(np.float32)
    found: dict[str, Any] = {"backend": keras.backend.backend(), "parameters": body.count_params()}
    if name in TRAINED_BY_KERAS:
        trainer = sampler.trainer(body, 4, 0)
        trainer.compile(keras.optimizers.Adam(0.02), "mse")
        found["losses"] = trainer.fit(rows, np.zeros((ROWS, 1)), 16, 12, verbose=0).history["loss"]
    scorer, decoder = sampler.scorer(body), sampler.decoder(body)
    images = features.reshape(-1, 8, 8, 1).astype(np.float32)
    found["scores"] = [*np.asarray(scorer(images)).shape]
    found["one"] = float(np.abs(np.asarray(scorer(images[:1])) - np.asarray(scorer(images))[:1]).max())
    codes = np.random.default_rng(0).random((5, decoder.input_shape[1]), dtype=np.float32)
    drawn = np.asarray(decoder(codes))
    found["drawn"], found["range"] = [*drawn.shape], [float(drawn.min()), float(drawn.max())]
    if keras.backend.backend() == "tensorflow":
        path = Path(folder)
        encoder.save(path / "encoder.json")
        found["parity"] = export(scorer, path, images, floor=sampler.floors())
        found["decoder_parity"] = export_decoder(decoder, path, 0, sampler.codes_to_compare(body, 0))
    return found


def under_jax(name: str) -> dict[str, Any]:
    """Train under JAX; only TensorFlow exports."""
    return train_and_export(name, conditional=False, folder="")


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_generative_family_fulfils_the_contract(name: str, conditional: bool, tmp_path: Path) -> None:
    """The loss falls, outputs have the shapes that the facts promise, pixels are from 0 to 1, and ONNX agrees."""
    if conditional and "conditional" not in plugins.load("models", name).model_fields:
        pytest.skip(f"{name} has no classes")
    found = run_in_process(train_and_export, name, conditional, str(tmp_path))
    facts = Facts.of(run_in_process(_encoder_of, name, conditional))
    assert facts.conditional == conditional
    width = 64 + facts.code * (1 + facts.posterior) if facts.encodes else 0
    assert found["scores"] == [ROWS, width + 1]
    assert found["drawn"] == [5, 64]
    assert 0 <= found["range"][0] <= found["range"][1] <= 1
    assert found["one"] < 1e-3
    assert max(found["parity"], found["decoder_parity"]) <= 1e-4
    if name in TRAINED_BY_KERAS:
        assert found["losses"][-1] < 0.9 * found["losses"][0]
    if name in PARAMETERS and not conditional:
        assert found["parameters"] == PARAMETERS[name]


def _encoder_of(name: str, conditional: bool) -> Encoder:
    return open_sampler(name, conditional=conditional)[1]


@pytest.mark.jax
@needs_jax
@pytest.mark.parametrize("name", FAMILIES)
def test_generative_families_build_and_learn_under_jax(name: str) -> None:
    """The same code builds, trains and draws under JAX."""
    code = f"import json, test_samplers; print(json.dumps(test_samplers.under_jax({name!r})))"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == "jax"
    assert found["drawn"] == [5, 64]
    if name in TRAINED_BY_KERAS:
        assert found["losses"][-1] < 0.9 * found["losses"][0]
