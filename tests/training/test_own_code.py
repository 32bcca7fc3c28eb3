"""Models of one's own code: what a function may build, errors with the line, the record, the version and DVC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from linear_challengers import prepare_task
from workspaces import edit_task, new_workspace, run_in_process

from tiltyard import files
from tiltyard.config import loader
from tiltyard.data import stage_code
from tiltyard.errors import TaskError, TiltyardError
from tiltyard.modeling.inference.predictor import Predictor
from tiltyard.workspace import Workspace

CODE = """
from keras import layers


def build(features, units=8):
    x = layers.Dense(units, activation="relu")(layers.Flatten()(features))
    return x
"""
MODEL = {"family": "python", "path": "models/mine.py:build"}


def _workspace(root: Path, code: str = CODE, **model: Any) -> Workspace:
    """Return a project in which iris is by a function of its own."""
    workspace = new_workspace(root)
    edit_task(workspace, "iris", {"model": {**MODEL, **model}, "train.epochs": 2})
    (root / "models").mkdir()
    (root / "models" / "mine.py").write_text(code, encoding="utf-8")
    return workspace


def _train(root: str) -> tuple[dict[str, Any], str]:
    """Train iris; return the record and the version, or the error."""
    from tiltyard.modeling.inference.predictor import version
    from tiltyard.training.train import train

    workspace = Workspace(Path(root))
    try:
        record = train(workspace, loader.load(workspace, "iris"))
    except TiltyardError as error:
        return {"error": f"{error.message} | {error.hint}"}, ""
    return record, version(workspace.out("iris", "train"))


def _build(code: str, shape: tuple[int, ...], root: str, **settings: Any) -> str:
    """Build layers on features of a shape; return the shape, or the error."""
    import keras

    (Path(root) / "mine.py").write_text(code, encoding="utf-8")
    model = loader.build(_model_class(), {"family": "python", "path": "mine.py:build", "settings": settings}, "task")
    try:
        model.inherit(Workspace(Path(root)))
        return str(model.build(keras.Input(shape)).shape)
    except TiltyardError as error:
        return f"{error.message} | {error.hint}"


def _model_class() -> Any:
    from tiltyard import plugins

    return plugins.load("models", "python")


def _build_all(cases: list[tuple[str, tuple[int, ...]]], root: str) -> list[str]:
    return [_build(code, shape, root) for code, shape in cases]


IMPORTS = "import keras\nfrom keras import layers\n"
TWICE = "class Twice(layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
WRONG: dict[str, tuple[str, tuple[int, ...], str]] = {
    "no function": (
        "def built(f):\n    return f\n",
        (4,),
        "expected a function build in mine.py (did you mean 'built'?)",
    ),
    "no code": ("build = 3\n", (4,), "received int of that name"),
    "syntax": ("def build(f):\n    return (\n", (4,), "mine.py, line 2: SyntaxError"),
    "import": ("import nowhere\n", (4,), "mine.py, line 1: ModuleNotFoundError: No module named 'nowhere'"),
    "exception": ("def build(f):\n    return 1 / 0\n", (4,), "mine.py, line 2, in build: ZeroDivisionError"),
    "exit": ("import sys\ndef build(f):\n    sys.exit()\n", (4,), "mine.py, line 3, in build: SystemExit"),
    "argument": ("def build():\n    pass\n", (4,), "mine.py, in build: TypeError: build() takes 0 positional"),
    "no tensor": (
        "def build(f):\n    return None\n",
        (4,),
        "expected a Keras tensor, layer or model; received NoneType",
    ),
    "shape": (
        f"{IMPORTS}def build(f):\n    return layers.Conv2D(3, 3)(f)\n",
        (8, 8, 1),
        "expected an output of shape (rows, numbers), to which the output layer is added; received (rows, 6, 6, 3)",
    ),
    "other input": (
        f"{IMPORTS}def build(f):\n    return layers.Dense(2)(keras.Input((4,)))\n",
        (4,),
        "expected layers on `features`",
    ),
    "layer of one's own": (
        f"{IMPORTS}{TWICE}def build(f):\n    return Twice()(f)\n",
        (4,),
        "so that the saved network can be read; received Twice",
    ),
    "activation of one's own": (
        f"{IMPORTS}def twice(x):\n    return 2 * x\ndef build(f):\n    return layers.Dense(2, activation=twice)(f)\n",
        (4,),
        "received twice",
    ),
    "lambda": (f"{IMPORTS}def build(f):\n    return layers.Lambda(lambda x: x)(f)\n", (4,), "received Lambda"),
    "normalization": (
        f"{IMPORTS}def build(f):\n    return layers.Normalization()(f)\n",
        (4,),
        "expected no Normalization",
    ),
    "name": (
        f"{IMPORTS}def build(f):\n    return layers.Dense(2, name='output')(f)\n",
        (4,),
        "expected other names of layers",
    ),
}
RIGHT = {
    "tensor": (CODE, (4,), "(None, 8)"),
    "model": (f"{IMPORTS}def build(f):\n    return keras.Sequential([layers.Dense(3)])\n", (4,), "(None, 3)"),
    "operations": (f"{IMPORTS}def build(f):\n    return keras.ops.tanh(f) + f\n", (4,), "(None, 4)"),
    "images": (f"{IMPORTS}def build(f):\n    return layers.GlobalMaxPooling2D()(f)\n", (8, 8, 2), "(None, 2)"),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What comes of each case, all in one process."""
    cases = {**WRONG, **RIGHT}
    results = run_in_process(
        _build_all, [(code, shape) for code, shape, _ in cases.values()], str(tmp_path_factory.mktemp("cases"))
    )
    return dict(zip(cases, results, strict=True))


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_errors_with_the_line(case: str, built: dict[str, str]) -> None:
    """Each names the file, and what was expected and received; none is a traceback."""
    assert WRONG[case][2] in built[case]
    assert built[case].startswith("model.path: ")


@pytest.mark.parametrize("case", RIGHT)
def test_tensors_layers_and_models_are_taken(case: str, built: dict[str, str]) -> None:
    """The function may return the tensor, or a model to apply to the features."""
    assert built[case] == RIGHT[case][2]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("../mine.py:build", "expected a path inside the project"),
        ("/etc/mine.py:build", "expected a path inside the project"),
        ("mine.py", "model.path"),
        ("mine.pyc:build", "model.path"),
        ("mine.py:build()", "model.path"),
    ],
)
def test_other_paths_are_refused(path: str, part: str, tmp_path: Path) -> None:
    """A path leads to a file of Python inside the project, and names a function."""
    workspace = _workspace(tmp_path, path=path)
    with pytest.raises(TaskError, match=r"model\.path") as raised:
        loader.load(workspace, "iris")
    assert part in raised.value.message


def test_links_out_of_the_project_and_missing_files_are_refused(tmp_path: Path) -> None:
    """Neither is read."""
    workspace = _workspace(tmp_path / "project", path="link.py:build")
    (tmp_path / "secret.py").write_text(CODE, encoding="utf-8")
    (workspace.root / "link.py").symlink_to(tmp_path / "secret.py")
    model = loader.load(workspace, "iris").model
    with pytest.raises(TaskError, match="expected a file inside the project"):
        model.inherit(workspace)
    (workspace.root / "link.py").unlink()
    with pytest.raises(TaskError, match=r"there is no link\.py"):
        model.inherit(workspace)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ensemble": [{"model": MODEL}], "model": {"family": "mlp"}}, "expected code only of the first model"),
        ({"problem": "anomaly"}, "expected autoencoder for anomaly; received python"),
    ],
)
def test_unsupported_uses_are_refused(changes: dict[str, Any], part: str, tmp_path: Path) -> None:
    """Not as a further member, and only for problems whose output layer is one dense layer."""
    workspace = _workspace(tmp_path)
    edit_task(workspace, "iris", changes)
    with pytest.raises(TaskError) as raised:
        loader.load(workspace, "iris")
    assert part in raised.value.message


def test_a_forecast_is_not_trained_again_in_its_evaluation(tmp_path: Path) -> None:
    """Walk-forward evaluation would run the code in the stage evaluate."""
    workspace = _workspace(tmp_path)
    edit_task(workspace, "sine", {"model": MODEL, "evaluate": {"walk_forward": {"every": 50}}})
    with pytest.raises(TaskError, match="whose code runs in training only"):
        loader.load(workspace, "sine")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A project in which iris is prepared."""
    workspace = _workspace(tmp_path_factory.mktemp("own") / "project", settings={"units": 5})
    prepare_task(workspace, "iris")
    return workspace


@pytest.mark.slow
def test_code_is_trained_exported_and_recorded(project: Workspace) -> None:
    """The settings arrive, ONNX agrees, the hash of the file is recorded, and a comment makes another version."""
    record, version = run_in_process(_train, str(project.root))
    path = project.root / "models" / "mine.py"
    assert record["own_code"] == {
        "path": "models/mine.py",
        "function": "build",
        "sha256": files.file_digest(path).hex(),
    }
    assert record["parameters"] == 4 * 5 + 5 + 5 * 3 + 3
    assert record["parity"] < 1e-5
    assert Predictor.load(project.out("iris", "train")).encoder.classes == ["setosa", "versicolor", "virginica"]
    path.write_text(CODE + "# a comment\n", encoding="utf-8")
    again, other = run_in_process(_train, str(project.root))
    assert again["history"] == record["history"]
    assert other != version


@pytest.mark.slow
def test_an_error_in_training_leaves_no_model(project: Workspace) -> None:
    """The outputs of the training before stay, and the error has the line."""
    path = project.root / "models" / "mine.py"
    path.write_text("def build(features, units):\n    raise OSError('no room')\n", encoding="utf-8")
    before = sorted(project.out("iris", "train").iterdir()) if project.out("iris", "train").is_dir() else []
    record, _ = run_in_process(_train, str(project.root))
    assert record["error"].startswith("model.path: models/mine.py, line 2, in build: OSError: no room")
    assert before == (sorted(project.out("iris", "train").iterdir()) if before else [])


def test_the_hash_of_the_file_is_that_of_its_task_alone(tmp_path: Path) -> None:
    """DVC compares it by task; tests/pipelines/test_true_stages.py has what an edit makes out of date."""
    workspace = _workspace(tmp_path)
    before = stage_code.write(workspace)[stage_code.MODELS]
    assert before["sine"] == ""
    (workspace.root / "models" / "mine.py").write_text(CODE + "# edited\n", encoding="utf-8")
    after = stage_code.write(workspace)[stage_code.MODELS]
    assert {name for name in before if before[name] != after[name]} == {"iris"}
    (workspace.root / "models" / "mine.py").unlink()
    assert stage_code.models(workspace)["iris"] not in (before["iris"], after["iris"], "")
