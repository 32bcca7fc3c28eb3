"""Test cases of every problem: a truth, perfect outputs, and rows for the baseline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tiltyard import plugins
from tiltyard.arrays import Array, Rows
from tiltyard.modeling.columns.base import Column
from tiltyard.modeling.columns.image import Image
from tiltyard.modeling.columns.number import Number
from tiltyard.modeling.columns.prose import Prose
from tiltyard.modeling.evaluators.base import TRUTH
from tiltyard.modeling.evaluators.recommendation import CODES
from tiltyard.modeling.evaluators.reconstruction import FEATURES
from tiltyard.modeling.evaluators.sampling import BASELINE
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.problems import _tracks, captioning, detection
from tiltyard.modeling.problems.base import Problem
from tiltyard.modeling.problems.captioning import Captioning
from tiltyard.modeling.problems.generation import Generation
from tiltyard.modeling.problems.masked import SIGN, Masked
from tiltyard.modeling.problems.segmentation import counted
from tiltyard.modeling.problems.tracking import Tracking
from tiltyard.modeling.problems.translation import judged

CLASSES = ["a", "b", "<c>"]
SIDE, CELLS, FRAMES = 32, 8, 4  # of a picture, of the grid of a detector, and frames of a clip
WORDS: Any = SimpleNamespace(target={"ids": dict(zip("abcde", range(3, 8), strict=True)), "by": "words", "steps": 5})
KNOWN = "known"  # what the baseline of recommendations is fitted to: codes of user and item, and the rating


def problem(name: str) -> Problem:
    """Return the plug-in of a problem; one without a target is that of two columns."""
    plugin: Problem = plugins.load("problems", name)()
    if plugin.targets in ("objects", "mask"):
        return plugin.bound_to(of_pictures(plugin))
    if isinstance(plugin, Captioning):
        return plugin.bound_to(WORDS)
    needs_columns = plugin.reconstructs or plugin.clusters or plugin.generates
    return plugin.bound_to(two_columns(plugin)) if needs_columns else plugin


def decodable(kind: Problem, truth: Array, outputs: Array) -> Array:
    """Return what `decode` takes: texts, sure words at every step, or outputs as float32."""
    if isinstance(kind, Captioning):
        return np.eye(9, dtype=np.float32)[kind.ids(WORDS, truth)]
    if kind.targets in ("objects", "mask"):
        return network_outputs(kind, truth)
    return truth if kind.targets == "text" else outputs.astype(np.float32)


def of_pictures(kind: Problem) -> Encoder:
    """Return an encoder of small pictures."""
    columns: dict[str, Column] = {"picture": Image(height=SIDE, width=SIDE)}
    fitted = {"picture": {"mean": 0.0, "std": 255.0}}
    return Encoder("t", kind, columns, fitted, {}, CLASSES, bare=True, max_instances=10)


def two_columns(kind: Problem) -> Encoder:
    """Return an encoder of two numbers that are not scaled, with a code of one number, or three clusters."""
    fitted = {"mean": 0.0, "std": 1.0}
    columns: dict[str, Column] = {"a": Number(), "b": Number()}
    sampler = {"prior": "normal", "score": "how unusual", "conditional": False, "encodes": True, "posterior": True}
    target = {"code": 1, **sampler, "clusters": [{"rows": 9, "mean": {"a": 0.0, "b": 0.0}}] * 3}
    return Encoder("t", kind, columns, dict.fromkeys(columns, fitted), target, [], bare=False, max_instances=10)


def case(kind: Problem, rows: int = 40) -> tuple[Array, Array, Rows]:
    """Return a truth, perfect outputs, and rows whose last value is the previous truth."""
    if kind.recommends:
        return ratings(rows)
    if kind.targets == "label":
        truth = np.arange(rows) % 3
        return truth, np.eye(3)[truth], {"x": np.zeros(rows)}
    if kind.targets == "labels":
        truth = np.stack([np.arange(rows) % 2 == 0, np.arange(rows) % 3 == 0, np.arange(rows) % 4 != 0], axis=1)
        return truth, truth.astype(np.float64), {"x": np.zeros(rows)}
    others = {"row": _case_without_target, "anomaly": _case_without_target, "text": texts, "objects": objects}
    if make := {**others, "mask": masks}.get(kind.targets):
        return make(kind, rows)
    truth = np.sin(np.arange(rows)) + 3
    return truth, truth[:, None], {"x": np.roll(truth, 1)[:, None]}


def ratings(rows: int) -> tuple[Array, Array, Rows]:
    """Return ratings by users who like only rare items, perfect outputs, and what the baseline needs."""
    user, item = np.arange(rows) % 4 + 1, np.arange(rows) % 20 + 1
    truth = np.where(item >= 19, 1.0, -1.0 - item % 2)  # ratings of 0 and above are good ones
    known = np.column_stack([user, np.arange(rows) % 18 + 1, truth])
    has_liked = np.isin(user, user[truth >= 0])
    weight = np.where(has_liked, 1 / np.bincount(user)[user], 0.0)
    perfect = np.column_stack([truth, np.ones((rows, 3)), weight])
    return truth, perfect, {CODES: np.column_stack([user, item]), TRUTH: truth, KNOWN: known}


def _case_without_target(kind: Problem, rows: int) -> tuple[Array, Array, Rows]:
    """Return the case of clusters, reconstructions or anomalies, with features of two columns."""
    if kind.generates:
        return _samples(rows)
    if kind.clusters:
        truth, features = np.arange(rows) % 3, np.random.default_rng(0).normal(size=(rows, 2))
        return truth, np.concatenate([np.eye(3)[truth], 1 - np.eye(3)[truth]], axis=1), {FEATURES: features}
    if kind.targets == "anomaly":
        truth = (np.arange(rows) % 4 == 1).astype(np.int64)
        features = np.random.default_rng(0).normal(size=(rows, 2))
        return truth, np.stack([np.zeros(rows), np.zeros(rows), truth - 0.5], axis=1), {FEATURES: features}
    features = np.random.default_rng(0).normal(size=(rows, 2)) * [2, 1]
    return np.zeros(rows), np.column_stack([features, features[:, 0], np.zeros(rows)]), {FEATURES: features}


def _samples(rows: int) -> tuple[Array, Array, Rows]:
    """Return samples with the features of the rows; those of the baseline are 0, and half of them are neighbours."""
    features = np.random.default_rng(0).normal(size=(rows, 2))
    simple = np.concatenate([np.full((rows, 4), 0.5), np.zeros((rows, 2)), features, np.zeros((rows, 1))], axis=1)
    perfect = np.concatenate([np.ones((rows, 4)), features, features, np.zeros((rows, 1))], axis=1)
    return np.zeros(rows), perfect, {BASELINE: simple}


def texts(kind: Problem, rows: int) -> tuple[Array, Array, Rows]:
    """Return two different texts in a ratio of two to one as truth, perfect outputs, and rows."""
    if isinstance(kind, Masked):
        masked = np.array([f"{SIGN}a b c {SIGN}d" if row % 3 else f"{SIGN}b c d {SIGN}e" for row in range(rows)])
        texts_in_utf8 = np.strings.encode(masked)
        return texts_in_utf8, np.tile([0.0, 2.0, 2.0], (rows, 1)), {"x": texts_in_utf8, TRUTH: texts_in_utf8}
    if isinstance(kind, Captioning):
        captions = np.array(["a b c d" if row % 3 else "b c d e" for row in range(rows)])
        return captions, captioning.judged([*captions], captions, "words"), {"x": np.zeros(rows), TRUTH: captions}
    truth = np.array(["abcd" if row % 3 else "bcde" for row in range(rows)])
    windows = Prose(length=4).windows(["zabc" if row % 3 else "abcd" for row in range(rows)])
    perfect = np.tile([0.0, 4.0, 4.0], (rows, 1))
    outputs = perfect if isinstance(kind, Generation) else judged([*truth], truth, "characters")
    return truth, outputs, {"x": windows, TRUTH: truth}


def objects(kind: Problem, rows: int) -> tuple[Array, Array, Rows]:
    """Return one or two objects in each picture, perfect detections, and the pictures, in which objects are bright.

    In the frames of a clip, two objects of a label change places, so that any tracker by place confuses them.
    """
    truth, pictures = np.zeros((rows, 3, 7), dtype=np.float32), np.zeros((rows, SIDE, SIDE, 1), dtype=np.float32)
    truth[:, :, 0] = -1
    truth[:, :, 6] = (np.arange(rows) // FRAMES)[:, None]
    for row in range(rows):
        boxes = [[4, 4, 14, 16], [18, 16, 28, 28]]
        if isinstance(kind, Tracking):
            boxes = boxes[:: 1 if row % 2 else -1]
        for place in range(1 + row % 2) if not isinstance(kind, Tracking) else range(2):
            label = row // FRAMES % 3 if isinstance(kind, Tracking) else (row % 3, 0)[place]
            truth[row, place, :6] = [label, *boxes[place], place + 1]
            left, top, right, bottom = boxes[place]
            pictures[row, top:bottom, left:right] = 200
    found = np.zeros((rows, detection.MAX_FOUND, 6), dtype=np.float32)
    found[:, :3, 1:] = truth[:, :, :5]
    found[:, :3, 0] = np.where(truth[:, :, 0] >= 0, 0.9, 0)
    perfect = detection.with_overlaps(truth, found, 0.5)
    if isinstance(kind, Tracking):
        perfect = np.concatenate([perfect, np.zeros_like(perfect[:, :1])], axis=1)
        for start in range(0, rows, FRAMES):
            there = [one[one[:, 0] >= 0] for one in truth[start : start + FRAMES]]
            own = [(one[:, 5], one[:, 0], one[:, 1:5]) for one in there]
            perfect[start : start + FRAMES, -1, : len(_tracks.COUNTS)] = _tracks.count(own, own)
    return truth, perfect, {"picture": pictures, TRUTH: truth}


def masks(_: Problem, rows: int) -> tuple[Array, Array, Rows]:
    """Return masks with a rectangle of one of two labels, perfect counts, and pictures in which it is bright."""
    truth, pictures = np.zeros((rows, SIDE, SIDE), dtype=np.uint8), np.zeros((rows, SIDE, SIDE, 1), dtype=np.float32)
    truth[:, 4:16, 4:14] = np.where(np.arange(rows) % 3, 1, 2)[:, None, None]
    pictures[:, 4:16, 4:14] = 200
    return truth, counted(truth, truth, len(CLASSES)), {"picture": pictures, TRUTH: truth}


def network_outputs(kind: Problem, truth: Array) -> Array:
    """Return outputs as the ONNX model of pictures has them, that are decoded to the truth."""
    return grids(truth) if kind.targets == "objects" else np.eye(len(CLASSES), dtype=np.float32)[truth]


def grids(truth: Array) -> Array:
    """Return the grid of scores and sides from which the objects are decoded."""
    outputs = np.full((len(truth), CELLS, CELLS, len(CLASSES) + 4), 0.01, dtype=np.float32)
    for row, column in zip(*np.nonzero(truth[:, :, 0] >= 0), strict=True):
        label, *box = truth[row, column, :5]
        left, top, right, bottom = (corner / SIDE for corner in box)
        x, y = int((left + right) / 2 * CELLS), int((top + bottom) / 2 * CELLS)
        middle_x, middle_y = (x + 0.5) / CELLS, (y + 0.5) / CELLS
        outputs[row, y, x, int(label)] = 0.9
        outputs[row, y, x, -4:] = middle_x - left, middle_y - top, right - middle_x, bottom - middle_y
    return outputs
