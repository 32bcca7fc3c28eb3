"""Benchmark of the loop: a champion that is never retrained, one that is retrained blindly, and one that is watched.

`python benchmarks/loop.py` lives through each world of WORLDS with each seed that benchmarks/loop.json lacks, and
writes benchmarks/LOOP.md. The worlds are those of tests/builders/changing_world.py: a real service in a process,
clients, truths that come a step later, and linear models in closed form in place of a training by Keras.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import page

sys.path.insert(0, str(page.ROOT / "tests/builders"))

import changing_world
import numpy as np
from changing_world import Course, World

from tiltyard import files
from tiltyard.operations import ledger
from tiltyard.registry.registry import Registry

RESULTS, PAGE = page.ROOT / "benchmarks" / "loop.json", page.ROOT / "benchmarks" / "LOOP.md"
SEEDS = (0, 1, 2)
STEPS, SHIFT = 18, 4
WORLDS = {
    "wrong labels later": (11, 12, 13),
    "wrong labels at the shift": (4, 5, 6),
}
STRATEGIES = ("never retrained", "retrained blindly", "watched")
Result = dict[str, Any]


def measure(world: World, folder: Path) -> Result:
    """Live through a world with each strategy; return accuracy by step, and the number of retrainings."""
    never = changing_world.without_watch(folder / "never", world, None)
    blind = changing_world.without_watch(folder / "blind", world, 1)
    space, watched = changing_world.watch(folder / "watched", world)
    found = ledger.retrainings(Registry(space).decisions(changing_world.NAME), None)
    watched.retrainings = sum(not one.unchanged for one in found)
    courses = dict(zip(STRATEGIES, (never, blind, watched), strict=True))
    return {
        **{name: _course(course) for name, course in courses.items()},
        "actions": [look.action for look in watched.looks if look.action not in ("none", "retrain")],
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": page.machine_with_load(),
    }


def _course(course: Course) -> Result:
    return {"accuracy": [round(float(value), 4) for value in course.accuracy], "retrainings": course.retrainings}


def main() -> None:
    """Measure what is missing, and write the page."""
    results: Result = files.read_json(RESULTS) if RESULTS.is_file() else {}
    for name, broken in WORLDS.items():
        for seed in SEEDS:
            if (key := f"{name} {seed}") not in results:
                world = World(seed=seed, steps=STEPS, shift=SHIFT, broken=broken)
                with tempfile.TemporaryDirectory() as folder:
                    os.environ["GIT_CEILING_DIRECTORIES"] = folder
                    results[key] = measure(world, Path(folder))
                files.write_text(RESULTS, json.dumps(results, indent=1) + "\n")
                print(key, flush=True)
    files.write_text(PAGE, text(results))


HEAD = """# The loop: never retrained, retrained blindly, watched

Written by `python benchmarks/loop.py` on {dates}; {machine}; seeds {seeds}.

Each step has 300 orders; their truths arrive a step later. At step {shift} the inputs shift, and so does their relation
to the label. Models are linear, fitted in closed form to the last 600 rows with known labels. *Blindly* retrains after
each step and serves the result at once; *watched* is `tiltyard watch` with gate, shadow, canary and a budget of six
retrainings, and a real service that answers the clients. Each cell is the mean accuracy of the answers over the seeds,
with the lowest and the highest seed in brackets.
"""


def text(results: Result) -> str:
    """Return the page."""
    dates = ", ".join(sorted({result["date"] for result in results.values()}))
    seeds = ", ".join(map(str, SEEDS))
    lines = [HEAD.format(dates=dates, machine=page.machine(), seeds=seeds, shift=SHIFT).rstrip()]
    for name, broken in WORLDS.items():
        of_world = [results[f"{name} {seed}"] for seed in SEEDS]
        lines += ["", f"## {name[0].upper()}{name[1:]}", ""]
        lines += [
            f"The labels that reach the table are wrong in steps {broken[0]} to {broken[-1]}; clients send right ones."
        ]
        lines += ["", "| strategy | before the shift | after it | lowest step | last step | retrainings |"]
        lines += ["|---|---|---|---|---|---|", *(_row(strategy, of_world) for strategy in STRATEGIES)]
        steps = "; ".join(dict.fromkeys(", ".join(one["actions"]) for one in of_world))
        lines += ["", f"Steps of the watch beside retrainings, by seed: {steps}."]
    return "\n".join(lines) + "\n"


def _row(strategy: str, worlds: list[Result]) -> str:
    accuracy = [np.array(world[strategy]["accuracy"]) for world in worlds]
    columns = (
        [one[:SHIFT].mean() for one in accuracy],
        [one[SHIFT:].mean() for one in accuracy],
        [one.min() for one in accuracy],
        [one[-1] for one in accuracy],
    )
    retrainings = [world[strategy]["retrainings"] for world in worlds]
    counts = f"{min(retrainings)}" if len({*retrainings}) == 1 else f"{min(retrainings)} to {max(retrainings)}"
    return f"| {strategy} | {' | '.join(map(_cell, columns))} | {counts} |"


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
