"""The nearest picture as a rival, and captions by how new they are, by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tiltyard.evaluation import captioning
from tiltyard.evaluation.captioning import by_novelty, nearest, nearest_picture
from tiltyard.modeling.evaluators.captioning import Captioning
from tiltyard.modeling.metrics.predictions import Predictions
from tiltyard.modeling.problems.captioning import judged

KNOWN = np.array(["red circle", "blue square", "red circle left", "green square"])
TASK: Any = SimpleNamespace(
    problem="captioning",
    evaluator=Captioning(),
    split=SimpleNamespace(seed=0),
    gate=SimpleNamespace(metric="exact", confidence=0.95),
    target=SimpleNamespace(by="words"),
)


def test_nearest_is_the_nearest_by_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same as by all distances, also in blocks."""
    dice = np.random.default_rng(0)
    known, rows = dice.normal(size=(50, 7)), dice.normal(size=(20, 7))
    expected = ((rows[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
    monkeypatch.setattr(captioning, "BLOCK", 3)
    assert nearest(known, rows).tolist() == expected.tolist()


@pytest.mark.parametrize("largest", [1 << 13, 20])  # whole pictures, and means of patches of 2x2
def test_rival_says_what_the_nearest_training_picture_shows(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test pictures are noisy training pictures in another order; one caption is another nevertheless."""
    monkeypatch.setattr(captioning, "MAX_VALUES", largest)
    pictures = np.kron(np.random.default_rng(1).integers(0, 256, (4, 3, 2, 1)), np.ones((1, 2, 2, 1))).astype(np.uint8)
    noisy = pictures[[2, 0, 1]].astype(np.float32) + 3
    truth = np.array(["red circle left", "red circle", "blue circle"])
    test: Any = SimpleNamespace(rows={"picture": noisy}, truth=truth)
    encoder: Any = SimpleNamespace(encode=lambda rows: rows["picture"])
    rival = nearest_picture(TASK, encoder, (pictures, KNOWN), test)
    assert rival.outputs["text"].tolist() == ["red circle left", "red circle", "blue square"]
    assert rival.outputs["exact"].tolist() == [1, 1, 0]
    assert rival.fitted_to == "4 training pictures"


def test_captions_are_grouped_by_how_new_they_are() -> None:
    """`blue square left` has no new pair but is new; `blue circle` has a new pair, and so has a new end."""
    truth = np.array(["red circle", "green square", "blue square left", "blue circle", "green"])
    outputs = judged(["red circle", "red circle", "blue square left", "blue circle", "red"], truth, "words")
    predictions = Predictions(truth, outputs, outputs, np.arange(5), [], "caption")
    reference = judged(["red circle"] * 5, truth, "words")
    known = np.array([*KNOWN, "blue square left above", "green square left"])
    groups = {one["captions"]: one for one in by_novelty(TASK, predictions, known, reference)}
    shares = {name: (one["rows"], one["exact"], one["exact of the nearest picture"]) for name, one in groups.items()}
    assert shares == {
        "without a new pair of words": (3, pytest.approx(2 / 3), pytest.approx(1 / 3)),
        "as a training caption": (2, 0.5, 0.5),
        "new, without a new pair of words": (1, 1, 0),
        "with a pair of words that no training caption has": (2, 0.5, 0),
    }
    some = groups["without a new pair of words"]
    assert 0 <= some["exact, from"] < some["exact"] < some["exact, to"] <= 1
