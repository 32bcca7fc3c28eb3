"""Parity of Keras and ONNX: differences relative to outputs, and to a floor for small probabilities of a sigmoid."""

from __future__ import annotations

import numpy as np
import pytest

from tiltyard.errors import TrainingError
from tiltyard.training.onnx.export import SIGMOID_FLOOR, parity


def test_a_difference_above_the_tolerance_is_refused() -> None:
    """The largest relative difference is returned, or refused above a ten-thousandth."""
    expected = np.array([[0.5], [2.0]])
    assert parity(expected, expected * (1 + 1e-5)) == pytest.approx(1e-5, rel=1e-3)
    with pytest.raises(TrainingError, match=r"expected at most 0\.0001 relative; received 0\.001"):
        parity(expected, expected * 1.001)


def test_rare_labels_of_sigmoids_may_differ_by_rounding() -> None:
    """ONNX Runtime computes sigmoids with an absolute error: that of a probability of 0.05 % is no fault."""
    expected, received = np.array([[5e-4, 0.4]]), np.array([[5e-4 + 1.5e-7, 0.4]])
    with pytest.raises(TrainingError, match="ONNX and Keras differ"):
        parity(expected, received)
    assert parity(expected, received, SIGMOID_FLOOR) == pytest.approx(1.5e-5)
    with pytest.raises(TrainingError, match="ONNX and Keras differ"):
        parity(expected, expected + 1e-5, SIGMOID_FLOOR)
