"""Dealing rows to training, validation and test by the hash of their content: order and growth change little."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiltyard.arrays import Array, Rows
from tiltyard.config.task import Split, Task
from tiltyard.errors import DataError, listed, shown
from tiltyard.modeling.columns._datetime_format import times

if TYPE_CHECKING:
    import pandas as pd

Parts = dict[str, Array]  # train, validation, test -> row numbers, rising
PART = "part"  # the fact about a picture that says which part its name puts it into
NAMES = {"train": ("train", "training"), "validation": ("validation", "val", "valid"), "test": ("test", "testing")}


def keys(rows: Rows, seed: int) -> Array:
    """Return a number of each row that depends on its features alone: identical rows get the same."""
    start = itertools.repeat(seed.to_bytes(8, "little", signed=True))
    cells = zip(start, *_cells([rows[name] for name in sorted(rows)]), strict=False)
    digests = b"".join([hashlib.blake2b(b"".join(row), digest_size=8).digest() for row in cells])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _cells(columns: Sequence[Array]) -> Iterator[list[bytes]]:
    """Yield the bytes of each row, columns that take the same room in every row together."""
    for even, some in itertools.groupby(columns, _is_even):
        if even:
            signs = [values.reshape(len(values), -1).view(np.uint8) for values in some]
            whole = np.hstack(signs)
            width, content = whole.shape[1], whole.tobytes()
            yield [content[place : place + width] for place in range(0, len(content), width)]
        else:
            yield from map(_texts, some)


def _is_even(values: Array) -> bool:
    """Return whether every row takes the same room: texts do where none is padded to the length of another."""
    if values.dtype.kind not in "SU":
        return True
    return bool((np.strings.str_len(values) * (4 if values.dtype.kind == "U" else 1) == values.itemsize).all())


def _texts(values: Array) -> list[bytes]:
    """Return the bytes of each text without padding."""
    texts = values.tolist()
    coded = {text: np.array(text, dtype=values.dtype.kind).tobytes() for text in set(texts)}
    return [coded[text] for text in texts]


@dataclass(frozen=True)
class Marks:
    """What rows are dealt by: a key that identical rows share, and what raw columns say, where the split names them."""

    key: Array
    times: Array | None = None
    part: Array | None = None  # which part the data puts each row into

    def take(self, index: Array) -> Marks:
        """Return those of some rows."""
        return Marks(*(None if array is None else array[index] for array in (self.key, self.times, self.part)))  # type: ignore[arg-type]


def marked(task: Task, key: Array, cells: Callable[[str], pd.Series[Any]]) -> Marks:
    """Mark rows; `key` is theirs by content, `cells` gives a raw column."""
    how = task.split
    if how.kind == "given":
        return Marks(key, part=_parts_of(cells(how.by or PART), how.by or "the names of the files"))
    if how.group:
        return Marks(named(how, cells(how.group).map(str).to_numpy(dtype=np.str_)))
    spelled = how.format or getattr(task.columns.get(how.by or ""), "format", None)
    return Marks(key, times=_times_of(cells(how.by), how.by, spelled) if how.by else None)


def part_of(name: str) -> str:
    """Return the part that a word names: the test part by any of its names; nothing if it names none."""
    return next((part for part, words in NAMES.items() if name.strip().lower() in words), "")


def _parts_of(cells: pd.Series[Any], where: str) -> Array:
    """Read which part each row belongs to; refuse a word that names none."""
    words = {word: part_of(str(word)) for word in cells.unique()}
    if strange := [str(word) for word, part in words.items() if not part]:
        text = f"received {listed(sorted(strange))} in {where}"
        raise DataError(f"split: expected train, validation or test for each row; {text}")
    return cells.map(words).to_numpy(dtype=np.str_)


def _times_of(cells: pd.Series[Any], name: str, spelled: str | None) -> Array:
    """Read times as numbers; refuse what is none."""
    found = times(cells, spelled)
    if found.isna().any():
        place = int(found.isna().to_numpy().argmax())
        raise DataError(
            f"split.by: {name}: expected a number or a date in every row; row {place} holds {shown(cells.iloc[place])}",
            hint="if it is a date in a spelling of its own, name that: split.format, such as '%d.%m.%Y'",
        )
    return found.to_numpy()


def named(how: Split, names: Array) -> Array:
    """Return the key of the group of each row: rows of one group stay together."""
    groups, place = np.unique(names, return_inverse=True)
    return keys({"group": groups}, how.seed)[place]


def deal(how: Split, marks: Marks, truth: Array, reach: int = 0) -> Parts:
    """Deal rows; `reach` rows are left out at each border of a chronological split, since they share values."""
    some = _some(how, marks)
    marks, truth = marks.take(some), truth[some]
    return {name: some[index] for name, index in _dealt(how, marks, truth, reach).items()}


def _some(how: Split, marks: Marks) -> Array:
    """Choose as many rows as the split is to use: the latest by time, else by the key, so that identical ones stay."""
    if not how.rows or how.rows >= len(marks.key):
        return np.arange(len(marks.key))
    if how.kind == "chronological":
        order = np.arange(len(marks.key)) if marks.times is None else np.argsort(marks.times, kind="stable")
        return np.sort(order[-how.rows :])
    mixed = marks.key * np.uint64(0x9E3779B97F4A7C15)  # another order than the one that parts are dealt in
    return np.flatnonzero(mixed < np.sort(mixed)[how.rows])


def _dealt(how: Split, marks: Marks, truth: Array, reach: int) -> Parts:
    key = marks.key
    if how.kind == "chronological":
        order = np.arange(len(key)) if marks.times is None else np.argsort(marks.times, kind="stable")
        parts = {name: np.sort(order[index]) for name, index in _by_time(how, len(key), reach).items()}
    elif marks.part is not None:
        parts = _by_part(how, key, marks.part)
    elif how.kind == "random":
        parts = _by_key(how, key, np.arange(len(key)))
    else:
        stratum = truth[_first(key)]
        groups = [_by_key(how, key, np.flatnonzero(stratum == label)) for label in np.unique(stratum)]
        parts = {name: np.sort(np.concatenate([group[name] for group in groups])) for name in groups[0]}
    _refuse_empty(parts, key)
    if not reach:
        _refuse_shared(parts, key)
    return parts


def _by_part(how: Split, key: Array, part: Array) -> Parts:
    """Take the data's word; what is the same as a row of another part is left out of training, and of validation.

    Validation rows that the data does not name are a share of the training rows.
    """
    test, rest = np.flatnonzero(part == "test"), np.flatnonzero(part != "test")
    rest = rest[~np.isin(key[rest], key[test])]
    inside = part[rest] == "validation"
    if not inside.any():
        inside = key[rest] < _limit(np.sort(key[rest]), how.validation) if len(rest) else inside
    validation, train = rest[inside], rest[~inside]
    return {"train": train[~np.isin(key[train], key[validation])], "validation": validation, "test": test}


def _first(key: Array) -> Array:
    """Return for each row the first that is identical to it: with another label it is dealt together with that."""
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    return first[place]


def _by_time(how: Split, n: int, reach: int) -> Parts:
    test = n - round(n * how.test)
    validation = test - round(n * how.validation)
    return {
        "train": np.arange(validation),
        "validation": np.arange(validation + reach, test),
        "test": np.arange(test + reach, n),
    }


def _by_key(how: Split, key: Array, index: Array) -> Parts:
    """Rows with the lowest keys are the test part, the next ones validation; ties are never torn."""
    ranked = np.sort(key[index])
    test = _limit(ranked, how.test)
    validation = _limit(ranked, how.test + how.validation)
    inside = key[index]
    return {
        "train": index[inside >= validation],
        "validation": index[(inside >= test) & (inside < validation)],
        "test": index[inside < test],
    }


def _limit(ranked: Array, share: float) -> np.uint64:
    """Return the key that `share` of the rows lie below."""
    limit: np.uint64 = ranked[min(round(len(ranked) * share), len(ranked) - 1)]
    return limit


def _refuse_empty(parts: Parts, key: Array) -> None:
    for name, index in parts.items():
        if not len(index):
            sizes = ", ".join(f"{part} {len(rows)}" for part, rows in parts.items())
            raise DataError(f"split: expected rows in every part; received {sizes}: {name} is empty", _few(key))


def _few(key: Array) -> str:
    """Return why there are too few rows, if it is that they repeat."""
    different = len(np.unique(key))
    if different * 2 > len(key):
        return "get more rows, or make split.test and split.validation smaller"
    return f"rows that are the same in all features stay together, and only {different:,} of {len(key):,} differ"


def _refuse_shared(parts: Parts, key: Array) -> None:
    """Identical rows in two parts would let the model be tested on what it has seen."""
    for name in ("validation", "test"):
        shared = parts[name][np.isin(key[parts[name]], key[parts["train"]])]
        if len(shared):
            first = ", ".join(map(str, shared[:10]))
            raise DataError(
                f"split: {len(shared)} rows of {name} are identical to training rows; the first are {first}",
                hint="drop repeated rows from the data, or use a random or stratified split, which keeps them together",
            )
