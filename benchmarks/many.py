"""Many orders in little time: those that the library made, copied with other ids by the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, bindparam, func, insert, literal, select, text, update

from benchmarks import bank
from benchmarks.databases import opened_engine
from benchmarks.handwritten import COUNTS
from consignment.adapters.sqlalchemy import tables as t

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

__all__ = ["multiply"]

#: Where the ids of a demand, and of all that follows from it, stand.
_IDS = {
    t.demands: ("demand_id", "order_ids"),
    t.orders: ("order_id", "demand_id"),
    t.order_lines: ("order_id",),
    t.reports: ("report_id", "order_id"),
    t.outbox: ("entry_id", "stream", "intent"),
    t.journal: ("order_id", "data"),
}
_FIRST, _BEHIND = "D-0", "D-1"


def multiply(url: str, times: int, *, first: int = 1, whole: bool = False) -> None:
    """Let there be so many times the orders whose ids begin with `D-0`, and what belongs to them.

    Copies are numbered from `first` on. Their reports are copied too; their messages and journal
    when it is to be the `whole`. Products, tallies and quotas count them.
    """
    engine = opened_engine(url, checks=False)
    for number in range(first, times):
        with engine.begin() as connection:
            for table in _IDS if whole else (t.demands, t.orders, t.order_lines, t.reports):
                _copy(connection, table, number)
    with engine.begin() as connection:
        _count(connection, times - first)
    engine.dispose()
    _analyse(url)


def _copy(connection: Connection, table: Table, number: int) -> None:
    columns: list[Any] = []
    for column in table.columns:
        if column.name in _IDS[table]:
            columns.append(func.replace(column, _FIRST, f"E{number:05d}-{_FIRST}"))
        elif column.name == "entry_id":
            # It begins with the time: the copies are as if they had been there before.
            columns.append(literal(f"00{number:06x}", Text()) + func.substr(column, 9))
        else:
            columns.append(column)
    key = {t.demands: "demand_id", t.outbox: "entry_id"}.get(table, "order_id")
    conditions: list[ColumnElement[bool]] = [table.c[key].between(_FIRST, _BEHIND)]
    if table is t.reports:
        conditions.append(table.c.partner_id == bank.PARTNER)
    rows = select(*columns).where(*conditions)
    connection.execute(insert(table).from_select([c.name for c in table.columns], rows))


def _count(connection: Connection, copies: int) -> None:
    lines = t.order_lines.c
    sums = [func.sum(lines[name]).label(f"n_{name}") for name in COUNTS]
    reserved = func.sum(lines.ordered * lines.agreed_price_minor).label("reserved")
    found = connection.execute(
        select(lines.product_number.label("k"), reserved, *sums)
        .where(lines.order_id.between(_FIRST, _BEHIND))
        .group_by(lines.product_number)
    ).mappings()
    more = [{k: v if k == "k" else int(v) * copies for k, v in row.items()} for row in found]
    if not copies or not more:
        return
    used = sum(row.pop("reserved") for row in more)
    for table, number in ((t.products, "number"), (t.tallies, "product_number")):
        connection.execute(
            update(table)
            .where(table.c.partner_id == bank.PARTNER, table.c[number] == bindparam("k"))
            .values({name: table.c[name] + bindparam(f"n_{name}") for name in COUNTS}),
            more,
        )
    connection.execute(update(t.quotas).values(used_minor=t.quotas.c.used_minor + used))


def _analyse(url: str) -> None:
    engine = opened_engine(url, autocommit=True)
    with engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))
        elif connection.dialect.name == "mariadb":
            names = ", ".join(table.name for table in t.metadata.sorted_tables)
            connection.execute(text(f"ANALYZE TABLE {names}"))
    engine.dispose()
