"""Which files of this package a script imports, directly or not: what a Bento holds, and what a stage depends on."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

from tiltyard import plugins

SOURCE = Path(__file__).parents[2]


def closure(script: Path, *, without: Collection[str] = ()) -> list[Path]:
    """List what a script imports, with plug-ins and what pages are made of; it enters no package named in `without`."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        new = {one for path in _imports(waiting.pop()) for one in (path, *_beside(path))} - found
        new = {path for path in new if path.relative_to(SOURCE).parts[0] not in without}
        found |= new
        waiting += [one for one in new if one.suffix == ".py"]
    return sorted(found)


def _beside(path: Path) -> Iterator[Path]:
    """Yield the files that a page is made of."""
    if path.name == "page.py":
        yield from path.with_name("static").glob("[!.]*.*")


def _imports(path: Path) -> Iterator[Path]:
    """Yield the files of this package that one file names: by an import, or by the kind of plug-ins that it loads."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {part for node in ast.walk(tree) for one in _for_types(node) for part in ast.walk(one)}
    for node in ast.walk(tree):
        if node in typing:
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Call) and (kind := _kind(node)):
            names = [f"tiltyard.{plugins.FOLDERS[kind]}.{name}" for name in plugins.names(kind)]
        for name in names:
            yield from _files(name)


def _kind(call: ast.Call) -> str | None:
    """Return the kind of plug-ins that a call such as `plugins.load("problems", name)` asks for."""
    match call:
        case ast.Call(ast.Attribute(ast.Name("plugins")), [ast.Constant(str(kind)), *_]) if kind in plugins.FOLDERS:
            return kind
    return None


def _for_types(node: ast.AST) -> list[ast.stmt]:
    """Return what stands under `if TYPE_CHECKING:`, of which nothing happens when the file runs."""
    guarded = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return node.body if guarded and isinstance(node, ast.If) else []


def _files(name: str) -> Iterator[Path]:
    """Yield the file of a module of this package, and the __init__ of each package it lies in."""
    package, *parts = name.split(".")
    if package != "tiltyard":
        return
    for end in range(len(parts) + 1):
        place = SOURCE.joinpath(*parts[:end])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path
