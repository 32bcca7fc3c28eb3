"""Attacks on the registry: whoever may write files knows how lines, heads and pointers are made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

from tiltyard import files
from tiltyard.registry import ledger
from tiltyard.registry.decision import Decision
from tiltyard.registry.ledger import Ledger
from tiltyard.registry.registry import Registry
from tiltyard.workspace import Workspace

Json = dict[str, Any]
STEPS = [("a", "PROMOTE"), ("b", "HOLD"), ("c", "REJECT"), ("d", "PROMOTE"), ("e", "REJECT")]


def decide(version: str, verdict: str, task: str = "iris") -> Decision:
    """Make a decision."""
    content = {"task": task, "verdict": verdict, "version": version, "reasons": ["so"], "metrics": {"accuracy": 0.9}}
    return Decision.model_validate(content | {"metric": "accuracy"})


def told(workspace: Workspace, task: str = "iris", steps: list[tuple[str, str]] = STEPS) -> Registry:
    """Decide a few times."""
    registry = Registry(workspace)
    for version, verdict in steps:
        (registry.promote if verdict == "PROMOTE" else registry.record)(decide(version, verdict, task))
    return registry


def lines_of(workspace: Workspace, task: str = "iris") -> list[Json]:
    """Read the lines as they are."""
    return [json.loads(line) for line in workspace.ledger(task).read_text().splitlines()]


def write(workspace: Workspace, lines: list[Json], *, chained: bool = True, task: str = "iris") -> None:
    """Write lines, with hashes and a head that fit them: an attacker knows how they are made."""
    written: list[bytes] = []
    for line in lines:
        content = {key: value for key, value in line.items() if key not in ("chain", "signature")}
        kept = {"signature": line["signature"]} if "signature" in line else {}
        chain = {"chain": ledger._chain(written[-1] if written else b"", content)} if chained else {}
        written.append(json.dumps({**content, **chain, **kept}, separators=(",", ":")).encode())
    workspace.ledger(task).write_bytes(b"".join(line + b"\n" for line in written))
    head = workspace.ledger(task).with_suffix(".head")
    if chained and lines:
        head.write_text(f"{len(lines)} {json.loads(written[-1])['chain']}\n")
    else:
        head.unlink(missing_ok=True)


def repoint(workspace: Workspace, decision: Json | None = None, *, hashes: bool = True) -> None:
    """Write a pointer that fits the ledger of now."""
    path = workspace.champion("iris")
    content = files.read_json(path)
    if decision:
        content |= {"decision": decision, "version": decision["version"]}
    content["ledger"] = {"hashes": Ledger(workspace.ledger("iris")).hashes()}
    if not hashes:
        del content["ledger"]
    files.write_json(path, content)


def twin_keys(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Put a word in front of the last line that other programs read, and Python does not."""
    path = workspace.ledger("iris")
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, b'{"verdict":"APPROVE",' + last[1:]]))


def deep_twin_keys(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Put a figure in front of one of the last line, below its first level."""
    path = workspace.ledger("iris")
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, last.replace(b'"metrics":{', b'"metrics":{"\\u0061ccuracy":1.0,')]))


def respelled(workspace: Workspace, lines: list[Json]) -> None:
    """Spell the last verdict so that a search for it finds nothing."""
    path, verdict = workspace.ledger("iris"), lines[-1]["verdict"].encode()
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, last.replace(b'"' + verdict, b'"\\u%04x' % verdict[0] + verdict[1:])]))


def gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Delete ledger and head."""
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head")):
        path.unlink()


def head_gone(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Delete the head."""
    workspace.ledger("iris").with_suffix(".head").unlink()


def stripped(workspace: Workspace, lines: list[Json]) -> None:
    """Take the hashes out of all lines; delete the head."""
    write(workspace, lines, chained=False)


def stripped_with_format(workspace: Workspace, lines: list[Json]) -> None:
    """Make all lines look as if they were from before there were hashes."""
    write(workspace, [{k: v for k, v in line.items() if k != "format"} for line in lines], chained=False)


def cut(workspace: Workspace, lines: list[Json]) -> None:
    """Cut off the last line."""
    write(workspace, lines[:-1])


def cut_two(workspace: Workspace, lines: list[Json]) -> None:
    """Cut off the last two lines."""
    write(workspace, lines[:-2])


def emptied(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Leave an empty ledger."""
    write(workspace, [])


def reject_rewritten(workspace: Workspace, lines: list[Json]) -> None:
    """Turn every REJECT into a HOLD."""
    write(workspace, [{**line, "verdict": line["verdict"].replace("REJECT", "HOLD")} for line in lines])


def last_rewritten(workspace: Workspace, lines: list[Json]) -> None:
    """Write the last line anew."""
    write(workspace, [*lines[:-1], {**lines[-1], "verdict": "HOLD", "reasons": ["nothing is wrong with it"]}])


def middle_removed(workspace: Workspace, lines: list[Json]) -> None:
    """Take out a line from the middle."""
    write(workspace, [*lines[:2], *lines[3:]])


def swapped(workspace: Workspace, lines: list[Json]) -> None:
    """Swap two lines."""
    write(workspace, [lines[0], lines[2], lines[1], *lines[3:]])


def put_in(workspace: Workspace, lines: list[Json]) -> None:
    """Put in an approval that nobody gave."""
    write(workspace, [*lines[:2], {**lines[1], "id": "new", "verdict": "APPROVE"}, *lines[2:]])


def two_added(workspace: Workspace, lines: list[Json]) -> None:
    """Add two lines behind the last one."""
    write(workspace, [*lines, {**lines[1], "id": "x"}, {**lines[1], "id": "y"}])


def other_task(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Put the ledger of another task in its place."""
    told(workspace, "sine")
    for suffix in (".jsonl", ".head"):
        shutil.copy(workspace.ledger("sine").with_suffix(suffix), workspace.ledger("iris").with_suffix(suffix))


def older_pointer(workspace: Workspace, lines: list[Json]) -> None:
    """Put back the pointer to the first champion."""
    content = files.read_json(workspace.champion("iris"))
    content |= {"version": "a", "decision": lines[0], "ledger": {"hashes": [lines[0]["chain"]]}}
    files.write_json(workspace.champion("iris"), content)


def older_pointer_with_hashes_of_now(workspace: Workspace, lines: list[Json]) -> None:
    """Put it back with the hashes of all lines."""
    repoint(workspace, lines[0])


def pointer_without_hashes(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - as each attack
    """Take the hashes out of the pointer."""
    repoint(workspace, hashes=False)


def pointer_of_its_own(workspace: Workspace, lines: list[Json]) -> None:
    """Point to a version about which nothing was decided."""
    repoint(workspace, {**lines[3], "id": "new", "version": "f"})


def pointer_edited(workspace: Workspace, lines: list[Json]) -> None:
    """Edit the figures in the pointer."""
    repoint(workspace, {**lines[3], "metrics": {"accuracy": 1.0}})


def unsigned(line: Json) -> Json:
    """Return a line without its signature, as another decision."""
    return {key: value for key, value in line.items() if key not in ("signer", "signature")} | {"id": "new"}


Attack = Callable[[Workspace, list[Json]], None]
ATTACKS: list[Attack] = [
    *(twin_keys, deep_twin_keys, respelled),
    *(gone, head_gone, stripped, stripped_with_format, cut, cut_two, emptied, reject_rewritten),
    *(last_rewritten, middle_removed, swapped, put_in, two_added, other_task, older_pointer),
    *(older_pointer_with_hashes_of_now, pointer_without_hashes, pointer_of_its_own, pointer_edited),
]
