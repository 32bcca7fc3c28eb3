"""A function in a Python file of the project, which builds layers; it runs in training only.

One file is the unit: its hash is in the record of the training, and in the model. So it may import installed packages,
but no other file of the project, whose edits nothing would notice.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiltyard.errors import TaskError, did_you_mean

if TYPE_CHECKING:
    import keras

MAX_BYTES = 1 << 20
RESERVED = {"features", "standard", "output", "network", "members", "encoded"}  # names of layers that Tiltyard adds
FLATTEN = "end it with layers.Flatten() or a global pooling layer"


@dataclass(frozen=True)
class OwnCode:
    """The content of the file, and the name of the function."""

    place: Path
    name: str  # of the file, relative to the project
    function: str
    source: bytes

    @classmethod
    def read(cls, root: Path, path: str) -> OwnCode:
        """Read `FILE.py:FUNCTION` of a project; raise TaskError if there is no such file inside it."""
        name, _, function = path.rpartition(":")
        place = (root / name).resolve()
        if not place.is_relative_to(root.resolve()):
            raise TaskError(f"model.path: expected a file inside the project; {name} leads to {place}")
        if not place.is_file():
            raise TaskError(
                f"model.path: expected a file of the project; there is no {name}", "write it, or correct it"
            )
        source = place.read_bytes()
        if len(source) > MAX_BYTES:
            raise TaskError(f"model.path: expected at most {MAX_BYTES:,} bytes in {name}; received {len(source):,}")
        return cls(place, name, function, source)

    @property
    def provenance(self) -> dict[str, str]:
        """What the record of a training says of it."""
        digest = hashlib.sha256(self.source).hexdigest()
        return {"path": self.name, "function": self.function, "sha256": digest}

    def network(self, features: keras.KerasTensor, arguments: dict[str, Any]) -> keras.KerasTensor:
        """Call the function; return its tensor, or that of the layer or model that it returns."""
        import keras

        built = self._guarded(lambda: self._found()(features, **arguments))
        if isinstance(built, keras.layers.Layer):
            layer = built
            built = self._guarded(lambda: layer(features))
        self._check(features, built)
        return built

    def _found(self) -> Callable[..., Any]:
        """Run the file, and return its function."""
        namespace: dict[str, Any] = {"__name__": self.place.stem, "__file__": str(self.place)}
        exec(compile(self.source, self.place, "exec"), namespace)  # noqa: S102 - code that the task file names
        found = namespace.get(self.function)
        if not callable(found):
            defined = [name for name, value in namespace.items() if callable(value) and not name.startswith("_")]
            meant = did_you_mean(self.function, defined)
            raise TaskError(
                f"model.path: expected a function {self.function} in {self.name}{meant}; "
                f"received {'nothing' if found is None else type(found).__name__} of that name",
                hint=f"define it: def {self.function}(features): ...",
            )
        return found  # type: ignore[no-any-return]

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """Call code of the user's; raise its exceptions as TaskError with the line."""
        try:
            return call()
        except TaskError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user's may raise anything
            text = " ".join(str(error).split())[:300]
            raise TaskError(
                f"model.path: {self._line(error)}: {type(error).__name__}: {text}",
                hint="correct it, then run the task again",
            ) from None

    def _line(self, error: BaseException) -> str:
        """Return the innermost line of the file that was running, and the function around it."""
        if isinstance(error, SyntaxError) and error.filename == str(self.place):
            return f"{self.name}, line {error.lineno}"
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(self.place)]
        if not frames:
            return f"{self.name}, in {self.function}"
        last = frames[-1]
        where = "" if last.name == "<module>" else f", in {last.name}"
        return f"{self.name}, line {last.lineno}{where}"

    def _check(self, features: keras.KerasTensor, built: Any) -> None:
        """Refuse what is no tensor of rows and numbers, or cannot be exported or read back without the code."""
        import keras

        start = f"model.path: {self.name}:{self.function}"
        if not isinstance(built, keras.KerasTensor):
            expected = "expected a Keras tensor, layer or model"
            raise TaskError(
                f"{start}: {expected}; received {type(built).__name__}", "return what the last layer returns"
            )
        if len(built.shape) != 2 or built.shape[1] is None:
            shape = ", ".join("rows" if place == 0 else str(size) for place, size in enumerate(built.shape))
            expected = "expected an output of shape (rows, numbers), to which the output layer is added"
            raise TaskError(f"{start}: {expected}; received ({shape})", FLATTEN)
        try:
            model = keras.Model(features, built)
        except ValueError as error:
            text = " ".join(str(error).split())[:300]
            raise TaskError(f"{start}: expected layers on `features`; received others: {text}") from None
        if reason := next(unsuited(model), ""):
            raise TaskError(f"{start}: {reason}", "use layers of Keras and keras.ops, in functions of your own")


def unsuited(model: keras.Model) -> Iterator[str]:
    """Yield why a network cannot be exported, or not be read back without the code that built it."""
    import keras

    names = {layer.name for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    if taken := sorted(names & RESERVED):
        yield f"expected other names of layers than {', '.join(sorted(RESERVED))}; received {', '.join(taken)}"
    try:
        configuration = keras.saving.serialize_keras_object(model)
    except Exception as error:  # noqa: BLE001 - a layer of the user's may raise anything
        yield f"expected a network that can be saved; {type(error).__name__}: {error}"
        return
    for name in _foreign_names(configuration):
        if name == "Normalization":
            yield "expected no Normalization, which cannot be written as ONNX; Rescaling can, and computes the same"
        else:
            yield f"expected nothing but layers of Keras, so that the saved network can be read; received {name}"


def _foreign_names(config: Any) -> Iterator[str]:
    """Yield the classes and functions in the configuration of a model that cannot be read, or not safely."""
    if isinstance(config, dict):
        name, module = config.get("class_name"), str(config.get("module") or "")
        if name in ("Normalization", "Lambda", "__lambda__"):
            yield name
        elif isinstance(name, str) and not name.startswith("__") and not module.startswith(("keras", "tiltyard")):
            yield config["config"] if name == "function" else name
        config = [*config.values()]
    if isinstance(config, list | tuple):
        for part in config:
            yield from _foreign_names(part)
