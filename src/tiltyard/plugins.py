"""Plug-ins by file name: `columns/number.py` holds the class `Number`; adding a file adds a plug-in."""

from __future__ import annotations

import importlib
import pkgutil
from functools import reduce
from operator import or_
from typing import Annotated, Any

from pydantic import Field

from tiltyard.errors import TaskError


def names(folder: str) -> list[str]:
    """List the plug-ins in a folder of this package."""
    package = importlib.import_module(f"tiltyard.{folder}")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(folder: str, name: str) -> Any:
    """Give the class of one plug-in."""
    if name not in names(folder):
        known = ", ".join(names(folder))
        raise TaskError(f"{folder}: expected one of {known}; received '{name}'")
    module = importlib.import_module(f"tiltyard.{folder}.{name}")
    return getattr(module, name.title().replace("_", ""))


def union(folder: str, key: str) -> Any:
    """Give the type 'any plug-in of this folder', told apart by the value of `key`."""
    classes = [load(folder, name) for name in names(folder)]
    return Annotated[reduce(or_, classes), Field(discriminator=key)] if len(classes) > 1 else classes[0]
