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
    *("gate/test_dependent_rows.py", "gate/test_refresh.py", "contracts/test_checks.py", "gate/test_gate.py"),
)
VERDICTS = ("gate/test_verdict.py", "gate/test_judge.py", "gate/test_promote.py")
RECORDS = (
    "registry/test_repair.py",
    "registry/test_registry.py",
    "registry/test_tampering.py",
    "registry/test_signing.py",
)
SPLIT = ("preparation/test_split_assignment.py", "preparation/test_prepare.py", "preparation/test_split.py")
KINDS = (
    *("forecasting", "generation", "translation", "regression", "classification", "multilabel"),
    *("label_sets", "evaluator_metrics"),
)
BY_HAND = tuple(f"modeling/test_{name}.py" for name in KINDS)
# the test files that must detect a fault, by module or folder; the fastest first
COVERED: dict[str, tuple[str, ...]] = {
    "gate/checks": CHECKS,
    "gate/verdict.py": (*VERDICTS, *CHECKS),
    "gate/judge.py": VERDICTS,
    "gate/promote.py": VERDICTS,
    "gate/override.py": ("gate/test_override.py",),
    "registry/registry.py": (*RECORDS, "gate/test_promote.py"),
    "registry/ledger.py": (*RECORDS, "registry/test_verify.py"),
    "registry/decision.py": (*RECORDS, "gate/test_judge.py", "registry/test_verify.py"),
    "preparation/prepare.py": (*SPLIT, "gate/test_judge.py"),
    "preparation/split.py": SPLIT,
    "preparation/row_hashes.py": SPLIT,
    "modeling/metrics/scores.py": ("modeling/test_metrics.py", "contracts/test_evaluators.py"),
    "modeling/metrics/confusion_matrix.py": (
        *("modeling/test_classification.py", "modeling/test_metrics.py", "modeling/test_curves.py"),
        *("contracts/test_evaluators.py", *CHECKS, "evaluation/test_evaluate.py"),
    ),
    "modeling/metrics/label_sets.py": ("modeling/test_label_sets.py", "contracts/test_evaluators.py"),
    "modeling/metrics/bootstrap.py": ("modeling/test_bootstrap.py", *CHECKS),
    "modeling/metrics/dependence.py": ("modeling/test_dependence.py", "gate/test_dependent_rows.py"),
    "modeling/inference/decision_threshold.py": ("modeling/test_decision_threshold.py",),
    "gate/duel_setup.py": ("gate/test_refresh.py",),
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
NEXT_LOCK = threading.Lock()  # held while taking the next mutant
TIME_FACTOR = 3  # tests that take longer than this factor times their usual time, plus a minute, count as hung


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
    options = _parse_options()
    chosen = sorted(_all_mutants(options.modules or [*COVERED]), key=lambda one: _order_key(one, options.seed))
    remaining, deadline = iter(chosen[: options.most]), time.monotonic() + 60 * options.minutes
    tried = list[Tried]()
    with ThreadPoolExecutor(options.jobs) as threads:
        for job in [threads.submit(_try_all, remaining, deadline, tried) for _ in range(options.jobs)]:
            job.result()
    if not options.modules:
        files.write_text(TARGET, _page(sorted(tried, key=lambda one: one.key), len(chosen), options))


def _try_all(remaining: Iterator[tuple[str, Mutation]], deadline: float, tried: list[Tried]) -> None:
    """Test mutants until none is left or the time is over; append each result."""
    limits = dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, warm_tests(_copy_project(Path(folder))) as run:
        while time.monotonic() < deadline:
            with NEXT_LOCK:
                found = next(remaining, None)
            if not found:
                return
            tried.append(_test_mutant(run, Path(folder), *found, limits))
            print(f"{len(tried)} {tried[-1].end}: {tried[-1].key}", flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="start no mutant after this time (default: 60)")
    parser.add_argument("--most", type=int, default=60, help="mutants (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="parallel jobs (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of mutants (default: 0)")
    parser.add_argument("modules", nargs="*", help="test only these, and write nothing: gate.py, checks")
    return parser.parse_args()


def _order_key(one: tuple[str, Mutation], seed: int) -> str:
    """Return the position of a mutant in the order of a seed, which does not depend on other code."""
    module, mutation = one
    return hashlib.sha256(f"{seed} {module} {mutation.text} {mutation.before} {mutation.after}".encode()).hexdigest()


def _all_mutants(targets: list[str]) -> list[tuple[str, Mutation]]:
    """Return all mutants of modules and folders."""
    return [(name, one) for name in modules(targets) for one in mutations(_path(name).read_text(encoding="utf-8"))]


def modules(targets: list[str]) -> list[str]:
    """Return modules and those in folders."""
    found = []
    for path in map(_path, targets):
        found += sorted(path.glob("*.py")) if path.is_dir() else [path]
    return [file.relative_to(page.ROOT / PACKAGE).as_posix() for file in found]


def _path(target: str) -> Path:
    return page.ROOT / PACKAGE / target


def _copy_project(folder: Path) -> Path:
    """Copy the files that git tracks, in their current state, so that no mutant can stay in the working tree."""
    command = ["git", "-C", str(page.ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if (page.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(page.ROOT / name, folder / name)
    return folder


def _test_mutant(run: Run, project: Path, module: str, mutation: Mutation, limits: dict[str, float]) -> Tried:
    """Insert the fault, run the tests, and remove it."""
    path, names = project / PACKAGE / module, tests_of(module)
    original = path.read_text(encoding="utf-8")
    for name in names:
        if name not in limits:
            limits[name] = _seconds(run, name)
    path.write_text(mutation.source, encoding="utf-8")
    try:
        return Tried(module, mutation, run(names, 60 + TIME_FACTOR * sum(limits[name] for name in names)))
    finally:
        path.write_text(original, encoding="utf-8")


def tests_of(module: str) -> tuple[str, ...]:
    """Return the test files that cover a module, by its name or that of its folder."""
    return COVERED[module if module in COVERED else module.rpartition("/")[0]]


def _seconds(run: Run, name: str) -> float:
    """Time a test file without a fault; raise if it fails, since it can then judge no mutant."""
    started_at = time.monotonic()
    if run((name,), 3600) != "survives":
        raise SystemExit(f"tests/{name} fails without a fault")
    return time.monotonic() - started_at


def _page(tried: list[Tried], population: int, options: argparse.Namespace) -> str:
    """Return the page: score, table by module, and each survivor with its remark."""
    survivors = [one for one in tried if one.end == "survives"]
    remarks = files.read_json(REMARKS) if REMARKS.is_file() else {}
    same = sum(remarks.get(one.key, "").startswith("none") for one in survivors)
    faults = len(tried) - same
    killed, hung = len(tried) - len(survivors), sum(one.end == "hangs" for one in tried)
    survived = len(survivors)
    arguments = f"--most {options.most} --minutes {options.minutes:g} --seed {options.seed}"
    lines = [
        "# Mutants of the code that judges models",
        "",
        f"Measured by `benchmarks/mutants.py {arguments}` on",
        f"{datetime.now(UTC):%Y-%m-%d}, {page.machine()}. Of {population:,} mutants {len(tried)} were drawn:",
        f"{killed} were killed by a test ({hung} of them by the time limit), {survived} survive, of which {same} are",
        f"no faults, as explained in the table. **Killed: {killed / max(1, faults):.0%} of those that are faults**",
        f"({killed} of {faults}), {killed / max(1, len(tried)):.0%} of all ({killed} of {len(tried)}).",
        "",
        *_table(("module", "drawn", "killed"), _counts(tried)),
        "",
        "## Survivors",
        "",
        *_table(("where", "line", "mutation", "what it means"), [_survivor(one, remarks) for one in survivors]),
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
    return f"{one.module}:{one.mutation.line}", text, f"{before} → {after}", remarks.get(one.key, "not examined")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *sorted(rows)]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]


if __name__ == "__main__":
    main()
