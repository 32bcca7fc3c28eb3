"""The generated reference: every plug-in, command, key and variable is in it, and links are repaired."""

from __future__ import annotations

import re

import hooks
import pages
import pytest
from workspaces import ROOT

import tiltyard
from tiltyard import plugins
from tiltyard.cli.sections import SECTIONS
from tiltyard.config import key_help


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    """The text of each page."""
    return pages.reference()


@pytest.mark.parametrize(
    ("page", "folder"),
    [
        ("model-families", "models"),
        ("sources", "sources"),
        ("columns", "columns"),
        ("checks", "checks"),
        ("findings", "findings"),
        ("metrics", "evaluators"),
        ("references", "references"),
        ("explanations", "explanations"),
    ],
)
def test_every_plugin_is_listed(reference: dict[str, str], page: str, folder: str) -> None:
    """A plug-in that is added needs no line in the docs."""
    text = reference[f"reference/{page}.md"]
    assert [name for name in plugins.names(folder) if name not in text] == []


def test_every_command_and_member_is_listed(reference: dict[str, str]) -> None:
    """Commands in the order of --help, and the names of `import tiltyard as ty`."""
    commands = reference["reference/command-line.md"]
    assert [name for names in SECTIONS.values() for name in names if f"### {name}\n" not in commands] == []
    assert [name for name in tiltyard.__all__ if name not in reference["reference/python.md"]] == []
    assert "predict(task: str, data: Any) -> pd.DataFrame" in reference["reference/python.md"]


def test_every_key_has_a_row_with_its_meaning(reference: dict[str, str]) -> None:
    """Keys of all sections, with type and default."""
    text = reference["reference/task-file.md"]
    patience = next(key for key in key_help.describe("train").keys if key.name == "patience")
    assert f"| `patience` | integer | optional | {patience.meaning} |" in text
    sections = key_help.describe("").keys
    assert [key.name for key in sections if key.keys and f"## {key.name}\n" not in text] == []
    rows = [line for page in reference.values() for line in page.splitlines() if line.startswith("| `")]
    assert [line for line in rows if line.endswith("|  |")] == []


def test_routes_have_examples(reference: dict[str, str]) -> None:
    """V1, V2 and health are grouped, with the body of a prediction."""
    text = reference["reference/rest.md"]
    assert text.index("### POST /v1/models/iris:predict") < text.index("### POST /v2/models/iris/infer")
    assert '"sepal_length": 5.1' in text
    assert "### GET /readyz" in text


def test_every_environment_variable_is_described() -> None:
    """The page names each variable of ours that the code reads."""
    page = (ROOT / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
    code = [
        path.read_text(encoding="utf-8") for folder in ("src", "pipelines") for path in (ROOT / folder).rglob("*.py")
    ]
    known = {name for text in code for name in re.findall(r"\bTILTYARD_[A-Z_]+[A-Z]\b", text)}
    assert sorted(name for name in known if f"`{name}`" not in page) == []
    assert sorted(name for name in re.findall(r"`(TILTYARD_[A-Z_]+)`", page) if name not in known) == [
        "TILTYARD_COMPLETE"
    ]


def test_links_are_repaired() -> None:
    """Files of the repository that the site has are linked, others are text, unknown ones stay for the strict build."""
    known = {"benchmarks/GATE.md", "decisions/gate.md", "report/README.md", "CHANGELOG.md"}
    page = "decisions/gate.md"
    assert hooks.repair_links("[a](../../benchmarks/GATE.md#b)", page, known) == "[a](../benchmarks/GATE.md#b)"
    assert hooks.repair_links("[a](../../studies/cells.yaml)", page, known) == "a"
    assert hooks.repair_links("[a](gone.md) [b](https://c.d)", page, known) == "[a](gone.md) [b](https://c.d)"
    assert hooks.repair_links("[a](docs/report)", "CHANGELOG.md", known) == "[a](report/README.md)"
