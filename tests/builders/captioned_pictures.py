"""A small task of captions, and pictures whose captions have faults."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import yaml
from PIL import Image as Pillow
from workspaces import fetch_raw

from tiltyard.config import loader
from tiltyard.validation.check import Checked, check
from tiltyard.workspace import Workspace

TASK: dict[str, Any] = {
    "title": "Captions",
    "problem": "captioning",
    "source": {"kind": "scenes", "side": 32, "train": 10, "validation": 10, "test": 10},
    "rows": [20, 40],
    "columns": {"picture": {"type": "image", "height": 8, "width": 8}},
    "target": {"column": "caption", "by": "words", "length": 4},
    "split": {"kind": "given"},
    "model": {"family": "captioner", "filters": [4]},
    "train": {"epochs": 1, "batch_size": 8},
    "gate": {"metric": "exact"},
    "serve": {"example": [[0] * 8] * 8},
}


def faulty_captions(workspace: Workspace) -> Checked:
    """Check captions of which most are equal, one is too long, and some have a word of their own."""
    workspace.task_file("captions").write_text(yaml.safe_dump(TASK, sort_keys=False), encoding="utf-8")
    fetch_raw(workspace, "captions")
    captions = ["a red circle"] * 24 + ["a red circle and more of it"] + [f"a thing{place}" for place in range(3)]
    with zipfile.ZipFile(workspace.raw("captions") / "images.zip", "w") as archive:
        for place, caption in enumerate(captions):
            Pillow.new("L", (8, 8), place * 9).save(content := io.BytesIO(), "PNG")
            archive.writestr(f"{caption}/{'train' if place < 26 else 'test'}-{place:02}.png", content.getvalue())
    return check(workspace, loader.load(workspace, "captions"))
