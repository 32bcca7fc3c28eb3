"""Plug-ins by file name: `modeling/columns/number.py` holds the class `Number`; adding a file adds a plug-in.

In a folder of plug-ins, base.py holds the base class, and files that begin with `_` are not plug-ins. Other packages
add plug-ins by entry points: the group is `tiltyard.FOLDER`, the name is that of the plug-in, the value is its class.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from functools import reduce
from importlib.metadata import EntryPoint, entry_points
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from tiltyard.errors import PluginError, TaskError

FOLDERS = {
    "columns": "modeling.columns",
    "problems": "modeling.problems",
    "evaluators": "modeling.evaluators",
    "models": "modeling.models",
    "references": "modeling.references",
    "outlier_detectors": "modeling.outlier_detectors",
    "sources": "data.sources",
    "formats": "data.formats",
    "samplers": "training.samplers",
    "modalities": "preparation.modalities",
    "findings": "validation.findings",
    "checks": "gate.checks",
    "explanations": "explain.methods",
}


def names(folder: str) -> list[str]:
    """Return the names of the plug-ins in a folder, and of those that other packages add to it."""
    return sorted({*_own(folder), *others(folder)})


@functools.cache
def _own(folder: str) -> tuple[str, ...]:
    package = importlib.import_module(f"tiltyard.{FOLDERS[folder]}")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(name for name in modules if name != "base" and not name.startswith("_"))


@functools.cache
def others(folder: str) -> dict[str, EntryPoint]:
    """Return the plug-ins of other packages by name; raise PluginError if two have the same name."""
    found: dict[str, EntryPoint] = {}
    for point in _entry_points().get(f"tiltyard.{folder}", ()):
        if point.name in found or point.name in _own(folder):
            raise PluginError(
                f"plug-in {point.name!r} of {folder}: expected one; {_package(point)} adds another one",
                hint=f"uninstall it, or ask its authors for another name: pip uninstall {_package(point)}",
            )
        found[point.name] = point
    return found


@functools.cache
def _entry_points() -> dict[str, list[EntryPoint]]:
    """Return our entry points by group, by one search of the installed packages."""
    found = entry_points()
    return {group: [*found.select(group=group)] for group in found.groups if group.startswith("tiltyard.")}


def load(folder: str, name: str) -> Any:
    """Return the class of one plug-in."""
    if name in _own(folder):
        module = importlib.import_module(f"tiltyard.{FOLDERS[folder]}.{name}")
        return getattr(module, name.title().replace("_", ""))
    if name in others(folder):
        return _load_other(folder, others(folder)[name])
    raise TaskError(f"{folder}: expected one of {', '.join(names(folder))}; received '{name}'")


def _load_other(folder: str, point: EntryPoint) -> Any:
    """Return the class that an entry point names; raise PluginError if there is none, or none of the kind."""
    base = importlib.import_module(f"tiltyard.{FOLDERS[folder]}.base")
    try:
        loaded = point.load()
    except (ImportError, AttributeError) as error:
        text = f"plug-in {point.name!r} of {folder}, from {_package(point)}: {error}"
        raise PluginError(text, hint=f"install it again: pip install --force-reinstall {_package(point)}") from None
    defined = [value for value in vars(base).values() if isinstance(value, type) and value.__module__ == base.__name__]
    classes = [value for value in defined if not getattr(value, "_is_protocol", False)]  # those cannot be asked for
    if not (isinstance(loaded, type) and issubclass(loaded, tuple(classes))):
        expected = " or ".join(one.__name__ for one in classes)
        raise PluginError(f"plug-in {point.name!r} of {folder}: expected a subclass of {expected}; received {loaded!r}")
    return loaded


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value.partition(".")[0]


def union(folder: str, key: str) -> Any:
    """Return the union of all plug-ins of a folder as a type, discriminated by the value of `key`."""
    classes = [load(folder, name) for name in names(folder)]
    return Annotated[reduce(or_, classes), Field(discriminator=key)] if len(classes) > 1 else classes[0]
