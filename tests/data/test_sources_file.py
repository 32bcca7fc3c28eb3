"""The source `file`: bytes are unchanged, downloads are complete or absent, and errors say how to supply a file."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import random
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import pytest
from pydantic import ValidationError
from workspaces import edit_task

from tiltyard.config import loader
from tiltyard.data.fetch import fetch
from tiltyard.data.sources import _download
from tiltyard.data.sources.file import File
from tiltyard.errors import DataError, SourceError
from tiltyard.runtime import progress
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

chance = random.Random(0)  # noqa: S311 - no secret
TABLE = b"x,y\n" + b"".join(b"%d,%d\n" % (i, chance.randrange(10**6)) for i in range(50_000))
SHA256 = hashlib.sha256(TABLE).hexdigest()


@dataclass
class Server:
    """The content of a server, its behaviour, and the requests it received."""

    content: bytes = TABLE
    tag: str = '"1"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which each response is cut off
    codes: list[int] = field(default_factory=list)  # status codes of the next responses
    length: bool = True
    requests: list[str] = field(default_factory=list)  # the Range header of each request
    url: str = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A real local server, with short waits between tries."""
    monkeypatch.setattr(_download, "PAUSE_SECONDS", 0.01)
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            _answer(self, state)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{http_server.server_port}/files/table.csv"
        yield state
        http_server.shutdown()
        thread.join()


def _answer(handler: http.server.BaseHTTPRequestHandler, state: Server) -> None:
    requested_range = handler.headers.get("Range", "")
    state.requests.append(requested_range)
    if state.codes:
        handler.send_error(state.codes.pop(0))
        return
    start = int(requested_range.removeprefix("bytes=").rstrip("-")) if requested_range and state.ranges else 0
    if handler.headers.get("If-Range", state.tag) != state.tag:
        start = 0
    if start > len(state.content):
        handler.send_error(416)
        return
    body = state.content[start:]
    handler.send_response(206 if start else 200)
    if state.tag:
        handler.send_header("ETag", state.tag)
    if state.length:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: state.cuts.pop(0)] if state.cuts else body)


def fetch_file(workspace: Workspace, path: str, **settings: object) -> Path:
    """Fetch into a folder outside the project; return the one file."""
    folder = workspace.root.parent / f"{workspace.root.name}-raw"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    File.model_validate({"kind": "file", "path": path, **settings}).fetch(folder, workspace)
    (found,) = folder.iterdir()
    return found


def parts(workspace: Workspace) -> list[str]:
    """Return the names of the downloads, except locks."""
    names = (path.name for path in workspace.downloads.glob("*"))
    return sorted(name for name in names if not name.endswith(".lock"))


@pytest.mark.parametrize("name", ["t.csv", "my.data.v2.CSV", "t.tsv", "t.csv.gz", "t.csv.xz", "t.jsonl"])
def test_project_file_is_unchanged(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """The file keeps its suffixes, and its path is relative to the project."""
    (workspace.root / "in").mkdir()
    (workspace.root / "in" / name).write_bytes(b"\xef\xbb\xbfx;y\r\n1;2\r\n")
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        fetched = fetch_file(workspace, f"in/{name}")
    assert fetched.name == "table" + name.lower().removeprefix("my.data.v2").removeprefix("t")
    assert fetched.read_bytes() == b"\xef\xbb\xbfx;y\r\n1;2\r\n"


def test_absolute_paths_and_fsspec_addresses_work(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Absolute paths and fsspec addresses work."""
    path = tmp_path_factory.mktemp("elsewhere") / "t.csv"
    path.write_bytes(TABLE)
    with fsspec.open("memory://bucket/t.csv", "wb") as file:
        file.write(TABLE)
    for address in (str(path), path.as_uri(), "memory://bucket/t.csv"):
        assert fetch_file(workspace, address, sha256=SHA256).read_bytes() == TABLE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("t.ods", r"source\.path: expected a name that ends in one of \.csv, .*; received t\.ods"),
        ("t.gz", "expected a name that ends in one of"),
        ("tasks/gone.csv", "no file tasks/gone.csv: looked in .*/tasks"),
        ("folder.csv", "source.path: expected a file; received the folder folder.csv"),
        ("two.zip", "expected one file inside; received 2: a.csv, b.csv"),
    ],
)
def test_unsupported_suffix_is_rejected(workspace: Workspace, path: str, message: str) -> None:
    """Unsupported suffixes are refused before anything is written."""
    (workspace.root / "folder.csv").mkdir()
    with zipfile.ZipFile(workspace.root / "two.zip", "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, TABLE)
    with pytest.raises((SourceError, DataError), match=message):
        fetch_file(workspace, path)


def test_lookup_order(
    workspace: Workspace, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A name is looked up in the project, the downloads, the mirror, and at the URL, in that order."""
    mirror = tmp_path_factory.mktemp("mirror")
    monkeypatch.setenv("TILTYARD_MIRROR", str(mirror))
    assert fetch_file(workspace, "table.csv", url=server.url, sha256=SHA256).read_bytes() == TABLE
    assert fetch_file(workspace, "table.csv", url=server.url, sha256=SHA256).read_bytes() == TABLE
    assert len(server.requests) == 1
    (mirror / "table.csv").write_bytes(b"x\n2\n")
    assert fetch_file(workspace, "table.csv", url=server.url).read_bytes() == b"x\n2\n"
    (workspace.root / "table.csv").write_bytes(b"x\n3\n")
    assert fetch_file(workspace, "table.csv", url=server.url).read_bytes() == b"x\n3\n"
    assert len(server.requests) == 1


def test_missing_file_error_names_ways_to_supply_it(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, the searched paths, and the ways to supply it."""
    monkeypatch.delenv("TILTYARD_MIRROR", raising=False)
    with pytest.raises(SourceError, match=r"no file gone\.csv: looked in .*; TILTYARD_MIRROR is not set") as caught:
        fetch_file(workspace, "gone.csv")
    assert caught.value.hint == (
        f"place it at {workspace.root / 'gone.csv'}; or put it into a folder and set TILTYARD_MIRROR to that; "
        "or set source.url"
    )


@pytest.mark.parametrize("sha256", [None, SHA256])
def test_interrupted_download_resumes(workspace: Workspace, server: Server, sha256: str | None) -> None:
    """After two lost connections, no byte is requested again, and no partial file is left."""
    server.cuts = [100_000, 50_000]
    assert fetch_file(workspace, server.url, sha256=sha256).read_bytes() == TABLE
    assert server.requests == ["", "bytes=100000-", "bytes=150000-"]
    assert parts(workspace) == ([f"{SHA256[:16]}-table.csv"] if sha256 else [])


def test_failed_download_is_resumed_by_the_next_run(workspace: Workspace, server: Server) -> None:
    """The next run continues a partial download."""
    server.cuts, server.codes = [100_000], []
    server.cuts += [0] * _download.MAX_TRIES
    with pytest.raises(
        SourceError, match=r"table\.csv: could not be downloaded: the connection ended after 100000 bytes"
    ) as caught:
        fetch_file(workspace, server.url)
    assert caught.value.hint == "try again: the download continues where it stopped"
    assert [name.rpartition("table.csv")[2] for name in parts(workspace)] == [".part", ".part.version"]
    server.cuts.clear()
    assert fetch_file(workspace, server.url).read_bytes() == TABLE
    assert server.requests[-1] == "bytes=100000-"


def test_changed_file_restarts_the_download(workspace: Workspace, server: Server) -> None:
    """If the file changed on the server meanwhile, the download starts again."""
    server.cuts = [100_000, *[0] * _download.MAX_TRIES]
    with pytest.raises(SourceError):
        fetch_file(workspace, server.url)
    server.cuts.clear()
    server.content, server.tag = TABLE[::-1].replace(b",", b"\n"), '"2"'
    assert fetch_file(workspace, server.url).read_bytes() == server.content


@pytest.mark.parametrize(("ranges", "tag"), [(False, '"1"'), (True, "")])
def test_server_without_ranges_sends_the_whole_file(
    workspace: Workspace, server: Server, ranges: bool, tag: str
) -> None:
    """Servers without ranges or versions send the whole file again."""
    server.ranges, server.tag, server.cuts = ranges, tag, [100_000]
    assert fetch_file(workspace, server.url).read_bytes() == TABLE
    assert len(server.requests) == 2


def test_oversized_partial_file_is_dropped(workspace: Workspace, server: Server) -> None:
    """A partial file that is longer than the file on the server is dropped."""
    stored = _download.stored_path(server.url, workspace.downloads, SHA256)
    stored.parent.mkdir(parents=True)
    stored.with_name(f"{stored.name}.part").write_bytes(TABLE * 2)
    assert fetch_file(workspace, server.url, sha256=SHA256).read_bytes() == TABLE


def test_wrong_checksum_removes_the_file(workspace: Workspace, server: Server) -> None:
    """A file with a wrong checksum is removed, and the next try starts again."""
    server.content = b"x\n1\n"
    with pytest.raises(SourceError, match=f"expected SHA-256 {SHA256}; received [0-9a-f]{{64}}"):
        fetch_file(workspace, server.url, sha256=SHA256)
    assert parts(workspace) == []
    (workspace.root / "t.csv").write_bytes(b"x\n1\n")
    with pytest.raises(SourceError, match=rf"t\.csv: expected SHA-256 {SHA256}; received"):
        fetch_file(workspace, "t.csv", sha256=SHA256)


def test_damaged_download_is_downloaded_again(workspace: Workspace, server: Server) -> None:
    """A damaged file among the downloads is downloaded again."""
    fetch_file(workspace, server.url, sha256=SHA256)
    _download.stored_path(server.url, workspace.downloads, SHA256).write_bytes(b"rot")
    assert fetch_file(workspace, server.url, sha256=SHA256).read_bytes() == TABLE


def test_requests_to_a_busy_server_are_repeated(workspace: Workspace, server: Server) -> None:
    """Requests are repeated after 503 and 429, but not after 404."""
    server.codes = [503, 429]
    assert fetch_file(workspace, server.url).read_bytes() == TABLE
    server.codes = [404]
    secret = server.url.replace("http://", "http://user:topsecret@") + "?token=topsecret"
    with pytest.raises(SourceError, match=r"files/table\.csv: the server answers 404 Not Found") as caught:
        fetch_file(workspace, server.url + "?token=topsecret")
    assert "topsecret" not in caught.value.message
    assert "topsecret" not in _download.without_secrets(secret)


def test_unreachable_server_is_reported(workspace: Workspace, server: Server) -> None:
    """An unreachable server is reported."""
    with pytest.raises(SourceError, match=r"could not be downloaded: .*refused"):
        fetch_file(workspace, "http://127.0.0.1:1/t.csv")
    assert server.requests == []


@pytest.mark.parametrize("length", [True, False])
def test_long_download_shows_progress(
    workspace: Workspace,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    length: bool,
) -> None:
    """Progress appears only after a while, as lines if there is no terminal."""
    server.length = length
    fetch_file(workspace, server.url)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "QUIET_SECONDS", 0.0)
    fetch_file(workspace, server.url)
    assert f"table.csv 0.3 of {len(TABLE) / 1e6:.1f} MB" in capsys.readouterr().err or not length
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    fetch_file(workspace, server.url)
    assert "table.csv" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "t.csv", "url": "ftp://x/t.csv"}, "expected http:// or https://"),
        ({"path": "t.csv", "sha256": "abc"}, "should match pattern"),
        ({"path": "t.csv", "read": {"delimeter": ";"}}, r"did you mean 'delimiter'\?"),
        ({"path": ""}, "at least 1 character"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, object], message: str) -> None:
    """Invalid settings are refused before anything runs."""
    with pytest.raises(ValidationError, match=message):
        File.model_validate({"kind": "file", **settings})


def test_task_settings_control_reading(workspace: Workspace) -> None:
    """A compressed file with semicolons is validated by the settings in the task file, its bytes unchanged."""
    edit_task(workspace, "iris", {"source": {"kind": "sklearn", "dataset": "iris"}})
    fetch(workspace, loader.load(workspace, "iris"))
    lines = (workspace.raw("iris") / "table.csv").read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    packed = gzip.compress("\n".join(line.replace(",", ":") for line in lines[1:]).encode(), mtime=0)
    (workspace.root / "flowers.csv.gz").write_bytes(packed)
    read = {"delimiter": ":", "header": False, "names": names}
    edit_task(workspace, "iris", {"source": {"kind": "file", "path": "flowers.csv.gz", "read": read}})
    task = loader.load(workspace, "iris")
    assert fetch(workspace, task).state == "new"
    assert (workspace.raw("iris") / "table.csv.gz").read_bytes() == packed
    assert [path.name for path in workspace.raw("iris").iterdir()] == ["table.csv.gz"]
    validation = validate(workspace, task)
    assert validation.rows == 150
    assert validation.repairs == []


def test_series_is_read_from_a_file(workspace: Workspace) -> None:
    """A table from a file is read as a series in order of time."""
    fetch(workspace, loader.load(workspace, "sine"))
    (workspace.raw("sine") / "series.csv").rename(workspace.root / "waves.csv")
    edit_task(workspace, "sine", {"source": {"kind": "file", "path": "waves.csv"}})
    task = loader.load(workspace, "sine")
    assert fetch(workspace, task, force=True).state == "new"
    assert validate(workspace, task).rows == 1000
