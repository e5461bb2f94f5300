"""What each database engine does in its own way: one module for each.

What is portable, which is nearly everything, stands in the modules beside this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from consignment.adapters.sqlalchemy.engines.base import Database
from consignment.adapters.sqlalchemy.engines.galera import GaleraDatabase, addresses
from consignment.adapters.sqlalchemy.engines.mariadb import MariadbDatabase
from consignment.adapters.sqlalchemy.engines.postgresql import PostgresqlDatabase
from consignment.adapters.sqlalchemy.engines.sqlite import SqliteDatabase, Synchronous
from consignment.domain.errors import StorageUnusable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Insert, Table

__all__ = [
    "Address",
    "Database",
    "GaleraDatabase",
    "MariadbDatabase",
    "PostgresqlDatabase",
    "SqliteDatabase",
    "Synchronous",
    "database_at",
    "insert_missing",
    "upsert",
]

#: The address of a database; several are those of a cluster's nodes.
Address = str | URL | Sequence[str | URL]


def insert_missing(dialect: str, table: Table) -> Insert:
    """Build an insert of all columns that passes over the rows whose key is there already.

    The count of rows is of those that were inserted. One that somebody else is inserting is waited
    for.
    """
    if dialect in {"mysql", "mariadb"}:
        return mysql.insert(table).prefix_with("IGNORE")
    inserting = postgresql_insert if dialect == "postgresql" else sqlite_insert
    return inserting(table).on_conflict_do_nothing()


def upsert(
    dialect: str, table: Table, *, added: Iterable[str] = (), put: Iterable[str] = ()
) -> Insert:
    """Build an insert of all columns that changes the row of that key if there is one.

    It adds to the columns in `added`, and replaces those in `put`.
    """
    if dialect in {"mysql", "mariadb"}:
        # MariaDB has no alias for the row that was to be inserted, only VALUES().
        replacing = mysql.insert(table)
        return replacing.on_duplicate_key_update(
            **{name: table.c[name] + replacing.inserted[name] for name in added},
            **{name: replacing.inserted[name] for name in put},
        )
    inserting = postgresql_insert if dialect == "postgresql" else sqlite_insert
    statement = inserting(table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={
            **{name: table.c[name] + statement.excluded[name] for name in added},
            **{name: statement.excluded[name] for name in put},
        },
    )


#: The extra that brings an engine's driver.
_EXTRAS = {"postgresql": "psycopg", "mariadb": "pymysql"}


def database_at(
    url: Address, *, synchronous: Synchronous = "FULL", busy_timeout_s: float = 5.0
) -> Database:
    """Give the database that an address, or several of one cluster, name; without touching it.

    `StorageUnusable` when it is no address, of an engine that this library does not open, or when
    the engine's driver is not installed.
    """
    nodes = addresses(url)
    backend = ""
    try:
        if not isinstance(url, str | URL) or len(nodes) > 1:
            backend = "mariadb"
            return GaleraDatabase(nodes, busy_timeout_s=busy_timeout_s)
        parsed = make_url(url)
        backend = parsed.drivername.partition("+")[0]
        if backend == "sqlite":
            return SqliteDatabase(parsed, synchronous=synchronous, busy_timeout_s=busy_timeout_s)
        if backend == "postgresql":
            return PostgresqlDatabase(parsed, busy_timeout_s=busy_timeout_s)
        if backend == "mariadb":
            return MariadbDatabase(parsed, busy_timeout_s=busy_timeout_s)
    except (ArgumentError, NoSuchModuleError, ValueError, TypeError):
        # What is wrong with it may be told with a part of its password.
        raise StorageUnusable("not the address of a database") from None
    except ImportError as error:
        driver = _EXTRAS[backend]
        raise StorageUnusable(
            f"the driver {driver} is missing: pip install 'consignment[{backend}]'"
        ) from error
    raise StorageUnusable(
        f"databases of {backend} are not supported; sqlite, postgresql and mariadb are"
    )
