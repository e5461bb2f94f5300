"""Copy a whole database to another engine: the tables are the same on all of them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select
from sqlalchemy.exc import DBAPIError

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.engines import database_at
from consignment.adapters.sqlalchemy.names import NameIndex
from consignment.adapters.sqlalchemy.schema import check_version
from consignment.adapters.sqlalchemy.statements import Session, Statement
from consignment.domain.errors import Conflict, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from consignment.adapters.sqlalchemy.engines import Address, Database

__all__ = ["copy_database"]

_BATCH = 5_000

#: The index of names is made anew: each engine has its own.
_INDEX = frozenset({"name_tails", "name_forms"})
_TABLES = tuple(each for each in tables.metadata.sorted_tables if each.name not in _INDEX)


def copy_database(
    source: Address, target: Address, *, progress: Callable[[str, int], None] | None = None
) -> dict[str, int]:
    """Copy every row at one address to an empty database at another; give the rows by table.

    The target has the schema (see `upgrade`) and no row. The source is read as of one instant, and
    the target written in one transaction: all rows arrive, or none. What others do at the source
    meanwhile stays behind, so stop them before. `progress` is called with a table's name and how
    many of its rows are done.

    Raises `Conflict` (`database_not_empty`, with `table` and `rows`, for each table that is not
    empty), `SchemaMissing`, `SchemaOutdated` or `SchemaNewer` of either, or another
    `StorageError`.
    """
    with ExitStack() as stack:
        from_, to = (stack.enter_context(_opened(url)) for url in (source, target))
        try:
            with _reading(from_) as reading, to.upgrading() as writing:
                _check_empty(writing)
                return _copy_all(from_, reading, to, writing, progress or (lambda *_: None))
        except DBAPIError as error:
            raise to.told(error.orig if isinstance(error.orig, Exception) else error) from error


@contextmanager
def _opened(url: Address) -> Iterator[Database]:
    database = database_at(url, busy_timeout_s=30.0)
    try:
        check_version(database)
        yield database
    finally:
        database.close()


@contextmanager
def _reading(database: Database) -> Iterator[Connection]:
    with database.engine.connect() as connection:
        if database.one_writer:
            connection.exec_driver_sql("BEGIN")
            yield connection
        else:
            # On a connection with this level SQLAlchemy begins by itself.
            yield connection.execution_options(isolation_level="REPEATABLE READ")


def _check_empty(writing: Connection) -> None:
    counts = {
        table.name: writing.scalar(select(func.count()).select_from(table)) for table in _TABLES
    }
    filled = [
        reason("database_not_empty", table=name, rows=count)
        for name, count in counts.items()
        if count
    ]
    if filled:
        raise Conflict(filled)


def _copy_all(
    from_: Database,
    reading: Connection,
    to: Database,
    writing: Connection,
    progress: Callable[[str, int], None],
) -> dict[str, int]:
    source = Session(reading.connection.cursor(), reading.dialect, from_.told, writable=False)
    target = Session(writing.connection.cursor(), writing.dialect, to.told, writable=True)
    copied = {table.name: _copy(reading, table, target, progress) for table in _TABLES}
    numbers = reading.execution_options(yield_per=_BATCH).scalars(
        select(tables.product_numbers.c.number)
    )
    stored, index = NameIndex(source), NameIndex(target)
    done = 0
    for part in numbers.partitions():
        index.add(list(stored.stored(part).values()))
        done += len(part)
        progress("names", done)
    return copied


def _copy(
    reading: Connection, table: Table, target: Session, progress: Callable[[str, int], None]
) -> int:
    adding = Statement(insert(table))
    rows = reading.execution_options(yield_per=_BATCH).execute(select(table))
    done = 0
    for part in rows.partitions():
        target.run(adding, [tuple(row) for row in part])
        done += len(part)
        progress(table.name, done)
    return done
