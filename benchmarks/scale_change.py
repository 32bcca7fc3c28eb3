"""Benchmark of a change: seconds and memory of `validate` and `evaluate` on large tables, before and now, in turns.

`python benchmarks/scale_change.py PROJECTS AGAINST VERB SUFFIX ROWS` measures one verb on one table of
benchmarks/wide.py with the code of the commit AGAINST and with that of this folder, in a project under PROJECTS that is
made and prepared if needed, and adds the result to benchmarks/scale_change.json. Without arguments it writes
benchmarks/SCALE_CHANGE.md from that file.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import scale
from wide import write

from tiltyard import files

RESULTS = scale.ROOT / "benchmarks" / "scale_change.json"
PAGE = scale.ROOT / "benchmarks" / "SCALE_CHANGE.md"
BEFORE = {"validate": ("fetch", "resolve"), "evaluate": ("fetch", "resolve", "validate", "prepare", "train")}
MAIN = "import sys; from tiltyard.cli.main import main; main()"


def measure(projects: Path, against: str, verb: str, suffix: str, rows: int) -> dict[str, Any]:
    """Run a verb with the code of both commits, after a run of each with few rows, which compiles modules."""
    small, large = (_project(projects, verb, suffix, count) for count in (5_000, rows))
    found: dict[str, Any] = {"verb": verb, "suffix": suffix, "rows": rows, "against": against}
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        subprocess.run(["git", "-C", str(scale.ROOT), "worktree", "add", "-q", "--detach", old, against], check=True)
        try:
            scale.ENVIRONMENT["PYTHONPYCACHEPREFIX"] = str(Path(folder) / "compiled")
            for name, root in (("before", old), ("now", scale.ROOT)):
                _run(root, small, verb)
                found[name] = _run(root, large, verb)
        finally:
            subprocess.run(["git", "-C", str(scale.ROOT), "worktree", "remove", "--force", old], check=True)
    found["same"] = found["before"].pop("result") == found["now"].pop("result")
    return {**found, "load": round(os.getloadavg()[0], 1), "date": f"{datetime.now(UTC):%Y-%m-%d}"}


def _project(projects: Path, verb: str, suffix: str, rows: int) -> Path:
    root, table = projects / f"{verb}-{suffix}-{rows}", projects / f"wide-{rows}.{suffix}"
    if not (root / "prepared").is_file():
        root.mkdir(parents=True, exist_ok=True)
        if not table.is_file():
            write(table, rows)
        scale._project(root, table, rows)  # noqa: SLF001 - the same project
        for earlier in BEFORE[verb]:
            _run(scale.ROOT, root, earlier)
        (root / "prepared").touch()
    return root


def _run(code: Path, root: Path, verb: str) -> dict[str, Any]:
    """Run a verb with the code of a folder; return its figures, and the hash of its output."""
    scale.ENVIRONMENT["PYTHONPATH"] = f"{code / 'src'}{os.pathsep}{code}"
    seconds, processor, peak, _ = scale._run(root, [sys.executable, "-c", MAIN, verb, "wide"])  # noqa: SLF001
    output = root / "out" / "wide" / verb / ("result.json" if verb == "validate" else "report.json")
    result = files.sha256(output) if output.is_file() else ""
    return {"seconds": seconds, "processor": processor, "mib": peak, "result": result}


def page(found: list[dict[str, Any]]) -> str:
    """Return the page."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, no GPU, Python {platform.python_version()}"
    text = (
        f"`benchmarks/scale_change.py`, {found[-1]['date']}: {machine}. Tables of `benchmarks/wide.py` (20 columns). "
        f"`before` is commit {found[-1]['against']}. Both ran one after the other, once each. Processor seconds are in "
        "brackets: they count all cores. Other work was running if the load average at the end is above 2, and "
        "seconds then say little. `evaluate` does not read the table."
    )
    lines = [
        "# Large tables, before and after a change",
        "",
        text,
        "",
        "| verb | rows | before | now | seconds, ratio | processor, ratio | same output | load |",
        "|---|--:|--:|--:|--:|--:|---|--:|",
    ]
    for one in sorted(found, key=lambda one: (one["verb"], one["suffix"], one["rows"])):
        old, new = one["before"], one["now"]
        cells = [f"{some['seconds']:.1f} s ({some['processor']:.1f}), {some['mib']:.0f} MiB" for some in (old, new)]
        ratios = [f"{new[key] / old[key]:.2f}" for key in ("seconds", "processor")]
        verb = one["verb"] + (f" ({one['suffix']})" if one["verb"] == "validate" else "")
        same = "yes" if one["same"] else "no"
        lines.append(f"| {verb} | {one['rows']:,} | {' | '.join([*cells, *ratios])} | {same} | {one['load']} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Measure one verb, or write the page."""
    found = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    if not arguments:
        files.write_text(PAGE, page(found))
        return
    projects, against, verb, suffix, rows = arguments
    one = measure(Path(projects), against, verb, suffix, int(float(rows)))
    print(json.dumps(one))
    key = ("verb", "suffix", "rows")
    kept = [other for other in found if any(other[name] != one[name] for name in key)]
    files.write_text(RESULTS, json.dumps([*kept, one], indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
