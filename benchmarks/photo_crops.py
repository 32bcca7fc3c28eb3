"""Crops of photos that scikit-image and scikit-learn ship, for photos.py; no region is in two parts of the split."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

COLOUR = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "rocket.jpg", "china.jpg", "flower.jpg")
TEXTURES = ("brick.png", "grass.png", "gravel.png", "camera.png", "coins.png", "moon.png", "page.png")
BLOCKS = 4  # on each side of a photo; a block is in one part only
PARTS = {"train": 10, "validation": 3, "test": 3}  # blocks
BRIGHTNESS = (0.7, 1.3)
ZOOM = (0.5, 1.0)  # of the block's shorter side


def write_crops(folder: Path, names: tuple[str, ...], counts: dict[str, int], side: int, seed: int = 0) -> None:
    """Write folder/PART/CLASS/NUMBER.png, so many crops of each photo in each part."""
    for place, name in enumerate(names):
        file = Image.open(_path(name))
        photo = file.convert("L" if file.mode in ("L", "1", "I") else "RGB")
        generator = np.random.default_rng([seed, place])
        blocks = generator.permutation(BLOCKS**2)
        start = 0
        for part, held in PARTS.items():
            target = folder / part / Path(name).stem
            target.mkdir(parents=True)
            for number in range(counts[part]):
                block = int(generator.choice(blocks[start : start + held]))
                _crop(photo, block, side, generator).save(target / f"{number:04}.png")
            start += held


def _path(name: str) -> Path:
    for package, inside in (("skimage", "data"), ("sklearn", "datasets/images")):
        spec = find_spec(package)
        if spec and spec.origin and (path := Path(spec.origin).parent / inside / name).is_file():
            return path
    raise SystemExit(f"expected {name} of scikit-image; install it: uv pip install scikit-image")


def _crop(photo: Image.Image, block: int, side: int, generator: np.random.Generator) -> Image.Image:
    """Return a random square of a block, resized, mirrored or not, lighter or darker."""
    width, height = photo.width // BLOCKS, photo.height // BLOCKS
    size = int(generator.uniform(*ZOOM) * min(width, height))
    left = (block % BLOCKS) * width + int(generator.integers(0, width - size + 1))
    top = (block // BLOCKS) * height + int(generator.integers(0, height - size + 1))
    crop = photo.crop((left, top, left + size, top + size)).resize((side, side), Image.Resampling.BILINEAR)
    if generator.random() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return Image.fromarray(np.clip(np.asarray(crop) * generator.uniform(*BRIGHTNESS), 0, 255).astype(np.uint8))
