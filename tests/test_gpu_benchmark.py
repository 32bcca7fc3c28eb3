"""The benchmark of a GPU: what it counts, what it refuses, and the page that it writes. No GPU is needed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import yaml
from model_families import needs_jax
from workspaces import ROOT, run_in_process

FOUND: dict[str, Any] = {
    "gpu": {
        "name": "Card",
        "date": "2026-11-29",
        "matrix": {"float32": 1e13, "mixed": 1e14},
        "tasks": {"mnist_cnn": {"batch": 128, "operations": 1e7, "float32": 2e5, "mixed": 4e5}},
    },
    "cpu": {
        "name": "2 cores",
        "date": "2026-11-29",
        "matrix": {"float32": 1e11},
        "tasks": {"mnist_cnn": {"batch": 128, "operations": 1e7, "float32": 2e3}},
    },
}


def test_page_has_a_line_for_each_device() -> None:
    """Rows per second, and their operations as a share of the matrix rate of that device and type."""
    import gpu

    text = gpu.page(FOUND)
    assert "| `mnist_cnn` | 128 | gpu | 200,000 | 20.00% | 400,000 | 4.00% |" in text
    assert "| `mnist_cnn` | 128 | cpu | 2,000 | 20.00% |  |  |" in text
    assert "- gpu: Card, 2026-11-29, product of matrices 10 TFLOP/s in float32, 100 TFLOP/s in float16" in text
    assert "imdb_lstm" not in text


def test_wrong_device_is_refused_with_what_to_type() -> None:
    """Without a GPU the script ends with one sentence and the command for the columns of the CPU."""
    import gpu

    assert gpu.refusal("gpu", cpu=False) == gpu.refusal("cpu", cpu=True) == ""
    assert "expected a GPU that JAX can use; received cpu" in gpu.refusal("cpu", cpu=False)
    assert "next:  python benchmarks/gpu.py --cpu" in gpu.refusal("cpu", cpu=False)


@pytest.mark.parametrize("task", ["mnist_cnn", "cifar10_augmented", "imdb_lstm", "imdb_transformer"])
def test_random_rows_look_like_those_of_the_task(task: str) -> None:
    """Pictures are bytes of the column's shape, texts are ids within the vocabulary, labels are classes."""
    import gpu

    content = yaml.safe_load((ROOT / "tasks" / f"{task}.yaml").read_text(encoding="utf-8"))
    features, truth = gpu.random_rows(content, 40)
    assert len(features) == len(truth) == 40
    assert set(np.unique(truth)) <= set(range(len(content["target"]["classes"])))
    if features.ndim == 2:
        assert features.shape[1] == content["columns"]["text"]["length"]
        assert 1 <= features.min() <= features.max() < content["columns"]["text"]["vocabulary"] + 2
    else:
        assert features.dtype == np.uint8


def _counted() -> list[int]:
    import gpu
    import keras

    layers = keras.layers
    image, series = keras.Input((6, 6, 2)), keras.Input((5, 3))
    found = [
        layers.Dense(4)(layers.Flatten()(image)),
        layers.Conv2D(4, 3)(image),
        layers.LSTM(4)(series),
        layers.MultiHeadAttention(2, 3)(series, series),
    ]
    return [gpu.operations(keras.Model([image, series], one)) for one in found]


@pytest.mark.slow
def test_operations_of_layers() -> None:
    """Two for each weight and position: dense, convolution, LSTM, and attention with its two products of tokens."""
    attention = 2 * 5 * (4 * 3 * 6) + 4 * 5 * 5 * 6
    assert run_in_process(_counted) == [2 * 72 * 4, 2 * 16 * 9 * 2 * 4, 2 * 5 * (3 + 4) * 16, attention]


@pytest.mark.jax
@pytest.mark.slow
@needs_jax
def test_a_task_is_measured_in_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a batch gives rows per second; on a CPU only without mixed precision."""
    code = "import gpu, json; print(json.dumps(gpu.measure('imdb_transformer', 'cpu', 8, 0.0)))"
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'benchmarks'}:{ROOT / 'src'}")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
    found = yaml.safe_load(done.stdout.splitlines()[-1])
    assert found["float32"] > 0
    assert "mixed" not in found
    assert found["operations"] > 1_000_000
