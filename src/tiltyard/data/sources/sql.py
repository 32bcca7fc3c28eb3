"""Source `sql`: the rows of a database query, as JSON lines, in which NULL and empty text remain different.

Use ORDER BY, so that the same rows give the same bytes: without it, a database may return rows in any order.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import os
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote

import msgspec
from pydantic import Field

from tiltyard.data.sources import _read_only_sql
from tiltyard.data.sources.base import Source
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

if TYPE_CHECKING:
    import sqlite3

    import sqlalchemy as sa

BATCH_ROWS = 10_000  # held at a time
READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "START TRANSACTION READ ONLY",
    "mariadb": "START TRANSACTION READ ONLY",
}
WRITE_REFUSED = re.compile(
    "not authorized|readonly|read-only|prohibited|may not be modified|one statement at a time", re.IGNORECASE
)
VARIABLE = re.compile(r"\$\{(\w+)\}")


class Sql(Source):
    """A query to any database that SQLAlchemy supports."""

    kind: Literal["sql"]
    url: str = Field(
        min_length=1,
        description="A SQLAlchemy URL, such as sqlite:///data.db; ${NAME} is replaced by an environment variable.",
    )
    query: str = Field(min_length=1, description="With ORDER BY, so that the same rows give the same bytes.")

    def fetch(self, folder: Path, workspace: Workspace) -> None:
        """Write table.jsonl with one object for each row; raise for a query that would change something."""
        import sqlalchemy as sa

        address = self._address(workspace)
        query = _read_only_sql.require_read_only(self.query, address.get_backend_name())
        try:
            with _connect(address) as connection:
                _write(connection.exec_driver_sql(query), folder / "table.jsonl")
        except ImportError as error:
            text = f"source.url: the driver of {address.drivername} is not installed: {error}"
            raise SourceError(text, hint="for PostgreSQL: pip install 'tiltyard[postgres]'") from None
        except sa.exc.SQLAlchemyError as error:
            reason = " ".join(str(getattr(error, "orig", None) or error).split())
            if WRITE_REFUSED.search(reason):
                text = f"source.query: expected a query that only reads; {address.get_backend_name()} reports: {reason}"
                raise SourceError(text, hint=_read_only_sql.HINT) from None
            where = address.set(query={}).render_as_string(hide_password=True)
            raise SourceError(
                f"{where}: {_mask_passwords(reason, address)}", hint="see source.url and source.query"
            ) from None

    def _address(self, workspace: Workspace) -> sa.URL:
        import sqlalchemy as sa

        try:
            address = sa.make_url(_insert_variables(self.url))
        except (sa.exc.ArgumentError, ValueError):
            raise SourceError(
                "source.url: expected dialect://user:password@host/database, as SQLAlchemy has it"
            ) from None
        if address.drivername == "postgresql":
            return address.set(drivername="postgresql+psycopg")
        if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
            return address
        path = workspace.root / Path(str(address.database)).expanduser()
        if not path.is_file():  # SQLite would create an empty one
            raise SourceError(f"source.url: no file {path}", hint="place the database there, or correct source.url")
        return address.set(database=f"file:{quote(str(path))}", query={**address.query, "mode": "ro", "uri": "true"})


@contextlib.contextmanager
def _connect(address: sa.URL) -> Iterator[sa.Connection]:
    """Open a read-only connection that streams rows; its transaction is rolled back at the end."""
    import sqlalchemy as sa

    engine, backend = sa.create_engine(address, poolclass=sa.NullPool), address.get_backend_name()
    with engine.connect() as connection:
        if backend == "sqlite":
            _read_only_sql.refuse_writes(cast("sqlite3.Connection", connection.connection.driver_connection))
        elif backend in READ_ONLY:
            connection.exec_driver_sql(READ_ONLY[backend])
        if backend == "postgresql":
            user, superuser, roles = connection.exec_driver_sql(_read_only_sql.ROLE_QUERY).one()
            _read_only_sql.require_reader_role(user, superuser=bool(superuser), roles=roles or "")
        yield connection.execution_options(stream_results=True, max_row_buffer=BATCH_ROWS, no_parameters=True)


def _insert_variables(url: str) -> str:
    """Insert environment variables; inside a URL, escape special characters in their values."""
    for name in VARIABLE.findall(url):
        if name not in os.environ:
            raise SourceError(f"source.url: ${{{name}}} is not set", hint=f"export {name}=...")
    if full_match := VARIABLE.fullmatch(url):
        return os.environ[full_match[1]]
    return VARIABLE.sub(lambda match: quote(os.environ[match[1]], safe="/: "), url)


def _mask_passwords(text: str, address: sa.URL) -> str:
    """Hide passwords in an error message of the driver."""
    secrets = [address.password, *(value for name, value in address.query.items() if "pass" in name)]
    for secret in filter(None, secrets):
        text = text.replace(str(secret), "***")
    return text


def _write(result: sa.CursorResult[Any], path: Path) -> None:
    if not result.returns_rows:
        raise SourceError("source.query: expected rows; this query returns none")
    names = list(result.keys())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SourceError(f"source.query: expected each column once; received {', '.join(twice)} again; rename with AS")
    with path.open("wb") as file:
        for lines in _lines(result, names):
            file.write(lines)
        if not file.tell():
            raise SourceError("source.query: expected rows; received none")


def _lines(result: sa.CursorResult[Any], names: Sequence[str]) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    for rows in result.partitions(BATCH_ROWS):
        objects = ({n: _json_value(v, n) for n, v in zip(names, row, strict=True)} for row in rows)
        yield encoder.encode_lines(list(objects))


def _json_value(value: Any, name: str) -> Any:
    """Return a value as a type of JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return float(value)
    if isinstance(value, str | int | None | list | dict):
        return value
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, bytes | memoryview):
        raise SourceError(f"source.query: {name}: expected text or a number; received bytes; leave it out, or cast it")
    return value.isoformat(" ") if isinstance(value, dt.datetime) else str(value)
