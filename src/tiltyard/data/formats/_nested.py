"""Unpack nested columns of Parquet: fields of structs, and lists that have the same few numbers in every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_DEPTH = 4  # of structs in structs
MAX_LENGTH = 1024  # of a list that is unpacked, such as an embedding
MAX_LEAVES = 10_000
ROWS = 65_536  # of a batch


@dataclass(frozen=True)
class Leaf:
    """A column of the table: the place of its column in the file, and the fields or list places that lead to it."""

    name: str
    place: int
    steps: tuple[int, ...]
    type: pa.DataType


def leaves(file: pq.ParquetFile) -> list[Leaf]:
    """Return the columns that a file becomes; nested ones that are not unpacked stay as they are."""
    fields = [Leaf(field.name, place, (), field.type) for place, field in enumerate(file.schema_arrow)]
    unpacked = [leaf for field in fields for leaf in _unpacked(file, field, 0)]
    return unpacked if len(unpacked) <= max(MAX_LEAVES, len(fields)) else fields


def _unpacked(file: pq.ParquetFile, leaf: Leaf, depth: int) -> Iterator[Leaf]:
    from pyarrow import types

    if types.is_struct(leaf.type) and depth < MAX_DEPTH and leaf.type.num_fields:
        for place in range(leaf.type.num_fields):
            field = leaf.type.field(place)
            inner = Leaf(f"{leaf.name}_{field.name}", leaf.place, (*leaf.steps, place), field.type)
            yield from _unpacked(file, inner, depth + 1)
    elif length := _length(file, leaf):
        for place in range(length):
            yield Leaf(f"{leaf.name}_{place}", leaf.place, (*leaf.steps, place), leaf.type.value_type)
    else:
        yield leaf


def _length(file: pq.ParquetFile, leaf: Leaf) -> int:
    """Return the length of lists of numbers if it is the same in every row, else 0."""
    import pyarrow.compute as pc
    from pyarrow import types

    if not any(is_one(leaf.type) for is_one in (types.is_list, types.is_large_list, types.is_fixed_size_list)):
        return 0
    value = leaf.type.value_type
    if not (types.is_integer(value) or types.is_floating(value) or types.is_boolean(value)):
        return 0
    lengths: set[int] = set()
    for batch in file.iter_batches(ROWS):
        cell_lengths = pc.unique(pc.list_value_length(leaf_cells(batch.columns[leaf.place], leaf.steps)))
        lengths |= {length for length in cell_lengths.to_pylist() if length is not None}
        if len(lengths) > 1:
            return 0
    (length,) = lengths or {0}
    return length if length <= MAX_LENGTH else 0


def leaf_cells(cells: pa.Array, steps: Sequence[int]) -> pa.Array:
    """Return the cells of a leaf; those of a missing struct or list are missing."""
    import pyarrow.compute as pc
    from pyarrow import types

    for step in steps:
        cells = pc.struct_field(cells, [step]) if types.is_struct(cells.type) else pc.list_element(cells, step)
    return cells


def repairs(unpacked: list[Leaf]) -> list[str]:
    """Return which columns were unpacked, in sentences."""
    names: dict[int, list[str]] = {}
    for leaf in unpacked:
        if leaf.steps:
            names.setdefault(leaf.place, []).append(leaf.name)
    return [
        f"nested values unpacked: {', '.join(several[:4])}{', ...' if len(several) > 4 else ''}"
        for several in names.values()
    ]
