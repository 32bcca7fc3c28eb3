"""What processes of tests share with the server that they are forked from, which imports this module once.

A fork that imports all this itself takes a second of processor time, hundreds of times in a run of all tests.
"""

from __future__ import annotations

import gc
import importlib
import os

from tiltyard.pipelines.fork_server import EVERY, OWN_EVERY, OWN_TRAINING, TRAINING
from tiltyard.runtime import library_imports

TESTS = ("pytest", "hypothesis.strategies", "workspaces")
# Imported by functions of the package when a training needs them.
AT_FIRST_USE = tuple(
    f"tiltyard.training.{name}"
    for name in ("augmentation", "callbacks", "epochs", "network", "onnx.export", "optimizer", "tensorflow_steps")
)

for name in ("tensorflow", *TRAINING, *EVERY):
    library_imports.load(name)
for name in (*TESTS, *OWN_EVERY, *OWN_TRAINING, *AT_FIRST_USE):
    importlib.import_module(name)
# The path by which this module was found is not for processes that forks start.
if path := os.environ.pop("PYTHONPATH").partition(os.pathsep)[2]:
    os.environ["PYTHONPATH"] = path
gc.collect()
gc.freeze()  # otherwise the first collection of each fork visits, and so copies, the memory of all libraries
