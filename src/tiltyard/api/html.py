"""Panels for notebooks: a table with a title, in the colours of the notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def table(frame: pd.DataFrame, title: str) -> str:
    """Return a table with a title; every text is escaped."""
    return f"<div><strong>{escape(title)}</strong>{frame.to_html(index=False, escape=True, border=0)}</div>"
