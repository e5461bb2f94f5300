"""What MariaDB does in its own way; by PyMySQL."""

from __future__ import annotations

from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from consignment.adapters.sqlalchemy.engines.base import ServerDatabase
from consignment.domain.errors import (
    DuplicateKey,
    SchemaMissing,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnreachable,
    StorageUnusable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL, Connection
    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.engines.base import Database

__all__ = ["MariadbDatabase"]

#: What MariaDB's error codes mean.
_CODES: dict[int, type[StorageError]] = {
    1020: StorageBusy,  # record has changed since last read
    1205: StorageBusy,  # lock wait timeout
    1213: StorageBusy,  # deadlock; a certification that failed
    1040: StorageBusy,  # too many connections
    1203: StorageBusy,  # too many connections of this user
    1021: StorageFull,  # disk full
    1114: StorageFull,  # the table is full
    1062: DuplicateKey,
    1146: SchemaMissing,  # no such table
    1290: StorageReadOnly,  # --read-only
    1792: StorageReadOnly,  # in a READ ONLY transaction
    1036: StorageReadOnly,
    1044: StorageUnusable,  # access denied to the database
    1045: StorageUnusable,  # access denied
    1142: StorageUnusable,  # a privilege is missing
    1049: StorageUnusable,  # no such database
    1698: StorageUnusable,  # access denied
    1047: StorageUnreachable,  # a node that is not part of its cluster at the moment
    1053: StorageUnreachable,  # shutdown in progress
    1927: StorageUnreachable,  # connection was killed
    2002: StorageUnreachable,
    2003: StorageUnreachable,
    2006: StorageUnreachable,  # server has gone away
    2013: StorageUnreachable,  # lost during a query
    2014: StorageUnreachable,
    2055: StorageUnreachable,
}


class MariadbDatabase(ServerDatabase):
    """MariaDB 10.11 or later.

    Writers run at READ COMMITTED, and lock the rows that they decide on: see
    `docs/decisions/0020-isolation.md`. Readers see one snapshot, by REPEATABLE READ.
    """

    def __init__(self, url: URL, *, busy_timeout_s: float) -> None:
        if not url.database:
            raise StorageUnusable("the address names no database")
        self._busy_timeout_s = busy_timeout_s
        self._check_parameters(url)
        address = url.set(drivername="mariadb+pymysql", query={})
        super().__init__(
            address, self._options(url), busy_timeout_s=busy_timeout_s, paramstyle="format"
        )

    def _options(self, url: URL) -> dict[str, Any]:
        """Give PyMySQL's parameters; those that stand in the address prevail."""
        seconds = max(1, round(self._busy_timeout_s))
        settings = {
            "innodb_lock_wait_timeout": str(seconds),
            "lock_wait_timeout": "60",
            # A value that does not fit is an error, never cut off.
            "sql_mode": "'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
            "time_zone": "'+00:00'",
            "tx_isolation": "'READ-COMMITTED'",
        }
        given = {
            name: int(value) if isinstance(value, str) and value.isdecimal() else value
            for name, value in url.query.items()
        }
        return {
            "charset": "utf8mb4",
            "init_command": "SET SESSION "
            + ", ".join(f"{name} = {value}" for name, value in settings.items()),
            # A server that is gone without a word is noticed; a wait for a lock is shorter.
            "connect_timeout": 5,
            "read_timeout": seconds + 25,
            "write_timeout": 30,
            **given,
        }

    @staticmethod
    def _check_parameters(url: URL) -> None:
        """Raise `StorageUnusable` for what the driver has no parameter for."""
        import pymysql  # noqa: PLC0415 - by an extra

        known = signature(pymysql.connections.Connection.__init__).parameters
        unknown = sorted(url.query.keys() - known.keys())
        if unknown:
            raise StorageUnusable(f"not parameters of a connection: {', '.join(unknown)}")

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin; sessions are at READ COMMITTED, which only a reader has to leave."""
        if writing:
            self._execute(connection, "START TRANSACTION READ WRITE")
        else:
            self._execute(
                connection,
                "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            )

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of PyMySQL's means."""
        dbapi = self.engine.dialect.loaded_dbapi
        code = error.args[0] if error.args else None
        if not isinstance(code, int):
            return StorageError(f"the database refuses: {error}")
        message = f"{error.args[1] if len(error.args) > 1 else error} ({code})"
        if code == 0 and isinstance(error, dbapi.InterfaceError):
            # PyMySQL's way to say that it has closed the connection.
            return StorageUnreachable("the connection was lost (0)")
        return _CODES.get(code, StorageError)(message)

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """Take a lock that is held by name; definitions commit by themselves here.

        So a revision that broke off is there in part, and its statements can be run again.
        """
        # A server that says nothing is noticed here. Then there is no limit: building an index of
        # what is there already may take long.
        self.connection().close()
        engine = self._own_engine(read_timeout=None)
        try:
            with engine.connect() as connection:
                name = f"consignment upgrade of {self._url.database}"[:64]
                got = connection.scalar(
                    text("SELECT GET_LOCK(:name, :seconds)"),
                    {"name": name, "seconds": max(1, round(self._busy_timeout_s))},
                )
                if not got:
                    raise StorageBusy("another process upgrades the schema, and takes too long")
                try:
                    yield connection
                    connection.commit()
                finally:
                    connection.scalar(text("SELECT RELEASE_LOCK(:name)"), {"name": name})
        finally:
            engine.dispose()


if TYPE_CHECKING:
    _: type[Database] = MariadbDatabase
