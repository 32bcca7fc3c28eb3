"""Figures of a detector that finds nothing, as after a single epoch."""

from __future__ import annotations

import numpy as np
from problem_cases import case, problem

from tiltyard import plugins
from tiltyard.arrays import Array
from tiltyard.modeling.metrics.predictions import Predictions


def test_a_detector_that_finds_nothing_has_no_scores_to_draw() -> None:
    """The report shows the precision of each label, and no histogram of nothing."""
    truth, perfect, _ = case(problem("detection"))
    evaluator, labels = plugins.load("evaluators", "detection")(), ["a", "b", "<c>"]

    def titles(outputs: Array) -> list[str]:
        number = np.arange(len(truth))
        return [figure.title for figure in evaluator.figures(Predictions(truth, outputs, outputs, number, labels, ""))]

    assert titles(np.zeros_like(perfect)) == ["Average precision by label"]
    assert len(titles(perfect)) == 2
