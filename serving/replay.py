"""Replay the golden rows of all champions against a running service; needs Python alone.

python serving/replay.py http://127.0.0.1:3000 serving
"""

from __future__ import annotations

import json
import math
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def main(url: str, folder: Path) -> None:
    """Print a line for each champion; end with 1 at the first that answers otherwise than its evaluation."""
    for pointer in sorted((folder / "champions").glob("*.json")):
        task, version = pointer.stem, json.loads(pointer.read_text(encoding="utf-8"))["version"]
        golden = json.loads((folder / "packages" / task / version / "golden.json").read_text(encoding="utf-8"))
        status, answer = ask(f"{url}/v1/models/{task}:predict", {"instances": golden["instances"]})
        if status != 200 or answer["version"] != version or not same(golden["predictions"], answer["predictions"]):
            sys.exit(f"{task}: expected version {version} and its golden answers; received {status} {answer}"[:500])
        status, answer = ask(f"{url}/v1/models/{task}:predict", {"instances": []})
        if status != 400:
            sys.exit(f"{task}: expected no instances to be refused with 400; received {status} {answer}")
        print(
            f"{task} {version}: {len(golden['instances'])} golden rows answered as evaluated, an empty request refused"
        )


def ask(url: str, body: Any) -> tuple[int, Any]:
    """Post JSON; give status and answer."""
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as response:  # noqa: S310 - given by hand
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def same(expected: Any, received: Any) -> bool:
    """Return whether two answers differ by rounding only."""
    if isinstance(expected, dict):
        return expected.keys() == received.keys() and all(same(value, received[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(received) and all(map(same, expected, received))
    if isinstance(expected, float):
        return math.isclose(expected, received, rel_tol=1e-5, abs_tol=1e-7)
    return bool(expected == received)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
