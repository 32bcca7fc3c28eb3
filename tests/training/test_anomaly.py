"""Scores of anomalies inside the exported graph: each by its formula, on both backends, and equal in ONNX."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from model_families import model_settings, needs_jax
from problem_cases import two_columns
from sklearn.mixture import GaussianMixture
from workspaces import run_in_process

from tiltyard.config.anomaly_section import Score
from tiltyard.modeling.problems.anomaly import Anomaly

SCORES = get_args(Score)
SHAPES: list[tuple[int, ...]] = [(6,), (8, 3), (4, 4, 1)]


def _scored(score: Score, shape: tuple[int, ...], span: str, folder: Path | None = None) -> dict[str, Any]:
    """Return standardised rows, reconstructions, codes and outputs of a small network that is not trained."""
    import keras

    from tiltyard.training import anomaly
    from tiltyard.training.onnx.export import export

    keras.utils.set_random_seed(0)
    family = model_settings({"family": "autoencoder", "units": [8], "code": 3})
    features, size = keras.Input(shape, name="features"), int(np.prod(shape))
    x = keras.layers.Rescaling([0.5] * shape[-1], [0.1] * shape[-1], name="standard")(features)
    body = keras.Model(features, family.head(family.build(x), size, "linear"))
    rows = np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)
    model = anomaly.build_inference(body, score, anomaly.density_of(body, score, rows), span)
    outputs = np.asarray(model(rows), dtype=np.float64)
    parity = None
    if folder:
        folder.mkdir()
        two_columns(Anomaly()).save(folder / "encoder.json")
        parity = export(model, folder, rows, floor=anomaly.floors(size + 1, score, float(outputs[:, -1].max())))
    code = keras.Model(body.input, body.get_layer("code").output)
    return {
        "rows": (rows.reshape(40, -1) * 0.5 + 0.1).astype(np.float64),
        "rebuilt": np.asarray(body(rows), dtype=np.float64),
        "code": np.asarray(code(rows), dtype=np.float64),
        "outputs": outputs,
        "parity": parity,
    }


def _expected(score: Score, found: dict[str, Any], last: slice = slice(None)) -> Any:
    """Return the score by NumPy, from the columns of the rows that count."""
    rows, code = found["rows"][:, last], found["code"]
    error = np.square(found["rebuilt"][:, last] - rows).mean(axis=1)
    covariance = np.cov(code.T)
    covariance += 1e-3 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    centred = code - code.mean(axis=0)
    distance = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(covariance), centred)
    usual = np.square(found["rebuilt"] - found["rows"]).mean()
    length = np.square(rows).mean(axis=1)
    mixture = GaussianMixture(1, reg_covar=1e-3 * code.var()).fit(code).score_samples(code)
    return {
        "error": error,
        "relative": error / length,
        "root_relative": error / np.sqrt(length),
        "code": distance,
        "mixture": 2 * np.log(error / np.sqrt(length)) - mixture / 3,
        "density": distance + rows.shape[1] * error / usual,
    }[score]


def _all_scored(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what `_scored` returns for each score and shape, and for the last step alone."""
    found = {
        f"{score} {shape}": _scored(score, shape, "window", folder / f"{score}{len(shape)}")
        for score in SCORES
        for shape in SHAPES
    }
    return found | {f"{score} last": _scored(score, (8, 3), "last") for score in ("error", "relative")}


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The outputs of a small network for each score and shape."""
    found: dict[str, dict[str, Any]] = run_in_process(_all_scored, tmp_path_factory.mktemp("scores"))
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("score", SCORES)
def test_scores_follow_their_formula_in_onnx(score: Score, shape: tuple[int, ...], scored: Any) -> None:
    """Outputs are the difference of each feature and the score; ONNX returns the same."""
    found = scored[f"{score} {shape}"]
    assert np.allclose(found["outputs"][:, :-1], found["rebuilt"] - found["rows"], atol=1e-5)
    assert np.allclose(found["outputs"][:, -1], _expected(score, found), rtol=1e-4)
    assert found["parity"] < 1e-4


@pytest.mark.parametrize("score", ["error", "relative"])
def test_the_last_step_alone_is_scored(score: Score, scored: Any) -> None:
    """Of a window with three series, the last three features count."""
    found = scored[f"{score} last"]
    assert np.allclose(found["outputs"][:, -1], _expected(score, found, slice(-3, None)), rtol=1e-4)


def _as_json(score: Score) -> str:
    """Return what `_scored` returns as JSON."""
    found = _scored(score, (6,), "window")
    return json.dumps({name: value.tolist() for name, value in found.items() if isinstance(value, np.ndarray)})


@pytest.mark.jax
@needs_jax
@pytest.mark.parametrize("score", ["root_relative", "density"])
def test_scores_are_the_same_under_jax(score: Score) -> None:
    """The same formula holds under the other backend."""
    code = f"import {__name__.rpartition('.')[2]} as tests; print(tests._as_json({score!r}))"
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    found = {name: np.array(value) for name, value in json.loads(done.stdout.splitlines()[-1]).items()}
    assert np.allclose(found["outputs"][:, -1], _expected(score, found), rtol=1e-4)
