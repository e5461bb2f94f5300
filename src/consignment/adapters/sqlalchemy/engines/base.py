"""What the rest of the adapter asks of a database engine, and what servers have in common."""

from __future__ import annotations

import os
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, Protocol

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, QueuePool

from consignment.domain.errors import StorageBusy, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

__all__ = ["Database", "ServerDatabase"]

#: Connections that are kept, and those beyond that a peak may open.
_KEPT = 8
_AT_A_PEAK = 24
#: Firewalls and servers close what has been idle for long.
_RECYCLE_S = 1800


class Database(Protocol):
    """An engine's connections, its transactions, and what its errors mean."""

    engine: Engine
    #: Whether nothing outlives the connection, so that opening it makes the tables.
    passing: bool
    #: Whether writers come one after the other, so that nothing one has read changes meanwhile.
    one_writer: bool
    #: Whether locks hold on one of several nodes only, so that what a decision rests on without
    #: changing it has to be touched (`Session.touch`).
    spread: bool
    #: How long it may take a database that lost a part of itself to go on.
    comes_back_s: float

    def connection(self, partner_id: str | None = None) -> PoolProxiedConnection:
        """Take a connection out of the pool; `StorageError` of whatever kind when it cannot.

        A database that is spread gives one to the place of that partner's rows.
        """
        ...

    def lost(self, connection: PoolProxiedConnection, why: StorageError) -> None:
        """Give up a connection that was lost, and those in the pool that were lost with it."""
        ...

    def turn(self, *, writing: bool) -> AbstractContextManager[None]:
        """Wait until a transaction may begin here; `StorageBusy` when that takes too long.

        It is entered before a connection is taken, and left after it was given back.
        """
        ...

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin a transaction: a reading one as of one instant."""
        ...

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that a driver's error, or a value it refuses, means."""
        ...

    def upgrading(self) -> AbstractContextManager[Connection]:
        """Give a connection on which the schema may be changed, by nobody else meanwhile.

        What was done is committed at the end; the connection is nobody else's.
        """
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...


class ServerDatabase:
    """A database on a server, with a pool of kept connections in autocommit mode.

    Transactions are begun by `begin`; nothing else begins one.
    """

    passing = False
    one_writer = False
    spread = False
    comes_back_s = 0.0

    def __init__(
        self,
        url: URL,
        connect_args: Mapping[str, Any],
        *,
        busy_timeout_s: float,
        paramstyle: Literal["format", "pyformat"],
    ) -> None:
        self._url = url
        self._connect_args = dict(connect_args)
        self._process = os.getpid()
        self._lost_at = 0.0
        self.engine = create_engine(
            url,
            connect_args=self._connect_args,
            isolation_level="AUTOCOMMIT",
            paramstyle=paramstyle,
            poolclass=QueuePool,
            pool_size=_KEPT,
            max_overflow=_AT_A_PEAK,
            pool_timeout=max(busy_timeout_s, 1.0),
            pool_recycle=_RECYCLE_S,
            # Whoever takes a connection ends the transaction, so the pool need not.
            pool_reset_on_return=None,
        )
        event.listen(self.engine, "connect", _note_age)

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of the driver's means."""
        raise NotImplementedError

    def connection(self, partner_id: str | None = None) -> PoolProxiedConnection:  # noqa: ARG002 - there is one place
        """Take a connection out of the pool."""
        if self._process != os.getpid():
            # A connection must not be used, nor closed, by a process that was forked off.
            self._process = os.getpid()
            self.engine.dispose(close=False)
        try:
            connection = self.engine.raw_connection()
            while connection.info["made"] < self._lost_at:
                # It waited in the pool while another one was lost.
                connection.invalidate()
                connection = self.engine.raw_connection()
        except PoolTimeout as error:
            raise StorageBusy("every connection is in use") from error
        except DBAPIError as error:
            # SQLAlchemy asks an engine's first connection about the server, and wraps its errors.
            raise self.told(error.orig if isinstance(error.orig, Exception) else error) from error
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise self.told(error) from error
        return connection

    def lost(self, connection: PoolProxiedConnection, why: StorageError) -> None:  # noqa: ARG002 - there is one place
        """Give up a connection, and those that wait in the pool: they were most likely lost too."""
        connection.invalidate()
        self._lost_at = monotonic()

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def turn(self, *, writing: bool) -> Iterator[None]:  # noqa: ARG002 - the server has all take turns
        """Let anybody in."""
        yield

    def _execute(self, connection: PoolProxiedConnection, *statements: str) -> None:
        try:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
        except self.engine.dialect.loaded_dbapi.Error as error:
            raise self.told(error) from error

    def _own_engine(self, **changes: object) -> Engine:
        """Give an engine for one connection with transactions by SQLAlchemy's means."""
        arguments = {**self._connect_args, **changes}
        return create_engine(self._url, connect_args=arguments, poolclass=NullPool)


def _note_age(_: object, record: ConnectionPoolEntry) -> None:
    record.info["made"] = monotonic()
