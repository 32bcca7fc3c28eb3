"""Compare drafted models of tables with HistGradientBoosting, CatBoost and a linear model on the same rows.

`python benchmarks/tables.py --rows 2000 --seeds 1` runs one table and seed after the other, and adds each result to
tables.json, so that it can be interrupted and continued. `--write` only writes TABLES.md. CatBoost is not a dependency
of the project: `pip install catboost` in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import raw_data
from blend_parts import best_reference, keeping_network, network_outputs
from table_data import TABLES, Array, Table
from table_report import RESULTS, write_report

from tiltyard import files

THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
PARTS = ("train", "validation", "test")
PEERS = ("trees", "catboost", "linear")
PARTS_OF_DRAFT = (
    "network",
    "reference",
)  # each alone: its network, and the best reference
SHARES = (0.6, 0.2)  # of training and validation rows
RESAMPLES = 300
Scored = dict[str, Any]


def main() -> None:
    """Run what is missing, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000, help="the most rows of a table; larger ones are sampled")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[*TABLES])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    os.environ.update(dict.fromkeys(THREADS, "1"))  # read when the libraries are loaded
    results = files.read_json(RESULTS) if RESULTS.is_file() else {}
    for seed in range(0 if options.write else options.seeds):
        for name in options.only:
            key = f"{name} {options.rows} {seed}"
            if key not in results:
                print(key, end=" ", flush=True)
                results[key] = cell(name, options.rows, seed)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
                print({model: round(one["score"], 4) for model, one in results[key]["models"].items()}, flush=True)
    write_report(results)


def cell(name: str, most: int, seed: int) -> dict[str, Any]:
    """Train all models on one table with one seed, and score them."""
    table = _sampled(TABLES[name](seed), most, seed)
    part = _parts(table, seed)
    outputs = _tiltyard(name.replace("-", "_"), table, part)
    for peer in PEERS:
        outputs[peer] = _peer(peer, table, part)
    truth = _truth(table)[part == 2]
    models: dict[str, Scored] = {
        model: {"score": score(table.kind, truth, output), "seconds": seconds}
        for model, (output, seconds) in outputs.items()
    }
    for model in (*PEERS, *PARTS_OF_DRAFT):
        models[model]["interval"] = _interval(table.kind, truth, outputs["tiltyard"][0], outputs[model][0])
    return {
        "table": name,
        "seed": seed,
        "rows": len(part),
        "columns": table.features.shape[1],
        "kind": table.kind,
        "chance": _chance(table, truth),
        "models": models,
    }


def _chance(table: Table, truth: Array) -> float:
    """Return the score of a constant prediction."""
    if table.kind != "classification":
        return 0.0
    counts = np.bincount(truth)
    return 0.5 if len(np.unique(table.target)) == 2 else float(counts.max() / counts.sum())


def _sampled(table: Table, most: int, seed: int) -> Table:
    if len(table.target) <= most:
        return table
    chosen = np.sort(np.random.default_rng(seed).permutation(len(table.target))[:most])
    return Table(table.features.iloc[chosen].reset_index(drop=True), table.target[chosen], table.kind)


def _parts(table: Table, seed: int) -> Array:
    """Return 0, 1 or 2 for training, validation and test rows; classes have the same share in each."""
    rng, part = np.random.default_rng(seed), np.zeros(len(table.target), dtype=int)
    labels = table.kind == "classification"
    for label in np.unique(table.target) if labels else [None]:
        rows = rng.permutation(np.flatnonzero(table.target == label) if labels else len(part))
        first, second = round(len(rows) * SHARES[0]), round(len(rows) * sum(SHARES))
        part[rows[first:second]], part[rows[second:]] = 1, 2
    return part


def _truth(table: Table) -> Array:
    labels = table.kind == "classification"
    return np.unique(table.target, return_inverse=True)[1] if labels else table.target.astype(float)


def _tiltyard(name: str, table: Table, part: Array) -> dict[str, tuple[Array, float]]:
    """Draft, prepare and train as the commands do; return the outputs for test rows, and seconds, of ONNX and parts."""
    from tiltyard.modeling.inference.predictor import Predictor
    from tiltyard.preparation import prepare, sealed_test
    from tiltyard.training.train import train
    from tiltyard.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        task = _task(workspace, name, table, part)
        prepare.prepare(workspace, task)
        started = time.process_time()
        with keeping_network() as networks:
            train(workspace, task)
        seconds = time.process_time() - started
        test = sealed_test.read_test(workspace, name, task.columns)
        predictor = Predictor.load(workspace.out(name, "train"))
        features = predictor.encoder.encode(test.rows)
        found = {"tiltyard": (predictor.run(features), seconds), **_parts_alone(workspace, task, networks[0], features)}
        order = np.argsort(test.number)
        if not np.array_equal(np.sort(test.number), np.flatnonzero(part == 2)):
            raise RuntimeError(f"{name}: expected the same test rows for all models")
    return {model: (_shown(table, output[order]), spent) for model, (output, spent) in found.items()}


def _shown(table: Table, output: Array) -> Array:
    from tiltyard.modeling.problems.classification import probabilities

    return np.asarray(probabilities(output)) if table.kind == "classification" else np.asarray(output[:, 0])


def _parts_alone(workspace: Any, task: Any, body: Any, features: Array) -> dict[str, tuple[Array, float]]:
    """Return the outputs of the network and of the best reference, each alone."""
    started = time.process_time()
    reference = best_reference(workspace, task).outputs(features.astype(np.float32))
    return {
        "network": (network_outputs(workspace, task, body, features), 0.0),
        "reference": (reference, time.process_time() - started),
    }


def _task(workspace: Any, name: str, table: Table, part: Array) -> Any:
    """Write the table and its draft, and split it as the other models are."""
    from tiltyard.config import loader
    from tiltyard.config.draft.draft import draft_task
    from tiltyard.config.draft.request import DraftRequest

    frame = table.features.assign(target_=table.target, part_=np.array(PARTS)[part])
    frame.to_csv(workspace.root / f"{name}.csv", index=False)
    (workspace.root / "tasks").mkdir()
    (workspace.root / "params.yaml").write_text("tasks: []\n", encoding="utf-8")
    problem: Any = "classification" if table.kind == "classification" else "regression"
    draft_task(workspace, name, DraftRequest(f"{name}.csv", "target_", problem, ("part_",)))
    content = loader.load(workspace, name).model_dump(mode="json", exclude_unset=True)
    content["split"] = {"kind": "given", "by": "part_"}
    content["train"] |= {"watch": False}
    workspace.task_file(name).write_text(json.dumps(content), encoding="utf-8")
    task = loader.load(workspace, name)
    raw_data.fetch(workspace, task)
    return task


def _peer(name: str, table: Table, part: Array) -> tuple[Array, float]:
    """Train a model with its defaults on the training rows; return outputs for test rows and seconds."""
    labels, truth = table.kind == "classification", _truth(table)
    model, features = {"trees": _trees, "catboost": _catboost, "linear": _linear}[name](table.features, labels)
    started = time.process_time()
    model.fit(features[part == 0], truth[part == 0])
    seconds = time.process_time() - started
    rows = features[part == 2]
    return np.asarray(model.predict_proba(rows) if labels else model.predict(rows)), seconds


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame if frame[name].dtype.kind not in "iufb"]


def _trees(frame: pd.DataFrame, labels: bool) -> tuple[Any, pd.DataFrame]:
    """Return HistGradientBoosting and features; it takes at most 255 categories, so the rarest are missing values."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    frame = frame.copy()
    for name in _names(frame):
        common = frame[name].value_counts().index[:250]
        frame[name] = pd.Categorical(frame[name].where(frame[name].isin(common)))
    kind = HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor
    return kind(categorical_features="from_dtype", random_state=0), frame


def _catboost(frame: pd.DataFrame, labels: bool) -> tuple[Any, pd.DataFrame]:
    import catboost

    named = _names(frame)
    frame = frame.assign(**{name: frame[name].astype(object).fillna("missing").astype(str) for name in named})
    kind = catboost.CatBoostClassifier if labels else catboost.CatBoostRegressor
    options = {"cat_features": named, "random_seed": 0, "thread_count": 1, "allow_writing_files": False}
    return kind(verbose=False, **options), frame


def _linear(frame: pd.DataFrame, labels: bool) -> tuple[Any, pd.DataFrame]:
    """Return a linear model of scaled numbers, with medians for missing ones, and one-hot categories."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    named = _names(frame)
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    flags = OneHotEncoder(handle_unknown="ignore", min_frequency=2)
    columns = make_column_transformer((numbers, [n for n in frame if n not in named]), (flags, named))
    return make_pipeline(columns, LogisticRegression(max_iter=500) if labels else Ridge()), frame


def score(kind: str, truth: Array, output: Array) -> float:
    """Return AUC for two classes, accuracy for more, R squared, or for skewed targets the same of absolute errors."""
    from sklearn import metrics

    if kind == "regression":
        return float(metrics.r2_score(truth, output))
    if kind == "skewed":
        return float(metrics.d2_absolute_error_score(truth, output))
    if output.shape[1] == 2:
        return float(metrics.roc_auc_score(truth, output[:, 1]))
    return float(np.mean(output.argmax(axis=1) == truth))


def _interval(kind: str, truth: Array, ours: Array, theirs: Array) -> list[float]:
    """Return the 95 % interval of the difference of scores, by a bootstrap of the test rows."""
    rng, differences = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(truth), len(truth))
        if kind != "classification" or len(np.unique(truth[rows])) == len(np.unique(truth)):
            differences.append(score(kind, truth[rows], ours[rows]) - score(kind, truth[rows], theirs[rows]))
    return [round(float(end), 5) for end in np.quantile(differences, [0.025, 0.975])]


if __name__ == "__main__":
    main()
