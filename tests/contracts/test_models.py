"""What every model family must do: build, learn, survive a batch of one, be saved and loaded, export with parity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from families import SHAPES, apart, exercise

from tiltyard import plugins

pytestmark = pytest.mark.slow

# A family is tried as it is by default; of a large one, the smallest that has all its parts.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"small": True, "width": 0.05, "units": [16], "dropout": 0.0},
    "inception": {"small": True, "width": 0.1, "dropout": 0.0},
    "resnet": {"small": True, "blocks": [1, 1], "filters": 4},
    "transfer": {"base": {"family": "cnn", "filters": [4, 8], "units": []}, "units": [16]},
    "vgg": {"width": 0.05, "units": [16], "dropout": 0.0},
    "xception": {"small": True, "width": 0.05, "blocks": 1},
}
LARGE = (32, 32, 1)  # pixels that a large network needs
# bow: 20 vectors of 32, a dense layer of 32 x 32 + 32, the output's 32 + 1
PARAMETERS = {
    "alexnet": 6545,
    "bow": 1729,
    "cnn": 35329,
    "inception": 60189,
    "lenet5": 61196,
    "mlp": 2561,
    "perceptron": 7,
    "resnet": 2449,
    "rnn": 4385,
    "transfer": 881,
    "transformer": 9665,
    "vgg": 37849,
    "xception": 29189,
}  # a changed number is a changed model: say why in CHANGELOG


def test_a_family_keeps_its_promises(model_name: str, tmp_path: Path) -> None:
    """Locked parameter count, falling loss, same outputs after loading and after export, for one row and many."""
    if plugins.load("models", model_name).translates:
        pytest.skip("writes along an answer: see tests/test_language.py")
    form = plugins.load("models", model_name).forms[0]
    shape = LARGE if model_name in {*SMALL, "lenet5"} - {"transfer"} else SHAPES[form]
    seen = apart(exercise, tmp_path, {"family": model_name, **SMALL.get(model_name, {})}, shape, form, str(tmp_path))
    assert seen["parameters"] == PARAMETERS[model_name]
    assert seen["losses"][-1] < seen["losses"][0]
    assert seen["reloaded"] == 0
    assert seen["parity"] < 1e-5
