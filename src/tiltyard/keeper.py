"""The keeper: what a running worker serves. As soon as a task has another champion, that one answers; none is lost.

Challenges are followed in the same way: who gets a share or a copy of a task's requests.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path

from starlette.applications import Starlette

from tiltyard import api, challenge, files
from tiltyard.arms import Arms
from tiltyard.errors import PackageError
from tiltyard.golden import compare
from tiltyard.served import Served

LOOK = 0.5  # seconds between looks at the pointers
AGAIN = 30.0  # seconds until what could not be taken is tried again

VERSION = re.compile(challenge.VERSION)
log = logging.getLogger("bentoml.tiltyard")  # BentoML shows its own loggers
Stamp = tuple[int, int, int]


class Keeper:
    """Watches champions/ of a folder, in a thread: opening a model takes longer than a request may wait."""

    def __init__(self, app: Starlette, root: Path, tasks: Collection[str] = ()) -> None:
        self.app, self.root, self.tasks = app, root, set(tasks)
        self.seen: dict[Path, Stamp] = {}
        self.refused: dict[Path, float] = {}

    def start(self) -> None:
        """Load every champion, all or none, and then look for others until the process ends."""
        pointers = self._pointers()
        if not pointers:
            raise PackageError(f"nothing to serve in {self.root}: no champion", hint="make one: tiltyard run")
        stamps = {path: _stamp(path) for path in pointers}
        api.install(self.app, [Served.load(self._folder(path, _version(path))) for path in pointers])
        self.seen = stamps
        self._follow(self._challenges(), self._arm)
        threading.Thread(target=self._watch, name="keeper", daemon=True).start()

    def look(self) -> None:
        """Take what is new; what cannot be taken leaves in place what there was."""
        self._follow(self._pointers(), self._take)
        self._follow(self._challenges(), self._arm)

    def _follow(self, paths: list[Path], take: Callable[[Path], None]) -> None:
        for path in paths:
            try:
                stamp, now = _stamp(path), time.monotonic()
                if self.seen.get(path) == stamp and now < self.refused.get(path, math.inf):
                    continue
                self.seen[path] = stamp
                take(path)
                self.refused.pop(path, None)
            except Exception as error:  # noqa: BLE001 - whatever it is, what was there before answers on
                self.refused[path] = time.monotonic() + AGAIN
                what = "champion" if take == self._take else "challenger"
                log.error("%s: the new %s is not served: %s", path.stem, what, error)  # noqa: TRY400 - a sentence will do

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK)
            self.look()

    def _pointers(self) -> list[Path]:
        found = sorted((self.root / "champions").glob("[!.]*.json"))
        return [path for path in found if not self.tasks or path.stem in self.tasks]

    def _take(self, path: Path) -> None:
        """Put a champion in the place of the one before, which stays warm: the way back takes no time."""
        version = _version(path)
        now = self.app.state.models.get(path.stem)
        if now is not None and now.version == version:
            return
        api.replace(self.app, self._warm(path.stem).get(version) or _proven(self._folder(path, version)))
        log.info("%s: %s answers now", path.stem, version)

    def _challenges(self) -> list[Path]:
        """Give the challenge of each task that is served; one that is no more is forgotten."""
        paths = {name: self.root / "traffic" / f"{name}.json" for name in self.app.state.models}
        for name in [name for name in self.app.state.arms if not paths[name].is_file()]:
            self._arm(paths[name])
        return [path for path in paths.values() if path.is_file()]

    def _arm(self, path: Path) -> None:
        """Let a challenger have its share of what is asked next; without a challenge there is no such."""
        arms: dict[str, Arms] = {name: arms for name, arms in self.app.state.arms.items() if name != path.stem}
        if (found := challenge.read(path)) and found.task == path.stem:
            model = self._warm(path.stem).get(found.version) or _proven(self._folder(path, found.version))
            arms[path.stem] = Arms(found, model)
            log.info("%s: %s is %s for %g of all requests", path.stem, found.version, found.way, found.share)
        else:
            self.seen.pop(path, None)  # the same file may come back
        self.app.state.arms = arms

    def _warm(self, task: str) -> dict[str, Served]:
        """Give the versions of a task that are open, a challenger among them: its promotion takes no time."""
        kept: dict[str, Served] = self.app.state.kept.get(task, {})
        arms: Arms | None = self.app.state.arms.get(task)
        return {**kept, arms.challenger.version: arms.challenger} if arms else kept

    def _folder(self, path: Path, version: str) -> Path:
        return self.root / "packages" / path.stem / version


def _version(path: Path) -> str:
    """Read which version a pointer names; a name that is none could lead out of the folder."""
    version = files.read_json(path)["version"]
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise PackageError(f"{path.name}: expected a version of twelve digits from 0 to f; received {version!r}")
    return version


def _proven(folder: Path) -> Served:
    """Open a package, and insist that it answers golden rows as the evaluation did: others depend on this worker."""
    model, golden = Served.load(folder), folder / "golden.json"
    if golden.is_file():
        rows = files.read_json(golden)
        for predictions in model.answers(rows["instances"]):
            compare(rows["predictions"], predictions)
    return model


def _stamp(path: Path) -> Stamp:
    """Say what a pointer looks like from outside; it is replaced whole, so that another one is another file."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size
