"""Texts: a table with one text column; in REST requests an instance is the text itself."""

from __future__ import annotations

from tiltyard.preparation.modalities.table import Table


class Text(Table):
    """A table of texts, read like any other table."""
