"""Benchmark of transfer learning: the task `transfer`, and the network of `cats_dogs` from scratch on the same rows.

TILTYARD_MIRROR=... python benchmarks/transfer.py [--seeds N]

Writes a section of docs/RESULTS.md. Both networks learn from the same few training rows and are measured on the same
sealed test rows, which the base has not seen: training refuses a base that has. Results are kept in
benchmarks/transfer.json after each run, so that an interrupted script resumes.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import deep
import page
import yaml

from tiltyard import files
from tiltyard.experiments.seed_comparison import SeedComparison
from tiltyard.workspace import Workspace

RESULTS_FILE = page.ROOT / "benchmarks" / "transfer.json"
BASE, TRANSFER, SCRATCH = "cifar10_cnn", "transfer", "transfer_from_scratch"
Json = dict[str, Any]


def main() -> None:
    """Train the base once and both networks with each seed; write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    space = deep.create_space()
    _write_scratch(space)
    results: Json = files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}
    if BASE not in results or not (space.out(BASE, "train") / "model.keras").is_file():
        results = {BASE: deep.run(space, BASE, 0)}
        files.write_json(RESULTS_FILE, results)
    for seed in range(options.seeds):
        for name in (TRANSFER, SCRATCH):
            if str(seed) not in (runs := results.setdefault(name, {})):
                runs[str(seed)] = {**deep.run(space, name, seed), **_provenance(space, name)}
                files.write_json(RESULTS_FILE, results)
                print(f"{name}, seed {seed}: {runs[str(seed)]['value']:.4f}", flush=True)
    page.write("Transfer from other pictures", _section(results))


def _write_scratch(space: Workspace) -> None:
    """Write the task with the rows of `transfer`, and network and training of `cats_dogs`."""
    rows, network = (
        yaml.safe_load(space.task_file(name).read_text(encoding="utf-8")) for name in (TRANSFER, "cats_dogs")
    )
    content = {**rows, "model": network["model"], "train": network["train"]}
    files.write_text(space.task_file(SCRATCH), yaml.safe_dump(content, sort_keys=False))


def _provenance(space: Workspace, name: str) -> Json:
    """Return the sealed test rows, the number of rows, and the base of a training."""
    split = files.read_json(space.out(name, "prepare") / "split.json")
    base = files.read_json(space.out(name, "train") / "training.json").get("base")
    return {"test": split["test"], "rows": split["rows"], "base": base}


def _section(results: Json) -> str:
    transfer, scratch = ([*results[name].values()] for name in (TRANSFER, SCRATCH))
    if {run["test"] for run in transfer} != {run["test"] for run in scratch}:
        raise SystemExit("expected the same test rows for both networks")
    first, base = transfer[0], transfer[0]["base"]
    gains = [ours["value"] - theirs["value"] for ours, theirs in zip(transfer, scratch, strict=True)]
    sentence = SeedComparison("transfer", "training from scratch", gains, 0.95, first["rows"]["test"]).sentence
    table = [_line(name, runs) for name, runs in (("`transfer`", transfer), ("from scratch", scratch))]
    text = _text(first, base, results[BASE]["value"])
    return "\n\n".join([text, "\n".join([*HEAD, *table]), f"{sentence[0].upper()}{sentence[1:]}."])


def _text(run: Json, base: Json, accuracy: float) -> str:
    """Describe the rows, the base and what it knows."""
    rows, known = run["rows"], base["rows"]
    return (
        f"Written by `benchmarks/transfer.py` ({run['machine']}, {run['date']}). {rows['train']:,} training, "
        f"{rows['validation']:,} validation and {rows['test']:,} sealed test pictures of cats and dogs, from the test "
        f"folder of CIFAR-10. The base, `{base['task']}` (version {base['version']}, data {base['data'][:12]}, test "
        f"accuracy {accuracy:.4f} on ten classes), was trained with {known['train']:,} training and "
        f"{known['validation']:,} validation pictures of the other folder, cats and dogs among them: it knows these "
        "classes, but none of these pictures. From scratch, the network of `cats_dogs` learns from the same rows. Mean "
        "± standard deviation over seeds of the training; the interval is that of the mean of the paired differences."
    )


HEAD = ("| network | accuracy | seeds | baseline | best simple rival | gate |", "|---|---|--:|--:|---|---|")


def _line(name: str, runs: list[Json]) -> str:
    values = [run["value"] for run in runs]
    return (
        f"| {name} | **{statistics.fmean(values):.4f}** ± {statistics.stdev(values):.4f} | {len(runs)} "
        f"| {runs[0]['baseline']:.4f} | {page.best_rival(runs)} | {page.verdicts(runs)} |"
    )


if __name__ == "__main__":
    main()
