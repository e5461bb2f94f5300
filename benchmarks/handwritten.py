"""What the hand-written side uses: an engine with the same guarantees, and the rows to write.

The library runs first. What it left behind is read back, and the hand-written statements put the
same rows into a copy of the database as it was before, in as many transactions. Afterwards both
databases have to be equal, row by row and column by column. The hand-written side reads nothing,
checks nothing and builds nothing: its rows are ready before the clock starts.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, select

from consignment.adapters.sqlalchemy.tables import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Engine, Table

Rows = list[dict[str, Any]]
Snapshot = dict[str, dict[tuple[Any, ...], dict[str, Any]]]


def engine(path: Path) -> Engine:
    """Open a SQLite file as the library does: WAL, synchronous FULL, BEGIN IMMEDIATE."""
    made = create_engine(f"sqlite:///{path}")

    @event.listens_for(made, "connect")
    def _connect(connection: Any, _: Any) -> None:  # noqa: ANN401 - the driver's
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(made, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return made


def reading_engine(path: Path) -> Engine:
    """Open a SQLite file for queries only: no transaction of its own around each."""
    made = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")

    @event.listens_for(made, "connect")
    def _connect(connection: Any, _: Any) -> None:  # noqa: ANN401 - the driver's
        connection.execute("PRAGMA journal_mode=WAL")

    return made


def copy(path: Path, to: Path) -> Path:
    """Copy a database at rest, with its log."""
    for suffix in ("", "-wal"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copyfile(source, to.with_name(to.name + suffix))
    return to


def snapshot(path: Path) -> Snapshot:
    """Read every row of every table, by primary key."""
    made = engine(path)
    taken: Snapshot = {}
    with made.connect() as connection:
        for table in metadata.sorted_tables:
            key = [column.name for column in table.primary_key]
            rows = connection.execute(select(table)).mappings()
            taken[table.name] = {tuple(row[name] for name in key): dict(row) for row in rows}
    made.dispose()
    return taken


def added(before: Snapshot, after: Snapshot, table: Table) -> Rows:
    """Give the rows of a table that are new, by primary key."""
    was, now = before[table.name], after[table.name]
    return [now[key] for key in sorted(now) if key not in was]


def changed(before: Snapshot, after: Snapshot, table: Table) -> list[tuple[dict[str, Any], Any]]:
    """Give the rows of a table that differ, as (as it was, as it is)."""
    was, now = before[table.name], after[table.name]
    return [(was[key], now[key]) for key in sorted(now) if key in was and was[key] != now[key]]


def shares(rows: Sequence[Any], parts: int) -> Iterator[Sequence[Any]]:
    """Divide rows into so many equal parts, in their order."""
    size, rest = divmod(len(rows), parts)
    assert not rest, (len(rows), parts)
    return (rows[i * size : (i + 1) * size] for i in range(parts))
