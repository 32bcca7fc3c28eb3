"""An HTML parser that asserts that tags are balanced."""

from __future__ import annotations

from html.parser import HTMLParser


class BalancedHtmlParser(HTMLParser):
    """Parses a page; collects tags, text and tags left open, and fails on a wrong closing tag."""

    VOID = frozenset({"meta", "img", "br", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Add a tag to the open ones, unless it has no closing tag."""
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that the tag that was opened last is closed."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Collect text outside scripts and styles."""
        if self.open and self.open[-1] not in ("script", "style"):
            self.text += data
