"""The statements: written for every engine, found by index, few for each call."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from sqlalchemy import make_url

from consignment.adapters.sqlalchemy import SqlStorage
from consignment.adapters.sqlalchemy.storage import SqlTransaction
from consignment.domain.message import CreditInstruction, Message
from consignment.testing.builders import (
    NOW,
    a_credit,
    a_line,
    a_message,
    a_partner,
    a_product,
    an_entry,
    an_order,
)
from tests.adapters.every_statement import every_statement, forms, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.adapters.sqlalchemy.statements import Session
    from consignment.domain.message import OutboxEntry
    from consignment.domain.order import PurchaseOrder

_ALL = every_statement()
each_statement = pytest.mark.parametrize("name", _ALL)

#: Questions that concern a whole table, or one that is always small.
_LOOKING_AT_ALL = {
    "journal._ALL",
    "ledger._ALL_BALANCES",
    "ledger._SUMS_BY_ACCOUNT",
    "products._SUMS[()]",
    "quotas._HOLD",
    "ledger._UNBALANCED",
    "partners._POLICY_IN_FORCE",
    "products._BY_NAME[2]",
    "quotas._LIST",
    "schema._VERSION",
}

#: A virtual table has no other word for it; the number says by which of its conditions.
_BY_TERM = re.compile(r"VIRTUAL TABLE INDEX [1-9]")


@pytest.fixture
def storage() -> Iterator[SqlStorage]:
    """A store in memory with a partner and its product."""
    with closing(SqlStorage.open("sqlite://")) as opened:
        opened.write(lambda t: t.partners.add(a_partner()))
        opened.write(lambda t: t.products.add([a_product()]))
        yield opened


@each_statement
def test_statements_are_written_for_every_engine(name: str) -> None:
    """SQLite, PostgreSQL and MariaDB can be asked the same, with a mark for each value."""
    written = forms(name, _ALL[name])
    assert written
    for texts in written.values():
        for text in texts:
            assert "POSTCOMPILE" not in text


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, statement in _ALL.items()
        if name not in _LOOKING_AT_ALL and "sqlite" in forms(name, statement)
    ],
)
def test_statements_find_their_rows_by_index(name: str, storage: SqlStorage) -> None:
    """Nothing that is asked all the time looks at a whole table."""

    def plan(session: Session) -> list[str]:
        text = text_of(_ALL[name], session._dialect)
        session._cursor.execute(f"EXPLAIN QUERY PLAN {text}", (None,) * text.count("?"))
        return [row[3] for row in session._cursor.fetchall()]

    for step in storage.read_session(plan):
        assert not step.startswith("SCAN") or _BY_TERM.search(step), step


class _Counting(sqlite3.Cursor):
    """A cursor that counts what it is asked."""

    asked = 0

    def execute(self, sql: str, parameters: Any = (), /) -> _Counting:  # noqa: ANN401 - as sqlite3
        self.asked += 1
        super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> _Counting:  # noqa: ANN401 - as sqlite3
        self.asked += 1
        super().executemany(sql, parameters)
        return self


def _connection(session: Session) -> sqlite3.Connection:
    cursor: object = session._cursor
    assert isinstance(cursor, sqlite3.Cursor)
    return cursor.connection


def _counted(session: Session) -> _Counting:
    counting = _connection(session).cursor(_Counting)
    session._cursor = counting  # type: ignore[assignment] # the protocol names no parameters
    return counting


def test_batches_take_few_statements(storage: SqlStorage) -> None:
    """However many orders, adding, getting and saving them takes two statements each."""
    line = a_line()
    orders = [an_order(f"D-{i}", "green-farm", line) for i in range(100)]

    def work(session: Session) -> list[int]:
        counting, t = _counted(session), SqlTransaction(session)
        counts = []
        t.orders.add(orders)
        counts.append(counting.asked)
        read = t.orders.get([order.order_id for order in orders])
        counts.append(counting.asked)
        changed = [
            (order, evolve(order, lines=(evolve(order.lines[0], procured=1),)))
            for order in read.values()
        ]
        t.orders.save(changed)
        counts.append(counting.asked)
        return counts

    assert storage.write_session(work) == [2, 4, 6]


def test_only_changed_lines_are_saved(storage: SqlStorage) -> None:
    """A line that is the one that was read is not written again."""
    storage.write(lambda t: t.products.add([a_product("PEAR")]))
    storage.write(lambda t: t.orders.add([an_order("D-1", "green-farm", a_line(), a_line("PEAR"))]))

    def work(session: Session) -> int:
        connection, t = _connection(session), SqlTransaction(session)
        (order,) = t.orders.get(["D-1:green-farm"]).values()
        before = connection.total_changes
        first = evolve(order.lines[0], procured=1)
        t.orders.save([(order, evolve(order, lines=(first, order.lines[1])))])
        return connection.total_changes - before

    assert storage.write_session(work) == 2


def test_orders_of_many_partners_come_in_one_batch(storage: SqlStorage) -> None:
    """Orders of several partners are got together, each with its own lines."""
    storage.write(lambda t: t.partners.add(a_partner("other-farm")))
    line = a_line()
    orders = [an_order("D-1", partner_id, line) for partner_id in ("green-farm", "other-farm")]
    storage.write(lambda t: t.orders.add(orders))

    def work(session: Session) -> tuple[int, list[PurchaseOrder]]:
        counting, t = _counted(session), SqlTransaction(session)
        read = t.orders.get([order.order_id for order in orders])
        return counting.asked, list(read.values())

    assert storage.read_session(work) == (2, orders)


def test_long_lists_of_keys_are_looked_up_in_parts(storage: SqlStorage) -> None:
    """More keys than an engine takes parameters are all found, each once."""
    products = [a_product(f"P-{i:04}") for i in range(2500)]
    storage.write(lambda t: t.products.add(products))
    numbers = [product.number for product in products]

    def work(session: Session) -> tuple[int, dict[str, str]]:
        counting, t = _counted(session), SqlTransaction(session)
        owners = t.products.owners([*numbers, *numbers[:7], "none"])
        return counting.asked, owners

    asked, owners = storage.read_session(work)
    assert asked == 3
    assert sorted(owners) == numbers
    assert storage.read(lambda t: t.products.owners([])) == {}


@pytest.mark.parametrize("done", [True, False])
def test_a_claim_looks_at_no_more_than_it_takes(storage: SqlStorage, *, done: bool) -> None:
    """Thousands of entries, done or waiting, cost a claim of ten no more steps than a few."""

    def steps() -> int:
        def work(session: Session) -> int:
            connection, t = _connection(session), SqlTransaction(session)
            count = 0

            def step() -> int:
                nonlocal count
                count += 1
                return 0

            connection.set_progress_handler(step, 10)
            claimed = t.outbox.claim(Message, now=NOW, lease_until=NOW, limit=10)
            connection.set_progress_handler(None, 0)
            assert len(claimed) == 10
            return count

        return storage.write_session(work)

    def entries(first: int, end: int) -> list[OutboxEntry]:
        return [
            an_entry(a_message(f"M-{i:05}", order_id=f"D-{i:05}:green-farm"))
            for i in range(first, end)
        ]

    storage.write(lambda t: t.outbox.add(entries(0, 20)))
    few = steps()
    many = entries(20, 5000)
    if done:
        many = [each.done(NOW) for each in many]
    storage.write(lambda t: t.outbox.add(many))
    assert steps() <= few * 1.5


def test_credits_and_messages_are_claimed_apart(storage: SqlStorage) -> None:
    """A claim of one kind leaves the other one waiting."""
    storage.write(lambda t: t.outbox.add([an_entry("M-1"), an_entry(a_credit("k:1"))]))

    def claim(kind: type) -> list[str]:
        claimed = storage.write(lambda t: t.outbox.claim(kind, now=NOW, lease_until=NOW, limit=10))
        return [entry.entry_id for entry in claimed]

    assert claim(CreditInstruction) == ["k:1"]
    assert claim(Message) == ["M-1"]


def test_values_are_given_as_each_driver_takes_them() -> None:
    """In their order where the driver counts marks, by name where it knows names."""
    in_force, policy = _ALL["partners._POLICY_IN_FORCE"], _ALL["partners._POLICY"]
    page = _ALL["journal._OF_ORDER"]
    by_mark, by_name = (
        make_url(each).get_dialect()() for each in ("sqlite://", "postgresql+psycopg://")
    )
    assert in_force.compiled(by_mark).parameters(()) == (1, 0)
    assert policy.compiled(by_mark).parameters(("2026",)) == ("2026",)
    assert policy.compiled(by_name).parameters(("2026",)) == {"version": "2026"}
    assert policy.compiled(by_name).many([("2026",)]) == [{"version": "2026"}]
    assert page.compiled(by_mark).parameters(("D-1:farm", 10, 20)) == ("D-1:farm", 10, 20)
    assert page.compiled(by_mark) is page.compiled(by_mark)
