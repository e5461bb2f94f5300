"""Where Alembic runs the migrations: on the connection, and in the transaction, of the caller."""

from __future__ import annotations

from alembic import context

from consignment.adapters.sqlalchemy.schema import VERSION_TABLE
from consignment.adapters.sqlalchemy.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
