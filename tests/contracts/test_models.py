"""What every model family must do: build from defaults, learn, survive a batch of one, export with parity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from making import FORKS

from tiltyard import plugins
from tiltyard.column import Array

pytestmark = pytest.mark.slow

SHAPES = {"table": (6,), "image": (8, 8, 1), "series": (12, 1), "text": (12,)}
WORDS = 20  # ids of a text
# bow: 20 vectors of 32, a dense layer of 32 x 32 + 32, the output's 32 + 1
PARAMETERS = {
    "mlp": 2561,
    "cnn": 35329,
    "lstm": 4385,
    "bow": 1729,
}  # a changed number is a changed model: say why in CHANGELOG


def _features(form: str) -> Array:
    """Draw features: ids of texts of all lengths, from a single word up; quantities elsewhere."""
    chance = np.random.default_rng(0)
    if form != "text":
        return chance.random((64, *SHAPES[form]), dtype=np.float32)
    ids = chance.integers(1, WORDS, (64, *SHAPES[form]))
    return np.where(np.arange(12) < chance.integers(1, 13, (64, 1)), ids, 0).astype(np.float32)


def _exercise(family: str, folder: str) -> None:
    """Run in a process of its own: build, train an epoch, save, load, export; leave what was seen as JSON."""
    import keras

    from tiltyard.canonical import rewrite

    model_class = plugins.load("models", family)
    shape = SHAPES[model_class.forms[0]]
    keras.utils.set_random_seed(0)
    features = keras.Input(shape, name="features")
    model = keras.Model(features, keras.layers.Dense(1)(model_class(family=family).build(features, WORDS)))
    model.compile("adam", "mse")
    x = _features(model_class.forms[0])
    y = x.reshape(64, -1).mean(axis=1) + 1
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=3, verbose=0)
    seen: dict[str, Any] = {"parameters": model.count_params(), "losses": [before, model.evaluate(x, y, verbose=0)]}
    model.save(f"{folder}/model.keras")
    again = keras.saving.load_model(f"{folder}/model.keras")
    seen["reloaded"] = float(np.abs(again(x) - model(x)).max())
    model.export(f"{folder}/model.onnx", format="onnx", verbose=False)
    rewrite(Path(folder) / "model.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(f"{folder}/model.onnx")
    for rows in (1, 64):
        outputs = session.run(None, {"features": x[:rows]})[0]
        seen[f"parity{rows}"] = float(np.abs(outputs - np.asarray(model(x[:rows]))).max())
    (Path(folder) / "seen.json").write_text(json.dumps(seen))


def test_a_family_keeps_its_promises(model_name: str, tmp_path: Path) -> None:
    """Locked parameter count, falling loss, same outputs after loading and after export, for one row and many."""
    process = FORKS.Process(target=_exercise, args=(model_name, str(tmp_path)))
    process.start()
    process.join(120)
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["parameters"] == PARAMETERS[model_name]
    assert seen["losses"][1] < seen["losses"][0]
    assert seen["reloaded"] == 0
    assert max(seen["parity1"], seen["parity64"]) < 1e-5
