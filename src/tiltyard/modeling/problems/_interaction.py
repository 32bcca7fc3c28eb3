"""The settings of recommendations: which columns say who rates what, and which ratings are good ones."""

from __future__ import annotations

from pydantic import Field

from tiltyard.settings import Settings


class Interaction(Settings):
    """The `target.interaction:` section: the columns of user and item, and of what describes them."""

    user: str = Field(description="The id column of the user.")
    item: str = Field(description="The id column of the item.")
    user_features: list[str] = Field([], description="Columns that describe the user; all others describe the item.")
    title: str | None = Field(None, description="The raw column with the name of an item, as people read it.")
    relevant: float = Field(description="The lowest rating of an item that would have been a good recommendation.")

    def item_features(self, columns: list[str]) -> list[str]:
        """Return the columns that describe the item."""
        return [name for name in columns if name not in (self.user, self.item, *self.user_features)]
