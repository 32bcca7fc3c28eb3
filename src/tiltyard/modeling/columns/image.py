"""Image column: nested lists, or PNG, JPEG, WebP or TIFF in Base64; encoded as height x width x channels.

Files of another size are refused or resized, by the same code in training and serving.
"""

from __future__ import annotations

import base64
import binascii
import functools
import io
import struct
import warnings
from collections.abc import Iterable, Sequence
from operator import not_
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from tiltyard.arrays import Array, Cells, Fitted, decoded, is_missing
from tiltyard.errors import RequestError
from tiltyard.expectation import Expectation, between, in_set, not_null
from tiltyard.modeling import deadline
from tiltyard.modeling.columns import _image_sanitizer
from tiltyard.modeling.columns.base import Column, Kind, Plain, Scale

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL import Image as Pillow

MODES = {1: "L", 3: "RGB"}
LARGEST = 4096 * 4096  # pixels; a larger image counts as one that cannot be decoded
PIXEL = 2e-8  # seconds to decode and resize a pixel
SCAN = 2e-9  # seconds for each pixel in each scan of a JPEG, however few its bytes are
FORMATS = ["PNG", "JPEG", "WEBP", "TIFF"]
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's transpositions by the orientation of Exif
NUMBERS = {int, float}
DECODES = "decodes"  # what validation checks of an image in a cell; else the reason why it cannot be decoded
DEFECTS = (AssertionError, AttributeError, LookupError, TypeError, struct.error)  # by Pillow, for damaged files
UNIQUE = Expectation(
    expectation="expect_column_values_to_be_unique", severity="warning", arguments={"column": "digest"}
)


@functools.cache
def _ignore_warnings() -> None:
    """Ignore Pillow's warnings about odd entries of files.

    Once for the process: `warnings.catch_warnings` around each file would race between threads.
    """
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


class Image(Column):
    """A column of images with values from 0 to 255."""

    branch: ClassVar[Kind] = "image"
    restores: ClassVar = True

    type: Literal["image"] = "image"
    height: int = Field(ge=1, le=4096, description="Height to which images are scaled, in pixels.")
    width: int = Field(ge=1, le=4096, description="Width to which images are scaled, in pixels.")
    channels: Literal[1, 3] = Field(1, description="1 for grey, 3 for colours.")
    # Not written if it is off, so that encoder.json, and with it a model's version, stays the same.
    resize: bool = Field(
        False, exclude_if=not_, description="Resize files to this size and convert colours; it may distort them."
    )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape: height, width, channels."""
        return (self.height, self.width, self.channels)

    @property
    def plain(self) -> Plain:
        """Bounds and shape of nested lists; a single channel has no list of its own."""
        return Plain(0, 255, self.shape if self.channels > 1 else self.shape[:2], self.shape)

    def expectations(self, name: str) -> list[Expectation]:
        """Expect files that can be decoded, have the size unless they are resized, and occur once."""
        if self.resize:
            return [in_set("decodes", [True]), UNIQUE]
        size = {"height": self.height, "width": self.width, "channels": self.channels}
        exact = [between(fact, (value, value)) for fact, value in size.items()]
        return [in_set("decodes", [True]), *exact, UNIQUE]

    def cell_expectations(self, name: str) -> list[Expectation]:
        """Expect in each cell an image that can be decoded and has the size."""
        return [not_null(name), in_set(name, [DECODES])]

    def read(self, cells: Sequence[object]) -> list[object]:
        """Return the Base64 of files in the cells of a table as a client would send it."""
        return [
            None if is_missing(cell) else {"b64": cell.strip()} if isinstance(cell, str) else cell for cell in cells
        ]

    def facts(self, cells: Sequence[object]) -> list[Any]:
        """Return for each cell whether it decodes, or why not."""
        return [None if value is None else self._fact(value) for value in self.read(cells)]

    def _fact(self, value: object) -> str:
        try:
            self._parse_value(value, "")
        except RequestError as error:
            return error.message
        return DECODES

    @property
    def in_cells(self) -> bool:
        """False, since a client sends an image as nested lists or as an object."""
        return False

    def decodes(self, values: Sequence[object]) -> bool:
        """Return whether a value is an object, that is a file in Base64."""
        return any(isinstance(value, dict) for value in values)

    def parse(self, values: Sequence[object], name: str) -> Array:
        """Parse images; refuse other values, and images of another size."""
        steps = deadline.stepwise(values)
        return np.stack([self._parse_value(value, f"instances[{i}].{name}") for i, value in enumerate(steps)])

    def parse_arrow(self, cells: pa.Array, name: str) -> Cells | None:
        """Return None: an error that names a row is found while the images are decoded, which takes longest."""
        return None

    def _parse_value(self, value: object, field: str) -> Array:
        if isinstance(value, dict):
            return self._decode(value, field)
        if not (_is_nested(value, self.shape) or (self.channels == 1 and _is_nested(value, self.shape[:2]))):
            raise RequestError("wrong_shape", f"expected numbers nested as {list(self.shape)}", field)
        pixels = np.array(value)
        if pixels.dtype.kind not in "iuf":  # an integer of more than 64 bits
            raise RequestError("out_of_bounds", "expected values from 0 to 255", field)
        if not np.all((pixels >= 0) & (pixels <= 255)):  # NaN is refused here too
            raise RequestError("out_of_bounds", "expected values from 0 to 255", field)
        return pixels.reshape(self.shape).astype(np.float32)

    def _decode(self, value: dict[Any, Any], field: str) -> Array:
        if set(value) != {"b64"} or not isinstance(value["b64"], str):
            raise RequestError("wrong_type", 'expected nested lists or {"b64": "..."}', field)
        try:
            return self.open(base64.b64decode(value["b64"], validate=True))
        except binascii.Error:
            raise RequestError("bad_base64", "expected Base64 in 'b64'", field) from None
        except ValueError as error:
            raise RequestError("bad_image", str(error), field) from None

    def open(self, content: bytes) -> Array:
        """Decode a file; a wrong size is refused before pixels are decoded (decompression bombs)."""
        content, scans, orientation = _image_sanitizer.stripped(content, LARGEST)
        try:
            pixels = self._pixels(content, scans, orientation)
        except decode_errors():
            raise ValueError("expected a whole PNG, JPEG, WebP or TIFF file") from None
        return pixels.reshape(self.shape)

    def _pixels(self, content: bytes, scans: int, orientation: int) -> Array:
        from PIL import Image as Pillow

        _ignore_warnings()
        size = (self.width, self.height)
        file = Pillow.open(io.BytesIO(content), formats=FORMATS)
        width, height = (file.height, file.width) if orientation > 4 else (file.width, file.height)
        self._check_size(width, height)
        deadline.check(width * height * (PIXEL + scans * SCAN))  # a small file may have many pixels
        image = turned(eight_bits(file), orientation).convert(MODES[self.channels])
        if image.size != size:  # integer arithmetic: the same result on every machine
            image = image.resize(size, Pillow.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.float32)

    def _check_size(self, width: int, height: int) -> None:
        if not self.resize and (width, height) != (self.width, self.height):
            raise ValueError(f"expected {self.width}x{self.height} pixels; received {width}x{height}")
        if width * height > LARGEST:
            raise ValueError(f"expected at most {LARGEST:,} pixels; received {width}x{height}")

    def fit(self, values: Array) -> Fitted:
        """Learn the largest pixel value, by which the model scales to 0..1."""
        return {"mean": 0.0, "std": float(values.max()) or 1.0}

    def fit_parts(self, parts: Iterable[Cells]) -> Fitted:
        """Learn the same from images that come in chunks, without all of them in memory."""
        return {"mean": 0.0, "std": max(float(decoded(part).max()) for part in parts) or 1.0}

    def encode(self, values: Array, fitted: Fitted) -> Array:
        """Return the pixels as float32."""
        return values.astype(np.float32)

    def pack(self, features: Array) -> Array:
        """Return pixels as bytes, a quarter of the size, without loss."""
        return features.astype(np.uint8)

    def scaling(self, fitted: Fitted) -> list[Scale]:
        """Return one scaling for all pixels."""
        return [(fitted["mean"], fitted["std"])]

    def feature_shape(self, fitted: Fitted) -> tuple[int, ...]:
        """Return height, width and channels."""
        return self.shape

    def restore(self, features: Array, fitted: Fitted) -> list[Any]:
        """Return nested lists of pixels, which may be outside of 0 to 255."""
        return self.to_json(features.reshape(-1, *self.shape))

    def restored_schema(self) -> dict[str, Any]:
        """Return the schema: nested lists of numbers."""
        return self._nested({"type": "number"})

    def _nested(self, pixel: dict[str, Any]) -> dict[str, Any]:
        """Return the schema of nested lists."""
        nested = pixel
        for length in reversed(self.shape if self.channels > 1 else self.shape[:2]):
            nested = {"type": "array", "items": nested, "minItems": length, "maxItems": length}
        return nested

    def json_schema(self) -> dict[str, Any]:
        """Return the schema: nested lists, or a file in Base64."""
        nested = self._nested({"type": "number", "minimum": 0, "maximum": 255})
        nested["description"] = f"{self.height} rows of {self.width} pixels, {self.channels} channel(s), 0 to 255"
        png = {"type": "object", "properties": {"b64": {"type": "string"}}, "required": ["b64"]}
        file = "a PNG, JPEG, WebP or TIFF of any size in Base64" if self.resize else "a PNG in Base64"
        return {"oneOf": [nested, {**png, "additionalProperties": False, "description": file}]}

    def to_json(self, values: Array) -> list[Any]:
        """Return nested lists; a single channel has no list of its own."""
        flat = values[..., 0] if self.channels == 1 else values
        result: list[Any] = flat.tolist()
        return result


def decode_errors(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """Return the exceptions that Pillow raises for damaged files and decompression bombs, and `more`."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    bombs = (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning)
    return (UnidentifiedImageError, OSError, SyntaxError, EOFError, *DEFECTS, *bombs, *more)


def turned(image: Pillow.Image, orientation: int) -> Pillow.Image:
    """Return an image as a viewer shows it, if a camera noted how it was held."""
    from PIL import Image as Pillow

    return image.transpose(Pillow.Transpose(TURNS[orientation])) if orientation in TURNS else image


def eight_bits(image: Pillow.Image) -> Pillow.Image:
    """Return an image in 8-bit grey or RGB, on a white background.

    Pillow alone clips 16-bit grey at 255, and shows the hidden colour of transparent pixels.
    """
    from PIL import Image as Pillow

    if image.mode == "F":  # TIFF: from 0 to 1, or to 255
        pixels = np.nan_to_num(np.asarray(image, dtype=np.float64))
        pixels = pixels * 255 if pixels.max(initial=0.0) <= 1 else pixels
        return Pillow.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))
    if image.mode.startswith("I"):  # 0 to 65,535: the greatest depth of PNG
        pixels = np.asarray(image, dtype=np.float64) / 257
        return Pillow.fromarray(np.rint(pixels).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        white = Pillow.new("RGBA", colours.size, "white")
        return Pillow.alpha_composite(white, colours).convert("RGB")
    return image if image.mode in ("1", "L", "RGB") else image.convert("RGB")


def _is_nested(value: object, shape: tuple[int, ...]) -> bool:
    """Return whether these are numbers in nested lists of this shape; checked before numpy allocates memory."""
    if type(value) is not list or len(value) != shape[0]:
        return False
    if len(shape) == 1:
        return NUMBERS.issuperset(map(type, value))
    return all(_is_nested(item, shape[1:]) for item in value)
