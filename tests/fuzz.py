"""Run the property tests with new random seeds, round after round, until the time is over or a test fails."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time

STOPPED = 2  # pytest's exit status when the time was over


def main() -> int:
    """Run rounds; print how to repeat the one that failed."""
    options = _options()
    until = time.time() + 60 * options.minutes
    number = 0
    while number == 0 or (options.seed is None and time.time() < until):
        number += 1
        seed = secrets.randbelow(2**32) if options.seed is None else options.seed
        print(f"fuzz: round {number}, seed {seed}", flush=True)
        status = _round(seed, options, None if options.seed is not None else until)
        if status not in (0, STOPPED):
            print(f"fuzz: seed {seed} failed; to repeat: make fuzz SEED={seed}{_examples(options)}", flush=True)
            print("fuzz: put what was found into the test by @example or into a separate test, then fix it")
            return 1
        if status == STOPPED:
            break
    print(f"fuzz: {number} rounds, nothing found", flush=True)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="stop after the test that runs then (default: 1)")
    parser.add_argument("--examples", type=int, help="how many each test tries, if it names no number (default: 100)")
    parser.add_argument("--seed", type=int, help="repeat the round of this seed, to its end")
    parser.add_argument("tests", nargs="*", help="files or tests (default: all property tests)")
    return parser.parse_args()


def _round(seed: int, options: argparse.Namespace, until: float | None) -> int:
    """Run the property tests once; failures found in earlier rounds are tried first."""
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "fuzz", "FUZZ_EXAMPLES": str(options.examples or "")}
    if until is not None:
        environment["FUZZ_UNTIL"] = str(until)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-c", "pyproject.toml", "-m", "hypothesis and not catalogue"]
    # More examples take longer without hanging: 600 seconds for each hundred, as in pyproject.toml.
    command += [f"--hypothesis-seed={seed}", f"--timeout={6 * max(100, options.examples or 0)}", *options.tests]
    return subprocess.run(command, env=environment, check=False).returncode


def _examples(options: argparse.Namespace) -> str:
    return f" EXAMPLES={options.examples}" if options.examples else ""


if __name__ == "__main__":
    sys.exit(main())
