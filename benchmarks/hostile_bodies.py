"""Hostile request bodies for fuzzing, generated from the schema of a served model: JSON, tensors, tables and images."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

LENGTH = "Inference-Header-Content-Length"
PLACEHOLDER = "@@placeholder@@"
JSON = "application/json"
OCTETS = "application/octet-stream"
# Values that are inserted literally into each part of a valid body.
INVALID_VALUES = (
    *(b"null", b"true", b"false", b'"x"', b'""', b"-1", b"0", b"1e308", b"-1e308", b"1e999", b"5e-324", b"NaN"),
    *(b"-Infinity", b"9" * 5000, b"0." + b"1" * 5000, b"18446744073709551616", b"01", b"--1", b"1.", b".5", b"", b"@"),
    *(
        b"[]",
        b"{}",
        b"[[]]",
        b"[null]",
        b'{"":{}}',
        b"[1,[2]]",
        b'["x",1,[]]',
        b'{"b64":"!"}',
        b'{"b64":1}',
        b'{"b64":""}',
    ),
    *(b'"\\ud800"', b'"\\u0000"', b'"\\x"', b"\xff\xfe", b'"\xc3\x28"', b'"\xed\xa0\x80"', b"\x00", b'"\n"'),
    *(b'"' + b"x" * 100_000 + b'"', b"[" * 500 + b"]" * 500, b"[" * 100_000, b'{"a":' * 300 + b"1" + b"}" * 300),
    *(b"[1" + b",1" * 20_000 + b"]", b'["' + b"x" * 50_000 + b'"' + b',""' * 50_000 + b"]", b"[[1,2],[3]]"),
)


@dataclass(frozen=True)
class Model:
    """A served model with its metadata."""

    name: str
    schema: dict[str, Any]  # of /v1/models/NAME/schema
    inputs: list[dict[str, Any]]  # of /v2/models/NAME

    @property
    def rows(self) -> dict[str, Any]:
        """Return a valid body of V1."""
        return {"instances": [self.schema["example"]]}

    @property
    def parts(self) -> dict[str, Any]:
        """Return the example by input name."""
        example, names = self.schema["example"], {one["name"] for one in self.inputs}
        return example if isinstance(example, dict) and example.keys() == names else {self.inputs[0]["name"]: example}

    @property
    def tensors(self) -> dict[str, Any]:
        """Return a valid body of V2."""
        return {"inputs": [self._tensor(one, self.parts[one["name"]]) for one in self.inputs]}

    def _tensor(self, one: dict[str, Any], value: Any) -> dict[str, Any]:
        return {"name": one["name"], "shape": [1, *one["shape"][1:]], "datatype": one["datatype"], "data": [value]}


@dataclass(frozen=True)
class Body:
    """A body to post to a model."""

    protocol: str  # V1, V2, or the action of another route: sample, encode, recommend, similar or find
    content: bytes
    headers: dict[str, str]

    def path(self, name: str) -> str:
        """Return the path for a model."""
        action = "predict" if self.protocol == "V1" else self.protocol
        return f"/v2/models/{name}/infer" if self.protocol == "V2" else f"/v1/models/{name}:{action}"


def _json(content: bytes, protocol: str = "V1") -> Body:
    return Body(protocol, content, {"Content-Type": JSON})


def _valid_body(rng: Random, model: Model) -> tuple[str, Any]:
    """Choose a valid body of either protocol, by row or by column."""
    columns = {"inputs": {name: [value] for name, value in model.parts.items()}}
    return rng.choice([("V1", model.rows), ("V1", columns), ("V2", model.tensors)])


def _with_placeholders(value: Any) -> Iterator[Any]:
    """Yield copies of a value with a placeholder for each of its parts, and for the whole."""
    yield PLACEHOLDER
    if isinstance(value, dict):
        for key, part in value.items():
            yield from ({**value, key: changed} for changed in _with_placeholders(part))
            yield {**{k: v for k, v in value.items() if k != key}, PLACEHOLDER: part}
    elif isinstance(value, list):
        for index, part in enumerate(value[:3]):  # the others are alike
            yield from ([*value[:index], changed, *value[index + 1 :]] for changed in _with_placeholders(part))


def wrong_value(rng: Random, model: Model) -> Body:
    """Return a body with a wrong value somewhere, or with an unknown key."""
    protocol, body = _valid_body(rng, model)
    text = json.dumps(rng.choice([*_with_placeholders(body)])).encode()
    return _json(text.replace(f'"{PLACEHOLDER}"'.encode(), rng.choice(INVALID_VALUES)), protocol)


def other_route(rng: Random, model: Model) -> Body:
    """Return a body with a wrong value for samples, codes, recommendations, similar items or a search."""
    label, size = rng.choice(["0", "1", "setosa"]), rng.choice([1, 4, 8, 16])
    ratings = {f"{rng.choice('bi')}{index}": rng.choice([1, 5, -1, 1e308]) for index in range(rng.choice([1, 1001]))}
    excluded = [rng.choice(["1", 1, "\ud800", "b1"])] * rng.choice([1, 1001])
    action, body = rng.choice(
        [
            ("sample", {"count": rng.choice([1, 10**6]), "seed": rng.choice([0, 10**30]), "class": label}),
            ("sample", {"code": [[rng.choice([0, 0.5, 1e3, 1e308])] * size] * rng.choice([1, 1001])}),
            ("encode", model.rows),
            ("recommend", {"user": "1", "k": rng.choice([1, 100, 101]), "exclude": excluded, "include_rated": True}),
            ("recommend", {"ratings": ratings, "k": 1}),
            ("similar", {rng.choice(["item", "user"]): "1", "k": 2, "exclude": excluded}),
            ("find", {"text": rng.choice(["a", "\ufb03" * 200]), "of": rng.choice(["item", "user"]), "k": 5}),
        ]
    )
    whole = rng.random() < 0.3
    text = json.dumps(body if whole else rng.choice([*_with_placeholders(body)])).encode()
    return _json(text.replace(f'"{PLACEHOLDER}"'.encode(), rng.choice(INVALID_VALUES)), action)


def nested(rng: Random, model: Model) -> Body:
    """Return JSON that is nested about as deeply as the decoder and Python's stack allow."""
    depth, (begin, end) = rng.randint(800, 1100), rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    text = json.dumps(rng.choice([*_with_placeholders(_valid_body(rng, model)[1])])).encode()
    return _json(text.replace(f'"{PLACEHOLDER}"'.encode(), begin * depth + b"1" + end * depth))


def truncated(rng: Random, model: Model) -> Body:
    """Return the beginning of a valid body."""
    protocol, body = _valid_body(rng, model)
    text = json.dumps(body).encode()
    return _json(text[: rng.randrange(len(text))], protocol)


def overwritten(rng: Random, model: Model) -> Body:
    """Return a valid body with some bytes overwritten at random."""
    protocol, body = _valid_body(rng, model)
    text = bytearray(json.dumps(body).encode())
    for _ in range(rng.randint(1, 8)):
        text[rng.randrange(len(text))] = rng.randrange(256)
    return _json(bytes(text), protocol)


def noise(rng: Random, _: Model) -> Body:
    """Return random bytes."""
    return _json(rng.randbytes(rng.choice([0, 1, 10, 1000, 100_000])), rng.choice(["V1", "V2"]))


def duplicate_key(rng: Random, model: Model) -> Body:
    """Return a body with the same key several times and different values."""
    protocol, body = _valid_body(rng, model)
    text, other = json.dumps(body).encode(), rng.choice(INVALID_VALUES)
    key = rng.choice([b'"instances"', b'"inputs"', b'"name"', json.dumps(next(iter(model.parts))).encode()])
    return _json(text.replace(key + b":", key + b": " + other + b", " + key + b":"), protocol)


def too_many(rng: Random, model: Model) -> Body:
    """Return a body with too many instances, or one that is too large."""
    max_instances = model.schema["limits"]["max_instances"]
    if rng.random() < 0.2:
        return _json(b" " * (model.schema["limits"]["max_body_bytes"] + rng.randint(0, 1)))
    row = json.dumps(rng.choice([model.schema["example"], 0])).encode()
    return _json(b'{"instances":[' + b",".join([row] * (max_instances + rng.randint(0, 1))) + b"]}")


def compressed(rng: Random, model: Model) -> Body:
    """Return a small compressed body that claims to be large; the service must not unpack it."""
    text = json.dumps(model.rows).encode() + b" " * rng.choice([0, 10**6, 10**7])
    kind = rng.choice(["gzip", "deflate", "br", "zstd", "identity, gzip", "x"])
    content = gzip.compress(text, 1) if "gzip" in kind else zlib.compress(text, 1)
    return Body("V1", content, {"Content-Type": JSON, "Content-Encoding": kind})


def image(rng: Random, _: Model) -> Body:
    """Return a body with an image of giant size, of a wrong kind, truncated, or with a false length."""
    width, height = rng.choice([(8, 8), (1, 1), (0, 0), (30_000, 30_000), (2**31 - 1, 2**31 - 1), (28, 28)])
    content = png(width, height, rng)
    if rng.random() < 0.3:
        content = content[: rng.randrange(len(content))]
    if rng.random() < 0.2:
        content = (
            rng.choice([b"GIF89a", b"\xff\xd8\xff\xe0", b"BM", b"II*\0", b"%!PS-Adobe\n", b"RIFF\0\0\0\0WEBP"])
            + content
        )
    text = base64.b64encode(content).decode()
    return _json(json.dumps({"instances": [{"b64": text}] * rng.choice([1, 1, 3])}).encode())


def png(width: int, height: int, rng: Random) -> bytes:
    """Return a PNG file that declares this size and holds some zeros."""
    head = struct.pack(">IIBBBBB", width, height, rng.choice([1, 8, 16]), rng.choice([0, 2, 3, 6]), 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(rng.choice([0, 72, 10**6])))), (b"IEND", b"")]
    if rng.random() < 0.3:  # compressed text chunks are unpacked, too
        chunks.insert(1, (b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7))))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def table(rng: Random, model: Model) -> Body:
    """Return CSV without a header, with too many cells, unclosed quotes, NUL, or cells of any length."""
    names = [*model.parts]
    cells = [
        rng.choice(["1", "", "x", "1e999", "nan", '"', '"a\nb"', "\0", "9" * 5000, "x" * 200_000, "é"]) for _ in names
    ]
    rows = [",".join(rng.choice([names, names[::-1], names[1:], [*names, names[0]], []])), ",".join(cells)]
    rows += [",".join(str(value) for value in model.parts.values())] * rng.choice([0, 1, 1001])
    text = rng.choice(["\n", "\r\n", "\r", "\0"]).join(rows).encode(rng.choice(["utf-8", "utf-16", "latin-1"]))
    return Body("V1", text, {"Content-Type": rng.choice(["text/csv", "TEXT/CSV; charset=x", "text/csv;header=absent"])})


def wide(rng: Random, model: Model) -> Body:
    """Return CSV with thousands of columns, some of them repeated."""
    names = [f"c{index}" for index in range(rng.choice([1_000, 20_000]))] + [*model.parts] * rng.choice([1, 2])
    rng.shuffle(names)
    return Body("V1", f"{','.join(names)}\n{','.join(['1'] * len(names))}".encode(), {"Content-Type": "text/csv"})


def explain(rng: Random, model: Model) -> Body:
    """Return a request for explanations of many instances, with an escaped key."""
    key = rng.choice(["explain", "\\u0065xplain", "\\u0065\\u0078plain"])
    rows = json.dumps([model.schema["example"]] * rng.choice([1, 64, 65]))
    return Body("V1", f'{{"instances": {rows}, "{key}": true}}'.encode(), {"Content-Type": JSON})


def tensors(rng: Random, model: Model) -> Body:
    """Return a body with binary data after the JSON, and with false lengths in headers and parameters."""
    body = model.tensors
    body["outputs"] = [{"name": "label", "parameters": {"binary_data": rng.choice([True, 1, "x"])}}][
        : rng.randint(0, 1)
    ]
    binary_data = b""
    for one in body["inputs"]:
        shape, datatype, invalid = one["shape"], one["datatype"], rng.random() < 0.5
        shapes = [shape, [], [0], [-1], [2**63], [0, 2**64], [2**32, 2**32], [1] * 40, [1.5], "x"]
        one["shape"] = rng.choice(shapes) if invalid else shape
        one["datatype"] = (
            rng.choice([datatype, "BYTES", "BOOL", "FP16", "UINT64", "BF16", "", 7]) if invalid else datatype
        )
        if rng.random() < 0.8:
            del one["data"]
            raw = rng.choice([rng.randbytes(8), b"\xff" * 8, b"", b"\xff\xff\xff\x7fabcd"])
            binary_data += raw if invalid else struct.pack("<d", 5.0)
            size = rng.choice([0, 7, -1, 2**31, 2**63, 2**64, 1.5, "8", None, True])
            one["parameters"] = {"binary_data_size": size if invalid else 8}
    head = json.dumps(body).encode()
    length = rng.choice(
        [len(head), len(head), len(head), 0, -1, len(head) + len(binary_data) + 1, 2**64, "x", "1_0", "\u0661"]
    )
    return Body("V2", head + binary_data, {"Content-Type": OCTETS, LENGTH: str(length)})


def strange_request(rng: Random, model: Model) -> Body:
    """Return a valid V2 request with an unusual id, parameters and outputs."""
    body = model.tensors
    body["id"] = rng.choice(["\ud800", "\0", "x" * 100_000, 7, None, "a"])
    body["parameters"] = rng.choice([{}, {"binary_data_output": True}, {"binary_data_output": "x"}, [], {"a": {}}])
    output = {"name": rng.choice(["label", "prediction", "\ud800", "", 1]), "parameters": rng.choice([{}, None])}
    body["outputs"] = rng.choice([[], [output] * rng.choice([1, 2, 5000]), {}, None])
    return _json(json.dumps(body).encode(), "V2")


def parquet(rng: Random, model: Model) -> Body:
    """Return a Parquet file: valid, overwritten, truncated, of wrong types, or with more content than declared."""
    content = bytearray(
        rng.choice([_valid_parquet, _long_text_parquet, _nested_parquet, _parquet_with_wrong_row_count])(rng, model)
    )
    begin = rng.choice([0, len(content) // 2])  # the second half contains the footer, which the parser trusts
    for _ in range(rng.choice([0, 0, 1, 4, 40])):
        content[rng.randrange(begin, len(content))] = rng.randrange(256)
    if rng.random() < 0.1:
        content = content[: rng.randrange(len(content))]
    return Body("V1", bytes(content), {"Content-Type": "application/vnd.apache.parquet"})


def _parquet(columns: dict[str, Any], compression: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression=compression)
    return file.getvalue()


def _valid_parquet(rng: Random, model: Model) -> bytes:
    rows = rng.choice([1, 3, 1000])
    return _parquet({name: [value] * rows for name, value in model.parts.items()}, rng.choice(["zstd", "snappy"]))


def _long_text_parquet(rng: Random, model: Model) -> bytes:
    """Return a file with one long text, stored once, that occurs in every row."""
    import pyarrow as pa

    text, rows = "1" * rng.choice([1_000_000, 10_000_000]), rng.choice([1, 1000])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))
    return _parquet(dict.fromkeys(model.parts, column), rng.choice(["zstd", "snappy", "snappy"]))


def _nested_parquet(rng: Random, model: Model) -> bytes:
    """Return a file with one row of millions of equal values."""
    values = rng.choice([2, 1_000_000])
    return _parquet({name: [[1] * values] for name in model.parts}, "snappy")


def _parquet_with_wrong_row_count(rng: Random, model: Model) -> bytes:
    """Return a file of a million rows whose footer declares, in some places or all, that there is one."""
    content = _parquet(dict.fromkeys(model.parts, np.ones(MILLION)), "snappy")
    offsets = [match.start() for match in re.finditer(re.escape(_varint(MILLION)), content)]
    if rng.random() < 0.5:  # only those of the file and of the row group, not those of the columns
        offsets = [offsets[0], offsets[-1]]
    for index in offsets:
        content = content[:index] + b"\x82\x80\x00" + content[index + 3 :]
    return content


MILLION = 1_000_003


def _varint(number: int) -> bytes:
    """Encode a number as in the footer: zigzag, seven bits in each byte."""
    number *= 2
    return bytes([number & 127 | 128, number >> 7 & 127 | 128, number >> 14])


BODIES: tuple[Callable[[Random, Model], Body], ...] = (
    *(wrong_value, wrong_value, wrong_value, truncated, overwritten, noise, duplicate_key, too_many, compressed),
    *(image, table, tensors, tensors, strange_request, parquet, parquet, wide, explain),
    *(other_route, other_route, nested),
)
