"""The rare label of training rows is asked for in every task; only those with two labels have one."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.inference.decision_threshold import rare_label


@pytest.mark.parametrize("truth", [np.array([-1.5, 2.0]), np.zeros((3, 2)), np.array(["one", "two"])])
def test_other_tasks_have_no_rare_label(truth: Array) -> None:
    """Numbers below 0, forecasts of several steps, and texts are no labels."""
    assert rare_label(truth, 0) is None
