"""Replay the golden rows of all champions against a running service; needs only the standard library.

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
    """Print a line for each champion; exit with 1 at the first whose predictions differ from its evaluation."""
    for pointer in sorted((folder / "champions").glob("*.json")):
        task, version = pointer.stem, json.loads(pointer.read_text(encoding="utf-8"))["version"]
        golden = json.loads((folder / "packages" / task / version / "golden.json").read_text(encoding="utf-8"))
        status, response = post(f"{url}/v1/models/{task}:predict", {"instances": golden["instances"]})
        if status != 200 or response["version"] != version or not same(golden["predictions"], response["predictions"]):
            sys.exit(
                f"{task}: expected version {version} and its golden predictions; received {status} {response}"[:500]
            )
        status, response = post(f"{url}/v1/models/{task}:predict", {"instances": []})
        if status != 400:
            sys.exit(f"{task}: expected status 400 for a request without instances; received {status} {response}")
        print(
            f"{task} {version}: {len(golden['instances'])} golden rows predicted as evaluated, an empty request refused"
        )


def post(url: str, body: Any) -> tuple[int, Any]:
    """Post JSON; return the status and the response."""
    try:
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as response:  # noqa: S310 - a URL from the command line
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def same(expected: Any, received: Any) -> bool:
    """Return whether two predictions differ by rounding only."""
    if isinstance(expected, dict):
        return expected.keys() == received.keys() and all(same(value, received[key]) for key, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(received) and all(map(same, expected, received))
    if isinstance(expected, float):
        return math.isclose(expected, received, rel_tol=1e-5, abs_tol=1e-7)
    return bool(expected == received)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
