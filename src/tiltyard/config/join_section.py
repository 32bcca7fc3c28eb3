"""The section `joins` of a task file: tables whose columns are added to the rows of the main source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tiltyard import plugins
from tiltyard.data.joins.rule import JoinRule
from tiltyard.data.sources.base import Source
from tiltyard.data.tables.dialect import Dialect
from tiltyard.expectation import Expectation

if TYPE_CHECKING:
    AnySource = Source
else:
    AnySource = plugins.union("sources", "kind")

MAX_JOINS = 16
JoinName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$")]


class Join(JoinRule):
    """A joined table: its source, how its rows are matched, and what is expected of it."""

    source: AnySource = Field(description="Any source that yields one table.")
    expect: list[Expectation] = Field(
        default_factory=list, description="Expectations of the joined table itself, by its own names of columns."
    )

    @property
    def dialect(self) -> Dialect:
        """The dialect of the joined table."""
        return self.source.dialect


Joins = Annotated[
    dict[JoinName, Join],
    Field(
        max_length=MAX_JOINS,
        description="Tables whose columns are added to the rows of the source, in this order.",
    ),
]
