"""Commands about a whole project: `tiltyard new`, `eject` and `code`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tiltyard.cli.commands._common import JSON, find_workspace, print_json

if TYPE_CHECKING:
    from tiltyard.project.new import Written


@click.command()
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--update", "updating", is_flag=True, help="Write the files of this project again that were not edited.")
@JSON
def new(folder: Path | None, updating: bool, as_json: bool) -> None:
    r"""Make a project in a new folder, with an example task.

    It has tasks/ with the example, dvc.yaml, params.yaml, a local DVC remote, .gitignore, a workflow for GitHub, and a
    pyproject.toml that pins this version of Tiltyard.

    \b
    tiltyard new shop           make the folder shop; then: cd shop && tiltyard run
    tiltyard new .              make a project of this folder
    tiltyard new --update       after an upgrade: write again what was not edited
    """
    from tiltyard.project import new as action

    if updating == (folder is not None):
        raise click.UsageError("expected a folder, or --update in a project")
    done = action.update(find_workspace()) if folder is None else action.new(folder.resolve())
    if as_json:
        print_json({**asdict(done), "root": str(done.root)})
    else:
        _print(done, updating=updating)


def _print(done: Written, *, updating: bool) -> None:
    for name in done.written:
        click.echo(f"wrote {name}")
    for name in done.kept:
        click.echo(f"kept {name}, which was edited: this version would write another one")
    if updating:
        if not done.written:
            click.echo("nothing to write: every other file is current")
        return
    place = os.path.relpath(done.root)
    click.echo(f"next: {'' if place == '.' else f'cd {place} && '}tiltyard run")


@click.command()
@click.argument("what", type=click.Choice(["serving"]))
@click.option("--force", is_flag=True, help="Overwrite files that exist already.")
@JSON
def eject(what: str, force: bool, as_json: bool) -> None:
    r"""Copy files of Tiltyard into this project, to edit them there.

    \b
    tiltyard eject serving      the service, its container file and manifests, with a wheel of the code that they run
    """
    from tiltyard.project.eject import eject_serving

    written = eject_serving(find_workspace(), force=force)
    if as_json:
        print_json({what: written})
        return
    for name in written:
        click.echo(f"wrote {name}")


@click.command()
@JSON
def code(as_json: bool) -> None:
    r"""Write the fingerprints of the installed code, and of Python files that tasks name.

    The stages of dvc.yaml depend on them. `dvc repro` runs this as the stage `code`; other commands do the same.

    \b
    tiltyard code --json    a fingerprint for each stage: it changes when an upgrade changes what the stage computes
    """
    from tiltyard.data import stage_code

    written = stage_code.write(find_workspace())
    if as_json:
        print_json(written)
    else:
        click.echo(f"{stage_code.CODE}: {', '.join(written)}")


COMMANDS = [new, eject, code]
