"""Plug-ins by file name: `modeling/columns/number.py` holds the class `Number`; adding a file adds a plug-in.

In a folder of plug-ins, base.py holds the base class, and files that begin with `_` are not plug-ins.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from tiltyard.errors import TaskError

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
    """Return the names of the plug-ins in a folder."""
    package = importlib.import_module(f"tiltyard.{FOLDERS[folder]}")
    modules = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted(name for name in modules if name != "base" and not name.startswith("_"))


def load(folder: str, name: str) -> Any:
    """Return the class of one plug-in."""
    if name not in names(folder):
        expected = ", ".join(names(folder))
        raise TaskError(f"{folder}: expected one of {expected}; received '{name}'")
    module = importlib.import_module(f"tiltyard.{FOLDERS[folder]}.{name}")
    return getattr(module, name.title().replace("_", ""))


def union(folder: str, key: str) -> Any:
    """Return the union of all plug-ins of a folder as a type, discriminated by the value of `key`."""
    classes = [load(folder, name) for name in names(folder)]
    return Annotated[reduce(or_, classes), Field(discriminator=key)] if len(classes) > 1 else classes[0]
