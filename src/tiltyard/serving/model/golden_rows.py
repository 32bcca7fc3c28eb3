"""Golden rows: a few sealed test rows with the evaluation's predictions, replayed before a model is served."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array, take_rows
from tiltyard.errors import PackageError
from tiltyard.modeling.inference.predictor import Predictor

if TYPE_CHECKING:
    from tiltyard.preparation.sealed_test import TestRows

MAX_ROWS = 16
RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-7  # near zero, a probability differs by rounding


def choose_golden_rows(predictor: Predictor, test: TestRows, outputs: Array) -> dict[str, Any]:
    """Return rows spread over the test rows, as a client would send them, with the predictions expected for them.

    `outputs` is what the evaluation recorded. A model whose outputs differ now is refused.
    """
    chosen = np.unique(np.linspace(0, len(test.number) - 1, MAX_ROWS).astype(int))
    rows = take_rows(test.rows, chosen)
    recomputed = predictor.condensed(rows, test.truth[chosen])
    recorded = outputs[chosen]
    if predictor.encoder.problem.generates:  # of which the predictor computes the last column
        recorded = recorded[:, -recomputed.shape[1] :]
    of_rows = predictor.encoder.problem.of_single_rows
    if not _nearly_equal(of_rows(recomputed), of_rows(recorded)):
        task = predictor.encoder.task
        raise PackageError(
            f"the outputs of the model of {task} differ from those that its evaluation recorded",
            hint=f"evaluate it again: tiltyard evaluate {task}",
        )
    return {
        "number": test.number[chosen].tolist(),
        "instances": predictor.encoder.to_json(rows),
        "predictions": predictor.respond(rows),
    }


def _nearly_equal(recomputed: Array, recorded: Array) -> bool:
    """Return whether outputs differ by rounding only; texts must be equal."""
    if recomputed.dtype.names:
        return all(np.array_equal(recomputed[name], recorded[name]) for name in recomputed.dtype.names)
    recorded = recorded[:, : recomputed.shape[1]] if recorded.ndim == 2 else recorded  # without ranks, of all rows
    return np.allclose(recomputed, recorded, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE)


def assert_close(expected: Any, received: Any, path: str = "predictions") -> float:
    """Return the largest difference between two predictions; raise PackageError above the tolerance."""
    if isinstance(expected, float) and isinstance(received, float | int):
        if not math.isclose(expected, received, rel_tol=RELATIVE_TOLERANCE, abs_tol=ABSOLUTE_TOLERANCE):
            raise PackageError(f"{path}: expected {expected:g} as in the evaluation; the package predicts {received:g}")
        return abs(expected - received)
    if type(expected) is not type(received):
        raise PackageError(f"{path}: expected {expected!r} as in the evaluation; the package predicts {received!r}")
    if isinstance(expected, dict | list):
        return _compare_inside(expected, received, path)
    if expected != received:
        raise PackageError(f"{path}: expected {expected!r} as in the evaluation; the package predicts {received!r}")
    return 0.0


def _compare_inside(expected: Any, received: Any, path: str) -> float:
    expected_keys = expected.keys() if isinstance(expected, dict) else range(len(expected))
    received_keys = received.keys() if isinstance(received, dict) else range(len(received))
    if expected_keys != received_keys:
        raise PackageError(
            f"{path}: expected {list(expected_keys)} as in the evaluation; the package predicts {list(received_keys)}"
        )
    return max((assert_close(expected[key], received[key], f"{path}[{key}]") for key in expected_keys), default=0.0)
