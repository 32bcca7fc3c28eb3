"""Invalid task files: errors name the key, the expected and the received value, before anything runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workspaces import ROOT, edit_task

from tiltyard.config import loader
from tiltyard.errors import TaskError
from tiltyard.workspace import Workspace

REFUSED = [
    ("iris", {"train.epoch": 3}, r"train: unknown key 'epoch' \(did you mean 'epochs'\?\)"),
    ("iris", {"colour": "red"}, r"unknown key 'colour' .*; expected one of name, title, problem"),
    ("iris", {"gate.metric": "acuracy"}, "gate.metric: expected one of accuracy, .*; received acuracy"),
    ("iris", {"train.batch_size": 1000}, "train.batch_size: expected 1 to 90, .*; received 1000"),
    (
        "iris",
        {"model.output": "linear"},
        "model.output: expected softmax or sigmoid for classification; received linear",
    ),
    ("iris", {"model.output": "sigmoid"}, "model.output: expected softmax for 3 classes; received sigmoid"),
    ("iris", {"train.loss": "mse"}, "train.loss: expected sparse_categorical_crossentropy or .* with a softmax output"),
    (
        "diabetes",
        {"model.output": "softmax"},
        "model.output: expected linear or exponential for regression; received softmax",
    ),
    (
        "diabetes",
        {"train.loss": "binary_crossentropy"},
        "train.loss: expected mse or mae or huber or pseudo_huber with a linear output",
    ),
    ("diabetes", {"split.kind": "stratified"}, "split.kind: expected random or chronological"),
    ("diabetes", {"target.classes": ["a", "b"]}, "target.classes: expected none for regression"),
    ("iris", {"target.classes": None}, "target.classes: expected the list of labels for classification"),
    ("iris", {"target.classes": ["a", "a"]}, "target.classes: expected each label once"),
    ("iris", {"target.column": "petal_width"}, "columns.petal_width: expected features only; this is the target"),
    (
        "iris",
        {"train.augment": {"rotation": 5}},
        "train.augment: expected only for images, except mixup; received table columns",
    ),
    ("iris", {"model": {"family": "cnn"}}, "model.family: cnn takes image; received table columns"),
    ("iris", {"rows": [10, 5]}, "rows: expected the minimum, then the maximum"),
    ("iris", {"split.test": 0.9}, r"split: expected test \+ validation below 1; received 1.1"),
    ("iris", {"train.epochs": "many"}, "train.epochs: expected a valid integer; received 'many'"),
    ("iris", {"train.learning_rate": -1}, "train.learning_rate: expected greater than 0; received -1"),
    ("iris", {"title": None}, "title: expected this key; it is missing"),
    ("iris", {"name": "rose"}, "name: expected 'iris', the file's name; received 'rose'"),
    ("iris", {"source.kind": "sklern"}, "source: .*sklern"),
    ("iris", {"columns.petal_width.bounds": [4, 1]}, "bounds: expected the lower one first"),
    ("sine", {"split.kind": "random"}, "split.kind: expected chronological for series; received random"),
    ("sine", {"problem": "regression", "gate.metric": "rmse"}, "problem: expected forecasting for series"),
    ("digits", {"columns.noise": {"type": "number"}}, "model.family: cnn takes image; received mixed columns"),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED)
def test_invalid_key_is_rejected_by_name(
    workspace: Workspace, name: str, changes: dict[str, Any], message: str
) -> None:
    """Each error names the file, the key, the expected and the received value."""
    edit_task(workspace, name, changes)
    with pytest.raises(TaskError, match=f"tasks/{name}.yaml: .*{message}"):
        loader.load(workspace, name)


def test_all_errors_are_reported_at_once(workspace: Workspace) -> None:
    """Two errors in a file are reported on two lines."""
    edit_task(workspace, "iris", {"train.epochs": 0, "split.test": 7})
    with pytest.raises(TaskError) as error:
        loader.load(workspace, "iris")
    assert len(error.value.message.splitlines()) == 2


def test_duplicate_key_is_rejected() -> None:
    """A repeated key is refused instead of overwritten."""
    with pytest.raises(TaskError, match="key 'title' twice"):
        loader.parse("title: a\ntitle: b\n", "iris", "tasks/iris.yaml")


def test_unknown_task_error_lists_known_tasks(workspace: Workspace) -> None:
    """The error for a misspelled task lists the existing ones."""
    with pytest.raises(TaskError, match="no task 'irish': expected one of diabetes, digits, iris, sine"):
        loader.load(workspace, "irish")


def test_unknown_task_error_suggests_similar_names() -> None:
    """With many tasks, up to three similar names are suggested, if there are any."""
    project = Workspace(ROOT)
    with pytest.raises(TaskError, match=r"no task 'mnist_cn': did you mean mnist_cnn( or \w+){0,2}\?$"):
        loader.load(project, "mnist_cn")
    with pytest.raises(TaskError, match=r"no task 'qqqq': none of the \d+ tasks has a similar name$"):
        loader.load(project, "qqqq")


def test_empty_project_error_says_how_to_draft_a_task(workspace: Workspace) -> None:
    """Without tasks, the hint says how to draft one."""
    for path in (workspace.root / "tasks").glob("*.yaml"):
        path.unlink()
    workspace.params.write_text("tasks: []\n", encoding="utf-8")
    with pytest.raises(TaskError, match="there are none yet") as caught:
        loader.load(workspace, "iris")
    assert "tiltyard init" in caught.value.hint


EXAMPLES = [
    ("iris", {"serve.example": 5}, "serve.example: expected an object"),
    ("iris", {"serve.example.sepal_length": None}, "serve.example.sepal_length: it is missing; expected "),
    ("iris", {"serve.example.colour": 1}, "serve.example.colour: no column has this name; expected "),
    ("iris", {"serve.example.sepal_length": "long"}, "serve.example.sepal_length: expected a number; received 'long'"),
    ("iris", {"serve.example.sepal_length": 99}, "serve.example.sepal_length: expected 3 to 10; received 99"),
    ("iris", {"serve.example.sepal_length": float("nan")}, "serve.example.sepal_length: expected a finite number"),
    ("iris", {"columns.petal_width": None}, "serve.example.petal_width: no column has this name"),
    ("digits", {"serve.example": [[0, 1]]}, "serve.example: expected numbers nested"),
    ("digits", {"serve.example": {"b64": "aGk="}}, "serve.example: expected a whole PNG, JPEG, WebP or TIFF file"),
    ("sine", {"serve.example": [1.0, 2.0]}, "serve.example: expected 32 numbers; received 2"),
]


@pytest.mark.parametrize(("name", "changes", "message"), EXAMPLES)
def test_invalid_example_is_rejected(workspace: Workspace, name: str, changes: dict[str, Any], message: str) -> None:
    """The example is validated as a request to the service."""
    edit_task(workspace, name, changes)
    with pytest.raises(TaskError, match=f"^tasks/{name}.yaml: {message}"):
        loader.load(workspace, name)


PYDANTIC = re.compile(
    r"Input|Value error|should (be|have|match)|valid (string|array|dict)|discriminator|unicode|object;"
)
INVALID_VALUES: list[tuple[str, Any, str]] = [
    ("title", 3, "title: expected text; received 3"),
    ("source", [1], r"source: expected keys and values; received \[1\]"),
    ("source", {}, "source: kind: expected this key; it is missing"),
    ("columns", {}, "columns: expected at least 1 item$"),
    ("columns.petal_width", {"type": "nosuch"}, "columns.petal_width: type: expected one of boolean, .*'nosuch'"),
    ("columns.petal_width", {"type": "category", "values": [1.5]}, "values.0: expected text or a valid integer"),
    ("target.classes", ["a"], r"target.classes: expected at least 2 items; received \['a'\]"),
    ("expect", [{"expectation": "Foo"}], "expect.0.expectation: expected text that matches "),
    ("rows", [1, 2, 3], "rows: expected at most 2 items"),
    ("train.schedule", {"kind": "cosin"}, r"train.schedule: kind: expected one of .*did you mean 'cosine'\?"),
    ("model.units", "many", "model.units: expected a list; received 'many'"),
    ("search", {"train.epochs": {"low": 1}}, "search.train.epochs: expected low and high, or among; received low"),
    ("title", ["x" * 50] * 50, r"title: expected text; received .{100,110}\.\.\.$"),
    ("serve.max_instances", None, "^tasks/iris.yaml: "),
]


@pytest.mark.parametrize(("key", "value", "message"), INVALID_VALUES)
def test_error_messages_hide_pydantic_wording(workspace: Workspace, key: str, value: Any, message: str) -> None:
    """Messages of pydantic never reach the user, whatever key is invalid."""
    content = yaml.safe_load(workspace.task_file("iris").read_text(encoding="utf-8"))
    section = content
    *parents, last = key.split(".")
    for parent in parents:
        section = section[parent]
    section[last] = value
    with pytest.raises(TaskError, match=message) as caught:
        loader.parse(yaml.safe_dump(content), "iris", "tasks/iris.yaml")
    assert not PYDANTIC.search(caught.value.message)


@given(text=st.text(max_size=200))
def test_any_text_is_a_task_or_an_error(text: str) -> None:
    """Any text gives a task or a TaskError."""
    with pytest.raises(TaskError):
        loader.parse(text, "iris", "tasks/iris.yaml")


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers()))


@given(data=st.data())
def test_any_value_is_accepted_or_rejected(data: st.DataObject) -> None:
    """Any value at any key gives a task or a TaskError."""
    content = yaml.safe_load((ROOT / "tasks" / "iris.yaml").read_text(encoding="utf-8"))
    section = content
    while isinstance(section[key := data.draw(st.sampled_from(sorted(section)))], dict) and data.draw(st.booleans()):
        section = section[key]
    section[key] = data.draw(LEAVES)
    try:
        loader.parse(yaml.safe_dump(content, allow_unicode=True), "iris", "tasks/iris.yaml")
    except TaskError as error:
        assert error.message.startswith("tasks/iris.yaml: ")  # noqa: PT017 - either outcome is right
        assert not PYDANTIC.search(error.message)  # noqa: PT017


def test_every_key_has_a_description() -> None:
    """Editors, `tiltyard help` and the reference show words for each key: its own, or those of its section."""
    sections = {"the task": (schema := loader.json_schema()), **schema["$defs"]}
    described = {f"#/$defs/{name}" for name, section in schema["$defs"].items() if "description" in section}
    without = [
        f"{name}.{key}"
        for name, section in sections.items()
        for key, found in section.get("properties", {}).items()
        if "description" not in found and found.get("$ref") not in described
    ]
    assert not without, f"add Field(description=...) to {', '.join(without)}"


def test_descriptions_are_inherited() -> None:
    """The key that names a plug-in has the words of its class; a key with another default those of the base class."""
    definitions = loader.json_schema()["$defs"]
    assert definitions["Mlp"]["properties"]["family"]["description"] == "Dense layers of the given widths."
    inherited = definitions["Resnet"]["properties"]["batch_norm"]["description"]
    assert inherited.startswith("Batch normalisation after each hidden layer")


def test_committed_schema_matches_the_command() -> None:
    """tasks/schema.json equals the output of `tiltyard schema`."""
    assert json.loads((ROOT / "tasks" / "schema.json").read_text(encoding="utf-8")) == loader.json_schema()


def test_loading_a_task_imports_no_heavy_packages() -> None:
    """Reading a task imports neither pandas nor Keras nor other heavy packages."""
    code = "import sys, tiltyard.cli.main, tiltyard.config.loader; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "pandas",
        "keras",
        "tensorflow",
        "great_expectations",
        "prefect",
        "bentoml",
        "dvc",
        "sklearn",
        "matplotlib",
    }
    assert not heavy & set(modules)
