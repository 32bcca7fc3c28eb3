"""Benchmark of training on a GPU under JAX, with and without mixed precision, and of the same on a CPU.

python benchmarks/gpu.py [--cpu] [--seconds N] [--rows N] [TASK]...

Writes benchmarks/gpu.json and benchmarks/GPU.md; what an earlier run measured on the other device stays. It needs
Keras, JAX, NumPy, pydantic and PyYAML, no data and no TensorFlow. With the defaults it takes less than eight minutes.

The networks, batches, optimizers and augmentation are those of the task files; the rows are random, of the same shapes
and types, since the time of a step does not depend on them. Each training runs for some seconds, and the median epoch
counts, without the first, which includes compilation. The share of the matrix rate compares the arithmetic of the
matrix products and convolutions of a training step (three times those of a prediction) with what the same device
reaches in a large product of two matrices, in float32 or, for mixed precision, in float16. On a CPU there is no mixed
precision: XLA has no products of float16 there.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from tiltyard import files, plugins
from tiltyard.config.train_section import Train

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).resolve().parents[1]
FOUND, PAGE = ROOT / "benchmarks" / "gpu.json", ROOT / "benchmarks" / "GPU.md"
TASKS = ("mnist_cnn", "cifar10_augmented", "imdb_lstm", "imdb_transformer")
# of each device, and the type of the matrices to compare with
POLICIES = {"gpu": {"float32": "float32", "mixed": "float16"}, "cpu": {"float32": "float32"}}
WIDTHS = {"gpu": 8192, "cpu": 2048}  # of the square matrices
ROWS = {"gpu": 50_000, "cpu": 1_000}
MIN_EPOCHS = 3


def main() -> None:
    """Measure the tasks on this device, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK")
    parser.add_argument("--cpu", action="store_true", help="Measure the columns of the CPU.")
    parser.add_argument("--seconds", type=float, default=20.0, help="For each training.")
    parser.add_argument("--rows", type=int, help="Rows of an epoch.")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "jax"
    if options.cpu:
        os.environ["JAX_PLATFORMS"] = "cpu"
    device, name = _device()
    if error := refusal(device, cpu=options.cpu):
        sys.exit(error)
    found = files.read_json(FOUND) if FOUND.is_file() else {}
    part = found.setdefault(device, {"tasks": {}})
    part |= {"name": name, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
    part["matrix"] = {way: matrix_rate(kind, WIDTHS[device]) for way, kind in POLICIES[device].items()}
    for task in options.tasks or TASKS:
        part["tasks"][task] = measure(task, device, options.rows or ROWS[device], options.seconds)
        print(task, part["tasks"][task], flush=True)
        files.write_json(FOUND, found)
        files.write_text(PAGE, page(found))


def _device() -> tuple[str, str]:
    """Return cpu or gpu, and the name of the device that JAX uses."""
    import jax

    first = jax.devices()[0]
    return first.platform, f"{os.cpu_count()} cores" if first.platform == "cpu" else first.device_kind


def refusal(device: str, *, cpu: bool) -> str:
    """Return why this device cannot be measured; empty if it can."""
    if device == ("cpu" if cpu else "gpu"):
        return ""
    wanted, hint = (
        ("a CPU", "unset JAX_PLATFORMS") if cpu else ("a GPU that JAX can use", "python benchmarks/gpu.py --cpu")
    )
    return f"error: expected {wanted}; received {device}\nnext:  {hint}"


def matrix_rate(kind: str, width: int) -> float:
    """Return the arithmetic operations per second of a product of two square matrices; the fastest of ten."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(jnp.matmul)
    matrix = jnp.ones((width, width), kind)
    product(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return 2.0 * width**3 / min(seconds)


def measure(task: str, device: str, rows: int, seconds: float) -> dict[str, Any]:
    """Train a task with and without mixed precision; return rows per second, batch size and operations per row."""
    import keras

    content = yaml.safe_load((ROOT / "tasks" / f"{task}.yaml").read_text(encoding="utf-8"))
    train = Train.model_validate(content["train"])
    found: dict[str, Any] = {"batch": train.batch_size}
    for way in POLICIES[device]:
        keras.utils.clear_session()
        keras.mixed_precision.set_global_policy("mixed_float16" if way == "mixed" else "float32")
        features, truth = random_rows(content, max(rows, train.batch_size))
        body = _body(content, features.shape[1:])
        found |= {"operations": 3 * operations(body), way: _rate(train, body, (features, truth), seconds)}
    return found


def random_rows(content: dict[str, Any], rows: int) -> tuple[Any, Any]:
    """Return random pictures or texts of a task with random labels."""
    (column,), chance = content["columns"].values(), np.random.default_rng(0)
    truth = chance.integers(0, len(content["target"]["classes"]), rows).astype(np.int32)
    if column["type"] == "image":
        shape = rows, column["height"], column["width"], column["channels"]
        return chance.integers(0, 256, shape, dtype=np.uint8), truth
    return chance.integers(1, column["vocabulary"] + 2, (rows, column["length"])).astype(np.float32), truth


def _body(content: dict[str, Any], shape: tuple[int, ...]) -> keras.Model:
    """Build the network of a task, with pixels from 0 to 1."""
    import keras

    (column,), settings = content["columns"].values(), content["model"]
    model = plugins.load("models", settings["family"]).model_validate(settings)
    features = keras.Input(shape, name="features")
    image = column["type"] == "image"
    x = keras.layers.Rescaling(1 / 255, dtype="float32")(features) if image else features
    x = model.build(x, 0 if image else column["vocabulary"] + 2)
    classes = len(content["target"]["classes"])
    return keras.Model(features, model.head(x, 1 if model.output == "sigmoid" else classes, model.output or "softmax"))


def operations(body: keras.Model) -> int:
    """Return the arithmetic operations of a prediction in matrix products and convolutions."""
    return sum(_of_layer(layer) for layer in body.layers)


def _of_layer(layer: Any) -> int:
    """Count two operations for each weight of a kernel and each position at which it is applied."""
    import keras

    if isinstance(layer, keras.layers.RNN):
        return int(2 * layer.input.shape[1] * _weights(layer))
    if isinstance(layer, keras.layers.MultiHeadAttention):
        query = layer.input[0] if isinstance(layer.input, list | tuple) else layer.input
        steps, width = query.shape[1], layer.num_heads * layer.key_dim
        return int(2 * steps * _weights(layer) + 4 * steps * steps * width)
    if isinstance(layer, keras.layers.Dense) or "Conv" in type(layer).__name__:
        return int(2 * np.prod(layer.output.shape[1:-1]) * _weights(layer))
    return 0


def _weights(layer: Any) -> int:
    """Return the number of weights in the kernels of a layer."""
    return sum(math.prod(weight.shape) for weight in layer.trainable_variables if "kernel" in weight.name)


def _rate(train: Train, body: keras.Model, rows: tuple[Any, Any], seconds: float) -> float:
    """Train for some seconds; return rows per second."""
    import keras

    from tiltyard.training import network
    from tiltyard.training.batches import Batches
    from tiltyard.training.epochs import Epochs
    from tiltyard.training.optimizer import optimizer

    features, truth = rows
    model = network.build_trainer(train, body)
    size = train.batch_size
    loss = "binary_crossentropy" if body.output_shape[-1] == 1 else "sparse_categorical_crossentropy"
    model.compile(optimizer(train, -(-len(truth) // size)), loss, metrics=["accuracy"], weighted_metrics=[])
    model.optimizer.build(model.trainable_variables)
    ends: list[float] = []

    def note(*_: Any) -> None:
        ends.append(time.perf_counter())
        model.stop_training = len(ends) > MIN_EPOCHS and ends[-1] - ends[0] > seconds

    batches = Batches((features, truth, np.ones(len(truth), np.float32)), size, train.seed)
    validation = Batches((features[:size], truth[:size]), size)
    Epochs(model, batches, validation).run(range(10_000), [keras.callbacks.LambdaCallback(on_epoch_end=note)])
    return len(truth) / statistics.median(np.diff(ends).tolist())


def page(found: dict[str, Any]) -> str:
    """Return the page with a table of all that was measured."""
    head = "| task | batch | device | rows/s, float32 | of the matrix rate | rows/s, mixed | of the matrix rate |"
    lines = [head, "|---|--:|---|--:|--:|--:|--:|"]
    for task in TASKS:
        lines += [_line(task, device, part) for device, part in sorted(found.items()) if task in part["tasks"]]
    devices = [f"- {device}: {_described(part)}" for device, part in sorted(found.items())]
    about = (__doc__ or "").split("\n\n")[3].strip().replace("\n", " ")
    return "\n".join(
        ["# Training on a GPU", "", f"Measured by `benchmarks/gpu.py`. {about}", "", *devices, "", *lines, ""]
    )


def _line(task: str, device: str, part: dict[str, Any]) -> str:
    one = part["tasks"][task]
    cells = []
    for way in POLICIES["gpu"]:
        share = one[way] * one["operations"] / part["matrix"][way] if way in one else 0
        cells += [f"{one[way]:,.0f}", f"{share:.2%}"] if way in one else ["", ""]
    return f"| `{task}` | {one['batch']} | {device} | {' | '.join(cells)} |"


def _described(part: dict[str, Any]) -> str:
    kinds = POLICIES["gpu"]
    rates = ", ".join(f"{rate / 1e12:.3g} TFLOP/s in {kinds[way]}" for way, rate in part["matrix"].items())
    return f"{part['name']}, {part['date']}, product of matrices {rates}"


if __name__ == "__main__":
    main()
