"""Benchmark of anomalies: each digit of MNIST as the only normal one, and each as the one that training leaves out.

TILTYARD_MIRROR=... python benchmarks/anomalies.py --seeds 0 1 2 --seconds 450

Writes benchmarks/ANOMALIES.md. What is measured is kept in anomalies.json, so that a run that was stopped goes on; a
run ends after so many seconds, and is repeated until it measures nothing new. Networks are those of the tasks
anomaly_digit, anomaly_digit_variational and anomaly_digit_out; a tenth of the training part are validation rows, and
the seed chooses them and the weights. Values are AUROC on the usual 10,000 test pictures. `--choose` measures
settings by spoiled validation pictures instead (spoiled.py): no test picture and no labelled anomaly chooses
anything.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import page
from spoiled import spoiled

from tiltyard import files
from tiltyard.arrays import Array
from tiltyard.config import loader
from tiltyard.config.anomaly_section import Score
from tiltyard.config.task import Task
from tiltyard.evaluation.anomaly import Compared
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.metrics import scores
from tiltyard.preparation.sealed_test import TestRows
from tiltyard.preparation.training_rows import TrainingRows
from tiltyard.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
STORE, PAGE = ROOT / "benchmarks" / "anomalies.json", ROOT / "benchmarks" / "ANOMALIES.md"
WAYS = {
    "alone": "anomaly_digit",
    "variational": "anomaly_digit_variational",
    "left out": "anomaly_digit_out",
}  # -> task
TITLES = {
    "alone": "One digit is normal, all others are anomalies",
    "variational": "One digit is normal, by a variational autoencoder",
    "left out": "One digit is left out, all others are normal",
}
SCORES = get_args(Score)
DIGITS = [str(digit) for digit in range(10)]
SETTINGS: dict[str, dict[str, Any]] = {
    "512, code 8": {"model.units": [512], "model.code": 8, "model.noise": 0.0},
    "512, code 16": {"model.units": [512], "model.code": 16, "model.noise": 0.0},
    "512, code 32": {"model.units": [512], "model.code": 32, "model.noise": 0.0},
    "1024, code 16, noise": {"model.units": [1024], "model.code": 16, "model.noise": 0.1},
}
CHOICE = (("alone", "4"), ("alone", "8"), ("left out", "3"))  # by whose validation pictures
Json = dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A network, its task, the rows that it was fitted to, and a function from pictures to the scores of each kind."""

    task: Task
    parts: TrainingRows
    body: Any

    def scores(self, pictures: Array) -> dict[str, Array]:
        """Return the score of each picture, by kind of score."""
        from tiltyard.training import anomaly, network

        found = {}
        for score in SCORES:
            density = anomaly.density_of(self.body, score, self.parts.train[0])
            model = anomaly.build_inference(self.body, score, density)
            found[score] = network.outputs(model, pictures)[:, -1].astype(np.float64)
        return found


def main() -> None:
    """Measure what is missing, as long as there is time, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=450)
    parser.add_argument("--choose", action="store_true")
    options = parser.parse_args()
    stored: Json = files.read_json(STORE) if STORE.is_file() else {"choice": {}, "runs": {}}
    end = time.monotonic() + options.seconds
    jobs = _choices() if options.choose else _runs(options.seeds)
    kind = "choice" if options.choose else "runs"
    for name, measure in jobs.items():
        if name not in stored[kind] and time.monotonic() < end:
            stored[kind][name] = measure()
            files.write_json(STORE, stored)
            print(name, stored[kind][name], flush=True)
    files.write_text(PAGE, _page(stored))


def _choices() -> dict[str, Any]:
    return {
        f"{way} {digit}, {name}": (lambda way=way, digit=digit, changes=changes: _choose(way, digit, changes))
        for name, changes in SETTINGS.items()
        for way, digit in CHOICE
    }


def _runs(seeds: list[int]) -> dict[str, Any]:
    return {
        f"{way} {digit} seed {seed}": (lambda way=way, digit=digit, seed=seed: _measure(way, digit, seed))
        for seed in seeds
        for way in WAYS
        for digit in (["1", *(other for other in DIGITS if other != "1")] if way == "left out" else DIGITS)
    }


def _fit(way: str, digit: str, seed: int, changes: Json) -> Fitted:
    """Train the network of a task for another digit."""
    from tiltyard.training.fit import RunPaths, fit
    from tiltyard.training.train import _set_up

    normal = [other for other in DIGITS if other != digit] if way == "left out" else [digit]
    content = loader.read(ROOT / "tasks" / f"{WAYS[way]}.yaml", WAYS[way])
    content["target"]["normal"] = normal
    content["train"]["seed"] = seed
    for key, value in changes.items():
        section, name = key.split(".")
        content[section][name] = value
    task = loader.build(Task, {**content, "name": WAYS[way]}, WAYS[way])
    pictures, labels = _mnist("train")
    known = pictures[np.isin(labels, normal)]
    order = np.random.default_rng(seed).permutation(len(known))
    validation, train = (np.sort(part) for part in np.split(order, [round(task.split.validation * len(known))]))
    rows = {"image": known[train]}
    encoder = task.encoder().fit(task.target, rows, np.zeros(len(train)))
    encoded = [(encoder.encode({"image": known[part]}), np.zeros(len(part))) for part in (train, validation)]
    parts = TrainingRows(encoder, encoded[0], encoded[1], f"{way} {digit} {seed}", {})
    _set_up(task)
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(task, parts.with_rows_as_truth(), RunPaths(Path(folder) / "state", Path(folder) / "logs", way))
    return Fitted(task, parts, fitted.body)


def _measure(way: str, digit: str, seed: int) -> Json:
    """Return the AUROC of each score and of each outlier detector on the test pictures."""
    fitted, (pictures, labels) = _fit(way, digit, seed, {}), _mnist("test")
    is_anomaly = ~np.isin(labels, fitted.task.target.normal or [])
    test = TestRows({"image": pictures}, is_anomaly.astype(np.int64), np.arange(len(labels)))
    encoder: Encoder = fitted.parts.encoder
    compared = Compared(fitted.task, encoder, fitted.parts.train[0], fitted.parts.validation[0], test, {})
    found = {name: scores.auc(is_anomaly, values) for name, values in fitted.scores(encoder.encode(test.rows)).items()}
    detectors = {record["model"]: record["roc_auc"] for record in compared.measured()}
    return {name: round(value, 5) for name, value in {**found, **detectors}.items()}


def _choose(way: str, digit: str, changes: Json) -> Json:
    """Return the AUROC of each score for spoiled validation pictures, averaged over the ways to spoil them."""
    fitted = _fit(way, digit, 0, changes)
    pictures = np.asarray(fitted.parts.validation[0])
    areas: dict[str, list[float]] = {score: [] for score in SCORES}
    normal = fitted.scores(pictures)
    for anomalies in spoiled(pictures[..., 0]).values():
        for score, values in fitted.scores(anomalies[..., None].astype(np.float32)).items():
            flags = np.arange(2 * len(values)) >= len(values)
            areas[score].append(scores.auc(flags, np.concatenate([normal[score], values])))
    return {score: round(statistics.mean(values), 5) for score, values in areas.items()}


def _mnist(part: str) -> tuple[Array, Array]:
    """Return pictures and labels of a part, from the file that the tasks read."""
    from tiltyard.data.sources._location import FileLocation

    with tempfile.TemporaryDirectory() as folder:
        FileLocation(path="mnist.npz", url=None, sha256=None).copy_to(
            path := Path(folder) / "mnist.npz", Workspace(ROOT)
        )
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[f"x_{part}"][..., None].astype(np.float32), arrays[f"y_{part}"].astype(str)


def _page(stored: Json) -> str:
    about = " ".join((__doc__ or "").split("\n\n")[2].split(". ", 1)[1].split())
    lines = ["# Anomalies among handwritten digits", "", f"{about} Measured on {page.machine_with_load()}.", ""]
    for way in WAYS:
        lines += [f"## {TITLES[way]}", "", *_table(stored["runs"], way), ""]
    lines += ["## How settings were chosen", "", *_choice_table(stored["choice"]), ""]
    return "\n".join(lines)


def _table(runs: Json, way: str) -> list[str]:
    """Return a table of the digits, each the mean over its seeds, and their mean and lowest value."""
    by_digit = {
        digit: [value for name, value in runs.items() if name.startswith(f"{way} {digit} seed")] for digit in DIGITS
    }
    known = {digit: found for digit, found in by_digit.items() if found}
    if not known:
        return ["Not measured yet."]
    names = [*dict.fromkeys(name for found in known.values() for run in found for name in run)]
    means = {digit: {name: _mean(name, found) for name in names} for digit, found in known.items()}
    head = " | ".join(name.replace("_", " ") for name in names)
    lines = [f"| digit | seeds | {head} |", "|---" * (len(names) + 2) + "|"]
    lines += [_line(digit, str(len(known[digit])), row, names) for digit, row in means.items()]
    for title, summary in (("mean", statistics.mean), ("lowest", min)):
        row = {name: _summary([row[name] for row in means.values()], summary) for name in names}
        lines.append(_line(f"**{title}**", "", row, names))
    return lines


def _mean(name: str, runs: list[Json]) -> float | None:
    """Return the mean over seeds; None if a score was not measured."""
    values = [run[name] for run in runs if name in run]
    return statistics.mean(values) if values else None


def _summary(values: list[float | None], summary: Callable[[list[float]], float]) -> float | None:
    """Return a summary over the digits; None if one of them was not measured."""
    known = [value for value in values if value is not None]
    return summary(known) if len(known) == len(values) else None


def _line(digit: str, seeds: str, row: Json, names: list[str]) -> str:
    cells = ("-" if row[name] is None else f"{row[name]:.3f}" for name in names)
    return f"| {digit} | {seeds} | {' | '.join(cells)} |"


def _choice_table(choice: Json) -> list[str]:
    if not choice:
        return ["Not measured yet."]
    lines = ["AUROC for spoiled validation pictures, averaged over six ways to spoil them.", ""]
    lines += [f"| normal, settings | {' | '.join(name.replace('_', ' ') for name in SCORES)} |"]
    lines += ["|---" * (len(SCORES) + 1) + "|"]
    return lines + [
        f"| {name} | {' | '.join(f'{row[s]:.3f}' if s in row else '-' for s in SCORES)} |"
        for name, row in choice.items()
    ]


if __name__ == "__main__":
    main()
