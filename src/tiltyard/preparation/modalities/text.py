"""Texts: a table with one column of text; over REST an instance is the text itself."""

from __future__ import annotations

from tiltyard.preparation.modalities.table import Table


class Text(Table):
    """A table that is read like any other."""
