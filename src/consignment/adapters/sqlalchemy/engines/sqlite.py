"""What SQLite does in its own way."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlencode

from sqlalchemy import create_engine
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool, StaticPool

from consignment.domain.errors import (
    DuplicateKey,
    SchemaMissing,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnusable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.engines.base import Database

__all__ = ["SqliteDatabase", "Synchronous"]

Synchronous = Literal["FULL", "NORMAL", "OFF", "EXTRA"]


#: What SQLite's result codes mean; those of constraints are told apart by the extended code.
_SQLITE: dict[int, type[StorageError]] = {
    sqlite3.SQLITE_BUSY: StorageBusy,
    sqlite3.SQLITE_LOCKED: StorageBusy,
    sqlite3.SQLITE_READONLY: StorageReadOnly,
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_PERM: StorageUnusable,
    sqlite3.SQLITE_AUTH: StorageUnusable,
    sqlite3.SQLITE_CANTOPEN: StorageUnusable,
    sqlite3.SQLITE_NOTADB: StorageUnusable,
    sqlite3.SQLITE_CORRUPT: StorageUnusable,
    sqlite3.SQLITE_FORMAT: StorageUnusable,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: DuplicateKey,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: DuplicateKey,
    sqlite3.SQLITE_CONSTRAINT_ROWID: DuplicateKey,
}
_PRIMARY = 0xFF


def _sqlite_error(error: Exception) -> StorageError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return StorageError(f"the database refuses: {error}")
    if code == sqlite3.SQLITE_ERROR and str(error).startswith("no such table"):
        # There is no code of its own for this.
        return SchemaMissing(str(error))
    kind = _SQLITE.get(code) or _SQLITE.get(code & _PRIMARY, StorageError)
    return kind(f"{error} ({getattr(error, 'sqlite_errorname', code)})")


class SqliteDatabase:
    """SQLite: a file, in WAL mode, with kept connections; or memory, with a single one.

    Writers begin with BEGIN IMMEDIATE: a transaction that begins by reading and writes later fails
    at once when another has written between. They queue in this process before they ask SQLite,
    which knows no queue: it sleeps and tries again.
    """

    #: One writes at a time: nothing that a writer has read changes before it ends.
    one_writer = True
    spread = False
    comes_back_s = 0.0

    def __init__(self, url: URL, *, synchronous: Synchronous, busy_timeout_s: float) -> None:
        self._synchronous = synchronous
        self._busy_timeout_s = busy_timeout_s
        name = url.database or ":memory:"
        self.passing = name == ":memory:"
        # An address with a file URI in it may say how the file is opened (`mode=ro`).
        file = (
            "/" + name[5:].lstrip("/") if name.startswith("file:/") else name.removeprefix("file:")
        )
        self._path = Path(file).absolute()
        self._options = {key: value for key, value in url.query.items() if key != "uri"}
        self._process, self._turn = os.getpid(), threading.Lock()
        self.engine = self._engine("rw")

    def _engine(self, mode: str) -> Engine:
        options = urlencode({"mode": mode, **self._options}, doseq=True)
        name = ":memory:" if self.passing else f"{self._path.as_uri()}?{options}"

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                name,
                uri=not self.passing,
                timeout=self._busy_timeout_s,
                # The pool gives a connection to one thread at a time.
                check_same_thread=False,
                # Nothing begins a transaction but `begin`.
                isolation_level=None,
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

        if self.passing:
            return create_engine("sqlite://", creator=connect, poolclass=StaticPool)
        return create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=24,
            pool_timeout=max(self._busy_timeout_s, 1.0),
        )

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        # Up to 32 MiB for each connection: an import's indexes stay in memory.
        connection.execute("PRAGMA cache_size = -32768")

    def connection(self, partner_id: str | None = None) -> PoolProxiedConnection:  # noqa: ARG002 - there is one place
        """Take a connection out of the pool."""
        try:
            return self.engine.raw_connection()
        except sqlite3.Error as error:
            if not self.passing and not self._path.exists():
                raise SchemaMissing(f"there is no file {self._path}") from error
            raise self.told(error) from error
        except PoolTimeout as error:
            raise StorageBusy("every connection is in use") from error

    def lost(self, connection: PoolProxiedConnection, why: StorageError) -> None:  # noqa: ARG002 - SQLite loses none
        """Give up a connection."""
        connection.invalidate()

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()

    @contextmanager
    def turn(self, *, writing: bool) -> Iterator[None]:
        """Let one writer after the other in; in memory, where all share a connection, anybody."""
        if self._process != os.getpid():
            # SQLite's connections must not be used, nor closed, by a process that was forked off.
            self._process, self._turn = os.getpid(), threading.Lock()
            self.engine.dispose(close=False)
        if not (writing or self.passing):
            yield
            return
        if not self._turn.acquire(timeout=self._busy_timeout_s):
            raise StorageBusy("another transaction of this process takes too long")
        try:
            yield
        finally:
            self._turn.release()

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin; a writer takes the write lock at once, a reader its snapshot at the first read."""
        try:
            connection.cursor().execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        except sqlite3.Error as error:
            raise self.told(error) from error

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of sqlite3's means."""
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & _PRIMARY == sqlite3.SQLITE_CANTOPEN and self._locked_away():
            return StorageReadOnly(f"{error}: {self._path} or its folder cannot be written")
        return _sqlite_error(error)

    def _locked_away(self) -> bool:
        """Tell whether the file is there, and SQLite cannot put its log beside it."""
        return self._path.is_file() and not (
            os.access(self._path, os.W_OK) and os.access(self._path.parent, os.W_OK)
        )

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """Create the file if need be, and begin the only writing transaction on it."""
        if self.passing:
            raise StorageUnusable("a database in memory is made by opening it")
        engine = self._writable_file()
        try:
            with engine.connect() as connection:
                # From here on nobody else writes: of two processes that upgrade at once, the
                # second finds the work done.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
        finally:
            engine.dispose()

    def _writable_file(self) -> Engine:
        """Give an engine that creates the file, and puts it into WAL mode, which lasts."""
        engine = self._engine("rwc")
        deadline = monotonic() + self._busy_timeout_s
        while True:
            try:
                with closing(engine.raw_connection()) as connection:
                    connection.cursor().execute("PRAGMA journal_mode = WAL")
            except sqlite3.Error as error:
                engine.dispose()
                told = self.told(error)
                # While another process changes the mode, SQLite says so at once instead of waiting.
                if not isinstance(told, StorageBusy) or monotonic() > deadline:
                    raise told from error
                sleep(0.01)
            else:
                return engine


if TYPE_CHECKING:
    _: type[Database] = SqliteDatabase
