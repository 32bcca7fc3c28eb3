"""The sections in which `tiltyard --help` lists the commands, by what a user wants to do."""

from __future__ import annotations

import click

SECTIONS = {
    "Start": ("new", "init", "check", "tasks", "help", "doctor", "remove", "schema", "completion"),
    "Pipeline": (
        *("run", "schedule", "fetch", "resolve", "validate", "prepare", "train", "evaluate", "package", "search"),
        *("study", "data", "code"),
    ),
    "Decide": (
        "status",
        "promote",
        "approve",
        "rollback",
        "quantize",
        "history",
        "why",
        "comment",
        "compare",
        "verify",
    ),
    "Serve": ("serve", "predict", "sample", "recommend", "key", "traffic", "monitor", "watch", "eject"),
    "Inspect": ("report", "explain"),
    "Maintain": ("gc", "backup", "restore"),
}


class SectionedGroup(click.Group):
    """A click group that lists its commands by section."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the sections; names without one come last."""
        named = [name for names in SECTIONS.values() for name in names if name in self.commands]
        return [*named, *(name for name in self.commands if name not in named)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of commands for each section, without cutting off their descriptions."""
        width = max(map(len, self.commands))
        for title, names in SECTIONS.items():
            rows = [(name.ljust(width), self._sentence(name)) for name in names if name in self.commands]
            with formatter.section(title):
                formatter.write_dl(rows)

    def _sentence(self, name: str) -> str:
        return self.commands[name].get_short_help_str(limit=200)
