"""Decide whether a skewed target is learned by its logarithm: simple models try both on rows held out from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.config.draft.column_profile import ColumnProfile
from tiltyard.modeling.columns.base import unit
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.references.base import one_thread

if TYPE_CHECKING:
    import pandas as pd

MIN_SKEW = 1.5  # of a target for which a logarithm is tried
MAX_SKEW_OF_LOG = 0.5  # share of the skew that may be left
MAX_ROWS = 4000
MAX_COLUMNS = 100
MAX_NAMES = 10  # of a category, one feature each


def helps(values: Array, features: list[ColumnProfile], rows: pd.DataFrame) -> bool:
    """Return whether the best simple model of the logarithm has a smaller absolute error than that of the values."""
    if not is_skewed(values):
        return False
    chosen = np.random.default_rng(0).permutation(len(values))[:MAX_ROWS]
    matrix = _matrix(features, rows.iloc[chosen])
    if not matrix.shape[1]:
        return True
    with one_thread():
        plain, log = (_error(matrix, values[chosen], log=log) for log in (False, True))
    return log < plain


def is_skewed(values: Array) -> bool:
    """Return whether the logarithm of a target is far less skewed than the target itself."""
    if len(values) < 20 or values.min() < 0 or np.median(values / unit(values)) * unit(values) < 1:
        return False
    skew = _skewness(values)
    return skew >= MIN_SKEW and abs(_skewness(np.log1p(values))) <= MAX_SKEW_OF_LOG * skew


def _skewness(values: Array) -> float:
    scaled = values / (float(np.abs(values).max()) or 1.0)
    spread = float(scaled.std())
    return float((((scaled - scaled.mean()) / spread) ** 3).mean()) if spread else 0.0


def _matrix(features: list[ColumnProfile], rows: pd.DataFrame) -> Array:
    """Return numbers, their logarithms, and flags of the most frequent names."""
    columns: list[Array] = []
    for profile in features[:MAX_COLUMNS]:
        if profile.kind == "number":
            numbers = _numbers(profile, rows[profile.name])
            columns += [numbers, np.sign(numbers) * np.log1p(np.abs(numbers))]
        elif profile.kind in ("category", "boolean"):
            names = rows[profile.name].map(str).to_numpy()
            common = rows[profile.name].map(str).value_counts().index[:MAX_NAMES]
            columns += [(names == name).astype(np.float64) for name in common]
    return np.stack(columns, axis=1) if columns else np.empty((len(rows), 0))


def _numbers(profile: ColumnProfile, cells: pd.Series[Any]) -> Array:
    settings = {key: profile.column[key] for key in ("written", "na") if key in profile.column}
    column = Number.model_validate({**settings, "missing": "median"}, strict=False)
    numbers: Array = np.asarray(column.facts_of_cells(cells), dtype=np.float64)
    return np.nan_to_num(numbers, nan=float(np.nanmedian(numbers)) if not np.isnan(numbers).all() else 0.0)


def _error(matrix: Array, values: Array, *, log: bool) -> float:
    """Return the mean absolute error on the second half of the rows, of the better of two models."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half, target = len(values) // 2, np.log1p(values) if log else values
    errors = []
    for model in (make_pipeline(StandardScaler(), Ridge()), HistGradientBoostingRegressor(max_iter=60, random_state=0)):
        predicted = np.asarray(model.fit(matrix[:half], target[:half]).predict(matrix[half:]))
        limit = np.log1p(values.max()) + 1 if log else np.inf
        predicted = np.expm1(np.minimum(predicted, limit)) if log else predicted
        errors.append(float(np.abs(predicted - values[half:]).mean()))
    return min(errors)
