"""The hook of MkDocs: adds the generated reference and pages outside docs/, and repairs links between folders."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pages  # the folder of a hook is on the path

if TYPE_CHECKING:
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "data/README.md", "benchmarks/*.md")  # of which the site has a copy
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)]*)?(?=\))")
UNLINKED = re.compile(r"(?<!!)\[([^\]]+)\]\(unlinked:\)")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the generated pages, and Markdown files from outside docs/ under their paths in the repository."""
    from mkdocs.structure.files import File  # here, since tests read this module without MkDocs

    for path, text in pages.reference().items():
        files.append(File.generated(config, path, content=text))
    for pattern in OUTSIDE:
        for source in sorted(ROOT.glob(pattern)):
            path = source.relative_to(ROOT).as_posix()
            files.append(File.generated(config, path, content=source.read_text(encoding="utf-8")))
    config.nav = _expanded(config.nav, sorted(file.src_uri for file in files.documentation_pages()))
    return files


def _expanded(items: list[Any], known: list[str]) -> list[Any]:
    """Return the navigation with `decisions/*` replaced by the pages of that folder, which have titles of their own."""
    found: list[Any] = []
    for item in items:
        if isinstance(item, str) and item.endswith("/*"):
            found += [path for path in known if path.startswith(item[:-1])]
        else:
            ((title, below),) = item.items()
            found.append({title: _expanded(below, known) if isinstance(below, list) else below})
    return found


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Make links, which are written for readers of the repository, links of the site."""
    return repair_links(markdown, page.file.src_uri, {file.src_uri for file in files})


def repair_links(markdown: str, page: str, known: set[str]) -> str:
    """Return the text with links to pages of the site; links to other files of the repository become text."""
    in_repository = page if _is_outside(page) else f"docs/{page}"

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), match[1]))
        found = path.removeprefix("docs/")
        if found in known:
            return posixpath.relpath(found, posixpath.dirname(page) or ".") + (match[2] or "")
        if f"{found}/README.md" in known:
            return posixpath.relpath(f"{found}/README.md", posixpath.dirname(page) or ".")
        return "unlinked:" if (ROOT / path).exists() else match[0]

    return UNLINKED.sub(r"\1", LINK.sub(target, markdown))


def _is_outside(page: str) -> bool:
    return any(Path(page).match(pattern) for pattern in OUTSIDE)
