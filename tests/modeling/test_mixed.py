"""Rows with columns of several kinds: how they are packed, which layers read them, and what is refused."""

from __future__ import annotations

import random
from typing import Any

import generated_tasks
import numpy as np
import pytest
import yaml
from reference_subjects import case
from workspaces import run_in_process

from tiltyard.config import loader
from tiltyard.errors import DataError, TaskError
from tiltyard.modeling.columns.image import DECODES, Image
from tiltyard.modeling.inference.encoder import Encoder
from tiltyard.modeling.references.mixed_trees import MixedTrees
from tiltyard.preparation import array_file
from tiltyard.preparation.modalities import mixed
from tiltyard.preparation.prepare import prepare
from tiltyard.validation.check import check
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace


def test_a_row_holds_its_columns_one_after_another(workspace: Workspace) -> None:
    """Ids, a number with its flag, pixels and flags have spans of their own, and a scale for each feature."""
    generated_tasks.prepare_mixed(workspace)
    folder = workspace.out("parcels", "prepare")
    encoder = Encoder.load(folder / "encoder.json")
    assert encoder.spans == {
        "review": slice(0, 8),
        "price": slice(8, 10),
        "photo": slice(10, 26),
        "size": slice(26, 28),
    }
    mean, std = encoder.scaling()
    assert (len(mean), len(std)) == (28, 28)
    assert (set(mean[:8]), set(std[10:26])) == ({0.0}, {std[10]})
    features, _ = array_file.read_part(folder / "train.npz")
    assert features.shape[1:] == (28,)
    assert (features[:, 9] == 1).any()  # a missing price has a flag
    assert (features[:, :8].sum(axis=1) == 1).any()  # a missing review is one unknown word
    assert not encoder.bare
    assert encoder.longest_text == 8


def test_parts_of_images_are_bounded(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are decoded at a time, and the encoded rows are the same."""
    generated_tasks.prepare_mixed(workspace)
    path = workspace.out("parcels", "prepare") / "train.npz"
    before, task = path.read_bytes(), loader.load(workspace, "parcels")
    monkeypatch.setattr(mixed, "CHUNK_BYTES", 7 * 4 * 16)
    modality = mixed.Mixed()
    assert {len(truth) for _, truth in modality.chunks(task, workspace.raw("parcels"))} == {7, 4}
    prepare(workspace, task)
    assert path.read_bytes() == before


def test_broken_pictures_stop_the_pipeline_by_name(workspace: Workspace) -> None:
    """`validate`, `prepare` and `check` name the row and the reason."""
    task = generated_tasks.prepare_mixed(workspace)
    assert validate(workspace, task).rows == 200
    path = workspace.raw("parcels") / "table.csv"
    lines = path.read_text().splitlines()
    cells = lines[4].split(",")
    lines[4] = ",".join([*cells[:2], "bm90IGFuIGltYWdl", *cells[3:]])
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match="expected a whole PNG"):
        validate(workspace, task)
    with pytest.raises(DataError, match=r"row \[3\].photo: expected a whole PNG"):
        prepare(workspace, task)
    found = [one for one in check(workspace, task).findings if one.code == "images"]
    assert [one.column for one in found] == ["photo"]
    assert "rows 3; row 3: expected a whole PNG" in found[0].text


def test_facts_of_pictures_in_cells() -> None:
    """A cell decodes, is missing, or has a reason."""
    column, picture = Image(height=4, width=4), generated_tasks.photo(random.Random(0), dark=True)  # noqa: S311
    facts = column.facts([picture, None, "", "!"])
    assert facts == [DECODES, None, None, "expected Base64 in 'b64'"]


REFUSED: dict[str, dict[str, Any]] = {
    "model.family: bow takes text; received mixed columns": {"model": {"family": "bow"}},
    "columns: expected only series columns, or none": {
        "columns": {"review": {"type": "text"}, "price": {"type": "series", "window": 3}}
    },
    "columns: expected at most 262,144 pixels and words": {
        "columns": {"review": {"type": "text"}, "photo": {"type": "image", "height": 1024, "width": 1024}}
    },
    "text.blend_references: expected in the model itself": {
        "model": {"family": "mixed", "text": {"family": "bow", "blend_references": True}}
    },
    "text: expected one vector for each text": {"model": {"family": "mixed", "text": {"family": "rnn", "whole": True}}},
    "columns.review.by: expected words or characters for the family transformer; received ngrams": {
        "model": {"family": "mixed", "text": {"family": "transformer"}},
        "columns": {"review": {"type": "text", "by": "ngrams"}, "price": {"type": "number"}},
    },
    "model.blend_references: expected false for texts that are read by words": {
        "model": {"family": "mixed", "blend_references": True}
    },
    "train.augment: expected only for images, except mixup; received mixed columns": {
        "train": {"epochs": 1, "augment": {"flip": "horizontal"}}
    },
    "train.augment.mixup: expected for images and tables; received mixed columns": {
        "train": {"epochs": 1, "augment": {"mixup": 0.2}}
    },
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused(message: str) -> None:
    """The sentence names the key, what was expected and what was received."""
    text = yaml.safe_dump({**generated_tasks.PARCELS, **REFUSED[message]})
    with pytest.raises(TaskError) as refused:
        loader.parse(text, "parcels", "tasks/parcels.yaml")
    assert message in str(refused.value)


def test_scores_of_texts_are_of_held_out_rows() -> None:
    """Trees learn from scores by other rows: on shuffled labels, these tell nothing of a row's own label."""
    subject, features, truth = case("mixed")
    reference = MixedTrees(subject)
    shuffled = np.random.default_rng(3).permutation(truth)
    reference.packed.read_words(features)
    matrix = reference.packed.words(features, "text")
    own = matrix @ reference._scorer("text", matrix, shuffled)[0]
    held_out = reference._held_out("text", matrix, shuffled)
    commonest = np.bincount(shuffled).max() / len(shuffled)
    assert (own.argmax(axis=1) == shuffled).mean() > commonest + 0.2
    assert (held_out.argmax(axis=1) == shuffled).mean() < commonest + 0.05


def _branches() -> list[str]:
    """Build a model with each kind of layers for texts and pictures; return the errors."""
    import keras
    from model_families import BRANCHES, OTHERS, model_settings

    errors = []
    texts = [{"family": "rnn", "units": [4]}, {"family": "transformer"}, {"family": "transformer", "pool": "none"}]
    images = [{"family": "resnet", "small": True, "blocks": [1], "filters": 4}, {"family": "cnn", "ending": "average"}]
    for branch in (*({"text": one} for one in texts), *({"image": one} for one in images)):
        model, inputs = model_settings({"family": "mixed", **branch}), keras.Input((82,))
        model.lay_out(BRANCHES, OTHERS)
        try:
            keras.Model(inputs, model.head(model.build(inputs), 1, "linear"))
            errors.append("")
        except ValueError as error:
            errors.append(str(error))
    return errors


@pytest.mark.slow
def test_branches_are_of_many_families() -> None:
    """Recurrent and attention layers read texts, residual ones pictures; all steps of a text are no vector."""
    *others, steps, residual, pooled = run_in_process(_branches)
    assert [*others, residual, pooled] == [""] * 4
    assert steps == "text: expected one vector for note; received (12, 32)"
