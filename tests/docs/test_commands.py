"""Every command of the docs is run in a fresh project, or at least parsed by its command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from documented_commands import MARKS, Command, commands, unmarked_shell_blocks, written_files
from workspaces import ROOT

from tiltyard.cli.main import cli

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted(path for name in ("tutorials", "how-to", "concepts") for path in (ROOT / "docs" / name).glob("*.md"))


def _run(page: Path) -> list[Command]:
    return [command for command in commands(page) if command.mark != "parse"]


ALL = [command for page in PAGES for command in commands(page)]
# with more than one whole run, a page takes more than a minute
LONG = [page for page in PAGES if sum(bool(re.search(r"tiltyard run(?! --smoke)", c.line)) for c in _run(page)) > 1]
RUNNING = [page for page in PAGES if _run(page)]


def test_every_page_with_commands_is_found() -> None:
    """Marks are known ones, no block of shell commands escapes, and the quickstart runs."""
    assert {command.mark for command in ALL} <= MARKS
    assert [line for page in PAGES for line in unmarked_shell_blocks(page)] == []
    assert len(ALL) > 40
    assert ROOT / "docs" / "quickstart.md" in RUNNING


def _commands(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield command
        if isinstance(command, click.Group):
            yield from _commands(command)


def _calls(line: str) -> Iterator[list[str]]:
    """Yield the words of each call of tiltyard in a line, which may have pipes, redirections and variables."""
    words = shlex.shlex(line.replace("\\\n", " "), posix=True, punctuation_chars=True)
    words.whitespace_split = True
    call: list[str] = []
    for word in [*words, ";"]:
        if {*word} <= {*"&|;<>"}:  # the end of a command, or a redirection
            if call[:1] == ["tiltyard"]:
                yield call
            call = [word] if {*word} <= {*"<>"} else []
        elif call or "=" not in word:  # a variable stands before the command
            call.append(word)


CALLS = sorted({tuple(words) for command in ALL for words in _calls(command.line)})


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_commands_parse(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call of tiltyard is accepted by its command, which is not run."""
    parsed = []
    for command in _commands(cli):
        if not isinstance(command, click.Group):
            monkeypatch.setattr(command, "callback", lambda **options: parsed.append(options))
    result = CliRunner().invoke(cli, [*words[1:]])
    assert result.exit_code == 0, result.output
    assert parsed or {"--help", "--version"} & {*words}


@pytest.mark.smoke
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.nightly if page in LONG else ()) for page in RUNNING],
    ids=[page.stem for page in RUNNING],
)
def test_commands_run(page: Path, tmp_path: Path) -> None:
    """The commands of a page succeed in order, in a new project that has the files of the page."""
    run = _Session(tmp_path, dict(written_files(page)))
    try:
        if not any("tiltyard new shop" in command.line for command in commands(page)):
            run.call(Command(page.stem, "tiltyard new shop && cd shop", "run"))
        for command in commands(page):
            run.call(command)
    finally:
        run.stop()


class _Session:
    """A shell session: the working folder, files to write into the project, and services in the background."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self.folder, self.files = folder, files
        self.servers: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if name not in ("TILTYARD_ROOT", "PYTHONHOME")},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "COLUMNS": "120",
            "BROWSER": "true",  # what opens pages
        }

    def call(self, command: Command) -> None:
        """Run one command; `cd` changes the folder for those after it."""
        if command.mark == "server":
            self._serve(command.line)
        elif command.mark != "parse":
            if not command.line.startswith("cd "):
                self._finish(command)
            if entered := re.search(r"(?:^|&& )cd (\S+)$", command.line):
                self._enter(entered[1])

    def _enter(self, name: str) -> None:
        """Make a folder the working folder, and write the files of the page into it."""
        self.folder /= name
        for path, text in self.files.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text, encoding="utf-8")

    def _finish(self, command: Command) -> None:
        expected = int(command.mark.removeprefix("status ")) if command.mark.startswith("status ") else 0
        done = subprocess.run(
            ["bash", "-c", command.line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )
        assert done.returncode == expected, f"{command.line}\n{done.stdout}\n{done.stderr}"
        _compare(command, done.stdout + done.stderr)

    def _serve(self, line: str) -> None:
        self.servers.append(subprocess.Popen(["bash", "-c", f"exec {line}"], cwd=self.folder, env=self.environment))
        for _ in range(600):
            try:
                with urllib.request.urlopen("http://127.0.0.1:3000/readyz", timeout=5):
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail(f"no answer after {line}")

    def stop(self) -> None:
        """End the services."""
        for server in self.servers:
            server.terminate()
            server.wait(60)


def _compare(command: Command, printed: str) -> None:
    """Compare what a command printed with the page: its lines, with any numbers, versions and times in them."""
    have = {_shape(line) for line in printed.splitlines()}
    for line in command.printed.splitlines():
        if line.strip() and "..." not in line:
            assert _shape(line) in have, f"{command.page}: $ {command.line}\n{line}\nis not in\n{printed}"


def _shape(line: str) -> str:
    """Return a line without versions, numbers, addresses of folders and runs of blanks."""
    line = re.sub(r"\b[0-9a-f]{12}\b", "VERSION", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "TIME", line)
    return re.sub(r"\s+|[-─━]{2,}", " ", re.sub(r"-?\d[\d.,e+-]*", "0", line)).strip()
