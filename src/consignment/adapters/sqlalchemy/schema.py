"""The schema's version: told cheaply, and brought up to date by the migrations in the package."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from sqlalchemy import column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from consignment.adapters.sqlalchemy.citus import placing
from consignment.adapters.sqlalchemy.engines import Database, database_at
from consignment.adapters.sqlalchemy.statements import Session, Statement
from consignment.adapters.sqlalchemy.tables import metadata
from consignment.domain.errors import (
    SchemaMissing,
    SchemaNewer,
    SchemaOutdated,
    StorageUnusable,
)

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from consignment.adapters.sqlalchemy.engines import Address

__all__ = [
    "HEAD",
    "VERSION_TABLE",
    "check_version",
    "create_passing",
    "schema_version",
    "upgrade",
]

#: The revisions there have been, oldest first: migrations/versions has one file for each.
REVISIONS: Final = ("0001", "0002", "0003")
HEAD: Final = REVISIONS[-1]
#: A host may keep its own tables, and its own migrations, in the same database.
VERSION_TABLE: Final = "consignment_version"

#: Alembic keeps what it is working on in its modules' globals.
_one_at_a_time = threading.Lock()

_VERSION = Statement(select(column("version_num")).select_from(table(VERSION_TABLE)))


def _stored_version(session: Session) -> str | None:
    rows = session.rows(_VERSION)
    return rows[0][0] if rows else None


def _version(database: Database) -> str | None:
    connection = database.connection()
    try:
        session = Session(
            connection.cursor(), database.engine.dialect, database.told, writable=False
        )
        return _stored_version(session)
    except SchemaMissing:
        return None
    finally:
        connection.close()


def check_version(database: Database) -> None:
    """Raise `SchemaMissing`, `SchemaOutdated` or `SchemaNewer` unless the schema is ours."""
    version = _version(database)
    if version is None:
        raise SchemaMissing("the database has no schema of this library: upgrade it first")
    _check_known(version)
    if version != HEAD:
        raise SchemaOutdated(f"the schema is of version {version}, not {HEAD}: upgrade it first")


def _check_known(version: str | None) -> None:
    if version is not None and version not in REVISIONS:
        raise SchemaNewer(f"the schema is of version {version}, later than {HEAD}")


def schema_version(url: Address) -> str | None:
    """Give the version of the schema at an address, None where there is none; nothing is created.

    Raises `StorageUnusable` or another `StorageError` when that cannot be told.
    """
    database = database_at(url)
    try:
        return _version(database)
    except SchemaMissing:
        return None
    finally:
        database.close()


def upgrade(url: Address, *, busy_timeout_s: float = 30.0) -> str:
    """Create the file of SQLite if need be, bring the schema up to date, and give its version.

    Nothing is changed when it already is. Two processes may do it at once: one waits for the
    other, at most `busy_timeout_s`. What broke off half-way is not there at all, or (MariaDB) can
    be run again. Raises `SchemaNewer`, `StorageBusy`, `StorageReadOnly`, `StorageUnusable` (also
    when there are tables of the same names that this library did not make).
    """
    database = database_at(url, busy_timeout_s=busy_timeout_s)
    try:
        _migrate(database)
    finally:
        database.close()
    return HEAD


def create_passing(database: Database) -> None:
    """Make the tables of a database that lasts no longer than its connection.

    There is no schema to migrate from, so this is quicker; a test holds that it makes the same.
    """
    metadata.create_all(database.engine)


def _migrate(database: Database, revision: str = HEAD) -> None:
    try:
        with database.upgrading() as connection, _one_at_a_time:
            _run_migrations(connection, revision)
    except DBAPIError as error:
        raise database.told(error.orig if isinstance(error.orig, Exception) else error) from error


def _run_migrations(connection: Connection, revision: str) -> None:
    # Alembic takes a fifth of a second to import, and only upgrades need it.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    log = logging.getLogger("alembic")
    level = log.level
    # What it has to say at INFO concerns nobody who called us.
    log.setLevel(max(level, logging.WARNING))
    try:
        opts = {"version_table": VERSION_TABLE}
        version = MigrationContext.configure(connection, opts=opts).get_current_revision()
        _check_known(version)
        if version is None:
            _check_free(connection)
        config = Config()
        config.set_main_option("script_location", "consignment.adapters.sqlalchemy:migrations")
        config.attributes["connection"] = connection
        with placing(connection):
            command.upgrade(config, revision)
    finally:
        log.setLevel(level)


def _check_free(connection: Connection) -> None:
    """Raise `StorageUnusable` when there are tables of ours that we did not make.

    The table of versions is made before all others. So where it is not, theirs are a host's; and
    where it is, an upgrade that broke off has left them, which goes on with what it finds.
    """
    inspector = inspect(connection)
    there = set(inspector.get_table_names(schema=inspector.default_schema_name))
    taken = sorted(there & set(metadata.tables))
    if taken and VERSION_TABLE not in there:
        names = ", ".join(taken)
        raise StorageUnusable(f"the database has tables of the same names as ours: {names}")
