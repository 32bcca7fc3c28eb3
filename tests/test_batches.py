"""Batches: every row once an epoch, in an order that seed and epoch decide, also where features stay in their file."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import json, sys
from pathlib import Path
import numpy as np
from tiltyard import batches, stored
path, seed = Path(sys.argv[1]), json.loads(sys.argv[2])
rows = 1000
features = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
with stored.writing(path) as write:
    write("features", rows, [features])
batches.BLOCK, batches.POOL = 16, 200 * 12
truth, weights = np.arange(rows), np.ones(rows)
found = {}
for kind, some in (("memory", features), ("file", stored.Stored(path, "features"))):
    data = batches.Batches((some, truth, weights), 32, seed)
    peeked = [data[place] for place in (0, 1)]
    orders = []
    for epoch in (0, 1, 0):
        if seed is not None:
            data.deal(epoch)
        drawn = [data[place] for place in range(len(data))]
        assert [len(batch[0]) for batch in drawn] == [32] * 31 + [8]
        for batch in drawn:
            np.testing.assert_array_equal(batch[0], features[batch[1]])
            assert len(batch[2]) == len(batch[1])
        orders.append(np.concatenate([batch[1] for batch in drawn]).tolist())
    assert np.array_equal(peeked[1][1], orders[0][32:64])
    found[kind] = orders
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 3])
def test_every_row_is_drawn_once_an_epoch(tmp_path: Path, seed: int | None) -> None:
    """The same in every epoch of that number, another in the next; without a seed as they stand in the file."""
    command = [sys.executable, "-c", CODE, str(tmp_path / "train.npz"), json.dumps(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    for first, second, again in found.values():
        assert sorted(first) == list(range(1000))
        assert first == again
        assert (first == second) == (seed is None)
        assert (first == sorted(first)) == (seed is None)
    if seed is not None:  # neighbours in the file are not neighbours in a batch
        order = found["file"][0]
        assert sum(abs(one - other) == 1 for one, other in itertools.pairwise(order)) < 50
