"""A linear model of the last changes of each series, as ratios if the series are logarithms."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tiltyard.modeling.references.linear import Linear

CHANGES = 3  # of each series


class RecentChanges(Linear):
    """It has few weights: of a long window, most values only add noise to the larger model."""

    title: ClassVar = "a linear model of the last changes"
    modalities: ClassVar = ("series",)

    def derived(self, features: Any, ops: Any = np) -> Any:
        """Return the last changes side by side; of a window of one step, its values."""
        if features.shape[1] < 2:
            return super().derived(features, ops)
        changes = self.changes(features[:, -1 - CHANGES :])
        return ops.reshape(changes, (-1, changes.shape[1] * changes.shape[2]))
