"""Checks of the columns of a task file: which may be together, how texts are read, what derived features name."""

from __future__ import annotations

import math
from collections.abc import Mapping

from tiltyard.modeling.columns._derived import Derived
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.text import Text
from tiltyard.modeling.models.base import Model
from tiltyard.modeling.problems.base import Target

MAX_FEATURES = 1 << 18  # pixels and ids of a row with several kinds of columns, which is stored as 32-bit numbers


def mixed_error(columns: Mapping[str, Column]) -> str:
    """Check the columns of a row that has texts or images beside others."""
    sizes = [math.prod(column.shape) for column in columns.values() if isinstance(column, Image)]
    sizes += [column.length for column in columns.values() if isinstance(column, Text)]
    if (total := sum(sizes)) > MAX_FEATURES:
        expected = f"at most {MAX_FEATURES:,} pixels and words of a row with several kinds of columns"
        return f"columns: expected {expected}; received {total:,}: resize the images, or shorten the texts"
    return ""


def ngrams_error(name: str, column: Column, model: Model) -> str:
    """Check that n-grams are read by families that need no order of words, and only by them."""
    unit = getattr(column, "by", "")
    if model.reads_ngrams and unit != "ngrams":
        return f"columns.{name}.by: expected ngrams for the family {model.family}; received {unit}"
    if unit == "ngrams" and getattr(model, "weighting", "mean") != "mean":
        return "model.weighting: expected mean for n-grams, which the family ngrams weights by TF-IDF"
    if unit == "ngrams" and not model.reads_ngrams and model.family != "bow":
        return f"columns.{name}.by: expected words or characters for the family {model.family}; received ngrams"
    return ""


def series_error(columns: Mapping[str, Column], target: Target, problem: str = "") -> str:
    """Check that all series of a task have the same time steps."""
    series_names = ", ".join(columns)
    if any(column.type != "series" for column in columns.values()):
        return f"columns: expected only series columns, or none; received {series_names}"
    if target.column not in columns and problem != "anomaly":
        return f"target.column: expected one of the series {series_names}; received {target.column}"
    ways = [column.model_dump(include={"window", "order", "group", "steps"}) for column in columns.values()]
    if any(way != ways[0] for way in ways):
        return "columns: expected the same window, order, group and steps in each series"
    settings = columns[target.column].model_dump() if target.column in columns else {}
    if not target.rise and settings.get("relative", False) and settings.get("log", False) != target.log:
        return "target.log: expected the same as log of its column, which is relative"
    return ""


def derived_error(derived: Mapping[str, Derived], columns: Mapping[str, Column], target: Target) -> str:
    """Check that derived features have names of their own, and are computed from number columns of a table."""
    numbers = ", ".join(name for name, column in columns.items() if isinstance(column, Number))
    for name, feature in derived.items():
        if name in columns or name in target.names:
            return f"derived.{name}: expected a name that no column and no target has"
        for operand in feature.of:
            column = columns.get(operand)
            if not isinstance(column, Number):
                return f"derived.{name}.of: expected number columns out of {numbers or 'none'}; received {operand}"
            if column.log:
                return f"derived.{name}.of: expected a column that keeps its values, without log; received {operand}"
    return ""


def masked_error(columns: Mapping[str, Column], problem: str) -> str:
    """Return an error unless words are masked in texts of the problem masked, and only there."""
    for name, column in columns.items():
        share = getattr(column, "masked", 0.0)
        if problem == "masked" and not share:
            expected = "columns of texts, with a share of words such as masked: 0.15"
            return f"columns.{name}: expected for the problem masked {expected}; received type: {column.type}"
        if share and problem != "masked":
            return f"columns.{name}.masked: expected only for the problem masked; received it for {problem}"
    return ""
