"""YAML by the core schema of version 1.2, as DVC reads and writes task files; PyYAML follows 1.1.

There `no` is false, `1:30` is 90, `1_000` is 1000, `010` is 8, and `1e-3` is a word. When `dvc exp run -S` edits a task
file, DVC takes the quotes off the labels 'yes' and 'no'. A number with leading zeros is a code here, and thus text.
"""

from __future__ import annotations

import re

import yaml

BOOLEAN, NULL = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"
WHOLE, REAL = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
MERGE = "tag:yaml.org,2002:merge"
# the tag of a plain word, its spelling, and the characters that it begins with
SCALARS = [
    (BOOLEAN, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (NULL, r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    (WHOLE, r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (REAL, r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    (REAL, r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    (MERGE, r"<<", "<"),
]


class CoreLoader(yaml.SafeLoader):
    """PyYAML's safe loader, with the words of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as PyYAML has it

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        """Read a whole number: decimal, 0o17 or 0x1F."""
        text = self.construct_scalar(node)
        return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


class CoreDumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes what either version would not read as text."""


for tag, spelled, first in SCALARS:
    pattern = re.compile(f"^(?:{spelled})$")
    CoreLoader.add_implicit_resolver(tag, pattern, list(first))
    CoreDumper.add_implicit_resolver(tag, pattern, list(first))
CoreLoader.add_constructor(WHOLE, CoreLoader.construct_whole)
