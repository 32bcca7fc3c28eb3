"""Champion watcher: polls for new champions and rollouts, and loads them without losing a request (hot reload).

A rollout names the challenger that receives a share or a copy of a task's requests.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from starlette.applications import Starlette

from tiltyard import files
from tiltyard.errors import PackageError, format_value
from tiltyard.registry import rollout
from tiltyard.registry.pointer import read
from tiltyard.serving.http import app as api
from tiltyard.serving.http.last_good import LastGood
from tiltyard.serving.model.golden_rows import assert_close
from tiltyard.serving.model.loaded_model import LoadedModel
from tiltyard.serving.traffic.queue import FailureLog
from tiltyard.serving.traffic.traffic_split import TrafficSplit

POLL_SECONDS = 0.5  # between checks of the champion pointers
RETRY_SECONDS = 30.0  # before a version that could not be loaded is tried again
STALE_SECONDS = 300.0  # without a check, after which a worker is not ready: it might miss a rollback
TRANSIENT_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}  # errors that may be gone at the next check
SAVE_INTERVAL_SECONDS = 60.0  # between attempts to save the last good champions, after one failed

VERSION = re.compile(rollout.VERSION)
log = logging.getLogger("bentoml.tiltyard")  # BentoML prints its own loggers only
Stamp = tuple[int, int, int]


class ChampionWatcher:
    """Watches champions/ of a folder in a thread, since loading a model takes longer than a request may wait."""

    def __init__(
        self, app: Starlette, root: Path, tasks: Collection[str] = (), last_good: LastGood | None = None
    ) -> None:
        self.app, self.root, self.tasks, self.last_good = app, root, set(tasks), last_good
        self.stamps: dict[Path, Stamp] = {}
        self.retry_at: dict[Path, float] = {}
        self.saved: dict[str, str] = {}  # the version of each task that is stored as last good
        self.save_again_at = 0.0  # time of the next attempt after a failure
        self.last_poll, self.log_failure = time.monotonic(), FailureLog("champions could not be checked")
        app.state.watcher = self

    def start(self) -> None:
        """Load every champion or its last good version, then watch for changes until the process ends."""
        models, problems = [], []
        for path in self._initial_pointers():
            try:
                models.append(self._open_or_last_good(path))
            except Exception as error:  # noqa: BLE001 - the other tasks are served all the same
                problems.append(f"{path.stem}: {error}")
        if not models:
            if problems:
                raise PackageError("no champion can be served. " + "; ".join(problems))
            raise PackageError(f"nothing to serve in {self.root}: no champion", hint="make one: tiltyard run")
        for problem in problems:
            log.error("%s; it has no last good version, so only the other tasks are served", problem)
        api.install(self.app, models)
        self.poll()
        threading.Thread(target=self._watch, name="champion watcher", daemon=True).start()

    @property
    def age(self) -> float:
        """The seconds since the last check of the pointers."""
        return time.monotonic() - self.last_poll

    @property
    def is_stale(self) -> bool:
        """Whether a promotion or a rollback may have been missed."""
        return self.age > STALE_SECONDS

    def poll(self) -> None:
        """Load new champions and challengers; after a failure, the current ones stay."""
        complete = True
        for paths, load in ((self._pointers, self._load_champion), (self._rollouts, self._load_challenger)):
            try:
                self._apply_changes(paths(), load)
            except OSError as error:
                self.log_failure(error)
                complete = False
        if complete:
            self.last_poll = time.monotonic()
            if self.app.state.metrics:
                self.app.state.metrics.champions_checked()
        self._save_last_good()

    def _apply_changes(self, paths: list[Path], load: Callable[[Path], None]) -> None:
        for path in paths:
            try:
                stamp, now = _stamp(path), time.monotonic()
                if self.stamps.get(path) == stamp and now < self.retry_at.get(path, math.inf):
                    continue
                self.stamps[path] = stamp
                self.last_poll = now  # loading a large model must not make the worker seem stale
                load(path)
                self.retry_at.pop(path, None)
            except Exception as error:  # noqa: BLE001 - the current version stays
                if isinstance(error, OSError) and error.errno in TRANSIENT_ERRNOS:
                    self.stamps.pop(path, None)
                    self.log_failure(error)
                    continue
                self.retry_at[path] = time.monotonic() + RETRY_SECONDS
                role = "champion" if load == self._load_champion else "challenger"
                log.error("%s: the new %s is not served: %s", path.stem, role, error)  # noqa: TRY400 - no traceback

    def _watch(self) -> None:
        """Poll until the process ends. No exception may stop the thread: later promotions would be missed."""
        while True:
            try:
                time.sleep(POLL_SECONDS)
                self.poll()
            except BaseException as error:  # noqa: BLE001 - the next poll may succeed
                self.log_failure(error)

    def _pointers(self) -> list[Path]:
        """Return the champion pointers; not by Path.glob, which ignores errors in newer versions of Python."""
        paths = sorted((self.root / "champions").iterdir())
        pointers = [path for path in paths if path.suffix == ".json" and not path.name.startswith(".")]
        return [path for path in pointers if not self.tasks or path.stem in self.tasks]

    def _initial_pointers(self) -> list[Path]:
        """Return the pointers, or their last known paths if the folder cannot be read."""
        try:
            return self._pointers()
        except OSError as error:
            tasks = self.last_good.tasks() if self.last_good else []
            if not tasks:
                raise PackageError(f"nothing to serve in {self.root}: {error}", hint="make one: tiltyard run") from None
            self.log_failure(error)
            return [self.root / "champions" / f"{name}.json" for name in tasks if not self.tasks or name in self.tasks]

    def _open_or_last_good(self, path: Path) -> LoadedModel:
        """Load the champion that a pointer names, or else the last good one."""
        try:
            self.stamps[path] = _stamp(path)
            return _load_verified(self._folder(path, _version(path)), read(path).files)
        except Exception as error:
            self.retry_at[path] = time.monotonic() + RETRY_SECONDS
            if (model := self._last_good(path.stem)) is None:
                raise
            log.error("%s: the champion is not served: %s", path.stem, error)  # noqa: TRY400 - no traceback
            log.error("%s: the last good version is served: %s", path.stem, model.version)  # noqa: TRY400
            return model

    def _last_good(self, task: str) -> LoadedModel | None:
        """Load the version that was served last, or return None."""
        for folder in self.last_good.folders(task, self.root) if self.last_good else []:
            with contextlib.suppress(Exception):  # the caller logs the error of the pointer
                return _load_verified(folder)
        return None

    def _save_last_good(self) -> None:
        """Store the versions served now as the last good champions of their tasks."""
        if self.last_good is None or time.monotonic() < self.save_again_at:
            return
        for task, model in self.app.state.models.items():
            try:
                if self.saved.get(task) != model.version:
                    self.last_good.save(task, model.version, self.root / "packages" / task / model.version)
                    self.saved[task] = model.version
            except Exception as error:  # noqa: BLE001 - it is served all the same
                self.save_again_at = time.monotonic() + SAVE_INTERVAL_SECONDS
                log.warning("%s: %s could not be stored as last good version: %s", task, model.version, error)

    def _load_champion(self, path: Path) -> None:
        """Replace the champion; the previous one stays loaded, so that a rollback takes no time."""
        version = _version(path)
        current = self.app.state.models.get(path.stem)
        if current is not None and current.version == version:
            return
        api.replace_champion(
            self.app,
            self._warm_versions(path.stem).get(version)
            or _load_verified(self._folder(path, version), read(path).files),
        )
        log.info("%s: %s is served now", path.stem, version)

    def _rollouts(self) -> list[Path]:
        """Return the rollout files of the served tasks; drop challengers whose file is gone."""
        paths = {name: self.root / "traffic" / f"{name}.json" for name in self.app.state.models}
        present = {name for name, path in paths.items() if _exists(path)}
        for name in self.app.state.splits.keys() - present:
            self._load_challenger(paths[name])
        return [paths[name] for name in present]

    def _load_challenger(self, path: Path) -> None:
        """Start, change or end the traffic split of a task by its rollout file."""
        splits: dict[str, TrafficSplit] = {
            name: splits for name, splits in self.app.state.splits.items() if name != path.stem
        }
        if (new_rollout := rollout.read(path)) and new_rollout.task == path.stem:
            folder = self._folder(path, new_rollout.version)
            rollout.require_proof(folder)
            model = self._warm_versions(path.stem).get(new_rollout.version) or _load_verified(folder)
            splits[path.stem] = TrafficSplit(new_rollout, model)
            version, way, share = new_rollout.version, new_rollout.way, new_rollout.share
            log.info("%s: %s is %s for %g of all requests", path.stem, version, way, share)
        else:
            self.stamps.pop(path, None)  # load it again if the same file comes back
        self.app.state.splits = splits

    def _warm_versions(self, task: str) -> dict[str, LoadedModel]:
        """Return the loaded versions of a task, including the challenger, so that its promotion takes no time."""
        models: dict[str, LoadedModel] = self.app.state.versions.get(task, {})
        split: TrafficSplit | None = self.app.state.splits.get(task)
        return {**models, split.challenger.version: split.challenger} if split else models

    def _folder(self, path: Path, version: str) -> Path:
        return self.root / "packages" / path.stem / version


def _version(path: Path) -> str:
    """Return the version that a pointer names, validated, since it becomes part of a path."""
    if VERSION.fullmatch(version := read(path).version):
        return version
    raise PackageError(
        f"{path.name}: expected a version of twelve digits from 0 to f; received {format_value(version)}"
    )


def _load_verified(folder: Path, files_digest: str = "") -> LoadedModel:
    """Load a package and verify that it predicts its golden rows as in the evaluation."""
    model, golden = LoadedModel.load(folder, files_digest), folder / "golden.json"
    if model.task != folder.parent.name:
        raise PackageError(
            f"{folder} is not a package of its task: expected {folder.parent.name}; received {model.task}"
        )
    if golden.is_file():
        rows = files.read_json(golden)
        if not rows["instances"]:
            raise PackageError(f"{golden}: expected golden rows with predictions; received none")
        for predictions in model.predict_each_way(rows["instances"]):
            assert_close(rows["predictions"], predictions)
    return model


def _exists(path: Path) -> bool:
    """Return whether a file exists; raise other errors, which Path.is_file ignores in newer versions of Python."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


def _stamp(path: Path) -> Stamp:
    """Return time, inode and size of a pointer; it is replaced by a new file, so that they change."""
    status = path.stat()
    return status.st_mtime_ns, status.st_ino, status.st_size
