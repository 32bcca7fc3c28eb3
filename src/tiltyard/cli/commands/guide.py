"""Commands that tell what there is: `tiltyard tasks`, `help` and `completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tiltyard.cli.commands._common import JSON, find_workspace, print_json
from tiltyard.errors import TaskError

SHELLS = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/tiltyard.fish"}


@click.command()
@JSON
def tasks(as_json: bool) -> None:
    r"""List the tasks of this project: their problem, data, model, and whether they run by default.

    \b
    tiltyard tasks --json       the same as JSON
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.config.overview import overview

    lines = overview(find_workspace())
    if as_json:
        print_json([asdict(line) for line in lines])
        return
    rows = [(one.task, one.problem, one.source, one.model, "yes" if one.listed else "no", one.title) for one in lines]
    tables.print_table(["task", "problem", "source", "model", "in params.yaml", "title"], rows)


@click.command("help")
@click.argument("key", required=False, default="")
@JSON
def help_(key: str, as_json: bool) -> None:
    r"""Explain a key of task files: its type, default, meaning, and the keys below it.

    \b
    tiltyard help                   the sections of a task file
    tiltyard help train             the keys of a section
    tiltyard help train.patience    one key
    tiltyard help model.mlp         the settings of a model family; the same for source.file, columns.number
    """
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.config.key_help import describe

    described = describe(key)
    if as_json:
        print_json(asdict(described))
        return
    if described.name:
        click.echo(f"{described.name}: {described.type}{described.default_text}")
    if described.meaning:
        click.echo(described.meaning)
    if described.keys:
        rows = [(one.name, one.type, one.default_value, one.meaning) for one in described.keys]
        tables.print_table(["key", "type", "default", "meaning"], rows)


@click.command()
@click.argument("shell", type=click.Choice([*SHELLS]))
def completion(shell: str) -> None:
    r"""Print the completion of commands, tasks and versions for a shell.

    \b
    tiltyard completion bash >> ~/.bashrc
    tiltyard completion zsh >> ~/.zshrc
    tiltyard completion fish > ~/.config/fish/completions/tiltyard.fish
    """
    from tiltyard.cli.main import cli

    found = get_completion_class(shell)
    if found is None:
        raise TaskError(f"no completion for {shell}")
    click.echo(found(cli, {}, "tiltyard", "_TILTYARD_COMPLETE").source())


COMMANDS = [tasks, help_, completion]
