"""What the hand-written side writes, taken from what the library left behind.

The library runs first. What it left behind is read back, and the hand-written statements put the
same rows into a copy of the database as it was before, in as many transactions. Afterwards both
databases have to be equal, row by row and column by column. The hand-written side reads nothing,
checks nothing and builds nothing: its rows are ready before the clock starts.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from sqlalchemy import Insert, Table, Update, bindparam, insert, select, text, update
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from benchmarks.databases import opened_engine
from consignment.adapters.sqlalchemy import tables as t

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection, Engine

Rows = list[dict[str, Any]]
Snapshot = dict[str, dict[tuple[Any, ...], dict[str, Any]]]

COUNTS = (
    "ordered",
    "procured",
    "sold",
    "returned",
    "sent_back",
    "written_off",
    "settled",
    "gross_sales_minor",
    "returns_minor",
)
#: The index of names has millions of entries: an import writes and compares them by itself.
_TAKEN = [table for table in t.metadata.sorted_tables if table is not t.name_tails]


def snapshot(url: str, tables: Iterable[Table] = _TAKEN) -> Snapshot:
    """Read every row of the tables, by primary key."""
    engine = opened_engine(url, autocommit=True)
    taken: Snapshot = {}
    with engine.connect() as connection:
        for table in tables:
            key = [column.name for column in table.primary_key]
            rows = connection.execute(select(table)).mappings()
            taken[table.name] = {tuple(row[name] for name in key): dict(row) for row in rows}
    engine.dispose()
    return taken


def digests(url: str) -> dict[str, object]:
    """Give a digest of each table's rows, whatever their order."""
    engine = opened_engine(url, autocommit=True)
    try:
        with engine.connect() as connection:
            return {
                table.name: _digest(connection, table.name) for table in t.metadata.sorted_tables
            }
    finally:
        engine.dispose()


def _digest(connection: Connection, table: str) -> object:
    dialect = connection.dialect.name
    if dialect == "postgresql":
        statement = f"SELECT count(*), sum(hashtextextended(r::text, 0)::numeric) FROM {table} r"
        return tuple(connection.execute(text(statement)).one())
    if dialect != "sqlite":
        return connection.execute(text(f"CHECKSUM TABLE {table} EXTENDED")).one()[1]
    statement = f"SELECT * FROM {table}"
    if table == t.name_tails.name:
        statement = f"SELECT term, doc FROM {table}_terms"
    count = total = 0
    driver: Any = connection.connection.driver_connection
    with closing(driver.execute(statement)) as rows:
        for row in rows:
            hashed = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=8)
            total += int.from_bytes(hashed.digest())
            count += 1
    return count, total


def added(before: Snapshot, after: Snapshot, table: Table) -> Rows:
    """Give the rows of a table that are new, by primary key."""
    was, now = before[table.name], after[table.name]
    return [now[key] for key in sorted(now) if key not in was]


def changed(before: Snapshot, after: Snapshot, table: Table) -> list[tuple[dict[str, Any], Any]]:
    """Give the rows of a table that differ, as (as it was, as it is)."""
    was, now = before[table.name], after[table.name]
    return [(was[key], now[key]) for key in sorted(now) if key in was and was[key] != now[key]]


def shares(rows: Sequence[Any], parts: int) -> Iterator[Sequence[Any]]:
    """Divide rows into so many equal parts, in their order; the last one may be smaller."""
    size = -(-len(rows) // parts)
    return (rows[i * size : (i + 1) * size] for i in range(parts))


@frozen
class Steps:
    """What the hand-written side does: statements in their order, each with its rows."""

    done: list[tuple[Insert | Update, Rows]] = field(factory=list)

    def run(self, connection: Connection) -> None:
        """Carry them out; one row is given as such, several as a list."""
        for statement, rows in self.done:
            connection.execute(statement, rows if len(rows) > 1 else rows[0])

    def add(self, statement: Insert | Update, rows: Iterable[dict[str, Any]]) -> None:
        """Add a statement, unless it has no rows."""
        if listed := list(rows):
            self.done.append((statement, listed))


def run(engine: Engine, plan: Sequence[Steps], together: int = 1) -> None:
    """Carry out steps, so many in a transaction."""
    for i in range(0, len(plan), together):
        with engine.begin() as connection:
            for step in plan[i : i + together]:
                step.run(connection)


def _key(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key)


def setting(table: Table, columns: Iterable[str]) -> Update:
    """Write an update of columns by primary key: `k_…` and `n_…` are the names of its values."""
    statement = update(table).where(
        *(table.c[name] == bindparam(f"k_{name}") for name in _key(table))
    )
    return statement.values({name: bindparam(f"n_{name}") for name in columns})


def plan(
    before: Snapshot,
    after: Snapshot,
    parts: int,
    *,
    inserted: tuple[Table, ...] = (),
    set_: dict[Table, tuple[str, ...]] | None = None,
) -> list[Steps]:
    """Derive so many steps from what the library left: rows that are new, columns that are set."""
    made = [Steps() for _ in range(parts)]
    for table in inserted:
        rows = added(before, after, table)
        for step, part in zip(made, shares(rows, parts), strict=True):
            step.add(insert(table), part)
    for table, columns in (set_ or {}).items():
        key = _key(table)
        parameters = [
            {f"k_{name}": row[name] for name in key} | {f"n_{name}": row[name] for name in columns}
            for _, row in changed(before, after, table)
        ]
        statement = setting(table, columns)
        for step, part in zip(made, shares(parameters, parts), strict=True):
            step.add(statement, part)
    return made


def count(
    made: Sequence[Steps],
    before: Snapshot,
    after: Snapshot,
    dialect: str,
    *,
    counts: tuple[str, ...],
    also: tuple[str, ...] = (),
) -> None:
    """Add to the counts of products and tallies what the lines of each step's orders changed by.

    `counts` are added to, `also` are columns that are set. What is ordered may begin a tally.
    """
    new_lines = added(before, after, t.order_lines)
    pairs: list[tuple[dict[str, Any] | None, dict[str, Any]]] = (
        [(None, row) for row in new_lines]
        if new_lines
        else list(changed(before, after, t.order_lines))
    )
    orders = after[t.orders.name]
    to_products = _adding(t.products, counts, also)
    to_tallies = _beginning(dialect) if new_lines else _adding(t.tallies, counts, also)
    for step, part in zip(made, shares(pairs, len(made)), strict=True):
        sums: dict[tuple[Any, ...], dict[str, int]] = {}
        for old, new in part:
            order = orders[new["order_id"], new["partner_id"]]
            key = (
                new["partner_id"],
                new["product_number"],
                order["sales_partner_id"],
                order["business_line"],
            )
            found = sums.setdefault(key, dict.fromkeys(counts, 0))
            for name in counts:
                found[name] += new[name] - (old[name] if old is not None else 0)
        ordered = sorted(sums.items())
        products = after[t.products.name]
        step.add(
            to_products,
            [
                {"k_partner_id": key[0], "k_number": key[1]}
                | {f"n_{name}": figure for name, figure in found.items()}
                | {f"n_{name}": products[key[:2]][name] for name in also}
                for key, found in ordered
            ],
        )
        names = _key(t.tallies)
        if new_lines:
            zeros = dict.fromkeys((*COUNTS, "first_sale_at", "last_sale_at", "last_report_at"), 0)
            none = dict.fromkeys(("first_sale_at", "last_sale_at", "last_report_at"))
            step.add(
                to_tallies,
                [
                    dict(zip(names, key, strict=True)) | zeros | none | found
                    for key, found in ordered
                ],
            )
            continue
        tallies = after[t.tallies.name]
        step.add(
            to_tallies,
            [
                {f"k_{name}": value for name, value in zip(names, key, strict=True)}
                | {f"n_{name}": figure for name, figure in found.items()}
                | {f"n_{name}": tallies[key][name] for name in also}
                for key, found in ordered
            ],
        )


def _adding(table: Table, counts: Iterable[str], also: Iterable[str]) -> Update:
    statement = update(table).where(
        *(table.c[name] == bindparam(f"k_{name}") for name in _key(table))
    )
    return statement.values(
        {name: table.c[name] + bindparam(f"n_{name}") for name in counts}
        | {name: bindparam(f"n_{name}") for name in also}
    )


def _beginning(dialect: str) -> Insert:
    more = t.tallies.c.ordered
    if dialect == "mariadb":
        ours = mysql_insert(t.tallies)
        return ours.on_duplicate_key_update(ordered=more + ours.inserted.ordered)
    statement = (postgresql_insert if dialect == "postgresql" else sqlite_insert)(t.tallies)
    return statement.on_conflict_do_update(
        index_elements=list(t.tallies.primary_key),
        set_={"ordered": more + statement.excluded.ordered},
    )


def use_quota(made: Sequence[Steps], amounts: Sequence[int], *, limited: bool) -> None:
    """Add each step's amount, in minor units, to the quota of the bank, within its limit."""
    used = t.quotas.c.used_minor
    statement = (
        update(t.quotas)
        .where(t.quotas.c.scope == "total", t.quotas.c.currency == "CNY")
        .values(used_minor=used + bindparam("n"))
    )
    if limited:
        statement = statement.where(used + bindparam("n") <= t.quotas.c.limit_minor)
    for step, amount in zip(made, amounts, strict=True):
        step.add(statement, [{"n": amount}])
