"""HTML that is read with a complaint about each tag that is not closed."""

from __future__ import annotations

from html.parser import HTMLParser


class Balance(HTMLParser):
    """Reads a page and complains about a tag that is never closed."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Remember what is open."""
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data
