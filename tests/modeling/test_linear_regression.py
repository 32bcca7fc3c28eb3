"""Linear regression by hand: costs of gradient descent, sums of squares, and the same line in several ways."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from tiltyard.arrays import Array
from tiltyard.modeling.models._solved import Part, Steps
from tiltyard.modeling.models.linear import Linear, SumsOfSquares, ZScores, cost, descend, least_squares

NOTED = [0.995000, 0.810172]  # costs before the first and before the tenth step, as published for TV and sales


def generated(rows: int = 200, width: int = 1) -> Part:
    """Return inputs and targets with a known line and noise."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(5, 3, (rows, width))
    return inputs, inputs @ rng.normal(0, 1, (width, 1)) + 2 + rng.normal(0, 1, (rows, 1))


def z_scores(part: Part) -> Part:
    """Return both as z-scores, as the family computes them."""
    inputs, targets = (ZScores.of(values).apply(values) for values in part)
    return inputs, targets


def columns(path: Path, *names: str) -> list[Array]:
    """Return columns of a CSV file, each as (rows, 1), without rows in which one is empty."""
    with path.open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if all(row[name] for name in names)]
    return [np.array([[float(row[name])] for row in rows]) for name in names]


def test_costs_on_the_advertising_data_are_as_published(mirror: Path) -> None:
    """On all 200 rows, ten steps at a rate of 0.01 have the published costs."""
    inputs, targets = columns(mirror / "advertising.csv", "TV", "sales")
    part = z_scores((inputs, targets))
    costs = descend(part, part, Steps(0.01, 10, 0))[1]["loss"]
    assert [round(costs[0], 6), round(costs[9], 6)] == NOTED


def test_costs_follow_the_formula() -> None:
    """With one feature, each step removes the same share of the distance to the line with the least squares."""
    part, rate = z_scores(generated()), 0.01
    rows = len(part[0])
    spread, slope = (rows - 1) / rows, least_squares(*part)[1, 0]  # of z-scores with ddof=1
    kept = 1 - 2 * rate * spread
    expected = [spread * (1 - slope**2) + spread * slope**2 * kept ** (2 * step) for step in range(10)]
    costs = descend(part, part, Steps(rate, 10, 0))[1]["loss"]
    np.testing.assert_allclose(costs, expected, rtol=1e-9)
    assert costs[0] == pytest.approx(0.995)


def test_gradient_descent_ends_at_least_squares() -> None:
    """Many steps give the weights of the closed form, and those of NumPy's polynomial fit."""
    part = generated(width=3)
    scaled = z_scores(part)
    np.testing.assert_allclose(descend(scaled, scaled, Steps(0.1, 2000, 0))[0], least_squares(*scaled), atol=1e-9)
    inputs, targets = generated()
    slope, intercept = np.polyfit(inputs[:, 0], targets[:, 0], 1)
    np.testing.assert_allclose(least_squares(inputs, targets)[:, 0], [intercept, slope])


@pytest.mark.parametrize("solver", ["least_squares", "gradient_descent"])
def test_solution_is_in_the_units_of_the_data(solver: str) -> None:
    """The weights that are returned belong to features and targets as they came, not to z-scores."""
    train, later = generated(width=2), generated(width=2)
    model = Linear.model_validate({"family": "linear", "solver": solver})
    solution = model.solve(train, later, Steps(0.1, 3000, 0))
    expected = least_squares(*train)
    np.testing.assert_allclose([*solution.bias, *solution.weights[:, 0]], expected[:, 0], atol=1e-6)
    steps = 1 if solver == "least_squares" else 3000
    assert [len(solution.history[name]) for name in ("loss", "val_loss")] == [steps, steps]


def test_columns_that_repeat_another_are_no_obstacle() -> None:
    """Of many solutions the shortest is taken, and a constant column gets no weight."""
    inputs, targets = generated()
    doubled = np.column_stack([inputs, inputs, np.full(len(inputs), 7.0)])
    solution = Linear(family="linear").solve((doubled, targets), (doubled, targets), Steps(0.01, 1, 0))
    first, second, constant = solution.weights[:, 0]
    assert first == pytest.approx(second)
    assert first + second == pytest.approx(least_squares(inputs, targets)[1, 0])
    assert constant == pytest.approx(0)


def test_total_is_errors_plus_explained() -> None:
    """By least squares SST = SSE + SSR, and R2 is the square of Pearson's correlation."""
    inputs, targets = generated(width=3)
    weights = least_squares(inputs, targets)
    predicted = (np.column_stack([np.ones(len(inputs)), inputs]) @ weights)[:, 0]
    sums = SumsOfSquares.of(targets[:, 0], predicted)
    assert sums.total == pytest.approx(sums.errors + sums.explained)
    assert sums.r2 == pytest.approx(sums.correlation**2)
    assert sums.correlation == pytest.approx(np.corrcoef(targets[:, 0], predicted)[0, 1])
    halfway = SumsOfSquares.of(targets[:, 0], predicted * 0.5)
    assert halfway.total != pytest.approx(halfway.errors + halfway.explained)


@pytest.mark.parametrize(
    ("file", "names"),
    [("advertising.csv", ("TV", "sales")), ("tech_stocks.csv", ("Alphabet Inc Price", "Microsoft Corp Price"))],
)
def test_identities_hold_on_real_rows(mirror: Path, file: str, names: tuple[str, str]) -> None:
    """R2 equals Pearson's correlation squared on the rows that the line was fitted to."""
    inputs, targets = columns(mirror / file, *names)
    bias, slope = least_squares(inputs, targets)[:, 0]
    sums = SumsOfSquares.of(targets[:, 0], bias + slope * inputs[:, 0])
    assert sums.total == pytest.approx(sums.errors + sums.explained)
    assert sums.r2 == pytest.approx(np.corrcoef(inputs[:, 0], targets[:, 0])[0, 1] ** 2)


def test_targets_without_variance_are_no_obstacle() -> None:
    """A constant target is predicted exactly; there is nothing to explain."""
    inputs, targets = generated()[0], np.full((200, 1), 3.0)
    assert cost(inputs, targets, least_squares(inputs, targets)) == pytest.approx(0)
    assert SumsOfSquares.of(targets[:, 0], targets[:, 0]).r2 == 0
