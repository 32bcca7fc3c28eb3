"""Attacks on the registry by someone who may write its files and knows the format of ledger, head and pointer."""

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


def make_decision(version: str, verdict: str, task: str = "iris") -> Decision:
    """Return a decision."""
    content = {"task": task, "verdict": verdict, "version": version, "reasons": ["so"], "metrics": {"accuracy": 0.9}}
    return Decision.model_validate(content | {"metric": "accuracy"})


def record_decisions(workspace: Workspace, task: str = "iris", steps: list[tuple[str, str]] = STEPS) -> Registry:
    """Record a few decisions."""
    registry = Registry(workspace)
    for version, verdict in steps:
        (registry.promote if verdict == "PROMOTE" else registry.record)(make_decision(version, verdict, task))
    return registry


def ledger_lines(workspace: Workspace, task: str = "iris") -> list[Json]:
    """Return the lines of a ledger."""
    return [json.loads(line) for line in workspace.ledger(task).read_text().splitlines()]


def write_ledger(workspace: Workspace, lines: list[Json], *, chained: bool = True, task: str = "iris") -> None:
    """Write a ledger with valid hashes and head, as an attacker can."""
    written: list[bytes] = []
    for line in lines:
        content = {key: value for key, value in line.items() if key not in ("chain", "signature")}
        signature = {"signature": line["signature"]} if "signature" in line else {}
        chain = {"chain": ledger._chain(written[-1] if written else b"", content)} if chained else {}
        written.append(json.dumps({**content, **chain, **signature}, separators=(",", ":")).encode())
    workspace.ledger(task).write_bytes(b"".join(line + b"\n" for line in written))
    head = workspace.ledger(task).with_suffix(".head")
    if chained and lines:
        head.write_text(f"{len(lines)} {json.loads(written[-1])['chain']}\n")
    else:
        head.unlink(missing_ok=True)


def write_pointer(workspace: Workspace, decision: Json | None = None, *, hashes: bool = True) -> None:
    """Write a pointer that fits the current ledger."""
    path = workspace.champion("iris")
    content = files.read_json(path)
    if decision:
        content |= {"decision": decision, "version": decision["version"]}
    content["ledger"] = {"hashes": Ledger(workspace.ledger("iris")).hashes()}
    if not hashes:
        del content["ledger"]
    files.write_json(path, content)


def duplicate_key(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Insert a duplicate key into the last line: Python reads the last one, other programs the first."""
    path = workspace.ledger("iris")
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, b'{"verdict":"APPROVE",' + last[1:]]))


def duplicate_nested_key(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Insert a duplicate key into an object inside the last line."""
    path = workspace.ledger("iris")
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, last.replace(b'"metrics":{', b'"metrics":{"\\u0061ccuracy":1.0,')]))


def escape_verdict(workspace: Workspace, lines: list[Json]) -> None:
    """Write the last verdict with an escape, so that a text search does not find it."""
    path, verdict = workspace.ledger("iris"), lines[-1]["verdict"].encode()
    *before, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*before, last.replace(b'"' + verdict, b'"\\u%04x' % verdict[0] + verdict[1:])]))


def delete_ledger(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Delete ledger and head."""
    for path in (workspace.ledger("iris"), workspace.ledger("iris").with_suffix(".head")):
        path.unlink()


def delete_head(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Delete the head."""
    workspace.ledger("iris").with_suffix(".head").unlink()


def remove_hashes(workspace: Workspace, lines: list[Json]) -> None:
    """Remove the hashes from all lines and delete the head."""
    write_ledger(workspace, lines, chained=False)


def remove_hashes_and_format(workspace: Workspace, lines: list[Json]) -> None:
    """Remove also the format from all lines, as in ledgers before there were hashes."""
    write_ledger(workspace, [{k: v for k, v in line.items() if k != "format"} for line in lines], chained=False)


def remove_last_line(workspace: Workspace, lines: list[Json]) -> None:
    """Remove the last line."""
    write_ledger(workspace, lines[:-1])


def remove_last_two_lines(workspace: Workspace, lines: list[Json]) -> None:
    """Remove the last two lines."""
    write_ledger(workspace, lines[:-2])


def empty_ledger(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Write an empty ledger."""
    write_ledger(workspace, [])


def rewrite_reject(workspace: Workspace, lines: list[Json]) -> None:
    """Replace each REJECT by HOLD."""
    write_ledger(workspace, [{**line, "verdict": line["verdict"].replace("REJECT", "HOLD")} for line in lines])


def rewrite_last_line(workspace: Workspace, lines: list[Json]) -> None:
    """Replace the last line."""
    write_ledger(workspace, [*lines[:-1], {**lines[-1], "verdict": "HOLD", "reasons": ["nothing is wrong with it"]}])


def remove_middle_line(workspace: Workspace, lines: list[Json]) -> None:
    """Remove a line from the middle."""
    write_ledger(workspace, [*lines[:2], *lines[3:]])


def swap_lines(workspace: Workspace, lines: list[Json]) -> None:
    """Swap two lines."""
    write_ledger(workspace, [lines[0], lines[2], lines[1], *lines[3:]])


def insert_approval(workspace: Workspace, lines: list[Json]) -> None:
    """Insert a forged approval."""
    write_ledger(workspace, [*lines[:2], {**lines[1], "id": "new", "verdict": "APPROVE"}, *lines[2:]])


def append_two_lines(workspace: Workspace, lines: list[Json]) -> None:
    """Append two lines."""
    write_ledger(workspace, [*lines, {**lines[1], "id": "x"}, {**lines[1], "id": "y"}])


def use_ledger_of_other_task(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - each attack takes the same
    """Replace the ledger by that of another task."""
    record_decisions(workspace, "sine")
    for suffix in (".jsonl", ".head"):
        shutil.copy(workspace.ledger("sine").with_suffix(suffix), workspace.ledger("iris").with_suffix(suffix))


def restore_older_pointer(workspace: Workspace, lines: list[Json]) -> None:
    """Restore the pointer to the first champion."""
    content = files.read_json(workspace.champion("iris"))
    content |= {"version": "a", "decision": lines[0], "ledger": {"hashes": [lines[0]["chain"]]}}
    files.write_json(workspace.champion("iris"), content)


def restore_older_pointer_with_current_hashes(workspace: Workspace, lines: list[Json]) -> None:
    """Restore the pointer to the first champion with the current hashes."""
    write_pointer(workspace, lines[0])


def remove_hashes_of_pointer(workspace: Workspace, lines: list[Json]) -> None:  # noqa: ARG001 - as each attack
    """Remove the hashes from the pointer."""
    write_pointer(workspace, hashes=False)


def point_to_unknown_version(workspace: Workspace, lines: list[Json]) -> None:
    """Point to a version without a decision."""
    write_pointer(workspace, {**lines[3], "id": "new", "version": "f"})


def edit_metrics_of_pointer(workspace: Workspace, lines: list[Json]) -> None:
    """Edit the metrics in the pointer."""
    write_pointer(workspace, {**lines[3], "metrics": {"accuracy": 1.0}})


def without_signature(line: Json) -> Json:
    """Return a line without its signature, as another decision."""
    return {key: value for key, value in line.items() if key not in ("signer", "signature")} | {"id": "new"}


Attack = Callable[[Workspace, list[Json]], None]
ATTACKS: list[Attack] = [
    *(duplicate_key, duplicate_nested_key, escape_verdict),
    *(
        delete_ledger,
        delete_head,
        remove_hashes,
        remove_hashes_and_format,
        remove_last_line,
        remove_last_two_lines,
        empty_ledger,
        rewrite_reject,
    ),
    *(
        rewrite_last_line,
        remove_middle_line,
        swap_lines,
        insert_approval,
        append_two_lines,
        use_ledger_of_other_task,
        restore_older_pointer,
    ),
    *(
        restore_older_pointer_with_current_hashes,
        remove_hashes_of_pointer,
        point_to_unknown_version,
        edit_metrics_of_pointer,
    ),
]
