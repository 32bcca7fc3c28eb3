"""SHAP: Shapley values of columns, steps or words, against a background of training rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar

import numpy as np

from tiltyard.arrays import Array
from tiltyard.explain.math.explained_output import ExplainedOutput
from tiltyard.explain.math.masking import WordMask
from tiltyard.explain.math.shapley import coalition_count, mix_rows, shapley
from tiltyard.explain.methods.base import ExplainedModel, ExplanationMethod, Row
from tiltyard.figures import MAX_BARS, Figure, bars, largest_bars, points, word_figure
from tiltyard.modeling.columns.number import Number
from tiltyard.preparation.training_rows import sample_rows

BACKGROUND_ROWS = 100  # training rows
MAX_ROWS = 60  # validation rows for the whole model
PAIRS = 2  # of permutations for each background row
MAX_WORD_PERMUTATIONS = 2048  # pairs of permutations times words: longer texts get fewer permutations
MAX_CELLS = 1 << 28  # values that the model may compute for of_model: many columns mean fewer rows
MAX_STRETCHES = 24  # that a series is divided into
MAX_VALUE_CHARACTERS = 24  # of a value after its column's name

Spans = Mapping[str, slice]


class Shap(ExplanationMethod):
    """Explain columns of a table, stretches of a series or words of a text."""

    title: ClassVar = "SHAP: contribution of each part to the prediction"
    explains_rows: ClassVar = True

    def unsupported_reason(self, model: ExplainedModel) -> str:
        """Require numeric outputs, and a table, series or text."""
        if model.task.problem_type.targets == "text":
            return "SHAP needs a numeric output; a predicted text is none"
        return (
            "pixels have no names; for image patches use lime and occlusion" if model.task.modality == "image" else ""
        )

    def of_model(self, model: ExplainedModel) -> Iterator[Figure]:
        """Yield mean absolute Shapley values, and a dependence plot of the most important number."""
        if not model.task.is_tabular:
            return
        features, contributions = _sample_validation(model), _shap_values(model)
        sizes = dict(zip(model.data.encoder.spans, np.abs(contributions).mean(axis=0).tolist(), strict=True))
        values, omitted = largest_bars(sizes)
        alone = ExplainedOutput(model.predictor, None).describe(model.task.target)
        most = "the most probable label's probability" if model.task.labels else alone
        output_name = "the predicted label's probability" if model.task.classes else most
        rows = f"{len(contributions)} validation rows"
        text = f"How much a column moves {output_name}, up or down, on average over {rows}.{omitted}"
        yield bars("Mean Shapley values", text, _axis(model), values)
        numbers = [name for name in sizes if isinstance(model.task.columns[name], Number)]
        if numbers:
            top = max(numbers, key=sizes.__getitem__)
            yield _dependence(model, top, features, contributions[:, [*sizes].index(top)])

    def of_row(self, model: ExplainedModel, row: Row) -> Iterator[Figure]:
        """Yield the contribution of each part; base and contributions add up to the prediction."""
        output = ExplainedOutput.for_row(model.predictor, model.encode(row))
        output_name = output.describe(model.task.target)
        if model.task.modality == "text":
            yield _words(model, output, row)
            return
        spans = _spans(model)
        contributions, base = _row_values(model, output, model.encode(row)[0], spans)
        names = [_name_with_value(model, row, name) for name in spans]
        values, omitted = _sum_small(dict(zip(names, contributions.tolist(), strict=True)))
        text = (
            f"On average over training rows {output_name} is {base:.4g}; with the contributions of this row it "
            f"makes {base + contributions.sum():.4g}.{omitted}"
        )
        yield bars("Shapley values", text, output_name, values)


def _shap_values(model: ExplainedModel) -> Array:
    """Return the Shapley values of all columns for validation rows."""
    spans = _spans(model)
    return np.array(
        [
            _row_values(model, ExplainedOutput.for_row(model.predictor, row[None]), row, spans)[0]
            for row in _sample_validation(model)
        ]
    )


def _sample_validation(model: ExplainedModel) -> Array:
    """Return validation rows; fewer if the model has many columns."""
    features, _ = model.validation
    cells = coalition_count(len(_spans(model)), PAIRS) * BACKGROUND_ROWS * features.shape[1]
    return features[: max(5, min(MAX_ROWS, MAX_CELLS // cells))]


def _spans(model: ExplainedModel) -> Spans:
    """Return for each part its slice of the flattened row."""
    if model.task.is_tabular:
        return model.data.encoder.spans
    steps, width = model.validation[0].shape[1:]
    steps_per_part = -(-steps // MAX_STRETCHES)
    ends = [(start, min(start + steps_per_part, steps)) for start in range(0, steps, steps_per_part)]
    return {_step_range(start, end): slice(start * width, end * width) for start, end in ends}


def _step_range(start: int, end: int) -> str:
    return f"step {end}" if end == start + 1 else f"steps {start + 1} to {end}"


def _row_values(model: ExplainedModel, output: ExplainedOutput, row: Array, spans: Spans) -> tuple[Array, float]:
    """Return Shapley values and base of one encoded row."""
    background, _ = sample_rows(model.data.train, BACKGROUND_ROWS)
    games = [partial(_game, output, row, background_row, [*spans.values()]) for background_row in background]
    return shapley(games, len(spans), PAIRS, model.generator)


def _game(
    output: Callable[[Array], Array], row: Array, background: Array, spans: list[slice], coalitions: Array
) -> Array:
    """Return the outputs for rows mixed from this one and a background row."""
    rows = mix_rows(row.ravel(), background.ravel(), spans, coalitions)
    return output(rows.reshape(-1, *row.shape))


def _sum_small(values: dict[str, float]) -> tuple[dict[str, float], str]:
    """Sum parts that are too small to show, so that the bars add up; if all fit, keep their order."""
    if len(values) <= MAX_BARS:
        return values, ""
    largest, omitted = largest_bars(values)
    small = {name: value for name, value in values.items() if name not in largest}
    return largest | ({f"the {len(small)} others": sum(small.values())} if small else {}), omitted


def _name_with_value(model: ExplainedModel, row: Row, name: str) -> str:
    """Return the name of a column with its value."""
    if name not in row.values or not model.task.is_tabular or model.task.columns[name].branch == "image":
        return name
    value = model.task.columns[name].to_json(row.values[name])[0]
    text = f"{value:.6g}" if isinstance(value, float) else "missing" if value in (None, "") else str(value)
    return f"{name} = {text if len(text) <= MAX_VALUE_CHARACTERS else text[:MAX_VALUE_CHARACTERS] + '...'}"


def _words(model: ExplainedModel, output: ExplainedOutput, row: Row) -> Figure:
    """Explain words that are kept or removed."""
    text, output_name = WordMask.of(model.predictor.encoder, row.values), output.describe(model.task.target)
    count = len(text.pieces)
    pairs = max(4, min(32, MAX_WORD_PERMUTATIONS // count))
    contributions, base = shapley([lambda masks: output(text.keep(masks))], count, pairs, model.generator)
    sentence = (
        f"Without any word {output_name} is {base:.4g}, with all of them {base + contributions.sum():.4g}. "
        "Shaded words raise it, underlined ones lower it."
    )
    return word_figure("Shapley values of words", sentence, [*zip(text.pieces, contributions.tolist(), strict=True)])


def _dependence(model: ExplainedModel, name: str, features: Array, contributions: Array) -> Figure:
    """Plot a column's Shapley value against its value."""
    column = model.task.columns[name]
    unit, log = getattr(column, "unit", ""), getattr(column, "log", False)
    x_label = f"logarithm of 1 + {name}" if log else f"{name} {unit}".strip()
    groups = {"validation rows": (features[:, model.data.encoder.spans[name].start], contributions)}
    text = f"The value of {name} and its contribution to the prediction; each point is a validation row."
    return points(f"Contribution of {name}", text, (x_label, _axis(model)), groups, level=0)


def _axis(model: ExplainedModel) -> str:
    return "probability" if model.task.labels else ExplainedOutput(model.predictor, None).describe(model.task.target)
