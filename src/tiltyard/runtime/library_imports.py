"""Import large libraries without the parts that no command uses, which halves the time of their imports.

There are two ways, and neither changes what a library does: a module that a library imports but rarely uses is loaded
at its first use (`lazy`); an optional dependency, without which a library is designed to work, is hidden
from it while it is imported (`hidden`). tests/runtime/test_library_imports.py checks both with the installed versions.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import sys
import threading
import types
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Any


@dataclass(frozen=True)
class Unused:
    """What a library imports and its users here do not need."""

    lazy: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()


UNUSED = {
    # Altair and scipy.stats are for one expectation each; SQLAlchemy is for data in databases.
    "great_expectations": Unused(lazy=("altair", "scipy.stats"), hidden=("sqlalchemy",)),
    # scikit-learn is for Keras' wrappers of models, Matplotlib for its galleries, pandas for fit() on a DataFrame.
    "keras": Unused(hidden=("matplotlib", "pandas", "sklearn")),
}


def load(name: str) -> None:
    """Import a module of a library, without what is unused unless a part of the library is loaded already."""
    library = name.partition(".")[0]
    if library in sys.modules:
        importlib.import_module(name)
        return
    unused = UNUSED.get(library, Unused())
    with _without_garbage_collection(), _hidden(unused.hidden):
        for module in unused.lazy:
            _load_at_first_use(module)
        importlib.import_module(name)


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Disable garbage collection, which would visit the million objects of an import again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # later collections, such as the one at exit, skip these objects too
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of modules fail as if they were not installed, unless they are loaded already."""
    absent: dict[str, Any] = {name: None for name in names if name not in sys.modules}  # makes imports fail
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _load_at_first_use(name: str) -> None:
    """Put a module into sys.modules that is loaded when its first attribute is used."""
    if name not in sys.modules and (spec := importlib.util.find_spec(name)) and spec.loader:
        sys.modules[name] = LazyModule(name, spec)


class LazyModule(types.ModuleType):
    """A module that is loaded at the first use of an attribute, or import of a submodule.

    A module of importlib.util.LazyLoader would be loaded by the import statement itself, which reads `__spec__`.
    """

    def __init__(self, name: str, spec: ModuleSpec) -> None:
        super().__init__(name)
        self.__spec__ = spec
        self.__lock = threading.RLock()  # another thread waits until the module is loaded
        self.__loading = False

    def __getattr__(self, name: str) -> Any:
        """Load the module for an attribute that it does not have yet."""
        with self.__lock:
            if self.__loading:
                raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' yet: it is being loaded")
            if type(self) is LazyModule:
                self.__loading = True
                try:
                    self.__load()
                finally:
                    self.__loading = False
        return getattr(self, name)

    def __load(self) -> None:
        spec = self.__spec__
        if spec is None or spec.loader is None:
            raise ImportError(f"module '{self.__name__}' cannot be loaded any more")
        self.__dict__.update(importlib.util.module_from_spec(spec).__dict__)
        spec.loader.exec_module(self)
        self.__class__ = types.ModuleType  # type: ignore[assignment]
