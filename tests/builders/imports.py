"""Which modules of this package a module imports, directly or not, with the plug-ins that it loads."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

import grimp

import tiltyard
from tiltyard import plugins

SOURCE = Path(tiltyard.__file__).parent
SERVICE = Path(__file__).parents[2] / "serving/service.py"
LOADS = re.compile(r'\bplugins\.\w+\(\s*"(\w+)"')  # such as plugins.load("problems", name)


def closure(*names: str, without: Collection[str] = ()) -> set[str]:
    """Return the files that modules import, as paths in the package; packages named in `without` are left out."""
    graph = grimp.build_graph("tiltyard", cache_dir=None, exclude_type_checking_imports=True)
    for importer, imported in _plugins():
        graph.add_import(importer=importer, imported=imported)
    for module in {one for one in graph.modules if one.split(".")[1:2] and one.split(".")[1] in without}:
        graph.remove_module(module)
    found = set().union(*(graph.find_upstream_modules(f"tiltyard.{name}") for name in names))
    paths = {module.removeprefix("tiltyard").strip(".").replace(".", "/") + ".py" for module in found}
    return {path for path in paths if (SOURCE / path).is_file()}


def of_the_service() -> set[str]:
    """Return the files that the service imports, directly or not."""
    return closure(*re.findall(r"^from tiltyard\.(\S+) import", SERVICE.read_text(encoding="utf-8"), re.MULTILINE))


@cache
def _plugins() -> list[tuple[str, str]]:
    """Return which modules load which plug-ins."""
    return [
        (module, f"tiltyard.{plugins.FOLDERS[kind]}.{name}")
        for path in SOURCE.rglob("*.py")
        for module in [".".join(["tiltyard", *path.relative_to(SOURCE).with_suffix("").parts])]
        for kind in LOADS.findall(path.read_text(encoding="utf-8"))
        for name in plugins.names(kind)
    ]
