"""Golden samples: pictures of a seed that a packaged generative model must draw again before it is served."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from tiltyard.arrays import Array
from tiltyard.errors import PackageError
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.requests.sample_request import parse, samples

COUNT, SEED = 4, 0
MAX_DIFFERENCE = 1  # of 255, by which rounding may change a pixel


def golden_samples(model: LoadedModel) -> dict[str, Any]:
    """Return a request for samples and the samples; nothing for a model that draws none."""
    if not model.predictor.encoder.problem.generates:
        return {}
    request = {"count": min(COUNT, model.predictor.encoder.max_instances), "seed": SEED}
    return {"samples": {"request": request, "samples": samples(model, parse(model, request))}}


def assert_alike(expected: list[dict[str, Any]], received: list[dict[str, Any]]) -> None:
    """Raise PackageError if pictures or classes of samples differ by more than rounding."""
    if len(expected) != len(received):
        raise PackageError(f"samples: expected {len(expected)}; the package draws {len(received)}")
    for place, (old, new) in enumerate(zip(expected, received, strict=True)):
        if old.get("class") != new.get("class"):
            raise PackageError(
                f"samples[{place}]: expected class {old.get('class')}; the package draws {new.get('class')}"
            )
        before, after = (_pixels(sample["image"]["b64"]) for sample in (old, new))
        if before.shape != after.shape or np.abs(before - after).max() > MAX_DIFFERENCE:
            raise PackageError(f"samples[{place}]: expected the picture of seed {SEED} as packaged; it differs")


def _pixels(text: str) -> Array:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]), dtype=np.int64)
