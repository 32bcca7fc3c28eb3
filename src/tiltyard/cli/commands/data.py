"""The command `tiltyard data`: list, compare and restore versions of raw data."""

from __future__ import annotations

import click

from tiltyard.cli.commands._common import JSON, TASK, print_json, run_task, run_task_locked


class ListByDefault(click.Group):
    """A group that takes a task in place of a subcommand, and then runs `list`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Insert the subcommand `list` if the first argument is not a subcommand."""
        return super().resolve_command(ctx, args if args[0] in self.commands else ["list", *args])


@click.group(cls=ListByDefault)
def data() -> None:
    r"""List, compare and restore versions of a task's raw data.

    \b
    tiltyard data iris                    all versions: hash, date, rows, git commit
    tiltyard data diff iris               compare the current data with the version before
    tiltyard data diff iris 4f1c 9a0e     compare two versions
    tiltyard data checkout iris 4f1c      restore that version in data/raw/iris; then: tiltyard run iris
    """


@data.command("list")
@TASK
@JSON
def versions(task: str, as_json: bool) -> None:
    """List the versions of a task's raw data, oldest first."""
    from tiltyard.cli.output import tables
    from tiltyard.data import versions as action
    from tiltyard.preparation.modalities.base import version_reader

    rows = run_task(task, lambda w, t: action.list_versions(w, t.name, version_reader(t)))
    if as_json:
        print_json(rows)
    else:
        tables.print_data_versions(rows)


@data.command()
@TASK
@click.argument("old", required=False)
@click.argument("new", required=False)
@JSON
def diff(task: str, old: str | None, new: str | None, as_json: bool) -> None:
    """Show what changed between two versions. It compares rows, cells, columns and distributions."""
    from dataclasses import asdict

    from tiltyard.cli.output import tables
    from tiltyard.data import versions as action
    from tiltyard.preparation.modalities.base import version_reader

    change = run_task(task, lambda w, t: action.diff(w, t.name, version_reader(t), old, new))
    if as_json:
        print_json(asdict(change))
    else:
        tables.print_diff(change)


@data.command()
@TASK
@click.argument("version")
@JSON
def checkout(task: str, version: str, as_json: bool) -> None:
    """Restore VERSION in data/raw/TASK. Training on it gives the same model as before."""
    from tiltyard.data import versions as action

    restored = run_task_locked(task, lambda w, t: action.checkout(w, t.name, version))
    if as_json:
        print_json(restored.model_dump())
    else:
        click.echo(f"{task}: data/raw/{task} is restored to version {restored.data[:12]} of {restored.time[:10]}")


COMMANDS = [data]
