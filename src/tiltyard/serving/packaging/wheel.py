"""Build the wheel of a Bento: the packages of tiltyard that the service needs."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from tiltyard import plugins
from tiltyard.workspace import PACKAGE

PACKAGES = ("data", "explain", "modeling", "registry", "runtime", "serving")  # and the files at the root
SERVED_PLUGINS = ("columns", "problems")  # kinds of plug-ins of other packages that a service needs
LEFT_OUT = "serving/packaging"  # it builds Bentos, and no service imports it
TAG = "py3-none-any"
FILE_DATE = (1980, 1, 1, 0, 0, 0)  # of each file, so that the same code gives the same bytes


def write(folder: Path) -> Path:
    """Write the wheel of the code that is running; its version ends with a hash of the code.

    It is written without a build backend, which an installed package lacks. It names no dependencies: the Bento has a
    lock file.
    """
    files = {f"tiltyard/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes() for path in _files()}
    points = [(folder, point) for folder in SERVED_PLUGINS for point in plugins.others(folder).values()]
    files |= {name: content for _, point in points for name, content in _module(point.module).items()}
    code = hashlib.sha256(_record(files)).hexdigest()[:12]
    version = f"{metadata.version('tiltyard').partition('+')[0]}+h{code}"
    dist_info = f"tiltyard-{version}.dist-info"
    files |= {
        f"{dist_info}/METADATA": f"Metadata-Version: 2.1\nName: tiltyard\nVersion: {version}\n".encode(),
        f"{dist_info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tiltyard\nRoot-Is-Purelib: true\nTag: {TAG}\n".encode(),
    }
    if points:
        sections = (f"[tiltyard.{folder}]\n{point.name} = {point.value}\n" for folder, point in points)
        files[f"{dist_info}/entry_points.txt"] = "\n".join(sections).encode()
    files[f"{dist_info}/RECORD"] = _record(files) + f"{dist_info}/RECORD,,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"tiltyard-{version}-{TAG}.whl"
    with zipfile.ZipFile(target, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(_entry(name), content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return target


def _module(name: str) -> dict[str, bytes]:
    """Return the files of the package or module of another distribution that adds plug-ins."""
    top = find_spec(name.partition(".")[0])
    if top is None or top.origin is None:
        return {}
    origin = Path(top.origin)
    paths = origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
    start = origin.parent.parent if origin.name == "__init__.py" else origin.parent
    return {path.relative_to(start).as_posix(): path.read_bytes() for path in sorted(paths)}


def _files() -> list[Path]:
    """Return the files at the root and in the packages, without those left out, caches and hidden files."""
    package_paths = (path for name in PACKAGES for path in (PACKAGE / name).rglob("*"))
    paths = (path for path in (*PACKAGE.glob("*"), *package_paths) if path.is_file())
    parts = {path: path.relative_to(PACKAGE).parts for path in paths if PACKAGE / LEFT_OUT not in path.parents}
    return sorted(path for path in parts if not any(part.startswith((".", "__pycache__")) for part in parts[path]))


def _record(files: dict[str, bytes]) -> bytes:
    """Return the lines of RECORD, by which an installer verifies the files."""
    hashes = {name: base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=") for name in files}
    return b"".join(b"%s,sha256=%s,%d\n" % (name.encode(), hashes[name], len(files[name])) for name in files)


def _entry(name: str) -> zipfile.ZipInfo:
    """Return the header of a file in the archive, with mode 644."""
    entry = zipfile.ZipInfo(name, FILE_DATE)
    entry.create_system = 3  # Unix, on every system
    entry.external_attr = 0o100644 << 16
    return entry
