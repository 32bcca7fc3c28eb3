"""Escape names and values for Markdown, so that they are shown literally: no HTML, links or table cells."""

from __future__ import annotations

import re

LIVE = re.compile(r"[\\`*\[\]|~]")


def escape(value: object) -> str:
    """Return a value as escaped text on one line."""
    flat = " ".join(str(value).split())
    return LIVE.sub(r"\\\g<0>", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def inline_code(value: object) -> str:
    """Return a value as inline code on one line; the fence is longer than any backticks inside."""
    flat = " ".join(str(value).split())
    fence = "`" * (max(map(len, re.findall("`+", flat)), default=0) + 1)
    room = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{room}{flat}{room}{fence}"
