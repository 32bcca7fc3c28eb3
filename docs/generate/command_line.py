"""The help of every command."""

from __future__ import annotations

from collections.abc import Iterator

import click
import markdown_text as markdown

from tiltyard.cli.main import cli
from tiltyard.cli.sections import SECTIONS

INTRODUCTION = """Every command takes the names of tasks, or works for all tasks if none is named. Commands that print
data have `--json`. Results go to stdout, progress and errors to stderr."""
STATUSES = (
    ("0", "Success: each task was promoted, or nothing changed."),
    ("1", "An error. The message says what was wrong, what was expected, what was received, and what to type next."),
    ("2", "Wrong usage: an unknown command or option."),
    ("3", "HOLD: the challenger is not proven to be better. `run`, `promote` and `quantize`."),
    ("4", "REJECT: the challenger is unfit for production. `run`, `promote` and `quantize`."),
    ("130", "Interrupted by Ctrl-C."),
)


def page() -> str:
    """Return the page: exit statuses, then commands in the order of `tiltyard --help`."""
    parts = [INTRODUCTION, "## Exit statuses", markdown.table(("status", "meaning"), STATUSES)]
    parts += ["## tiltyard", _help(cli, "tiltyard")]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        for name in names:
            parts += _command(cli.commands[name], f"tiltyard {name}")
    return markdown.page("Command line", *parts)


def _command(command: click.Command, path: str) -> Iterator[str]:
    yield f"### {path.removeprefix('tiltyard ')}"
    yield _help(command, path)
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _command(command.commands[name], f"{path} {name}")


def _help(command: click.Command, path: str) -> str:
    with click.Context(command, info_name=path, max_content_width=100, terminal_width=100) as context:
        return markdown.block(command.get_help(context))
