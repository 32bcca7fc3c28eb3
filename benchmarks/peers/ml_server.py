"""Start MLServer for the serving benchmark: python ml_server.py PORT FOLDER. It reads its settings from files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mlserver.cli import main
from session import open_sessions

if __name__ == "__main__":
    port, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    others = {"grpc_port": port + 1, "metrics_endpoint": None, "parallel_workers": 0}
    settings = {"host": "127.0.0.1", "http_port": port, "debug": False, **others}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    for name in open_sessions():
        (folder / name).mkdir(exist_ok=True)
        model = {"name": name, "implementation": "ml.Peer"}
        (folder / name / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")
    sys.argv = ["mlserver", "start", str(folder)]
    main()
