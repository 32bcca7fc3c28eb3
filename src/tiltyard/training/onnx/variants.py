"""Variants of an ONNX file that calculate with fewer bits: int8, with and without calibration, and float16."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import TrainingError

CALIBRATION_ROWS, CALIBRATION_BATCH = 512, 64
# Weights of 7 bits: processors without VNNI add products of 8 bits in 16 bits, which overflow, and predict nonsense.
REDUCE_RANGE = True


def write(kind: str, source: Path, target: Path, features: Array) -> None:
    """Write a variant of an ONNX file; `features` are encoded training rows, from which int8 takes its scales."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), _quiet():
            KINDS[kind](source, target, features[:CALIBRATION_ROWS].astype(np.float32))
    except Exception as error:  # noqa: BLE001 - of many libraries, with types of their own
        text = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise TrainingError(f"{kind}: onnxruntime cannot convert this model: {text[0]}") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the advice to preprocess the model, which is done already."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def _static_int8(source: Path, target: Path, features: Array) -> None:
    """Calculate in int8 where onnxruntime can, with scales measured on training rows."""
    from onnxruntime import quantization

    prepared = target.with_name("prepared.onnx")
    quantization.quant_pre_process(source, prepared, skip_symbolic_shape=True)
    quantization.quantize_static(
        prepared,
        target,
        _reader(prepared, features),
        per_channel=True,
        reduce_range=REDUCE_RANGE,
        weight_type=quantization.QuantType.QInt8,
    )
    prepared.unlink()


def _reader(source: Path, features: Array) -> Any:
    """Return a reader of the training rows in batches."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader

    name = onnx.load(source).graph.input[0].name
    parts = iter(range(0, len(features), CALIBRATION_BATCH))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, Array] | None:
            return next(({name: features[start : start + CALIBRATION_BATCH]} for start in parts), None)

    return Reader()


def _dynamic_int8(source: Path, target: Path, _: Array) -> None:
    """Store weights in int8, and measure the scales of other values in each prediction."""
    from onnxruntime import quantization

    weight_type = quantization.QuantType.QInt8
    quantization.quantize_dynamic(source, target, reduce_range=REDUCE_RANGE, weight_type=weight_type)


def _float16(source: Path, target: Path, _: Array) -> None:
    """Calculate in float16, with float32 inputs and outputs."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)


KINDS: dict[str, Callable[[Path, Path, Array], None]] = {
    "int8": _static_int8,
    "int8-dynamic": _dynamic_int8,
    "fp16": _float16,
}
