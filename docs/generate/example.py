"""Write docs/example/: the report of the quickstart's task, made by running it in a temporary project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tiltyard

FOLDER = Path(__file__).resolve().parents[1] / "example"
COMMAND = "from tiltyard.cli.main import main; main()"  # `tiltyard` may not be on the path


def main() -> None:
    """Run the example of a new project, and write its report where the site takes it from."""
    with tempfile.TemporaryDirectory() as root:
        project = tiltyard.new(Path(root) / "shop")
        verdict = project.run()["verdict"].item()
        if verdict != "PROMOTE":
            sys.exit(f"the example was not promoted: {verdict}")
        shutil.rmtree(FOLDER, ignore_errors=True)
        report = [sys.executable, "-c", COMMAND, "--root", str(project.root), "report", "--into", str(FOLDER)]
        subprocess.run(report, check=True)


if __name__ == "__main__":
    main()
