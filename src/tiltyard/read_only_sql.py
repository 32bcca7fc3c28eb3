"""Queries that only read: one SELECT, WITH, VALUES or TABLE, on a connection that refuses to write.

SQLite opens the file read-only, and asks an authorizer about each thing that a statement does. PostgreSQL runs a
read-only transaction; what that does not stop (files of the server, other connections) is refused by the name of the
function. Other databases have no such guard in common: a query with a word that writes is refused there.
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
# of PostgreSQL: what a read-only transaction lets pass although something outside of it changes
FUNCTIONS = re.compile(
    r"(\blo_(export|import|create|creat|unlink|put|from_bytea)|\bdblink\w*|\bpg_(file|read|write|ls)_\w+|\bpg_terminate_backend"
    r"|\bpg_cancel_backend|\bpg_reload_conf|\bpg_rotate_logfile\w*|\bpg_switch_wal|\bpg_create_\w+|\bpg_drop_\w+|\bpg_promote"
    r"|\bpg_wal_\w+|\bpg_logical_\w+|\bpg_replication_\w+|\bpg_stat_reset\w*|\bpg_backup_\w+|\bpg_export_snapshot"
    r"|\bpg_notify|\bset_config|\bpg_advisory\w*|\bpg_try_advisory\w*|\bpg_import_\w+|\bpg_extension_config_dump)\"?\s*\(",
    re.IGNORECASE,
)
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
        _refuse(FUNCTIONS.search(bare) or re.search(r"\bU&", bare, re.IGNORECASE))
    elif backend != "sqlite":
        _refuse(WRITES.search(plain) or (BATCH.search(plain) if backend in BATCHED else None))
    return bare


def _refuse(found: re.Match[str] | None) -> None:
    if found:
        word = found[0].rstrip('"( \t\r\n')
        raise SourceError(f"source.query: expected a query that only reads; received {word}", hint=HINT)


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
