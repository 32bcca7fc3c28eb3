"""The source `sql`: the same bytes each time, no secret in files or messages, and no change of the database."""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import ValidationError
from workspaces import edit_task

from tiltyard import files
from tiltyard.config import loader
from tiltyard.data import table_reader
from tiltyard.data.fetch import fetch
from tiltyard.data.sources._read_only_sql import require_read_only
from tiltyard.data.sources.sql import Sql, _json_value
from tiltyard.errors import SourceError
from tiltyard.validation.validate import validate
from tiltyard.workspace import Workspace

ROWS = [(1, 0.5, "007", None), (2, None, "NA", b""), (3, -1e300, "", None)]


@pytest.fixture
def database(workspace: Workspace) -> Path:
    """A SQLite database in the project."""
    path = workspace.root / "data.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("create table t (id integer, x real, code text, blob blob)")
        connection.executemany("insert into t values (?, ?, ?, ?)", ROWS)
    return path


def fetched(workspace: Workspace, query: str, url: str = "sqlite:///data.db") -> Path:
    """Fetch into a new folder; return the file."""
    folder = Path(tempfile.mkdtemp(dir=workspace.root))
    Sql(kind="sql", url=url, query=query).fetch(folder, workspace)
    (path,) = folder.iterdir()
    return path


@pytest.mark.usefixtures("database")
def test_values_keep_their_types(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Digits and NA stay text, NULL is missing, and the path is relative to the project."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        path = fetched(workspace, "select id, x, code from t order by id desc")
    assert path.name == "table.jsonl"
    assert path.read_text(encoding="utf-8").splitlines()[0] == '{"id":3,"x":-1e300,"code":""}'
    loaded = table_reader.read(path)
    assert loaded.frame["id"].tolist() == [3, 2, 1]
    assert loaded.frame["code"].tolist() == ["", "NA", "007"]
    assert loaded.frame["x"].isna().tolist() == [False, True, False]
    assert loaded.repairs == []


@pytest.mark.usefixtures("database")
def test_same_rows_give_the_same_bytes(workspace: Workspace) -> None:
    """With ORDER BY, the file is the same each time."""
    query = "select id, x, code from t order by id"
    assert fetched(workspace, query).read_bytes() == fetched(workspace, query).read_bytes()


WRITES = [
    "delete from t",
    "delete from t where id = 1 returning id",
    "with x as (select 1) delete from t returning id",
    "with x as (select 1) insert into t select 9, 9, '9', null returning id",
    "insert into t values (9, 9, '9', null) returning id",
    "update t set id = 5 returning id",
    "replace into t values (1, 1, '', null) returning id",
    "drop table t",
    "create table gone (x)",
    "create temp table gone as select * from t",
    "alter table t rename to gone",
    "vacuum into 'new.db'",
    "VACUUM",
    "reindex",
    "attach 'new.db' as other",
    "attach database 'file:new.db?mode=rwc' as other",
    "detach main",
    "pragma query_only = off",
    "pragma journal_mode = wal",
    "pragma user_version = 7",
    "begin immediate",
    "commit",
    "savepoint x",
    "select 1; drop table t",
    "select 1; pragma query_only = off; drop table t",
    "/* select */ drop table t",
    "-- select\ndrop table t",
    "select load_extension('x')",
    "select writefile('new.db', 'x')",
    "explain drop table t",
    "update sqlite_master set sql = '' returning name",
    "with x as (select 1) update sqlite_master set sql = '' returning name",
    "",
]


@pytest.mark.parametrize("url", ["sqlite:///data.db", "sqlite://"])
@pytest.mark.parametrize("query", WRITES)
def test_writing_query_is_rejected(workspace: Workspace, database: Path, query: str, url: str) -> None:
    """No kind of query changes the database or creates a file."""
    before = {path.name: files.sha256(path) for path in workspace.root.iterdir() if path.is_file()}
    with pytest.raises(SourceError, match=r"source\.query|no such function|no such table"):
        fetched(workspace, query or " ", url)
    assert {path.name: files.sha256(path) for path in workspace.root.iterdir() if path.is_file()} == before
    assert database.name in before


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM t ORDER BY id;",
        "-- the ids\nselect id from t /* all */ order by id ; ",
        "with recursive n(id) as (select 1 union all select id + 1 from n where id < 3) select id from n",
        "values (1), (2), (3)",
        "select id, ';drop' as x, 'insert into' as y from t",
        "select value from json_each('[1, 2, 3]')",
        "select name from pragma_table_info('t') limit 3",
        "select * from (select id from t)",
    ],
)
def test_reading_queries_are_allowed(workspace: Workspace, query: str) -> None:
    """Comments, final semicolons, CTEs and informative functions are allowed."""
    assert len(fetched(workspace, query).read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("query", "backend"),
    [
        ("select 1; commit; drop table t", "postgresql"),
        ("select '\\'; drop table t; --'", "mysql"),
        ("select $$;$$; drop table t", "postgresql"),
        ("copy t to program 'touch x'", "postgresql"),
        ("with x as (select lo_export(1, '/tmp/x')) select * from x", "postgresql"),
        ("select pg_catalog.\"lo_export\" (1, '/tmp/x')", "postgresql"),
        ("select dblink_exec('dbname=x', 'drop table t')", "postgresql"),
        ("select set_config('transaction_read_only', 'off', true)", "postgresql"),
        ("select * from t into outfile '/tmp/x'", "mysql"),
        ("with x as (select 1 as id) delete from t", "mssql"),
        ("exec xp_cmdshell 'dir'", "mssql"),
        ("select 1 drop table t", "mssql"),
        ("select 1 as a exec('drop table t')", "mssql"),
        ("select seq.nextval from dual", "oracle"),
        ("set transaction read write", "postgresql"),
        ("do $$ begin end $$", "postgresql"),
    ],
)
def test_other_databases_allow_one_reading_query(query: str, backend: str) -> None:
    """Other queries are refused before a connection is opened."""
    with pytest.raises(SourceError, match=r"source\.query: expected"):
        require_read_only(query, backend)
    assert require_read_only("select a, 'x; delete' as b from t;\n", backend) == "select a, 'x; delete' as b from t"


def test_columns_named_like_statements_are_allowed() -> None:
    """Names such as load and call are allowed where a statement needs a semicolon."""
    assert require_read_only("select load, call, copy from t", "duckdb")


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("query", "url", "message"),
    [
        ("select y from t", "sqlite:///data.db", "sqlite:///.*data.db: no such column: y"),
        ("select id, id from t", "sqlite:///data.db", "expected each column once; received id again; rename with AS"),
        ("select blob from t where blob is not null", "sqlite:///data.db", "blob: expected text or a number"),
        ("select id from t where id > 9", "sqlite:///data.db", "expected rows; received none"),
        ("select 1", "sqlite:///gone.db", "source.url: no file .*gone.db"),
        ("select 1", "data.db", "source.url: expected dialect://"),
        ("select 1", "klingon://u:topsecret@host/d", "klingon"),
        ("select 1", "mysql+pymysql://u:topsecret@host/d", "the driver of mysql.pymysql is not installed"),
        ("select 1", "sqlite:///${GONE}.db", r"source\.url: \$\{GONE\} is not set"),
        ("select 1", "postgresql://u:topsecret@127.0.0.1:1/d?connect_timeout=1", r"u:\*\*\*@127\.0\.0\.1:1/d"),
    ],
)
def test_invalid_queries_are_rejected(workspace: Workspace, query: str, url: str, message: str) -> None:
    """Each error is one sentence without the password."""
    with pytest.raises(SourceError, match=message) as caught:
        fetched(workspace, query, url)
    assert "topsecret" not in caught.value.message + caught.value.hint
    assert not (workspace.root / "gone.db").exists()


def test_url_from_environment_variables(workspace: Workspace, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment variables replace a part of the URL, or all of it."""
    monkeypatch.setenv("PLACE", str(database.with_suffix("")))
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data.db")
    for url in ("sqlite:///${PLACE}.db", "${DATABASE_URL}"):
        assert len(fetched(workspace, "select id from t", url).read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [(2**64, 2.0**64), (Decimal("1.5"), 1.5), (Decimal("NaN"), None), (True, True), (dt.time(5), "05:00:00")],
)
def test_values_become_json_types(value: object, plain: object) -> None:
    """Values of drivers become types of JSON."""
    assert _json_value(value, "x") == plain


def test_unknown_keys_are_rejected() -> None:
    """Unknown keys are refused."""
    with pytest.raises(ValidationError, match="unknown key 'table'"):
        Sql.model_validate({"kind": "sql", "url": "sqlite://", "query": "select 1", "table": "t"})


def test_query_result_passes_validation(workspace: Workspace) -> None:
    """Rows of a database pass validation with the task file alone."""
    raw = workspace.root / "iris.db"
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    with contextlib.closing(sqlite3.connect(raw)) as connection, connection:
        connection.execute(f"create table flowers ({', '.join(columns)}, species)")
        rows = [[5.1 + i / 100, 3.5 - i / 100, 1.4, 0.2 + i / 500, kind] for i in range(50) for kind in "abc"]
        connection.executemany("insert into flowers values (?, ?, ?, ?, ?)", rows)
    source = {"kind": "sql", "url": "sqlite:///iris.db", "query": "select * from flowers order by 1, 2, 3, 4, 5"}
    changes = {"source": source, "target.classes": ["a", "b", "c"], "expect": None}
    edit_task(workspace, "iris", changes)
    task = loader.load(workspace, "iris")
    assert fetch(workspace, task).state == "new"
    assert fetch(workspace, task).state == "same"
    assert validate(workspace, task).rows == 150
