"""What PostgreSQL does in its own way; by psycopg 3."""

from __future__ import annotations

from contextlib import contextmanager
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

__all__ = ["PostgresqlDatabase"]

#: What SQLSTATEs mean: whole codes, then classes of them (PostgreSQL's manual, appendix A).
_CODES: dict[str, type[StorageError]] = {
    "40001": StorageBusy,  # serialization_failure
    "40P01": StorageBusy,  # deadlock_detected
    "55P03": StorageBusy,  # lock_not_available
    "57014": StorageBusy,  # query_canceled: a time limit of the server's
    "25P03": StorageUnreachable,  # idle_in_transaction_session_timeout: it hung up
    "53300": StorageBusy,  # too_many_connections
    "53100": StorageFull,  # disk_full
    "23505": DuplicateKey,  # unique_violation
    "42P01": SchemaMissing,  # undefined_table
    "3F000": SchemaMissing,  # invalid_schema_name
    "25006": StorageReadOnly,  # read_only_sql_transaction
    "42501": StorageUnusable,  # insufficient_privilege
    "3D000": StorageUnusable,  # invalid_catalog_name: there is no such database
    "57P01": StorageUnreachable,  # admin_shutdown
    "57P02": StorageUnreachable,  # crash_shutdown
    "57P03": StorageUnreachable,  # cannot_connect_now
    "57P05": StorageUnreachable,  # idle_session_timeout
}
_CLASSES: dict[str, type[StorageError]] = {
    "08": StorageUnreachable,  # connection exceptions
    "28": StorageUnusable,  # who we are is not accepted
}

#: Any number, as long as no other program takes it: "consignm" in ASCII.
_UPGRADE_LOCK = 0x636F6E7369676E6D


def _options(url: URL, busy_timeout_s: float) -> dict[str, Any]:
    """Give psycopg's parameters; those that stand in the address come last, and so prevail."""
    settings = {
        # A wait for a lock ends in an error that can be tried again.
        "lock_timeout": f"{max(1, round(busy_timeout_s * 1000))}",
        # Our statements find their rows by index, in the order of the key. On a table that has
        # not been analysed yet the planner would look at all of it, and lock rows in the order
        # they lie in, which is how transactions come to wait in a circle.
        "enable_seqscan": "off",
        # Nor would it read an index in its order, and stop at the limit, but collect and sort all
        # that it believes to be few.
        "enable_bitmapscan": "off",
        # Compiling takes longer than any statement of ours runs.
        "jit": "off",
        # Whatever the values are, the plan is the same: by index.
        "plan_cache_mode": "force_generic_plan",
        # A host that died in the middle of a transaction holds its locks no longer than this.
        "idle_in_transaction_session_timeout": "60000",
    }
    own = url.query.get("options", ())
    given = (own,) if isinstance(own, str) else own
    options = " ".join([*(f"-c {name}={value}" for name, value in settings.items()), *given])
    return {
        "options": options,
        "connect_timeout": 5,
        # A server that is gone without a word is noticed within half a minute.
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "application_name": "consignment",
        **{name: value for name, value in url.query.items() if name != "options"},
    }


class PostgresqlDatabase(ServerDatabase):
    """PostgreSQL 15 or later.

    Writers run at READ COMMITTED, and lock the rows that they decide on: see
    `docs/decisions/0020-isolation.md`. Readers see one snapshot, by REPEATABLE READ.
    """

    def __init__(self, url: URL, *, busy_timeout_s: float) -> None:
        address = url.set(drivername="postgresql+psycopg", query={})
        super().__init__(
            address,
            _options(url, busy_timeout_s),
            busy_timeout_s=busy_timeout_s,
            paramstyle="pyformat",
        )

    def begin(self, connection: PoolProxiedConnection, *, writing: bool) -> None:
        """Begin, in one round trip."""
        self._execute(
            connection,
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
            if writing
            else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )

    def told(self, error: Exception) -> StorageError:
        """Give the error of ours that one of psycopg's means."""
        code = getattr(error, "sqlstate", None)
        dbapi = self.engine.dialect.loaded_dbapi
        if code is None:
            if isinstance(error, dbapi.OperationalError):
                # Without a code nobody answered: refused, timed out or hung up.
                return _unreachable(error)
            if "invalid connection option" in str(error):
                return StorageUnusable(f"not parameters of a connection: {_first_line(error)}")
            return StorageError(f"the database refuses: {error}")
        kind = _CODES.get(code) or _CLASSES.get(code[:2], StorageError)
        return kind(f"{_first_line(error)} ({code})")

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """Begin a transaction that nobody else upgrades in; it is committed whole or not at all."""
        engine = self._own_engine()
        try:
            with engine.begin() as connection:
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK}
                )
                # What is there already is read and written as a whole.
                for setting in ("enable_seqscan", "enable_bitmapscan"):
                    connection.execute(text(f"SET LOCAL {setting} = on"))
                connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                yield connection
        finally:
            engine.dispose()


def _unreachable(error: Exception) -> StorageError:
    why = str(error)
    # Before a session there are no codes, only words.
    if "does not exist" in why or "authentication failed" in why or "no password" in why:
        return StorageUnusable(_first_line(error))
    if "too many clients" in why or "remaining connection slots" in why:
        return StorageBusy(_first_line(error))
    return StorageUnreachable(_first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


if TYPE_CHECKING:
    _: type[Database] = PostgresqlDatabase
