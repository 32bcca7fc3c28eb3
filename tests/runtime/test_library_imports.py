"""Imports of large libraries: what is left out is not loaded, can be used all the same, and changes no result."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiltyard.runtime import library_imports
from tiltyard.runtime.library_imports import UNUSED, LazyModule, Unused

GREAT_EXPECTATIONS = "great_expectations.expectations.registry"
IMPORTS = {"whole": "importlib.import_module", "reduced": "library_imports.load"}


def outcome(way: str, module: str, code: str) -> Any:
    """Import a module in a process of its own, whole or reduced, and return what `code` prints."""
    start = f"import importlib, json, sys\nfrom tiltyard.runtime import library_imports\n{IMPORTS[way]}('{module}')\n"
    command = [sys.executable, "-W", "ignore", "-c", start + textwrap.dedent(code)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


@pytest.mark.parametrize(("module", "library"), [(GREAT_EXPECTATIONS, "great_expectations"), ("keras", "keras")])
def test_what_is_unused_is_not_loaded(module: str, library: str) -> None:
    """A new version of a library that uses more of these modules at its import fails here."""
    unused = UNUSED[library]
    code = f"""
        lazy = [one for one in {unused.lazy} if type(sys.modules[one]) is library_imports.LazyModule]
        print(json.dumps([lazy, [one for one in {unused.hidden} if one in sys.modules]]))
    """
    assert outcome("reduced", module, code) == [[*unused.lazy], []]


@pytest.mark.parametrize(("module", "library"), [(GREAT_EXPECTATIONS, "great_expectations"), ("keras", "keras")])
def test_hidden_modules_can_be_imported_afterwards(module: str, library: str) -> None:
    """Code that needs them, such as references, finds them."""
    names = UNUSED[library].hidden
    code = f"print(json.dumps([importlib.import_module(one).__name__ for one in {names}]))"
    assert outcome("reduced", module, code) == [*names]


def test_the_same_expectations_are_known() -> None:
    """A reduced import registers each expectation and each metric of Great Expectations."""
    code = """
        from great_expectations.expectations import registry
        names = registry.list_registered_expectation_implementations()
        print(json.dumps([sorted(names), sorted(registry._registered_metrics)]))
    """
    whole, reduced = (outcome(way, GREAT_EXPECTATIONS, code) for way in IMPORTS)
    assert whole == reduced
    assert len(whole[0]) > 50


def test_expectations_that_need_lazy_modules_have_the_same_results() -> None:
    """The Kullback-Leibler divergence uses scipy.stats."""
    code = """
        import pandas as pd
        from great_expectations.expectations import registry
        from tiltyard.validation.suite import gx_context, validate_frame
        name = "expect_column_kl_divergence_to_be_less_than"
        partition = {"values": ["a", "b"], "weights": [0.5, 0.5]}
        one = registry.get_expectation_impl(name)(column="x", partition_object=partition, threshold=0.1)
        found = validate_frame(gx_context(), "t", [one], pd.DataFrame({"x": ["a", "a", "a", "b"]}))[0]
        print(json.dumps([found.success, found.to_json_dict()["result"]]))
    """
    whole, reduced = (outcome(way, GREAT_EXPECTATIONS, code) for way in IMPORTS)
    assert whole == reduced
    assert whole[1]["observed_value"] > 0.1


def test_keras_does_without_hidden_libraries() -> None:
    """They are for features of Keras that no command uses, so a training gives the same numbers."""
    code = """
        import numpy as np, keras
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
        model.compile(loss="mse")
        x = np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3)
        losses = model.fit(x, x.sum(axis=1), epochs=2, verbose=0).history["loss"]
        print(json.dumps([*losses, *model.predict(x, verbose=0).ravel().tolist()]))
    """
    assert outcome("whole", "keras", code) == outcome("reduced", "keras", code)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A library `greeter` that imports `heavy` and, if it is there, `optional`."""
    for name, text in {
        "greeter": "import gc\nimport heavy.part as part\nCOLLECTING = gc.isenabled()\n"
        "try:\n    import optional\nexcept ImportError:\n    optional = None\n",
        "heavy/__init__": "LOADED = []\n",
        "heavy/part/__init__": "import heavy, time\ntime.sleep(0.05)\nheavy.LOADED.append(1)\nVALUE = 7\n",
        "heavy/part/inner": "from heavy.part import VALUE\n",
        "optional": "",
    }.items():
        (tmp_path / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(UNUSED, "greeter", Unused(lazy=("heavy.part",), hidden=("optional",)))
    before = {*sys.modules}
    yield tmp_path
    for name in {*sys.modules} - before:
        del sys.modules[name]


@pytest.mark.usefixtures("library")
def test_a_lazy_module_is_loaded_at_its_first_use() -> None:
    """It is then as any other module, also for imports of its submodules."""
    library_imports.load("greeter")
    greeter, heavy = sys.modules["greeter"], sys.modules["heavy"]
    assert (heavy.LOADED, greeter.optional, type(greeter.part)) == ([], None, LazyModule)
    from heavy.part import inner  # type: ignore[import-not-found]

    assert (inner.VALUE, heavy.LOADED) == (7, [1])
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        _ = greeter.part.other
    assert type(greeter.part) is not LazyModule


@pytest.mark.usefixtures("library")
def test_threads_wait_until_a_lazy_module_is_loaded() -> None:
    """The module is loaded once."""
    library_imports.load("greeter")
    part, found = sys.modules["heavy.part"], []
    threads = [threading.Thread(target=lambda: found.append(part.VALUE)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found, sys.modules["heavy"].LOADED) == ([7] * 8, [1])


@pytest.mark.usefixtures("library")
def test_garbage_is_collected_again_after_an_import() -> None:
    """It is not during an import, and stays off for a process that turned it off."""
    gc.unfreeze()  # what tests/conftest.py froze
    library_imports.load("greeter")
    assert (sys.modules["greeter"].COLLECTING, gc.isenabled()) == (False, True)
    assert gc.get_freeze_count() > 1000


def test_a_module_that_fails_to_load_says_so(library: Path) -> None:
    """Nothing stays hidden after an import that fails."""
    (library / "greeter.py").write_text("import optional")
    with pytest.raises(ModuleNotFoundError, match="optional"):
        library_imports.load("greeter")
    assert "optional" not in sys.modules
    assert gc.isenabled()
