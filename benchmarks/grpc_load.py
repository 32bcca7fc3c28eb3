"""Load over gRPC: some clients that each send the same message again and again, from a process of its own.

python grpc_load.py ADDRESS FILE CLIENTS SECONDS; FILE contains a ModelInferRequest. Prints a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import wrk

METHOD = "/inference.GRPCInferenceService/ModelInfer"


def measure(address: str, message: bytes, clients: int, seconds: float) -> wrk.WrkResult:
    """Send a message from several clients for some seconds, after a warm-up of one second."""
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(message)
        command = [sys.executable, __file__, address, file.name, str(clients), str(seconds)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return wrk.WrkResult(**json.loads(output))


async def _load(address: str, message: bytes, clients: int, seconds: float) -> list[float]:
    """Return the milliseconds of each call; each client has a connection of its own."""
    import grpc.aio

    found: list[float] = []

    async def client(number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("tiltyard.client", number)]  # connections are not shared
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            method = channel.unary_unary(METHOD)
            started = time.perf_counter()
            while (begun := time.perf_counter()) < started + 1 + seconds:
                await method(message)
                if begun > started + 1:
                    found.append(1000 * (time.perf_counter() - begun))

    await asyncio.gather(*map(client, range(clients)))
    return found


def main() -> None:
    """Measure, and print the result."""
    address, file, clients, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    found = asyncio.run(_load(address, file.read_bytes(), clients, seconds))
    cuts = statistics.quantiles(found, n=100)
    print(json.dumps({"per_second": len(found) / seconds, "p50": cuts[49], "p99": cuts[98], "errors": 0}))


if __name__ == "__main__":
    main()
