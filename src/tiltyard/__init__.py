"""Tiltyard: models joust for production; a challenger replaces the champion only when it wins.

import tiltyard as ty

project = ty.open("shop")
project["iris"].champion.predict(frame)
ty.Client("http://localhost:3000").predict("iris", frame)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiltyard.api.champion import Champion
    from tiltyard.api.client import Client
    from tiltyard.api.outside import from_keras
    from tiltyard.api.project import Project, init, new, open  # noqa: A004 - ty.open, as in other libraries
    from tiltyard.api.task import Task

__all__ = ["Champion", "Client", "Project", "Task", "from_keras", "init", "new", "open"]

# Loaded at the first use, since every command imports this package.
_PROJECT = ("Project", "init", "new", "open")
_MODULES = {
    "Champion": "champion",
    "Client": "client",
    "Task": "task",
    "from_keras": "outside",
    **dict.fromkeys(_PROJECT, "project"),
}


def __getattr__(name: str) -> Any:
    """Return a name of the Python interface."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import sys
    from importlib import import_module

    if sys.platform == "win32" and name != "Client":  # the client needs nothing that Windows lacks
        from tiltyard.errors import WINDOWS, WorkspaceError

        raise WorkspaceError(WINDOWS)
    return getattr(import_module(f"tiltyard.api.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the names of the Python interface, for completion."""
    return [*globals(), *__all__]
