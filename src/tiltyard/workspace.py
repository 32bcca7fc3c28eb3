"""The only place that spells a path: a workspace is the project folder that holds `tasks/` and `dvc.yaml`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tiltyard.errors import WorkspaceError


@dataclass(frozen=True)
class Workspace:
    """The folders and files of one project."""

    root: Path

    @classmethod
    def find(cls) -> Workspace:
        """Find the project: TILTYARD_ROOT if set, else the nearest folder upwards with tasks/ and dvc.yaml."""
        named = os.environ.get("TILTYARD_ROOT")
        here = Path(named).resolve() if named else Path.cwd()
        for folder in [here] if named else [here, *here.parents]:
            if (folder / "tasks").is_dir() and (folder / "dvc.yaml").is_file():
                return cls(folder)
        raise WorkspaceError(
            f"no project here: expected a folder with tasks/ and dvc.yaml at or above {here}",
            hint="cd into the project, or set TILTYARD_ROOT to it",
        )

    def task_file(self, task: str) -> Path:
        """Where the task's one YAML file is."""
        return self.root / "tasks" / f"{task}.yaml"

    def tasks(self) -> list[str]:
        """The names of all tasks, sorted."""
        found = (self.root / "tasks").glob("*.yaml")
        return sorted(path.stem for path in found if not path.name.startswith("."))  # as a kill may leave one

    @property
    def params(self) -> Path:
        """What dvc.yaml reads: the roster of tasks."""
        return self.root / "params.yaml"

    @property
    def params_lock(self) -> Path:
        """The file that is locked while the roster may change; no task can have this name."""
        return self.root / ".tiltyard" / "locks" / "params.yaml.lock"

    def raw(self, task: str) -> Path:
        """Where the raw files of a task lie, as they were fetched."""
        return self.root / "data" / "raw" / task

    def versions(self, task: str) -> Path:
        """Every version of the raw data, a line each."""
        return self.root / "data" / "versions" / f"{task}.jsonl"

    def seal(self, task: str) -> Path:
        """Where the hash of the test part is recorded."""
        return self.root / "data" / "seals" / f"{task}.json"

    def out(self, task: str, verb: str) -> Path:
        """Where a verb leaves what it made for a task."""
        return self.root / "out" / task / verb

    def logs(self, task: str) -> Path:
        """Where TensorBoard finds the runs of a task."""
        return self.root / "logs" / task

    def state(self, task: str, verb: str) -> Path:
        """Where a verb keeps what it needs to go on after a kill."""
        return self.root / ".tiltyard" / "state" / task / verb

    def search(self, task: str) -> Path:
        """The database of the trials of a search."""
        return self.root / ".tiltyard" / "search" / f"{task}.db"

    def cells(self, task: str) -> Path:
        """Where studies of a task keep each training that they made."""
        return self.root / ".tiltyard" / "studies" / task

    def study(self, name: str) -> Path:
        """Where a study leaves its table and its pictures."""
        return self.root / "out" / "studies" / name

    @property
    def durations(self) -> Path:
        """How long each step of each task took, by which a run estimates what is left."""
        return self.root / ".tiltyard" / "durations.json"

    def log(self, command: str) -> Path:
        """Where a command sends what libraries print, so that it does not disturb the terminal."""
        return self.root / ".tiltyard" / "logs" / f"{command}.log"

    @property
    def report(self) -> Path:
        """The static site about all tasks."""
        return self.root / "out" / "report"

    def champion(self, task: str) -> Path:
        """The pointer to the version in production."""
        return self.root / "serving" / "champions" / f"{task}.json"

    def traffic(self, task: str) -> Path:
        """The challenge of a task, while one runs: which version gets a share or a copy of its requests."""
        return self.root / "serving" / "traffic" / f"{task}.json"

    @property
    def records(self) -> Path:
        """What the service recorded of each task: its answers, and the truths that came later."""
        return self.root / ".tiltyard" / "records"

    def ledger(self, task: str) -> Path:
        """Every decision about a task, a line each."""
        return self.root / "serving" / "ledger" / f"{task}.jsonl"

    @property
    def signers(self) -> Path:
        """The public keys of those who may sign decisions, NAME.pub each."""
        return self.root / "serving" / "signers"

    def lock(self, task: str) -> Path:
        """The file that is locked while the champion of a task may change."""
        return self.root / ".tiltyard" / "locks" / f"{task}.lock"

    def work_lock(self, task: str) -> Path:
        """The file that is locked by who works on a task: a run, or one of its verbs by hand."""
        return self.root / ".tiltyard" / "locks" / f"{task}.work"

    def package(self, task: str, version: str) -> Path:
        """Where a packaged version lies: the files that are served."""
        return self.root / "serving" / "packages" / task / version

    @property
    def downloads(self) -> Path:
        """What was downloaded, by checksum, and what half of it is there."""
        return self.root / ".tiltyard" / "downloads"

    @property
    def bentos(self) -> Path:
        """The Bento store of this project."""
        return self.root / ".tiltyard" / "bentoml"

    @property
    def prefect(self) -> Path:
        """Prefect's database and settings for this project."""
        return self.root / ".tiltyard" / "prefect"

    @property
    def service(self) -> Path:
        """The one service that serves any champion."""
        return self.root / "serving" / "service.py"
