"""An HTML page of the report: a single file that needs no other file and no network.

Its sections are in tabs. Without scripts, and in print, all tabs are shown below one another.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path

from tiltyard.report.html_elements import Section

STATIC_FOLDER = Path(__file__).parent / "static"
SCRIPTS = (
    *("draw.js", "data.js", "download.js", "boxes.js", "thresholds.js", "plots.js", "tables.js"),
    *("versions.js", "tabs.js"),
)
# The browser must load nothing from elsewhere, and run no scripts but those of the page, by their hashes.
SECURITY_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Tab:
    """A tab of a page: its title and sections; sections without content are left out."""

    title: str
    sections: list[Section]

    @property
    def filled(self) -> list[Section]:
        """The sections that have content."""
        return [section for section in self.sections if section.content]


@dataclass(frozen=True)
class Page:
    """A page: title, head, tabs and a link to the overview."""

    title: str
    head: str
    tabs: list[Tab] = field(default_factory=list)
    up: str = ""  # address of the overview

    def html(self) -> str:
        """Return the page as HTML."""
        tabs = [tab for tab in self.tabs if tab.filled]
        links = "".join(f'<a href="#tab-{_anchor(tab.title)}">{escape(tab.title)}</a>' for tab in tabs)
        nav = f'<nav aria-label="Tabs"><div class="tabs">{links}</div></nav>' if len(tabs) > 1 else ""
        up = f'<p class="soft"><a href="{escape(self.up)}">All tasks</a></p>' if self.up else ""
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{_security_policy()}">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self.title)}</title>\n<style>{_static_text('site.css')}</style></head>\n"
            f'<body><a class="skip" href="#main">Skip to the content</a><div class="frame">'
            f"<header>{up}{self.head}</header>\n{nav}"
            f'<main id="main" tabindex="-1">{"".join(map(_panel, tabs))}</main>'
            f"<noscript><p>Plots need JavaScript, which is switched off.</p></noscript></div>\n"
            f"{''.join(f'<script>{_static_text(name)}</script>' for name in SCRIPTS)}</body></html>\n"
        )


def _panel(tab: Tab) -> str:
    """Return the sections of a tab, with links to them if there are several."""
    sections = tab.filled
    body = "\n".join(
        f'<section id="{_anchor(part.title)}"><h2>{escape(part.title)}</h2>\n{part.content}</section>'
        for part in sections
    )
    if len(sections) > 1:
        links = "".join(f'<li><a href="#{_anchor(part.title)}">{escape(part.title)}</a></li>' for part in sections)
        nav = f'<nav class="side" aria-label="Sections of {escape(tab.title)}"><ul>{links}</ul></nav>'
        body = f'<div class="sides">{nav}<div>{body}</div></div>'
    return f'<div class="panel" id="tab-{_anchor(tab.title)}">{body}</div>'


def _anchor(title: str) -> str:
    return "".join(character if character.isalnum() else "-" for character in title.lower())


@cache
def _security_policy() -> str:
    """Return the content security policy, with the hashes of the scripts."""
    hashes = (base64.b64encode(hashlib.sha256(_static_text(name).encode()).digest()).decode() for name in SCRIPTS)
    return SECURITY_POLICY.format(" ".join(f"'sha256-{digest}'" for digest in hashes))


@cache
def _static_text(name: str) -> str:
    return (STATIC_FOLDER / name).read_text(encoding="utf-8")
