"""Queries that only read: one SELECT, WITH, VALUES or TABLE, on a connection that refuses to write.

SQLite opens the file read-only, and asks an authorizer about each thing that a statement does. PostgreSQL runs a
read-only transaction; what that does not stop (files of the server, other connections) is refused by the name of the
function, and so is a role that may reach these. Other databases have no such guard in common: a query with a word that
writes is refused there.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from tiltyard.errors import SourceError

HINT = "write one query that reads; to change a database, use its own tools"
FIRST = re.compile(r"(select|with|values|table)\b", re.IGNORECASE)
COMMENT = re.compile(r"--[^\n]*(\n|$)|/\*(?:(?!\*/|/\*).)*\*/", re.DOTALL)
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
UNSURE = ("\\", "$", "`", "#", "--", "/*")  # in which one database sees a quote or a comment, and another none
WRITES = re.compile(  # what writes inside of a SELECT or WITH
    r"\b(into|insert|update|delete|merge|upsert|nextval|setval|outfile|dumpfile|load_file|sys_exec|sys_eval|openrowset"
    r"|opendatasource|openquery|xp_\w+|sp_\w+)\b",
    re.IGNORECASE,
)
BATCH = re.compile(  # what begins another statement where no semicolon has to stand before it
    r"\b(drop|create|alter|truncate|grant|revoke|deny|exec|execute|call|set|use|begin|commit|rollback|save|backup|restore"
    r"|bulk|dbcc|kill|shutdown|waitfor|declare|print)\b",
    re.IGNORECASE,
)
BATCHED = {"mssql", "sybase"}
# of PostgreSQL: what a read-only transaction lets pass although something outside of it changes, or that runs a text as
# a query. The name is enough, wherever it stands: between it and its parenthesis there may be comments and quotes.
FUNCTIONS = re.compile(
    r"\b(lo_(export|import|creat|create|unlink|put|get|open|close|truncate\w*|from_bytea|manage)|lowrite|loread"
    r"|dblink\w*|pg_(file|read|write|ls|create|drop|wal|logical|replication|backup|advisory|try_advisory|import|copy|log"
    r"|sync|signal|rotate|switch|stat_reset|stat_statements_reset)_?\w*|pg_stat_file|pg_(start|stop)_backup"
    r"|pg_(terminate|cancel)_backend|pg_reload_conf|pg_promote|pg_export_snapshot|pg_notify|pg_extension_config_dump"
    r"|pg_hba_file_rules|pg_ident_file_mappings|pg_file_settings|set_config|nextval|setval"
    r"|(query|table|cursor|schema|database)_to_xml\w*|ts_stat|ts_rewrite|crosstab(\d*|_hash)|connectby|xpath_table"
    r"|brin_(de)?summarize\w*|gin_clean_pending_list)\b"
    r"|\bcopy\s*\(|\bcopy\s+(?!from\b)[^\s,()]+\s*(\([^)]*\)\s*)?(to|from)\b",
    re.IGNORECASE,
)
ESCAPED = re.compile(r"\bU&", re.IGNORECASE)  # a name that is spelled by the numbers of its characters
# who asks, whether that is a superuser, and of which roles that reach files and programs of the server it is a member
ROLE = """
    select current_user,
           (select bool_or(rolsuper) from pg_catalog.pg_roles where rolname in (current_user, session_user)),
           (select pg_catalog.string_agg(rolname, ', ' order by rolname) from pg_catalog.pg_roles
            where rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
              and (pg_catalog.pg_has_role(current_user, oid, 'member')
                   or pg_catalog.pg_has_role(session_user, oid, 'member')))
"""
ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
INFORMS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
REACHES = {"load_extension", "writefile", "readfile", "edit", "fts3_tokenizer", "lsdir", "fsdir"}


def insist(query: str, backend: str) -> str:
    """Return the query without the semicolon at its end; refuse what is not one that reads."""
    bare = query.strip().rstrip("; \t\r\n")
    start = bare
    while (found := COMMENT.match(start)) or start[:1] in ("(", " ", "\t", "\r", "\n"):
        start = start[found.end() :] if found else start[1:]
        if not start:
            break
    if not (first := FIRST.match(start)) or (first[1].lower() == "table" and backend == "sqlite"):
        word = (start.split() or ["nothing"])[0]
        raise SourceError(f"source.query: expected SELECT, WITH, VALUES or TABLE; received {word[:40]}", hint=HINT)
    unsure = any(mark in bare for mark in UNSURE)
    plain = bare if unsure else QUOTED.sub("''", bare)
    if ";" in plain and backend != "sqlite":  # SQLite itself runs one statement and no more
        raise SourceError("source.query: expected one statement; received a semicolon between two", hint=HINT)
    if backend == "postgresql":
        _refuse(FUNCTIONS.search(bare) or ESCAPED.search(bare))
    elif backend != "sqlite":
        _refuse(WRITES.search(plain) or (BATCH.search(plain) if backend in BATCHED else None))
    return bare


def _refuse(found: re.Match[str] | None) -> None:
    if found:
        word = " ".join(found[0].split())
        raise SourceError(f"source.query: expected a query that only reads; received {word}", hint=HINT)


def insist_on_reader(user: str, *, superuser: bool, roles: str) -> None:
    """Refuse a role of PostgreSQL that may reach files and programs of the server: no list of functions holds it."""
    if not superuser and not roles:
        return
    raise SourceError(
        f"source.url: expected a role that may only read; received {user}, "
        f"{'a superuser' if superuser else f'a member of {roles}'}",
        hint="make one: CREATE ROLE reader LOGIN PASSWORD '...'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )


def guard(connection: sqlite3.Connection) -> None:
    """Let SQLite refuse whatever is not reading, before it is done."""

    def authorize(action: int, one: str | None, other: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (other or "").lower() not in REACHES
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (one or "").lower() in INFORMS
        elif action == sqlite3.SQLITE_UPDATE:  # how SQLite declares json_each and its like; the schema stays as it is
            allowed = one == "sqlite_master"
        else:
            allowed = action in ALLOWED
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.execute("PRAGMA query_only = on")
    connection.set_authorizer(authorize)
