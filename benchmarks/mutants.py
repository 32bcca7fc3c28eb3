"""Mutation testing of the code that judges models: run tests against mutants; writes benchmarks/MUTANTS.md.

python benchmarks/mutants.py [--minutes N] [--most N] [--jobs N] [--seed N] [MODULE ...]

A mutant is a copy of the project with one small fault (mutations.py), chosen by the seed. It is killed if a test of the
files that cover its module fails, and survives otherwise. mutants.json explains why a survivor is equivalent, in a
remark that begins with "none". The score is the share of killed mutants among those that are not equivalent; the share
among all is given, too.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import page
from mutations import Mutation, mutations
from warm_tests import Run, warm_tests

from tiltyard import files

TARGET, REMARKS = page.ROOT / "benchmarks" / "MUTANTS.md", page.ROOT / "benchmarks" / "mutants.json"
PACKAGE = Path("src/tiltyard")
CHECKS = (
    *("gate/test_check_limits.py", "gate/test_gains.py", "gate/test_groups_and_rows.py", "gate/test_not_applicable.py"),
    *("contracts/test_checks.py", "gate/test_gate.py"),
)
VERDICTS = ("gate/test_verdict.py", "gate/test_judge.py", "gate/test_promote.py")
RECORDS = (
    "registry/test_repair.py",
    "registry/test_registry.py",
    "registry/test_tampering.py",
    "registry/test_signing.py",
)
SPLIT = ("preparation/test_split_assignment.py", "preparation/test_prepare.py", "preparation/test_split.py")
KINDS = ("forecasting", "generation", "translation", "regression", "classification", "evaluator_metrics")
BY_HAND = tuple(f"modeling/test_{name}.py" for name in KINDS)
# the test files that must see a fault, by module or folder; the quickest first
COVERED: dict[str, tuple[str, ...]] = {
    "gate/checks": CHECKS,
    "gate/verdict.py": (*VERDICTS, *CHECKS),
    "gate/judge.py": VERDICTS,
    "gate/promote.py": VERDICTS,
    "registry/registry.py": (*RECORDS, "gate/test_promote.py"),
    "registry/ledger.py": (*RECORDS, "registry/test_verify.py"),
    "registry/decision.py": (*RECORDS, "gate/test_judge.py", "registry/test_verify.py"),
    "preparation/prepare.py": (*SPLIT, "gate/test_judge.py"),
    "preparation/split.py": SPLIT,
    "modeling/metrics/scores.py": ("modeling/test_metrics.py", "contracts/test_evaluators.py"),
    "modeling/metrics/confusion_matrix.py": (
        *("modeling/test_classification.py", "modeling/test_metrics.py", "modeling/test_curves.py"),
        *("contracts/test_evaluators.py", *CHECKS, "evaluation/test_evaluate.py"),
    ),
    "modeling/metrics/bootstrap.py": ("modeling/test_bootstrap.py", *CHECKS),
    "modeling/evaluators": (
        *BY_HAND,
        "contracts/test_evaluators.py",
        "modeling/test_metrics.py",
        "modeling/test_curves.py",
    ),
    "modeling/problems": (
        *(*BY_HAND, "contracts/test_problems.py", "modeling/test_series.py", "modeling/test_target.py"),
        "modeling/test_language.py",
    ),
}
NEXT = threading.Lock()  # held to take the next mutant
PATIENCE = 3  # times what the tests take without a fault, and a minute: whoever takes longer hangs, which is seen


@dataclass(frozen=True)
class Tried:
    """A mutant and its result."""

    module: str
    mutation: Mutation
    end: str  # killed, hangs or survives

    @property
    def key(self) -> str:
        """Return the key of its remark: the changed text, since line numbers change."""
        one = self.mutation
        return f"{self.module}: {one.before} -> {one.after} in {one.text}"


def main() -> None:
    """Choose mutants, test them until the time is over, and write the survivors."""
    asked = _asked()
    drawn = sorted(_made(asked.modules or [*COVERED]), key=lambda one: _place(one, asked.seed))
    waiting, until = iter(drawn[: asked.most]), time.monotonic() + 60 * asked.minutes
    tried = list[Tried]()
    with ThreadPoolExecutor(asked.jobs) as threads:
        for job in [threads.submit(_try_all, waiting, until, tried) for _ in range(asked.jobs)]:
            job.result()
    if not asked.modules:
        files.write_text(TARGET, _page(sorted(tried, key=lambda one: one.key), len(drawn), asked))


def _try_all(waiting: Iterator[tuple[str, Mutation]], until: float, tried: list[Tried]) -> None:
    """Take mutants that wait until none is left or the time is over; append how each ended."""
    limits = dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, warm_tests(_copied(Path(folder))) as run:
        while time.monotonic() < until:
            with NEXT:
                found = next(waiting, None)
            if not found:
                return
            tried.append(_tried(run, Path(folder), *found, limits))
            print(f"{len(tried)} {tried[-1].end}: {tried[-1].key}", flush=True)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no mutant later (default: 60)")
    parser.add_argument("--most", type=int, default=60, help="mutants (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="which are drawn (default: 0)")
    parser.add_argument("modules", nargs="*", help="of these only, and write nothing: gate.py, checks")
    return parser.parse_args()


def _place(one: tuple[str, Mutation], seed: int) -> str:
    """Return the position of a mutant in the order of a seed, which does not depend on other code."""
    module, mutation = one
    return hashlib.sha256(f"{seed} {module} {mutation.text} {mutation.before} {mutation.after}".encode()).hexdigest()


def _made(places: list[str]) -> list[tuple[str, Mutation]]:
    """Return all mutants of modules and folders."""
    return [(name, one) for name in modules(places) for one in mutations(_path(name).read_text(encoding="utf-8"))]


def modules(places: list[str]) -> list[str]:
    """Return modules and those in folders."""
    found = []
    for path in map(_path, places):
        found += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return [file.relative_to(page.ROOT / PACKAGE).as_posix() for file in found]


def _path(place: str) -> Path:
    return page.ROOT / PACKAGE / place


def _copied(folder: Path) -> Path:
    """Copy the files that git tracks, in their current state, so that no mutant can stay in the working tree."""
    command = ["git", "-C", str(page.ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if (page.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page.ROOT / name, folder / name)
    return folder


def _tried(run: Run, project: Path, module: str, mutation: Mutation, limits: dict[str, float]) -> Tried:
    """Insert the fault, run the tests, and remove it."""
    path, names = project / PACKAGE / module, tests_of(module)
    right = path.read_text(encoding="utf-8")
    for name in names:
        if name not in limits:
            limits[name] = _seconds(run, name)
    path.write_text(mutation.source, encoding="utf-8")
    try:
        return Tried(module, mutation, run(names, 60 + PATIENCE * sum(limits[name] for name in names)))
    finally:
        path.write_text(right, encoding="utf-8")


def tests_of(module: str) -> tuple[str, ...]:
    """Return the test files that cover a module, by its name or that of its folder."""
    return COVERED[module if module in COVERED else module.rpartition("/")[0]]


def _seconds(run: Run, name: str) -> float:
    """Time a test file without a fault; raise if it fails, since it can then judge no mutant."""
    began = time.monotonic()
    if run((name,), 3600) != "survives":
        raise SystemExit(f"tests/{name} fails without a fault")
    return time.monotonic() - began


def _page(tried: list[Tried], population: int, asked: argparse.Namespace) -> str:
    """Return the page: score, table by module, and each survivor with its remark."""
    alive = [one for one in tried if one.end == "survives"]
    remarks = files.read_json(REMARKS) if REMARKS.is_file() else {}
    same = sum(remarks.get(one.key, "").startswith("none") for one in alive)
    faults = len(tried) - same
    killed, hung = len(tried) - len(alive), sum(one.end == "hangs" for one in tried)
    lines = [
        "# Mutants of the code that judges",
        "",
        f"Measured by `benchmarks/mutants.py --most {asked.most} --minutes {asked.minutes:g} --seed {asked.seed}` on",
        f"{datetime.now(UTC):%Y-%m-%d}, {page.machine()}. Of {population:,} mutants {len(tried)} were drawn:",
        f"{killed} were killed by a test ({hung} of them by the time limit), {len(alive)} survive, of which {same} are",
        f"no faults, as is said at each. **Killed: {killed / max(1, faults):.0%} of those that are faults**",
        f"({killed} of {faults}), {killed / max(1, len(tried)):.0%} of all ({killed} of {len(tried)}).",
        "",
        *_table(("module", "drawn", "killed"), _counts(tried)),
        "",
        "## Survivors",
        "",
        *_table(("where", "line", "mutation", "what it means"), [_survivor(one, remarks) for one in alive]),
    ]
    return "\n".join(lines) + "\n"


def _counts(tried: list[Tried]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for module in sorted({one.module for one in tried}):
        ends = [one.end for one in tried if one.module == module]
        found.append((module, str(len(ends)), str(sum(end != "survives" for end in ends))))
    return found


def _survivor(one: Tried, remarks: dict[str, str]) -> tuple[str, ...]:
    text, before, after = (f"`{part}`" for part in (one.mutation.text, one.mutation.before, one.mutation.after))
    return f"{one.module}:{one.mutation.line}", text, f"{before} → {after}", remarks.get(one.key, "not looked at")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *sorted(rows)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


if __name__ == "__main__":
    main()
