"""What is in a database, as its engine tells it: definitions to the letter, and rows."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Boolean,
    MetaData,
    Table,
    insert,
    inspect,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy import event as events

from consignment.adapters.sqlalchemy import schema
from consignment.adapters.sqlalchemy.engines import database_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.engine import Connection

__all__ = ["FIRST_DESK", "at_revision", "connected", "definitions", "put_first_desk", "rows"]

#: A desk that the first release made, at revision 0001: its rows, and what it answered then.
FIRST_DESK: dict[str, Any] = json.loads(
    Path(__file__).with_name("desk_0001.json").read_text("utf-8")
)

_POSTGRESQL = (
    """
    SELECT c.relname, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attnotnull THEN 'NOT NULL' END, 'COLLATE ' || l.collname,
        'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attgenerated::text)
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    WHERE c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    """,
    """
    SELECT conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE connamespace = current_schema()::regnamespace AND conrelid <> 0
    """,
    "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
)


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Give a connection in a transaction of its own, which is committed at the end."""
    database = database_at(url)
    try:
        with database.upgrading() as connection:
            yield connection
    finally:
        database.close()


def at_revision(url: str, revision: str) -> None:
    """Bring the schema to a revision."""
    database = database_at(url, busy_timeout_s=30)
    try:
        schema._migrate(database, revision)
    finally:
        database.close()


def definitions(connection: Connection) -> dict[str, list[str]]:
    """Give what defines each table: its lines in no particular order, as the engine writes them."""
    found: dict[str, list[str]] = {}
    dialect = connection.dialect.name
    if dialect == "postgresql":
        for query in _POSTGRESQL:
            for table, line in connection.execute(text(query)):
                found.setdefault(table, []).append(line)
    elif dialect == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        for name, sql in connection.exec_driver_sql(query):
            found[name] = [line.strip(" ,\t") for line in sql.splitlines()]
    else:
        for table in inspect(connection).get_table_names():
            sql = connection.exec_driver_sql(f"SHOW CREATE TABLE `{table}`").one()[1]
            found[table] = [line.strip(" ,") for line in sql.splitlines()]
    found.pop(schema.VERSION_TABLE, None)
    return {name: sorted(lines) for name, lines in found.items()}


def rows(connection: Connection) -> dict[str, list[str]]:
    """Give all rows of all tables, in no particular order."""
    found = {}
    for name in inspect(connection).get_table_names():
        if connection.dialect.name == "sqlite" and name.startswith("name_tails"):
            # The index of names keeps its texts to itself.
            continue
        stored: Iterable[Any] = connection.execute(
            select(literal_column("*")).select_from(table(name))
        )
        found[name] = sorted(repr(tuple(_plain(value) for value in row)) for row in stored)
    if "name_tails_terms" in inspect(connection).get_table_names():
        terms = connection.exec_driver_sql("SELECT * FROM name_tails_terms")
        found["name_tails_terms"] = sorted(map(repr, terms))
    return found


def _plain(value: object) -> object:
    # Engines without truth values keep numbers.
    return int(value) if isinstance(value, bool) else value


def put_first_desk(url: str) -> None:
    """Make the tables of revision 0001, and fill them as the first release had."""
    at_revision(url, "0001")
    with connected(url) as connection:
        for table in _tables(connection):
            kept = FIRST_DESK["tables"][table.name]
            truth = {c.name for c in table.columns if isinstance(c.type, Boolean)}
            connection.execute(
                insert(table),
                [
                    {
                        name: bool(value) if name in truth else value
                        for name, value in zip(kept["columns"], row, strict=True)
                    }
                    for row in kept["rows"]
                ],
            )


def _tables(connection: Connection) -> list[Table]:
    """Give the tables as they are, each behind those that it refers to."""
    there = MetaData()
    there.reflect(connection, only=list(FIRST_DESK["tables"]))
    return there.sorted_tables


@contextmanager
def each_statement(call: Any) -> Iterator[None]:  # noqa: ANN401 - a function of nothing
    """Call a function before each statement that SQLAlchemy carries out meanwhile."""
    from sqlalchemy.engine import Engine  # noqa: PLC0415 - the class, to listen at

    def before(*_: object) -> None:
        call()

    events.listen(Engine, "before_cursor_execute", before)
    try:
        yield
    finally:
        events.remove(Engine, "before_cursor_execute", before)
