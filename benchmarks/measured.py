"""Runs of tasks from source to verdict, on which docs/RESULTS.md rests.

TILTYARD_MIRROR=... python benchmarks/measured.py [--seeds N] [--again] [TASK[:NET]]...

TASK:NET is the network and training of the task NET on the rows of TASK. Each run is kept in benchmarks/measured.json
by a hash of its settings, so that an interrupted script resumes and a changed task file is measured again. Its folder
is kept, too, under .tiltyard/runs: --again judges it by today's gate without another training.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import judging
import page
import raw_data
import rules
import yaml

from tiltyard import files
from tiltyard.config import loader
from tiltyard.errors import SourceError
from tiltyard.evaluation import evaluate
from tiltyard.gate import promote
from tiltyard.gate.verdict import Verdict
from tiltyard.preparation import prepare
from tiltyard.runtime import environment
from tiltyard.training import train
from tiltyard.workspace import Workspace

RESULTS_FILE = page.ROOT / "benchmarks" / "measured.json"
RUNS = page.ROOT / ".tiltyard" / "runs"
UNHASHED = ("title", "rows", "evaluate", "gate", "serve", "check", "search")  # they do not change a training
Json = dict[str, Any]


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="+", metavar="TASK[:NET]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--again", action="store_true", help="judge kept runs by today's gate")
    options = parser.parse_args()
    for text in options.tasks:
        name, _, net = text.partition(":")
        for seed in range(options.seeds):
            if not measure(name, seed, net, again=options.again):
                break


def measure(name: str, seed: int, net: str = "", *, again: bool = False) -> Json | None:
    """Return the run of a task with a seed; run it if it was not measured, or judge it again."""
    content = settings(name, seed, net)
    key = settings_hash(content)
    known = read().get(key)
    if known and not (again and (RUNS / key).is_dir() and known["judged_by"] != judging.digest(content)):
        return known
    try:
        result = {**known, **_judge(_space(key), name, content)} if known else _run(key, name, content)
    except SourceError as error:
        print(f"{name}: not measured: {error.message}", flush=True)
        return None
    result = {"net": net or name, "on": name, "seed": seed, **result}
    _keep(key, result)
    print(
        f"{name}:{net or name}, seed {seed}: {result['value']:.4f} {result['verdict']} {result['seconds']} s",
        flush=True,
    )
    return result


def read() -> dict[str, Json]:
    """Return all kept results by the hash of their settings."""
    return files.read_json(RESULTS_FILE) if RESULTS_FILE.is_file() else {}


def found(name: str, seeds: int, net: str = "") -> dict[int, Json]:
    """Return the kept runs of today's task file, by seed."""
    results = read()
    keys = {seed: settings_hash(settings(name, seed, net)) for seed in range(seeds)}
    return {seed: results[key] for seed, key in keys.items() if key in results}


def settings(name: str, seed: int, net: str = "") -> Json:
    """Return a task with seeds of its own for split, training and generated data; or with another task's network."""
    content = task_file(name)
    if net:
        ours = task_file(net)
        content |= {"model": ours["model"], "train": ours["train"]}
        if "log" in ours.get("target", {}):
            content["target"]["log"] = ours["target"]["log"]
    content["train"]["seed"] = content["split"]["seed"] = seed
    if content["source"]["kind"] == "sine":
        content["source"]["seed"] = seed
    return content


def task_file(name: str) -> Json:
    """Return the content of a task file."""
    content: Json = yaml.safe_load((page.ROOT / "tasks" / f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def settings_hash(content: Json) -> str:
    """Return the hash of the settings that a training depends on, those of its base included."""
    hashed = {section: value for section, value in content.items() if section not in UNHASHED}
    if isinstance(base := content.get("model", {}).get("base"), str):
        hashed["base"] = settings_hash(task_file(base))
    return hashlib.sha256(yaml.safe_dump(hashed, sort_keys=True).encode()).hexdigest()[:16]


def _keep(key: str, result: Json) -> None:
    """Write a result beside those that another process may have written meanwhile."""
    with files.locked(RUNS / "measured.lock"):
        files.write_json(RESULTS_FILE, dict(sorted({**read(), key: result}.items())))


def _space(key: str) -> Workspace:
    space = Workspace(RUNS / key)
    environment.configure_tools(space)
    return space


def _run(key: str, name: str, content: Json) -> Json:
    """Run a task, its base first, from source to verdict; return the results."""
    shutil.rmtree(RUNS / key, ignore_errors=True)
    if isinstance(base := content["model"].get("base"), str):
        shutil.copytree(_trained_base(base), RUNS / key, symlinks=True)
    space = _space(key)
    record, facts, seconds = _train(space, name, content)
    device = files.read_json(space.out(name, "train") / "device.json")
    return {
        **_judge(space, name, content),
        "parameters": record["parameters"],
        "epochs": record["epochs"],
        "best_epoch": record["best_epoch"],
        "diagnosis": record.get("diagnosis", {}).get("verdict", ""),
        "seconds": round(seconds, 1),
        "notes": facts["notes"],
        **({"base": record["base"]} if "base" in record else {}),
        **({"stand_in": facts["stand_in"]} if "stand_in" in facts else {}),
        "data": facts["data"],
        "device": f"{device['backend']} {device['device']}",
        "machine": page.machine(),
        "load": round(os.getloadavg()[0], 1),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
    }


def _trained_base(name: str) -> Path:
    """Return the folder in which the base is trained, once for all runs that start from it."""
    content = task_file(name)
    key = f"base-{settings_hash(content)}"
    with files.locked(RUNS / f"{key}.lock"):
        if not (RUNS / key / "out" / name / "train" / "training.json").is_file():
            shutil.rmtree(RUNS / key, ignore_errors=True)
            _train(_space(key), name, content)
    return RUNS / key


def _train(space: Workspace, name: str, content: Json) -> tuple[Json, Json, float]:
    """Run a task from source to training; return the records of training and data, and the seconds of training."""
    files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
    task = loader.load(space, name)
    raw_data.fetch(space, task)
    facts = prepare.prepare(space, task)
    start = time.perf_counter()
    record = train.train(space, task)
    return record, facts, time.perf_counter() - start


def _judge(space: Workspace, name: str, content: Json) -> Json:
    """Evaluate the trained model and judge it; latency is reliable on an idle machine only."""
    files.write_text(space.task_file(name), yaml.safe_dump(content, sort_keys=False))
    task = loader.load(space, name)
    report = evaluate.evaluate(space, task)
    verdict = promote.promote(space, task, dry_run=True, again=True)
    metric = task.gate.metric
    return {
        "metric": metric,
        "value": report["metrics"][metric],
        "interval": report["intervals"][metric],
        "baseline": report["baseline"],
        "metrics": report["metrics"],
        "by_step": report.get("by_step", []),
        **{name: report[name] for name in ("walk_forward", "rollout") if name in report},
        "rule": rules.scores(space, task),
        "version": report["version"],
        **judged(verdict, content),
    }


def judged(verdict: Verdict, content: Json) -> Json:
    """Return what is kept of a verdict: its reasons, the code that judged, and the best simple rival."""
    return {
        "verdict": verdict.verdict,
        "reasons": verdict.reasons,
        "judged_by": judging.digest(content),
        "reference": verdict.evidence.get("reference"),
    }


if __name__ == "__main__":
    main()
