"""The commands that look at versions of data, and go back to one."""

from __future__ import annotations

import click

from tiltyard.cli.commands._common import JSON, TASK, one_changing, print_json, run_one


class Listing(click.Group):
    """A group whose first word may be a task instead of a command: then its versions are listed."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put the command in front that is meant."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["list", *args])


@click.group(cls=Listing)
def data() -> None:
    r"""Look at the versions of a task's raw data, and go back to one.

    \b
    tiltyard data iris                    every version: hash, date, rows, git commit
    tiltyard data diff iris               what lies there now against the version before
    tiltyard data diff iris 4f1c 9a0e     one version against another
    tiltyard data checkout iris 4f1c      put that version into data/raw/iris; then: tiltyard run iris
    """


@data.command("list")
@TASK
@JSON
def versions(task: str, as_json: bool) -> None:
    """List the versions, oldest first."""
    from tiltyard.cli.output import tables
    from tiltyard.data import history as verb
    from tiltyard.preparation.modalities.base import reader

    rows = run_one(task, lambda w, t: verb.list_versions(w, t.name, reader(t)))
    if as_json:
        print_json(rows)
    else:
        tables.versions(rows)


@data.command()
@TASK
@click.argument("old", required=False)
@click.argument("new", required=False)
@JSON
def diff(task: str, old: str | None, new: str | None, as_json: bool) -> None:
    """Show what changed from OLD to NEW: rows, cells, columns, and how values are spread."""
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.data import history as verb
    from tiltyard.preparation.modalities.base import reader

    change = run_one(task, lambda w, t: verb.diff(w, t.name, reader(t), old, new))
    if as_json:
        print_json(asdict(change))
    else:
        tables.change(change)


@data.command()
@TASK
@click.argument("version")
@JSON
def checkout(task: str, version: str, as_json: bool) -> None:
    """Put VERSION into data/raw/TASK; what is trained of it is the model that it was."""
    from tiltyard.data import history as verb

    found = one_changing(task, lambda w, t: verb.checkout(w, t.name, version))
    if as_json:
        print_json(found.model_dump())
    else:
        click.echo(f"{task}: data/raw/{task} is version {found.data[:12]} of {found.time[:10]} again")


COMMANDS = [data]
