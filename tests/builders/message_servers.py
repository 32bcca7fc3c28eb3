"""A web server and an SMTP server on loopback that keep what they receive, and answer as a test wants."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """The port of a server, its answers, and what it has received."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)  # of the next answers; then 200
    pause: float = 0.0  # seconds before an answer
    location: str = ""
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The address of the web server."""
        return f"http://127.0.0.1:{self.port}/hook"


@contextlib.contextmanager
def web_server() -> Iterator[Received]:
    """Serve POST requests."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.headers.append({name.lower(): value for name, value in self.headers.items()})
            received.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            time.sleep(received.pause)
            self.send_response(received.statuses.pop(0) if received.statuses else 200)
            if received.location:
                self.send_header("location", received.location)
            self.send_header("content-length", "0")
            with contextlib.suppress(OSError):
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler), received):
        yield received


@contextlib.contextmanager
def smtp_server() -> Iterator[Received]:
    """Take mails, without encryption."""
    received = Received()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def handle(self) -> None:
            self.say("220 loopback")
            while line := self.rfile.readline():
                word = line.split()[0].upper() if line.split() else b""
                if word == b"RCPT" and received.statuses:
                    self.say(f"{received.statuses.pop(0)} not now")
                elif word == b"RCPT":
                    received.recipients.append(line.decode().strip())
                    self.say("250 ok")
                elif word == b"DATA":
                    self.say("354 go on")
                    received.mails.append(self.mail())
                    self.say("250 taken")
                elif word == b"QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

        def mail(self) -> str:
            lines = list[bytes]()
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line)
            return b"".join(lines).decode()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with _running(Server(("127.0.0.1", 0), Handler), received):
        yield received


@contextlib.contextmanager
def _running(server: socketserver.TCPServer, received: Received) -> Iterator[None]:
    received.port = int(server.socket.getsockname()[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
