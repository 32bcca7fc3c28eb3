"""Run wrk with POST requests and parse its output: requests per second, latency, and responses other than 200."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

POST = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("FOUND %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class WrkResult:
    """The results of wrk."""

    per_second: float
    p50: float  # milliseconds
    p99: float
    errors: int


def measure(
    url: str, body: bytes, clients: int, seconds: float, headers: Mapping[str, str] = MappingProxyType({})
) -> WrkResult:
    """Send the same request from several clients for some seconds, after a warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        script = Path(folder) / "post.lua"
        lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items())
        text = POST.replace("{body}", str(Path(folder) / "body")).replace("{headers}", lines)
        script.write_text(text, encoding="utf-8")
        for time in (1.0, seconds):
            command = ["wrk", "-t1", f"-c{clients}", f"-d{time:.0f}s", "--timeout", "30s", "-s", str(script), url]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"FOUND (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", output)
    if not found:
        raise SystemExit(output)
    requests, microseconds, p50, p99, errors = map(float, found.groups())
    return WrkResult(requests / microseconds * 1e6, p50 / 1000, p99 / 1000, int(errors))
