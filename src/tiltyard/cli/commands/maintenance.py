"""Commands for the state of a project: `tiltyard gc`, `backup` and `restore`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiltyard.cli.commands._common import JSON, confirmed, find_workspace, print_json
from tiltyard.runtime import progress

if TYPE_CHECKING:
    from tiltyard.maintenance.retention import Garbage


MAX_LISTED = 30  # lines of a table in a terminal


@click.command()
@click.option("--keep", type=click.IntRange(0), default=5, show_default=True, help="Earlier champions to keep.")
@click.option("--record-days", type=click.FloatRange(0), default=365, show_default=True, help="Keep records so long.")
@click.option("--cache-days", type=click.FloatRange(0), default=30, show_default=True, help="Keep caches so long.")
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@JSON
def gc(dry_run: bool, yes: bool, as_json: bool, **limits: Any) -> None:
    r"""Remove old packages, records and cached files that nothing needs.

    Champions, the champions before them, running rollouts, the versions that were judged last, the ledger and all
    versions of the data stay. Pointers of removed packages are gone from the folder, but stay in git's history: with
    a remote, `git checkout` and `dvc pull` bring a package back.

    \b
    tiltyard gc --dry-run          what would be removed, and how many bytes
    tiltyard gc --keep 10 --yes    keep ten earlier champions of each task; do not ask
    """
    from tiltyard.maintenance import retention

    workspace, kept = find_workspace(), retention.Limits(**limits)
    with progress.status("gc: looking for what nothing needs"):
        found = retention.find(workspace, kept)
    if not as_json:
        _print_garbage(found)
    if found and not dry_run:
        if not (yes or confirmed(f"remove {len(found)} files and folders?")):
            click.echo("nothing was removed", err=True)
            sys.exit(1)
        found = retention.collect(workspace, kept)
    if as_json:
        print_json([asdict(each) for each in found])
    elif found and not dry_run:
        click.echo(f"removed {len(found)} files and folders, {_size(found)}")


def _print_garbage(found: list[Garbage]) -> None:
    """Print what is not needed, the largest first, and the sum."""
    from tiltyard.cli.output import tables

    if not found:
        click.echo("nothing to remove: everything is needed, or too new")
        return
    largest = sorted(found, key=lambda each: -each.bytes)
    rows = [(each.kind, each.path, f"{each.bytes / 1e6:,.1f}", each.reason) for each in largest[:MAX_LISTED]]
    tables.print_table(("kind", "path", "MB", "why"), rows)
    more = f", {len(found) - MAX_LISTED} of them not listed here (--json lists all)" if len(found) > MAX_LISTED else ""
    click.echo(f"{len(found)} files and folders, {_size(found)}{more}")


def _size(found: list[Garbage]) -> str:
    return f"{sum(each.bytes for each in found) / 1e6:,.1f} MB"


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@JSON
def backup(file: Path, as_json: bool) -> None:
    r"""Write all state of the project into FILE, a .tar.gz archive.

    It holds task files, raw data and its versions, seals, champions, ledgers, packages, keys, recorded predictions,
    searches and studies, and DVC's cache. Left out is what commands make again: out/, Bentos, logs. Runs and
    promotions wait meanwhile; the service goes on.

    \b
    tiltyard backup /mnt/backups/shop.tar.gz
    tiltyard restore /mnt/backups/shop.tar.gz        in a clone, or in an empty folder
    """
    from tiltyard.maintenance.backup import backup as action

    made = action(find_workspace(), file)
    if as_json:
        print_json({"path": made.path, "files": made.files, "bytes": made.bytes, "hashes": made.hashes})
    else:
        click.echo(f"{file}: {made.files:,} files, {made.bytes / 1e6:,.1f} MB before compression")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), default=".", help="The folder of the project."
)
@click.option("--force", is_flag=True, help="Replace files of the project that differ from those of the backup.")
@JSON
def restore(file: Path, into: Path, force: bool, as_json: bool) -> None:
    r"""Restore the state of a project from FILE, which `tiltyard backup` wrote.

    The archive is checked against its hashes before anything changes. Files that the backup does not have stay. After
    it, `tiltyard run` skips or restores the stages from DVC's cache, and `tiltyard serve` serves the champions.

    \b
    tiltyard restore /mnt/backups/shop.tar.gz                  in a clone of the project
    tiltyard restore /mnt/backups/shop.tar.gz --into shop      in a new folder
    """
    from tiltyard.maintenance.restore import restore as action

    restored = action(file, into.resolve(), force=force)
    if as_json:
        print_json(asdict(restored))
        return
    click.echo(f"{into}: {restored.files:,} files restored, {restored.unchanged:,} were there already")
    for path in restored.missing:
        click.echo(f"not in the backup: the folder of {path}; get it from the remote: dvc pull {path}", err=True)


COMMANDS = [gc, backup, restore]
