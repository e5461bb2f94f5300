"""How much room the rows of each table take, with their indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen
from sqlalchemy import text

from benchmarks.databases import opened_engine
from consignment.adapters.sqlalchemy import tables as t

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Room", "room"]


@frozen
class Room:
    """A table's rows, and how many bytes a row takes with its part of all indexes."""

    table: str
    rows: int
    bytes_a_row: float


def room(url: str, least: int = 100) -> list[Room]:
    """Measure the tables that have so many rows at least; fewer do not fill their pages."""
    engine = opened_engine(url, autocommit=True)
    found: list[Room] = []
    with engine.connect() as connection:
        for table in t.metadata.sorted_tables:
            if table is t.name_tails and connection.dialect.name == "sqlite":
                continue
            question = f"SELECT count(*) FROM {table.name}"
            rows = int(connection.scalar(text(question)) or 0)
            if rows >= least:
                found.append(Room(table.name, rows, _bytes(connection, table.name) / rows))
    engine.dispose()
    return found


def _bytes(connection: Connection, table: str) -> int:
    dialect = connection.dialect.name
    if dialect == "postgresql":
        question = "SELECT pg_total_relation_size(CAST(:name AS regclass))"
    elif dialect == "sqlite":
        question = (
            "SELECT sum(pgsize) FROM dbstat WHERE aggregate = TRUE AND name IN "
            "(SELECT name FROM sqlite_schema WHERE tbl_name = :name)"
        )
    else:
        connection.execute(text(f"ANALYZE TABLE {table}")).all()
        question = (
            "SELECT data_length + index_length FROM information_schema.tables "
            "WHERE table_schema = DATABASE() AND table_name = :name"
        )
    return int(connection.scalar(text(question), {"name": table}) or 0)
