"""The `anomaly:` part of the `train:` section: how a row is scored, and how many false alarms are accepted."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tiltyard.settings import Settings

Score = Literal["error", "root_relative", "relative", "code", "density", "mixture"]


class AnomalyScore(Settings):
    """How anomalies are told from normal rows; a row with a score above the threshold is one."""

    score: Score = Field(
        "error",
        description="error: the mean squared error of the reconstruction. root_relative, relative: divided by the root "
        "mean square of the row, or by its mean square, so that rows with little in them count. code: the Mahalanobis "
        "distance of the code from those of training rows. density: the code's distance and the error, as a Gaussian. "
        "mixture: the logarithms of the root-relative error and of a Gaussian mixture of codes, for normal rows of "
        "several kinds.",
    )
    false_alarms: float = Field(
        0.01, gt=0, lt=0.5, description="Share of normal validation rows that may be above the threshold."
    )
