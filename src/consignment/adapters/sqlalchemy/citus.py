"""Citus: a PostgreSQL whose tables are spread over several servers, here by partner.

Each table says in `info["placement"]` where its rows belong (see `tables`):

- `partner`: distributed by `partner_id`, and beside all other tables of partners, so that whatever
  concerns one partner is done by one server.
- `reference`: a copy on every server.
- `bank`: an ordinary table on the coordinator, which all connections go to.

Tables are placed as they are made, before anything is filled into them: that is what Citus can do
in one transaction. A database whose tables were made before Citus was there is left as it is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Table, event, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

__all__ = ["placing"]

#: Every partner's tables are beside this one.
_FIRST = "partners"

_THERE = text("SELECT 1 FROM pg_extension WHERE extname = 'citus'")
_EXISTS = text("SELECT to_regclass(:name) IS NOT NULL")
_SPREAD = text("SELECT 1 FROM pg_dist_partition WHERE logicalrel = to_regclass(:name)")
# Foreign keys between tables of which some are being made: one server after the other.
_ONE_BY_ONE = text("SET LOCAL citus.multi_shard_modify_mode TO 'sequential'")
_DISTRIBUTE = text(
    "SELECT create_distributed_table(CAST(:name AS regclass), 'partner_id', colocate_with => :by)"
)
_COPY = text("SELECT create_reference_table(CAST(:name AS regclass))")


@contextmanager
def placing(connection: Connection) -> Iterator[None]:
    """Give every table its place that is made on the connection meanwhile, if the server is Citus.

    The transaction that makes the tables places them too: all of it stands, or nothing.
    """
    if not _is_to_be_spread(connection):
        yield
        return
    connection.execute(_ONE_BY_ONE)
    beside = _FIRST if connection.scalar(_EXISTS, {"name": _FIRST}) else None

    def place(table: Table, made_on: Connection, **_: object) -> None:
        nonlocal beside
        if made_on is not connection:
            # Somebody else's table, made by another thread.
            return
        name = connection.dialect.identifier_preparer.format_table(table)
        placement = table.info.get("placement")
        if placement == "partner":
            connection.execute(_DISTRIBUTE, {"name": name, "by": beside or "none"})
            beside = beside or name
        elif placement == "reference":
            connection.execute(_COPY, {"name": name})

    event.listen(Table, "after_create", place)
    try:
        yield
    finally:
        event.remove(Table, "after_create", place)


def _is_to_be_spread(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql" or connection.scalar(_THERE) is None:
        return False
    if not connection.scalar(_EXISTS, {"name": _FIRST}):
        return True
    return connection.scalar(_SPREAD, {"name": _FIRST}) is not None
