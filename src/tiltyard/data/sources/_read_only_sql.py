"""Read-only SQL queries: one SELECT, WITH, VALUES or TABLE statement, on a connection that refuses to write.

SQLite opens the file read-only, and asks an authorizer about each action of a statement. PostgreSQL runs a read-only
transaction; functions that reach beyond it (files of the server, other connections) are refused by name, and so are
roles that may use them. Other databases have no guard in common: there, queries with a word that writes are refused.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

from tiltyard.errors import SourceError

HINT = "write one query that reads; to change a database, use its own tools"
FIRST_WORD = re.compile(r"(select|with|values|table)\b", re.IGNORECASE)
COMMENT = re.compile(r"--[^\n]*(\n|$)|/\*(?:(?!\*/|/\*).)*\*/", re.DOTALL)
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
AMBIGUOUS_MARKS = ("\\", "$", "`", "#", "--", "/*")  # quotes or comments in some databases only
WRITE_WORDS = re.compile(  # words that write inside a SELECT or WITH
    r"\b(into|insert|update|delete|merge|upsert|nextval|setval|outfile|dumpfile|load_file|sys_exec|sys_eval|openrowset"
    r"|opendatasource|openquery|xp_\w+|sp_\w+)\b",
    re.IGNORECASE,
)
STATEMENT_WORDS = re.compile(  # words that begin another statement in databases that need no semicolon before it
    r"\b(drop|create|alter|truncate|grant|revoke|deny|exec|execute|call|set|use|begin|commit|rollback|save|backup|restore"
    r"|bulk|dbcc|kill|shutdown|waitfor|declare|print)\b",
    re.IGNORECASE,
)
NO_SEMICOLON_BACKENDS = {"mssql", "sybase"}
# Functions of PostgreSQL that a read-only transaction allows although they change something outside of it, or run a
# text as a query. The name alone is refused, since comments and quotes may stand between it and its parenthesis.
UNSAFE_FUNCTIONS = re.compile(
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
ESCAPED_NAME = re.compile(r"\bU&", re.IGNORECASE)  # a name written with Unicode escapes
# the user, whether it is a superuser, and its roles that can reach files and programs of the server
ROLE_QUERY = """
    select current_user,
           (select bool_or(rolsuper) from pg_catalog.pg_roles where rolname in (current_user, session_user)),
           (select pg_catalog.string_agg(rolname, ', ' order by rolname) from pg_catalog.pg_roles
            where rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
              and (pg_catalog.pg_has_role(current_user, oid, 'member')
                   or pg_catalog.pg_has_role(session_user, oid, 'member')))
"""
ALLOWED_ACTIONS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
READ_PRAGMAS = {
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
}
FILE_FUNCTIONS = {"load_extension", "writefile", "readfile", "edit", "fts3_tokenizer", "lsdir", "fsdir"}


def require_read_only(query: str, backend: str) -> str:
    """Return the query without a final semicolon; raise unless it is one statement that only reads."""
    bare = query.strip().rstrip("; \t\r\n")
    start = bare
    while (comment := COMMENT.match(start)) or start[:1] in ("(", " ", "\t", "\r", "\n"):
        start = start[comment.end() :] if comment else start[1:]
        if not start:
            break
    if not (first := FIRST_WORD.match(start)) or (first[1].lower() == "table" and backend == "sqlite"):
        word = (start.split() or ["nothing"])[0]
        raise SourceError(f"source.query: expected SELECT, WITH, VALUES or TABLE; received {word[:40]}", hint=HINT)
    ambiguous = any(mark in bare for mark in AMBIGUOUS_MARKS)
    plain = bare if ambiguous else QUOTED.sub("''", bare)
    if ";" in plain and backend != "sqlite":  # SQLite itself runs one statement only
        raise SourceError("source.query: expected one statement; received a semicolon inside the query", hint=HINT)
    if backend == "postgresql":
        _refuse(UNSAFE_FUNCTIONS.search(bare) or ESCAPED_NAME.search(bare))
    elif backend != "sqlite":
        _refuse(
            WRITE_WORDS.search(plain) or (STATEMENT_WORDS.search(plain) if backend in NO_SEMICOLON_BACKENDS else None)
        )
    return bare


def _refuse(match: re.Match[str] | None) -> None:
    if match:
        word = " ".join(match[0].split())
        raise SourceError(f"source.query: expected a query that only reads; received {word}", hint=HINT)


def require_reader_role(user: str, *, superuser: bool, roles: str) -> None:
    """Raise if a PostgreSQL role may reach files and programs of the server: a list of functions cannot stop it."""
    if not superuser and not roles:
        return
    raise SourceError(
        f"source.url: expected a role that may only read; received {user}, "
        f"{'a superuser' if superuser else f'a member of {roles}'}",
        hint="make one: CREATE ROLE reader LOGIN PASSWORD '...'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader",
    )


def refuse_writes(connection: sqlite3.Connection) -> None:
    """Set up a SQLite connection so that it refuses every action except reading."""

    def authorize(action: int, subject: str | None, detail: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (detail or "").lower() not in FILE_FUNCTIONS
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (subject or "").lower() in READ_PRAGMAS
        elif action == sqlite3.SQLITE_UPDATE:  # how SQLite declares json_each and the like; the schema does not change
            allowed = subject == "sqlite_master"
        else:
            allowed = action in ALLOWED_ACTIONS
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.execute("PRAGMA query_only = on")
    connection.set_authorizer(authorize)
