"""Markdown of the generated pages: tables, code blocks, and text that Markdown must not change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell(text) for text in line)} |" for line in lines) + "\n"


def cell(text: str) -> str:
    """Return text that stays in one cell."""
    return " ".join(text.replace("|", "\\|").split())


def code(text: str) -> str:
    """Return text in the typeface of code; nothing for no text."""
    return f"`{text}`" if text else ""


def block(text: str, language: str = "text") -> str:
    """Return a code block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def page(title: str, *parts: str) -> str:
    """Return a page: a title, and parts with an empty line between two."""
    return "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts)]) + "\n"
