"""Where Alembic runs the migrations: on the connection, and in the transaction, of the caller."""

from __future__ import annotations

from alembic import context

from consignment.adapters.sqlalchemy.schema import VERSION_TABLE
from consignment.adapters.sqlalchemy.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # MariaDB commits each definition by itself. Everywhere else, also on SQLite, where Alembic does
    # not expect it, all revisions are one transaction.
    transactional_ddl=connection.dialect.name not in {"mysql", "mariadb"},
)
with context.begin_transaction():
    context.run_migrations()
