"""The store: whole transactions over one database."""

from __future__ import annotations

import random
import threading
from time import sleep
from typing import TYPE_CHECKING, TypeVar

from consignment.adapters.sqlalchemy.engines import database_at
from consignment.adapters.sqlalchemy.journal import JournalRows
from consignment.adapters.sqlalchemy.orders import OrderRows
from consignment.adapters.sqlalchemy.outbox import OutboxRows
from consignment.adapters.sqlalchemy.partners import PartnerRows, PolicyRows
from consignment.adapters.sqlalchemy.products import ProductRows
from consignment.adapters.sqlalchemy.quotas import QuotaRows
from consignment.adapters.sqlalchemy.reports import ReportRows
from consignment.adapters.sqlalchemy.rules import RuleRows
from consignment.adapters.sqlalchemy.sales_partners import SalesPartnerRows
from consignment.adapters.sqlalchemy.schema import check_version, create_passing
from consignment.adapters.sqlalchemy.settlements import SettlementRows
from consignment.adapters.sqlalchemy.statements import Session
from consignment.domain.errors import StaleWrite, StorageUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL
    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.engines import Database, Synchronous
    from consignment.ports.storage import Storage, Transaction

__all__ = ["SqlStorage", "SqlTransaction"]

T = TypeVar("T")

#: How often `write` runs its work when that ends in `StaleWrite`, and the longest first wait.
_RUNS = 5
_FIRST_WAIT_S = 0.004


class SqlTransaction:
    """Everything the desk knows, as of one transaction of the database."""

    __slots__ = (
        "journal",
        "orders",
        "outbox",
        "partners",
        "policies",
        "products",
        "quotas",
        "reports",
        "rules",
        "sales_partners",
        "settlements",
    )

    def __init__(self, session: Session) -> None:
        self.policies = PolicyRows(session)
        self.partners = PartnerRows(session)
        self.products = ProductRows(session)
        self.sales_partners = SalesPartnerRows(session)
        self.rules = RuleRows(session)
        self.quotas = QuotaRows(session)
        self.orders = OrderRows(session)
        self.reports = ReportRows(session)
        self.settlements = SettlementRows(session)
        self.journal = JournalRows(session)
        self.outbox = OutboxRows(session)


class SqlStorage:
    """A store in a database; any number of threads and processes may use it at once.

    It keeps the promises of `ports.storage.Storage`. Connections are kept from one transaction to
    the next.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inside = threading.local()
        self._closed = False

    @classmethod
    def open(
        cls,
        url: str | URL,
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout_s: float = 5.0,
    ) -> SqlStorage:
        """Open the store at an address such as `sqlite:///desk.db`.

        `synchronous` is SQLite's: with `FULL` what was committed outlives a loss of power, with
        `NORMAL` a crash of the process only. `busy_timeout_s` is how long to wait for others who
        write. `sqlite://` is a new store in memory, which is gone when it is closed.

        Nothing is created: raises `SchemaMissing` (also when there is no such file),
        `SchemaOutdated`, `SchemaNewer`, `StorageUnusable`, or another `StorageError`.
        """
        database = database_at(url, synchronous=synchronous, busy_timeout_s=busy_timeout_s)
        try:
            if database.passing:
                create_passing(database)
            else:
                check_version(database)
        except BaseException:
            database.engine.dispose()
            raise
        return cls(database)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction, commit, and give its result.

        It is run up to five times, a moment apart, while it ends in `StaleWrite`.
        """
        return self.write_session(lambda session: work(SqlTransaction(session)))

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, which only reads, as of one instant, and give its result."""
        return self.read_session(lambda session: work(SqlTransaction(session)))

    def write_session(self, work: Callable[[Session], T]) -> T:
        """Run `work` as `write` does, on the transaction's statements."""
        for run in range(1, _RUNS):
            try:
                return self._run(work, writing=True)
            except StaleWrite:
                # Others may be about to collide again: each waits for a time of its own.
                sleep(random.uniform(0.5, 1.0) * _FIRST_WAIT_S * 2**run)  # noqa: S311 - no secret
        return self._run(work, writing=True)

    def read_session(self, work: Callable[[Session], T]) -> T:
        """Run `work` as `read` does, on the transaction's statements."""
        return self._run(work, writing=False)

    def _run(self, work: Callable[[Session], T], *, writing: bool) -> T:
        inside = self._inside
        if getattr(inside, "transaction", False):
            raise RuntimeError("a transaction was begun inside another of the same thread")
        if self._closed:
            raise StorageUnusable("the store is closed")
        database = self._database
        with database.turn(writing=writing):
            connection = database.connection()
            try:
                database.begin(connection, writing=writing)
                inside.transaction = True
                session = Session(
                    connection.cursor(), database.engine.dialect, database.told, writable=writing
                )
                result = work(session)
                if writing:
                    _commit(connection, session, database)
                return result
            finally:
                inside.transaction = False
                # Whatever was not committed is rolled back by the pool.
                connection.close()

    def close(self) -> None:
        """Let go of all connections; what comes after raises `StorageUnusable`."""
        self._closed = True
        self._database.engine.dispose()


def _commit(connection: PoolProxiedConnection, session: Session, database: Database) -> None:
    if session.failure is not None:
        # An error that `work` kept to itself: what it wrote may not be whole.
        raise session.failure
    try:
        connection.commit()
    except database.engine.dialect.loaded_dbapi.Error as error:
        raise database.told(error) from error


if TYPE_CHECKING:
    _: type[Storage] = SqlStorage
