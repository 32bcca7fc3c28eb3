"""Rules written by hand that learned models are compared with: words of spam."""

from __future__ import annotations

import numpy as np

from tiltyard.config.task import Task
from tiltyard.preparation import sealed_test
from tiltyard.workspace import Workspace

SPAM = ("free", "win", "won", "prize", "claim", "urgent", "txt", "call now", "cash", "guaranteed")
NAMES = {"sms_spam": "spam if one of ten words occurs", "sms_spam_lstm": "spam if one of ten words occurs"}


def scores(space: Workspace, task: Task) -> dict[str, float]:
    """Return the metrics of the rule for this task on the sealed test rows; none if there is no rule."""
    if task.name not in NAMES:
        return {}
    test = sealed_test.read_test(space, task.name, task.columns)
    texts = [str(text).lower() for text in next(iter(test.rows.values()))]
    spam = np.array([any(word in text for word in SPAM) for text in texts], dtype=np.float64)
    outputs, context = np.stack([1 - spam, spam], axis=1), task.evaluator.context(test.truth)
    return {name: task.evaluator.metrics[name].score(test.truth, outputs, context) for name in ("macro_f1", "accuracy")}
