"""The command `tiltyard recommend`: items for a user, items like an item, users like a user."""

from __future__ import annotations

from typing import Any

import click

from tiltyard.cli.commands._common import JSON, TASK, print_json, run_task

BASIS = {
    "user": "by what the user has rated so far",
    "ratings": "by the given ratings",
    "popularity": "the most popular ones, since nothing is known of the user",
}


@click.command()
@TASK
@click.option("--user", help="Recommend items to this user.")
@click.option("--rated", multiple=True, metavar="ITEM=RATING", help="Recommend to somebody who has rated this; repeat.")
@click.option("--like", metavar="ITEM", help="Find the items that are most like this one.")
@click.option("--like-user", metavar="USER", help="Find the users who are most like this one.")
@click.option("--find", metavar="TEXT", help="Find items by a part of their title, or by their identifier.")
@click.option("--k", default=10, show_default=True, type=click.IntRange(1, 100), help="How many to list.")
@click.option("--exclude", multiple=True, metavar="ID", help="Leave this item or user out; repeat.")
@click.option("--include-rated", is_flag=True, help="Also list items that the user has rated already.")
@JSON
def recommend(task: str, as_json: bool, **options: Any) -> None:
    r"""Recommend with a task's champion, without a server. A user who is not known gets the most popular items.

    \b
    tiltyard recommend recommendation --user 196 --k 5
    tiltyard recommend recommendation --find "star wars"
    tiltyard recommend recommendation --like 50 --k 5
    tiltyard recommend recommendation --rated 50=5 --rated 181=4 --json
    """
    from tiltyard.serving.recommend import recommend as action

    verb, content = _request(options)
    answer = run_task(task, lambda w, t: action(w, t, verb, content))
    if as_json:
        print_json(answer)
    else:
        _print(answer)


def _request(options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the request of the service that the options mean."""
    asked = [name for name in ("user", "rated", "like", "like_user", "find") if options[name]]
    if len(asked) != 1:
        received = " and ".join(f"--{name.replace('_', '-')}" for name in asked) or "none"
        raise click.UsageError(f"expected one of --user, --rated, --like, --like-user and --find; received {received}")
    (name,), common = asked, {"k": options["k"]}
    if name == "find":
        return "find", {"text": options["find"], **common}
    common["exclude"] = [*options["exclude"]]
    if name in ("like", "like_user"):
        return "similar", {"item" if name == "like" else "user": options[name], **common}
    common["include_rated"] = options["include_rated"]
    return "recommend", {
        **({"user": options["user"]} if name == "user" else {"ratings": _ratings(options["rated"])}),
        **common,
    }


def _ratings(cells: tuple[str, ...]) -> dict[str, float]:
    """Return the rating of each item."""
    ratings = {}
    for cell in cells:
        item, _, rating = cell.rpartition("=")
        try:
            ratings[item] = float(rating)
        except ValueError:
            item = ""
        if not item:
            raise click.UsageError(f"--rated: expected ITEM=RATING, such as 50=5; received {cell}")
    return ratings


def _print(answer: dict[str, Any]) -> None:
    """Print a table, and what it is made of."""
    from tiltyard.cli.output.tables import print_table

    records = next(value for key, value in answer.items() if isinstance(value, list))
    if "basis" in answer:
        click.echo(f"recommended {BASIS[answer['basis']]}")
    print_table([*records[0]] if records else ["nothing found"], [[*record.values()] for record in records])


COMMANDS = [recommend]
