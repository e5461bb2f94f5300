"""The store: whole transactions over one database."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar, cast

from consignment.adapters.sqlalchemy.engines import database_at
from consignment.adapters.sqlalchemy.journal import JOURNAL_ENTRY, JournalRows
from consignment.adapters.sqlalchemy.orders import OrderRows
from consignment.adapters.sqlalchemy.outbox import OutboxRows
from consignment.adapters.sqlalchemy.partners import PartnerRows, PolicyRows
from consignment.adapters.sqlalchemy.patience import PASSING, Patience
from consignment.adapters.sqlalchemy.products import ProductRows
from consignment.adapters.sqlalchemy.quotas import QuotaRows
from consignment.adapters.sqlalchemy.reports import ReportRows
from consignment.adapters.sqlalchemy.rules import RuleRows
from consignment.adapters.sqlalchemy.sales_partners import SalesPartnerRows
from consignment.adapters.sqlalchemy.schema import check_version, create_passing
from consignment.adapters.sqlalchemy.settlements import SettlementRows
from consignment.adapters.sqlalchemy.statements import Session
from consignment.domain.errors import StorageUnreachable, StorageUnusable
from consignment.ports.name_forms import AsWritten

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.pool import PoolProxiedConnection

    from consignment.adapters.sqlalchemy.engines import Address, Database, Synchronous
    from consignment.ports.name_forms import NameForms
    from consignment.ports.storage import Storage, Transaction

__all__ = ["SqlStorage", "SqlTransaction"]

T = TypeVar("T")


class _Unacknowledged(StorageUnreachable):
    """The connection was lost while committing: it may stand, and its journal entry tells."""

    def __init__(self, why: str, entry_id: str, result: object) -> None:
        super().__init__(why)
        self.entry_id = entry_id
        self.result = result


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

    def __init__(self, session: Session, names: NameForms | None = None) -> None:
        self.policies = PolicyRows(session)
        self.partners = PartnerRows(session)
        self.products = ProductRows(session, names or AsWritten())
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

    def __init__(
        self, database: Database, *, patience_s: float = 5.0, names: NameForms | None = None
    ) -> None:
        self._database = database
        self._names = names or AsWritten()
        self._patience_s = patience_s
        self._inside = threading.local()
        self._closed = False

    @classmethod
    def open(
        cls,
        url: Address,
        *,
        synchronous: Synchronous = "FULL",
        busy_timeout_s: float = 5.0,
        names: NameForms | None = None,
    ) -> SqlStorage:
        """Open the store at an address such as `sqlite:///desk.db`.

        Also `postgresql://…` and `mariadb://…`, by the extras of these names. What stands behind
        the `?` are the driver's parameters, such as `sslmode=verify-full` (psycopg), `ssl_ca=…`
        (PyMySQL) or `options=-csearch_path=desk`. Several addresses, or one with several hosts
        (`mariadb://n1,n2,n3/bank`), are the nodes of a Galera cluster.

        `synchronous` is SQLite's: with `FULL` what was committed outlives a loss of power, with
        `NORMAL` a crash of the process only. `busy_timeout_s` is how long to wait for others who
        write, and for a server that is away. `sqlite://` is a new store in memory, which is gone
        when it is closed. `names` says in which forms names are found, else it is as written.

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
            database.close()
            raise
        return cls(database, patience_s=max(busy_timeout_s, database.comes_back_s), names=names)

    def write(self, work: Callable[[Transaction], T], *, partner_id: str | None = None) -> T:
        """Run `work` in one transaction, commit, and give its result.

        It is run again, a moment apart, when it ends in `StaleWrite` (up to nine times), in
        `DuplicateKey` (up to three times, at once), in a conflict that the engine found:
        serialization, deadlock, certification (up to nine times, until `busy_timeout_s` have
        passed), or in a lost connection (until then). A commit that was not acknowledged is looked
        up before.
        """
        return self.write_session(
            lambda session: work(SqlTransaction(session, self._names)), partner_id
        )

    def read(self, work: Callable[[Transaction], T], *, one_instant: bool = True) -> T:
        """Run `work`, which only reads, as of one instant, and give its result.

        With `one_instant` False there is no transaction around its statements.
        """
        return self.read_session(
            lambda session: work(SqlTransaction(session, self._names)), one_instant=one_instant
        )

    def write_session(self, work: Callable[[Session], T], partner_id: str | None = None) -> T:
        """Run `work` as `write` does, on the transaction's statements."""
        return self._again(lambda: self._run(work, partner_id, writing=True), partner_id)

    def read_session(self, work: Callable[[Session], T], *, one_instant: bool = True) -> T:
        """Run `work` as `read` does, on the transaction's statements."""
        return self._again(
            lambda: self._run(work, None, writing=False, transaction=one_instant), None
        )

    def _again(self, run: Callable[[], T], partner_id: str | None) -> T:
        """Run until it succeeds, or fails for good."""
        patience = Patience(self._patience_s, one_writer=self._database.one_writer)
        unsure: _Unacknowledged | None = None
        while True:
            try:
                if unsure is not None and self._stands(unsure.entry_id, partner_id):
                    return cast("T", unsure.result)
                unsure = None
                return run()
            except PASSING as error:
                if isinstance(error, _Unacknowledged):
                    unsure = error
                patience.after(error)

    def _run(
        self,
        work: Callable[[Session], T],
        partner_id: str | None,
        *,
        writing: bool,
        transaction: bool = True,
    ) -> T:
        inside = self._inside
        if getattr(inside, "transaction", False):
            raise RuntimeError("a transaction was begun inside another of the same thread")
        if self._closed:
            raise StorageUnusable("the store is closed")
        database = self._database
        with database.turn(writing=writing):
            connection = database.connection(partner_id)
            try:
                if transaction:
                    database.begin(connection, writing=writing)
                inside.transaction = True
                session = Session(
                    connection.cursor(),
                    database.engine.dialect,
                    database.told,
                    writable=writing,
                    spread=database.spread,
                )
                result = work(session)
                if writing:
                    self._commit(connection, session, result)
                elif transaction:
                    _end(connection)
            except StorageUnreachable as error:
                database.lost(connection, error)
                raise
            except Exception:
                _end(connection)
                raise
            except BaseException:
                # The answer to a statement may still be on its way to whoever uses it next; in
                # SQLite nothing is ever on its way.
                _end(connection) if database.one_writer else connection.invalidate()
                raise
            finally:
                inside.transaction = False
                connection.close()
            return result

    def _commit(self, connection: PoolProxiedConnection, session: Session, result: object) -> None:
        if session.failure is not None:
            # An error that `work` kept to itself: what it wrote may not be whole.
            raise session.failure
        session.flush()
        database = self._database
        try:
            connection.commit()
        except database.engine.dialect.loaded_dbapi.Error as error:
            told = database.told(error)
            if isinstance(told, StorageUnreachable) and session.journal_entry_id is not None:
                told = _Unacknowledged(str(told), session.journal_entry_id, result)
            raise told from error

    def _stands(self, entry_id: str, partner_id: str | None) -> bool:
        """Tell whether a transaction stands, by the entry it made in the journal.

        Whatever a use case changes, it tells the journal, under an id of its own.
        """
        database = self._database
        connection = database.connection(partner_id)
        try:
            session = Session(
                connection.cursor(), database.engine.dialect, database.told, writable=False
            )
            return bool(session.rows(JOURNAL_ENTRY, entry_id))
        except StorageUnreachable as error:
            database.lost(connection, error)
            raise
        finally:
            connection.close()

    def close(self) -> None:
        """Let go of all connections; what comes after raises `StorageUnusable`."""
        self._closed = True
        self._database.close()


def _end(connection: PoolProxiedConnection) -> None:
    """Roll back what was not committed; a connection that cannot even do that is given up."""
    try:
        connection.rollback()
    except Exception:  # noqa: BLE001 - whatever the driver raises, the server rolls back as well
        connection.invalidate()


if TYPE_CHECKING:
    _: type[Storage] = SqlStorage
