"""The workspace: all paths of a project, which is a folder with `tasks/` and `dvc.yaml`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tiltyard.errors import WorkspaceError

PACKAGE = Path(__file__).parent
TEMPLATES = PACKAGE / "templates"  # files that the package brings along for projects


@dataclass(frozen=True)
class Workspace:
    """The folders and files of one project."""

    root: Path

    @classmethod
    def find(cls) -> Workspace:
        """Find the project: TILTYARD_ROOT if set, else the nearest folder upwards with tasks/ and dvc.yaml."""
        configured = os.environ.get("TILTYARD_ROOT")
        return cls._first([Path(configured).resolve()] if configured else [Path.cwd(), *Path.cwd().parents])

    @classmethod
    def at(cls, start: Path) -> Workspace:
        """Return the project in a folder, or in the nearest folder upwards."""
        return cls._first([start, *start.parents])

    @classmethod
    def _first(cls, folders: list[Path]) -> Workspace:
        for folder in folders:
            if (folder / "tasks").is_dir() and (folder / "dvc.yaml").is_file():
                return cls(folder)
        raise WorkspaceError(
            f"no project here: expected a folder with tasks/ and dvc.yaml at or above {folders[0]}",
            hint="make one here: tiltyard new .; or cd into the project, or set TILTYARD_ROOT to it",
        )

    def task_file(self, task: str) -> Path:
        """Return the YAML file of a task."""
        return self.root / "tasks" / f"{task}.yaml"

    def tasks(self) -> list[str]:
        """Return the names of all tasks, sorted."""
        paths = (self.root / "tasks").glob("*.yaml")
        return sorted(path.stem for path in paths if not path.name.startswith("."))  # left by a killed process

    @property
    def params(self) -> Path:
        """The file with the list of tasks, which dvc.yaml reads."""
        return self.root / "params.yaml"

    @property
    def params_lock(self) -> Path:
        """The lock of the list of tasks; no task can have this name."""
        return self.root / ".tiltyard" / "locks" / "params.yaml.lock"

    def raw(self, task: str) -> Path:
        """Return the folder of a task's raw files."""
        return self.root / "data" / "raw" / task

    def versions(self, task: str) -> Path:
        """Return the list of versions of a task's raw data."""
        return self.root / "data" / "versions" / f"{task}.jsonl"

    def seal(self, task: str) -> Path:
        """Return the file with the hashes of a task's sealed test rows."""
        return self.root / "data" / "seals" / f"{task}.json"

    def out(self, task: str, verb: str) -> Path:
        """Return the output folder of a stage."""
        return self.root / "out" / task / verb

    def logs(self, task: str) -> Path:
        """Return the TensorBoard folder of a task."""
        return self.root / "logs" / task

    def state(self, task: str, verb: str) -> Path:
        """Return the folder in which a stage keeps the state that it resumes from."""
        return self.root / ".tiltyard" / "state" / task / verb

    def features(self, digest: str) -> Path:
        """Return the folder of a classifier by whose features samples are compared; trainings share it."""
        return self.root / ".tiltyard" / "features" / digest

    def stages(self, task: str) -> Path:
        """Return the folder with the locks, logs and errors of a task's stages."""
        return self.root / ".tiltyard" / "stages" / task

    def search(self, task: str) -> Path:
        """Return the database with the trials of a hyperparameter search."""
        return self.root / ".tiltyard" / "search" / f"{task}.db"

    def cells(self, task: str) -> Path:
        """Return the folder with the results of each training of a task's studies."""
        return self.root / ".tiltyard" / "studies" / task

    def study(self, name: str) -> Path:
        """Return the folder with the table and plots of a study."""
        return self.root / "out" / "studies" / name

    @property
    def durations(self) -> Path:
        """The file with the durations of steps, from which a run estimates the time left."""
        return self.root / ".tiltyard" / "durations.json"

    def log(self, command: str) -> Path:
        """Return the log with the output of libraries, which would disturb the terminal."""
        return self.root / ".tiltyard" / "logs" / f"{command}.log"

    @property
    def report(self) -> Path:
        """The folder of the HTML report."""
        return self.root / "out" / "report"

    def champion(self, task: str) -> Path:
        """Return the champion pointer of a task."""
        return self.root / "serving" / "champions" / f"{task}.json"

    def traffic(self, task: str) -> Path:
        """Return the rollout file of a task, which exists while a shadow or canary runs."""
        return self.root / "serving" / "traffic" / f"{task}.json"

    @property
    def records(self) -> Path:
        """The folder of recorded predictions, and of the ground truth sent later."""
        return self.root / ".tiltyard" / "records"

    def ledger(self, task: str) -> Path:
        """Return the ledger of a task."""
        return self.root / "serving" / "ledger" / f"{task}.jsonl"

    @property
    def signers(self) -> Path:
        """The folder of the public keys of signers, NAME.pub each."""
        return self.root / "serving" / "signers"

    def lock(self, task: str) -> Path:
        """Return the lock of a task's registry: champion, ledger and rollout."""
        return self.root / ".tiltyard" / "locks" / f"{task}.lock"

    def work_lock(self, task: str) -> Path:
        """Return the lock of a task's outputs, held by a run or by a single command."""
        return self.root / ".tiltyard" / "locks" / f"{task}.work"

    @property
    def watch_lock(self) -> Path:
        """The lock of `tiltyard watch`: one process operates a project; no task has a lock of this suffix."""
        return self.root / ".tiltyard" / "locks" / "project.watch"

    def package(self, task: str, version: str) -> Path:
        """Return the package folder of a version."""
        return self.root / "serving" / "packages" / task / version

    @property
    def downloads(self) -> Path:
        """The folder of downloads, complete and partial ones."""
        return self.root / ".tiltyard" / "downloads"

    @property
    def bentos(self) -> Path:
        """The Bento store of this project."""
        return self.root / ".tiltyard" / "bentoml"

    def proven_service(self, digest: str) -> Path:
        """Return the record that BentoML has served the code of this digest."""
        return self.root / ".tiltyard" / "proven_services" / f"{digest}.json"

    def fetched(self, task: str) -> Path:
        """Return the record of the version of a task's source that was fetched last."""
        return self.root / ".tiltyard" / "fetched" / task

    @property
    def pushed(self) -> Path:
        """The record of what was pushed to the remote last."""
        return self.root / ".tiltyard" / "pushed"

    @property
    def prefect(self) -> Path:
        """Prefect's database and settings for this project."""
        return self.root / ".tiltyard" / "prefect"

    @property
    def service(self) -> Path:
        """The BentoML service file, which serves any champion: the project's own copy, or that of the package."""
        return self._own_or_template("service.py")

    @property
    def service_lock(self) -> Path:
        """The versions that the service runs with: the project's own copy, or that of the package."""
        return self._own_or_template("requirements.lock")

    @property
    def serving(self) -> Path:
        """The folder of champions, ledgers and packages."""
        return self.root / "serving"

    def _own_or_template(self, name: str) -> Path:
        own = self.serving / name
        return own if own.is_file() else TEMPLATES / "serving" / name
