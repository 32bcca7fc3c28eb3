"""Queries to PostgreSQL: functions and roles that reach beyond rows are refused, and a real server is not changed."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiltyard.data import table_reader
from tiltyard.data.sources._read_only_sql import require_read_only, require_reader_role
from tiltyard.data.sources.sql import Sql
from tiltyard.errors import SourceError
from tiltyard.workspace import Workspace

POSTGRES = Path("/usr/lib/postgresql")
SECRET = "s3:c/r@t%"  # noqa: S105 - of a database that lives for one test


def fetched(workspace: Workspace, query: str, url: str = "sqlite:///data.db") -> Path:
    """Fetch into a new folder; return the file."""
    folder = Path(tempfile.mkdtemp(dir=workspace.root))
    Sql(kind="sql", url=url, query=query).fetch(folder, workspace)
    (path,) = folder.iterdir()
    return path


DYNAMIC = "select query_to_xml('select lo_ex'||'port(1,''/tmp/x'')',true,true,'')::text as x"
SERVER = [
    *("lo_export/**/(1, 'x')", "lo_export--\n(1, 'x')", "\"lo_export\"/* */(1, 'x')"),
    *('pg_catalog . "lo_export" (1)', "pg_read_file/**/('/etc/hostname')", "PG_READ_BINARY_FILE('x')"),
    *("pg_ls_dir('.')", "pg_ls_waldir()", "lo_creat(-1)", "pg_terminate_backend/**/(1)"),
    *("pg_cancel_backend(1)", "pg_reload_conf()", "pg_rotate_logfile()", "lo_put(1,0,'')", "pg_stat_file('x')"),
    *("set_config/**/('role', 'x', false)", "pg_advisory_lock(1)", "pg_try_advisory_lock(1)"),
    *("pg_advisory_unlock_all()", "nextval('s')", "setval('s', 1)", "pg_logical_emit_message(false, 'a', 'b')"),
    *("lowrite(0,'')", "pg_switch_wal()", "pg_create_restore_point('x')"),
    *("pg_create_logical_replication_slot('a', 'b')", "lo_unlink(1)", "pg_drop_replication_slot('a')"),
    *("ts_stat('select 1')", "ts_rewrite('a'::tsquery, 'select 1')", "dblink('', 'x')", "dblink_connect('x')"),
    *("table_to_xml('t', true, true, '')", "cursor_to_xml('c', 1, true, true, '')", "lo_open(1, 1)"),
    *("schema_to_xml('public', true, true, '')", "database_to_xml_and_xmlschema(true, true, '')"),
    *("lo_import('x')", "query_to_xml_and_xmlschema('x', true, true, '')"),
    *("query_to_xmlschema('x', true, true, '')", "pg_promote()", "pg_log_backend_memory_contexts(1)"),
    *("pg_stat_reset()", "pg_copy_physical_replication_slot('a', 'b')"),
]


@pytest.mark.parametrize(
    "query",
    [
        *(f"select {call} as x" for call in SERVER),
        *(DYNAMIC, "select * from crosstab('select 1, 2, 3') as t(a int, b int)", "select * from crosstab2('x')"),
        *("select * from connectby('t', 'a', 'b', '1', 0) as t(a text)", "select U&\"\\006co_export\"(1, 'x')"),
        *("with x as (copy t to program 'x') select 1", "select 1 from (copy t (a) from '/x') as x"),
        *("select 1 from (copy (select 1) to '/x') as x", "select * from xpath_table('a', 'b', 'c', 'd', 'e')"),
    ],
)
def test_unsafe_functions_are_rejected(query: str) -> None:
    """Unsafe functions are refused in any notation, also those that run a text as a query."""
    with pytest.raises(SourceError, match=r"source\.query: expected a query that only reads; received"):
        require_read_only(query, "postgresql")


@pytest.mark.parametrize(
    "query",
    [
        "select lo_orderkey, lo_quantity, lo_revenue from lineorder order by lo_orderdate",
        "select copy, headline from adverts order by copy",
        "select copy from adverts",
        "select xmlelement(name a, b), ts_rank(v, q), to_tsvector('x') from t",
        "select * from pg_catalog.pg_class",
    ],
)
def test_columns_named_like_functions_are_allowed(query: str) -> None:
    """Columns whose names resemble such functions, such as lo_ and copy, are allowed."""
    assert require_read_only(query, "postgresql") == query


def test_privileged_roles_are_rejected() -> None:
    """Superusers and members of roles with file access are refused for any query."""
    require_reader_role("reader", superuser=False, roles="")
    with pytest.raises(SourceError, match="received app, a superuser") as caught:
        require_reader_role("app", superuser=True, roles="pg_read_server_files")
    assert "CREATE ROLE reader" in caught.value.hint
    with pytest.raises(SourceError, match="received app, a member of pg_execute_server_program"):
        require_reader_role("app", superuser=False, roles="pg_execute_server_program")


def _owner(port: int) -> dict[str, Any]:
    """Return the connection settings of the database owner."""
    return {"host": "127.0.0.1", "port": port, "user": "owner", "password": SECRET, "dbname": "postgres"}


def _prepare(port: int) -> None:
    """Create a read-only role, a role that may read server files, and tables to query."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(**_owner(port)) as connection:
        for role in ("reader", "filer"):
            name = sql.Identifier(role)
            connection.execute(sql.SQL("create role {} login password {}").format(name, sql.Literal(SECRET)))
        connection.execute("grant pg_read_server_files to filer")
        connection.execute("create table kept as select 1 as n")
        connection.execute("create sequence counter")
        connection.execute("grant select on all tables in schema public to reader")
        connection.execute("grant all on sequence counter to reader")


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    """A PostgreSQL server for the tests, on a free port; it refuses to run as root."""
    versions = sorted(POSTGRES.glob("*/bin/initdb"))
    if not versions:
        pytest.skip(f"needs a PostgreSQL: none in {POSTGRES}")
    user = "postgres" if getpass.getuser() == "root" else None
    folder = Path(tempfile.mkdtemp(prefix="tiltyard-"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "password").write_text(SECRET, encoding="utf-8")
    if user:
        for path in (folder, folder / "password"):
            shutil.chown(path, user, user)
    tools, data = versions[-1].parent, folder / "data"
    options = ["-U", "owner", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--no-sync"]
    server = ["-o", f"-p {port} -k {folder} -c listen_addresses=127.0.0.1", "-l", str(folder / "log"), "-w", "start"]
    try:
        subprocess.run(
            [str(tools / "initdb"), "-D", str(data), *options], check=True, capture_output=True, user=user, cwd=folder
        )
        subprocess.run(
            [str(tools / "pg_ctl"), "-D", str(data), *server],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd=folder,
        )
        _prepare(port)
        yield port
    finally:
        stop = [str(tools / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
        subprocess.run(stop, check=False, capture_output=True, user=user, cwd=folder)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "query",
    [
        "create table gone (x int)",
        "select 1 as x; commit; create table gone (x int)",
        "select 1 as x into gone",
        "with x as (insert into kept values (2) returning n) select n from x",
        "select nextval('counter')",
        "select setval('counter', 99)",
        "select lo_from_bytea(0, 'x')",
        "select query_to_xml('delete from kept', true, true, '')",
        "copy kept to '/tmp/tiltyard-copied'",
        "set transaction read write",
        "explain analyze delete from kept",
    ],
)
def test_real_server_is_not_written(
    workspace: Workspace, postgres: int, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """The read-only transaction refuses writes that the text of the query does not show."""
    import psycopg

    monkeypatch.setenv("DB_PASSWORD", SECRET)
    url = f"postgresql://reader:${{DB_PASSWORD}}@127.0.0.1:{postgres}/postgres"
    with pytest.raises(SourceError, match=r"source\.query|not allowed|must not|syntax|DECLARE"):
        fetched(workspace, query, url)
    with psycopg.connect(**_owner(postgres)) as connection:
        left = connection.execute("select (select count(*) from kept), to_regclass('gone'), last_value from counter")
        assert left.fetchone() == (1, None, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("user", "message"), [("owner", "a superuser"), ("filer", "a member of pg_read_server_files")])
def test_real_server_role_with_file_access_is_rejected(
    workspace: Workspace, postgres: int, monkeypatch: pytest.MonkeyPatch, user: str, message: str
) -> None:
    """Such a role is refused, also after SET ROLE, with a hint."""
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    for more in ("", "?options=-crole%3Dreader" if user == "owner" else ""):
        url = f"postgresql://{user}:${{DB_PASSWORD}}@127.0.0.1:{postgres}/postgres{more}"
        with pytest.raises(SourceError, match=f"expected a role that may only read; received .*{message}") as caught:
            fetched(workspace, "select n from kept", url)
        assert "CREATE ROLE reader" in caught.value.hint
        assert "GRANT SELECT" in caught.value.hint


@pytest.mark.slow
def test_real_server_is_read(workspace: Workspace, postgres: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are read with a password from the environment, and each type becomes a JSON value."""
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    url = f"postgresql://reader:${{DB_PASSWORD}}@127.0.0.1:{postgres}/postgres"
    query = """
        select n, n / 2.0 as half, n % 2 = 0 as even, 'it''s 5% :x' as text, null as nothing, 'NaN'::float8 as nan,
               date '2020-01-31' + n as day, timestamp '2020-01-01 05:00' as moment, array[n, 1] as list,
               10::numeric ^ 30 as big
        from generate_series(1, 25000) as n order by n
    """
    path = fetched(workspace, query, url)
    loaded = table_reader.read(path)
    frame = loaded.frame
    assert len(frame) == 25_000
    assert json.loads(path.read_text(encoding="utf-8").partition("\n")[0]) == {
        "n": 1,
        "half": 0.5,
        "even": False,
        "text": "it's 5% :x",
        "nothing": None,
        "nan": None,
        "day": "2020-02-01",
        "moment": str(dt.datetime(2020, 1, 1, 5)),  # noqa: DTZ001 - without a zone on purpose
        "list": [1, 1],
        "big": 1e30,
    }
    assert loaded.repairs == ["list holds nested values: read as text"]
    monkeypatch.setenv("DB_PASSWORD", "topsecret")
    with pytest.raises(SourceError, match=r"postgresql\+psycopg://reader:\*\*\*@127.*password") as caught:
        fetched(workspace, query, url)
    assert "topsecret" not in str(caught.value)
    assert "DB_PASSWORD" in os.environ
