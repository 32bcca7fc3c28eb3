"""Names and values as Markdown that shows them as they are: no HTML, no links, no table cells of their own."""

from __future__ import annotations

import re

LIVE = re.compile(r"[\\`*\[\]|~]")


def escape(value: object) -> str:
    """Return a value as text of one line."""
    flat = " ".join(str(value).split())
    return LIVE.sub(r"\\\g<0>", flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def inline_code(value: object) -> str:
    """Return a value as code of one line; backticks in it ask for longer ones around it."""
    flat = " ".join(str(value).split())
    fence = "`" * (max(map(len, re.findall("`+", flat)), default=0) + 1)
    room = " " if flat.startswith("`") or flat.endswith("`") else ""
    return f"{fence}{room}{flat}{room}{fence}"
