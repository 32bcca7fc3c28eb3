"""Expectations of raw data, with the names and arguments of Great Expectations."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tiltyard.settings import Settings


class Expectation(Settings):
    """One expectation of a task file, or one implied by a column."""

    expectation: str = Field(pattern="^expect_[a-z_]+$", description="Name in snake case.")
    severity: Literal["critical", "warning"] = Field("critical", description="critical stops; warning is reported.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Arguments of Great Expectations.")


def not_null(column: str, share: float = 1.0) -> Expectation:
    """Expect a value in every row, or in a share of them."""
    mostly = {"mostly": round(share, 6)} if share < 1 else {}
    return Expectation(expectation="expect_column_values_to_not_be_null", arguments={"column": column, **mostly})


def between(column: str, bounds: tuple[float, float]) -> Expectation:
    """Expect every value within bounds."""
    arguments = {"column": column, "min_value": bounds[0], "max_value": bounds[1]}
    return Expectation(expectation="expect_column_values_to_be_between", arguments=arguments)


def in_set(column: str, values: list[Any]) -> Expectation:
    """Expect every value to be in a list."""
    arguments = {"column": column, "value_set": values}
    return Expectation(expectation="expect_column_values_to_be_in_set", arguments=arguments)


def unique(columns: list[str]) -> Expectation:
    """Expect different values in each row, of one column or of several together."""
    if len(columns) > 1:
        return Expectation(expectation="expect_compound_columns_to_be_unique", arguments={"column_list": columns})
    return Expectation(expectation="expect_column_values_to_be_unique", arguments={"column": columns[0]})


def row_count(bounds: tuple[int, int]) -> Expectation:
    """Expect a number of rows within bounds."""
    arguments = {"min_value": bounds[0], "max_value": bounds[1]}
    return Expectation(expectation="expect_table_row_count_to_be_between", arguments=arguments)


def matches_regex(column: str, pattern: str) -> Expectation:
    """Expect every value to match a regular expression."""
    return Expectation(
        expectation="expect_column_values_to_match_regex", arguments={"column": column, "regex": pattern}
    )
