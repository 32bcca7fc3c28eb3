"""Fork server: a process with heavy libraries loaded, from which the stages of a run start in milliseconds.

`tiltyard run` starts one for each group of libraries. The command of a stage, such as `tiltyard train iris`, sends its
arguments, environment and open files (fork_client.py), and exits with the exit status of the fork. The server has
modules of the project loaded, too. If a file of the project has changed since, a fork imports them again: it runs the
code that is on disk when the stage starts, as DVC records it.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from tiltyard.pipelines.fork_client import ENVIRONMENT, LENGTH_BYTES, VARIABLE, library_variables

EVERY = ("click", "msgspec", "numpy", "pandas", "pyarrow.parquet", "pydantic", "yaml")  # for each command
CHECKS = "great_expectations.expectations.registry"
TRAINING = ("keras", "onnxruntime", "sklearn.linear_model", "tensorboard.summary", "tf2onnx.tfonnx")
OWN_EVERY = ("tiltyard.cli.main", "tiltyard.config.loader")
OWN_DATA = ("tiltyard.config.resolve", "tiltyard.validation.validate", "tiltyard.preparation.prepare")
OWN_TRAINING = ("tiltyard.training.train", "tiltyard.evaluation.evaluate")
OWN = {  # modules of the project by group
    "data": (*OWN_EVERY, *OWN_DATA),
    "models": (*OWN_EVERY, *OWN_TRAINING),
    "all": (*OWN_EVERY, *OWN_DATA, *OWN_TRAINING, "tiltyard.pipelines.smoke"),
}
LIBRARIES = {  # Keras first, which does not need the others
    "data": (CHECKS, *EVERY),
    "models": (*TRAINING, *EVERY),
    "all": (*TRAINING, CHECKS, *EVERY),
}
PACKAGES = ("tiltyard", "tiltyard.pipelines")  # the second one is a link in a clone, which rglob does not follow
RECEIVE_SECONDS = 10.0  # for a client to send its request


def is_supported() -> bool:
    """Return whether this system can run servers; on macOS, system libraries must not be used after a fork."""
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # an old or a limited kernel
        return False
    return True


class ForkServers:
    """The servers of a run: started when the first stage asks for one, or `at_once`, and ended with the run."""

    def __init__(self, *groups: str, at_once: bool = False) -> None:
        self.groups, self.at_once = groups or ("data", "models"), at_once
        self.stack = contextlib.ExitStack()
        self.listeners: dict[str, socket.socket] = {}
        self.ending, self.end = socket.socketpair()

    def __enter__(self) -> Self:
        """Listen for stages; child processes inherit the environment variable that names the sockets."""
        if VARIABLE not in os.environ and is_supported():
            try:
                self._listen()
            except OSError:  # such as a path that is too long for a socket: stages run in their own processes
                self.stack.close()
        return self

    def _listen(self) -> None:
        from tiltyard import files

        folder = self.stack.enter_context(files.temporary_folder("tiltyard-fork"))
        for group in self.groups:
            listener = self.listeners[group] = self.stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(folder / group))
            listener.listen()
        (folder / ENVIRONMENT).write_text(json.dumps(library_variables()), encoding="utf-8")
        os.environ[VARIABLE] = str(folder)
        self.stack.callback(os.environ.pop, VARIABLE, None)
        thread = threading.Thread(target=self._run, name="fork servers", daemon=True)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(self.end.close)

    def __exit__(self, *_: object) -> None:
        """End the servers, and their forks with them."""
        self.stack.close()
        self.ending.close()
        self.end.close()

    def _run(self) -> None:
        """Start all servers, unless at once, when the first stage asks for one; end them when the run ends."""
        if not self.at_once and self.ending in select.select([*self.listeners.values(), self.ending], [], [])[0]:
            return
        with contextlib.ExitStack() as processes, contextlib.suppress(OSError):  # no memory for a process
            for listener in self.listeners.values():
                processes.enter_context(listener)
            for group, listener in self.listeners.items():
                processes.enter_context(_running(listener, LIBRARIES[group], OWN[group]))
            self.ending.recv(1)


@contextlib.contextmanager
def _running(listener: socket.socket, libraries: tuple[str, ...], modules: tuple[str, ...]) -> Iterator[None]:
    """Run a server, which ends when its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tiltyard.pipelines.fork_server", str(listener.fileno()), *libraries, *modules],
        pass_fds=[listener.fileno()],
        start_new_session=True,  # an interrupt from the keyboard ends the commands, whose end ends the forks
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    listener.close()  # without a server, stages run in their own processes
    with process:
        yield
        process.kill()


@dataclass(frozen=True)
class Request:
    """A command to run in a fork."""

    arguments: list[str]
    folder: str
    environment: dict[str, str]
    descriptors: list[int] = field(default_factory=list)  # stdin, stdout and stderr

    @classmethod
    def receive(cls, connection: socket.socket) -> Request:
        """Receive the request of a client; raise OSError or ValueError if it ends before."""
        head, descriptors, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 3)
        with connection.makefile("rb") as stream:
            content: dict[str, Any] = json.loads(stream.read(int.from_bytes(head, "big")))
        return cls(content["arguments"], content["folder"], content["environment"], descriptors)


class Server:
    """The loop of a server: it accepts requests, forks, reports exit statuses, and kills the forks of lost clients."""

    def __init__(self, listener: socket.socket) -> None:
        self.selector = selectors.DefaultSelector()
        self.selector.register(0, selectors.EVENT_READ, None)
        self.listener = listener
        self.selector.register(listener, selectors.EVENT_READ, None)
        self.forks: dict[socket.socket, tuple[int, int]] = {}  # process id and pidfd by connection
        self.alive, self.lifeline = os.pipe()  # a fork reads from the first until this process, and so the second, ends

    def serve(self) -> Request | None:
        """Return a request in a fork, or None in the server itself when its stdin is closed."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj == 0:
                    return None
                if key.fileobj is self.listener:
                    if request := self._accept():
                        return request
                elif key.data in self.forks:
                    self._finish(key.data, lost=key.fileobj is key.data)

    def _accept(self) -> Request | None:
        """Fork for a new client; return its request in the fork."""
        connection, _ = self.listener.accept()
        connection.settimeout(RECEIVE_SECONDS)
        try:
            request = Request.receive(connection)
        except (OSError, ValueError, KeyError):
            connection.close()
            return None
        if (child := os.fork()) == 0:
            self._leave(connection)
            return request
        for descriptor in request.descriptors:
            os.close(descriptor)
        pidfd = os.pidfd_open(child)
        self.forks[connection] = child, pidfd
        for handle in (connection, pidfd):
            self.selector.register(handle, selectors.EVENT_READ, connection)
        return None

    def _finish(self, connection: socket.socket, *, lost: bool) -> None:
        """Report the exit status of a fork to its client; kill a fork whose client has ended."""
        child, pidfd = self.forks.pop(connection)
        if lost:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
                os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for handle in (connection, pidfd):
            self.selector.unregister(handle)
        os.close(pidfd)
        with connection, contextlib.suppress(OSError):
            connection.sendall(str(code if code >= 0 else 128 - code).encode())

    def _leave(self, connection: socket.socket) -> None:
        """Close what belongs to the server, in a fork; end the fork when the server ends."""
        os.setsid()
        os.close(self.lifeline)
        for client, (_, pidfd) in self.forks.items():
            client.close()
            os.close(pidfd)
        self.selector.close()
        for handle in (connection, self.listener):
            handle.close()
        threading.Thread(target=lambda: (os.read(self.alive, 1), os._exit(1)), daemon=True).start()


def main() -> None:
    """Load libraries and serve at the inherited socket; in a fork, run the command of a request."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    listener.set_inheritable(False)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # as training does, whatever ~/.keras/keras.json says
    sources = _sources()
    library_imports = importlib.import_module("tiltyard.runtime.library_imports")
    for name in sys.argv[2:]:
        with contextlib.suppress(Exception):  # a fork imports it again, and reports the error
            library_imports.load(name)
    gc.freeze()  # the memory of the libraries stays shared with the forks
    if request := Server(listener).serve():
        run(request, sources)


def _sources() -> dict[str, tuple[int, int, int]]:
    """Return time, size and inode of each file of the project's code; a changed file has others, as for DVC."""
    states = {}
    for package in PACKAGES:
        for path in Path(importlib.import_module(package).__file__ or "").parent.rglob("*.py"):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                state = path.stat()
                states[str(path)] = state.st_mtime_ns, state.st_size, state.st_ino
    return states


def run(request: Request, sources: dict[str, tuple[int, int, int]]) -> NoReturn:
    """Run a command as its own process would, and end this process."""
    for place, descriptor in enumerate(request.descriptors):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = request.arguments
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # forks would draw the same numbers
    importlib.invalidate_caches()
    if _sources() != sources:
        for name in [name for name in sys.modules if name.partition(".")[0] == "tiltyard"]:
            del sys.modules[name]
    code = 1
    try:
        importlib.import_module("tiltyard.cli.main").main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - reported as the interpreter would
        traceback.print_exc()
    atexit._run_exitfuncs()  # noqa: SLF001 - os._exit does not run them
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)  # native libraries would wait for threads that the fork does not have


if __name__ == "__main__":
    main()
