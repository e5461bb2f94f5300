"""Ready to shard: tables and statements keep the rules of a schema that is spread by partner.

The rules stand in decision 16, and what a host does with them in `docs/how-to/shard.md`.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    text,
)

from consignment.adapters.memory import ManualClock, MemoryMessaging
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.adapters.sqlalchemy.engines import database_at
from consignment.adapters.sqlalchemy.tables import metadata
from consignment.desk import Consignment
from consignment.domain.errors import StaleWrite
from consignment.domain.message import Message
from consignment.testing.builders import NOW, a_demand, a_message, accepted, an_entry, procured
from tests.adapters.every_statement import every_statement, forms
from tests.adapters.spreading import across, faults_of_metadata, faults_of_sql, form, written
from tests.engines import SERVERS, empty
from tests.scenario import test_aksu as aksu
from tests.scenario.conftest import START
from tests.system.desks import Desk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from consignment.adapters.sqlalchemy.statements import Session

T = TypeVar("T")

_EVERY = every_statement()

_BY_ID = "ids are the bank's: who asks knows no partner"
_LIST = "a list over all partners, a page at a time"
_CHECK = "an examination of the whole ledger, by an auditor"
_SALES = "a sales partner's or business line's part of what all partners do"
_NUMBERS = "product numbers of several partners at once"
_DUE = "a worker takes what is due, whosever it is"

#: Statements that look at rows of partners which they do not name, and why each has to.
ACROSS = {
    "journal.JOURNAL_ENTRY": "looked up when a commit was not acknowledged; its id alone is known",
    "journal._ALL": _LIST,
    "journal._OF_ORDER": _BY_ID,
    "ledger._ALL_BALANCES": _CHECK,
    "ledger._BALANCE": "an account that several partners pay has a balance with each",
    "ledger._DIGESTS": "under one key there is one credit, whoever's it is",
    "ledger._OF_ACCOUNT": "an account that several partners pay has postings with each",
    "ledger._SUMS_BY_ACCOUNT": _CHECK,
    "ledger._UNBALANCED": _CHECK,
    "names._EXACTLY": "names are searched in the whole catalogue",
    "names._PLACES_OF": "names are searched in the whole catalogue",
    "names._STORED": _NUMBERS,
    "orders._GET": "orders of several partners at once; with one partner it is named",
    "orders._GET_LINES": "lines of several partners' orders at once",
    "orders._IN_STATE": _DUE,
    "orders._IN_STATE_PLACED_UNTIL": _DUE,
    "orders._LOCK": "orders of several partners at once",
    "orders._OF_SALES_PARTNER": _SALES,
    "outbox._CLAIMABLE": _DUE,
    "outbox._GET": _BY_ID,
    "outbox._LIST[done]": _LIST,
    "outbox._LIST[set_aside]": _LIST,
    "outbox._LIST[waiting]": _LIST,
    "outbox._PROGRESS": _DUE,
    "partners._GET_DECISIONS": _BY_ID,
    "partners._HAS_DECISION": "a request's id is the bank's, and its decisions are one sequence",
    "partners._LIST_FOR_REVIEW": _LIST,
    "partners._LIST_PARTNERS": _LIST,
    "products._BY_NUMBERS": _NUMBERS,
    "products._NAMES": _NUMBERS,
    "products._SUMS[('business_line',)]": _SALES,
    "products._SUMS[('sales_partner_id', 'business_line')]": _SALES,
    "products._SUMS[('sales_partner_id',)]": _SALES,
    "products._SUMS[()]": "how the whole catalogue sells",
    "quotas._LIST": _LIST,
    "quotas._OPEN_LINES[business_line]": "what a bank-wide quota is used by",
    "quotas._OPEN_LINES[product]": "who a product belongs to is not known to its quota",
    "quotas._OPEN_LINES[total]": "what a bank-wide quota is used by",
    "reports._UNPUSHED": _SALES,
    "settlements._GET": "settlements of several partners' orders at once",
    "settlements._GET_SHARES": "settlements of several partners' orders at once",
}
#: Likewise those that change such rows.
CHANGES_ACROSS = {
    "outbox._RELEASE": "a worker that starts alone frees what a crashed one had taken",
    "orders._TOUCH": "on a Galera cluster only, which holds everything everywhere",
}
#: What can be spread on no engine, and is on none.
NOT_SPREAD = {
    "names._ADD_TERMS": "SQLite's full-text index, whose rows have no columns of their own",
    "names._REMOVE_TERMS": "likewise",
}


# Tables.


def test_every_table_keeps_the_rules() -> None:
    """Placement, keys with the partner in them, foreign keys that stay there, nothing made."""
    assert faults_of_metadata(metadata) == []
    placements = [each.info["placement"] for each in metadata.sorted_tables]
    assert {each: placements.count(each) > 1 for each in set(placements)} == {
        "partner": True,
        "reference": True,
        "bank": True,
    }


def _planted(change: Callable[[MetaData], object]) -> list[str]:
    copy = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(copy)
    assert faults_of_metadata(copy) == []
    change(copy)
    return faults_of_metadata(copy)


def _of_partner(copy: MetaData, *columns: Any) -> Table:  # noqa: ANN401 - parts of a table
    return Table("more", copy, *columns, info={"placement": "partner"})


def _key() -> Column[str]:
    return Column("partner_id", String(64), primary_key=True)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda copy: copy.tables["orders"].info.clear(), "orders: no placement"),
        (
            lambda copy: copy.tables["orders"].info.update(placement="somewhere"),
            "orders: no placement",
        ),
        (lambda copy: _of_partner(copy, Column("a", String(1))), "more: no primary key"),
        (
            lambda copy: _of_partner(copy, Column("a", String(1), primary_key=True)),
            "more: no partner_id",
        ),
        (
            lambda copy: _of_partner(
                copy, Column("a", String(1), primary_key=True), Column("partner_id", String(64))
            ),
            "more: partner_id may be null",
        ),
        (
            lambda copy: _of_partner(
                copy,
                Column("a", String(1), primary_key=True),
                Column("partner_id", String(64), nullable=False),
            ),
            "more: a primary key without the partner",
        ),
        (
            lambda copy: copy.tables["orders"].append_constraint(UniqueConstraint("demand_id")),
            "orders: a unique key without the partner",
        ),
        (
            lambda copy: Index("own", copy.tables["orders"].c.demand_id, unique=True),
            "orders: a unique index without the partner",
        ),
        (
            lambda copy: copy.tables["reports"].append_constraint(
                ForeignKeyConstraint(["order_id"], ["orders.order_id"])
            ),
            "reports: a foreign key to orders without the partner",
        ),
        (
            lambda copy: copy.tables["orders"].append_constraint(
                ForeignKeyConstraint(["demand_id"], ["demands.demand_id"])
            ),
            "orders: a foreign key from partner to bank (demands)",
        ),
        (
            lambda copy: copy.tables["product_numbers"].append_constraint(
                ForeignKeyConstraint(["partner_id"], ["partners.partner_id"])
            ),
            "product_numbers: a foreign key from bank to partner (partners)",
        ),
        (
            lambda copy: copy.tables["tallies"].append_constraint(
                ForeignKeyConstraint(["partner_id"], ["partners.partner_id"], ondelete="CASCADE")
            ),
            "tallies: a change of partners changes it",
        ),
        (
            lambda copy: _of_partner(copy, _key(), Column("no", BigInteger(), Identity())),
            "more: no is counted by the database",
        ),
        (
            lambda copy: Table(
                "more", copy, Column("no", Integer, primary_key=True), info={"placement": "bank"}
            ),
            "more: no is counted by the database",
        ),
        (
            lambda copy: _of_partner(
                copy, _key(), Column("at", BigInteger, server_default=text("now()"))
            ),
            "more: at is made by the database",
        ),
    ],
    ids=lambda value: re.sub(r"\W+", "-", value) if isinstance(value, str) else "",
)
def test_tables_that_break_a_rule_are_found(
    change: Callable[[MetaData], object], fault: str
) -> None:
    """Each rule has a table that breaks it, on a copy of the tables."""
    assert fault in _planted(change)


def test_a_key_of_whole_numbers_alone_is_not_counted_by_itself() -> None:
    """SQLAlchemy would make a lone integer key count by itself; ours are never alone."""
    table = Table("lone", MetaData(), Column("no", Integer), PrimaryKeyConstraint("no"))
    assert table.autoincrement_column is not None
    assert all(each.autoincrement_column is None for each in metadata.sorted_tables)


# Statements.


@pytest.mark.parametrize("name", _EVERY)
def test_every_statement_keeps_the_rules(name: str) -> None:
    """As each engine writes it, for one row and for many."""
    for engine, texts in forms(name, _EVERY[name]).items():
        for sql in texts:
            assert sql
            if name not in NOT_SPREAD:
                assert faults_of_sql(sql) == [], (engine, sql)


@pytest.mark.parametrize("name", _EVERY)
def test_statements_that_look_across_partners_are_known(name: str) -> None:
    """Whatever does not name the partner asks every place, and there is a reason for it."""
    looks = {
        (across(sql), written(sql) is not None)
        for texts in forms(name, _EVERY[name]).values()
        for sql in texts
    }
    known = name.partition("[")[0] if name.startswith("names.") else name
    assert ((True, False) in looks) == (known in ACROSS), looks
    assert ((True, True) in looks) == (known in CHANGES_ACROSS), looks


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        (
            "INSERT INTO journal (entry_id, partner_id, at) VALUES (?, ?, CURRENT_TIMESTAMP)",
            "current_timestamp is made by the database",
        ),
        (
            "UPDATE orders SET settled_at = now() WHERE orders.partner_id = ?",
            "now is made by the database",
        ),
        (
            "INSERT INTO orders (order_id, partner_id) VALUES (gen_random_uuid(), %s)",
            "gen_random_uuid is made by the database",
        ),
        (
            "INSERT INTO orders (order_id, partner_id) VALUES (nextval('x'), %s)",
            "nextval is made by the database",
        ),
        ("INSERT INTO orders (order_id) VALUES (?)", "an insert without the partner"),
        ("INSERT INTO orders VALUES (?, ?)", "an insert without the partner"),
        ("COPY orders (order_id, state) FROM STDIN", "an insert without the partner"),
        (
            "UPDATE orders SET state=?, partner_id=? WHERE orders.partner_id = ?",
            "partner_id is changed",
        ),
        (
            (
                "UPDATE orders SET order_id = given.id_ FROM unnest(%(id_)s) AS given(id_) "
                "WHERE orders.partner_id = given.partner_id_"
            ),
            "order_id is changed",
        ),
        (
            "INSERT INTO quotas (scope) VALUES (%s) ON DUPLICATE KEY UPDATE scope = VALUES(scope)",
            "scope is changed",
        ),
        (
            (
                "INSERT INTO tallies (partner_id, ordered) VALUES (?, ?) "
                "ON CONFLICT (product_number) DO UPDATE SET ordered = tallies.ordered + ?"
            ),
            "a conflict without the partner",
        ),
        (
            "SELECT 1 FROM orders JOIN order_lines ON order_lines.order_id = orders.order_id",
            "['order_lines'] and ['orders'] are joined without the partner",
        ),
        (
            (
                "SELECT 1 FROM outbox WHERE NOT EXISTS "
                "(SELECT 1 FROM outbox AS ahead WHERE ahead.stream = outbox.stream)"
            ),
            "['ahead'] and ['outbox'] are joined without the partner",
        ),
        (
            (
                "UPDATE outbox SET leased = 1 WHERE outbox.partner_id = ? AND outbox.entry_id IN "
                "(SELECT outbox.entry_id FROM outbox FOR UPDATE SKIP LOCKED)"
            ),
            "what it writes depends on who else is there",
        ),
    ],
)
def test_statements_that_break_a_rule_are_found(sql: str, fault: str) -> None:
    """Each rule has a statement that breaks it."""
    assert fault in faults_of_sql(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT orders.state FROM orders WHERE orders.order_id = ?",
        "UPDATE orders SET state=? WHERE orders.order_id = ?",
        "DELETE FROM name_forms WHERE name_forms.number = %s",
        (
            "UPDATE orders SET state=given.s FROM unnest(%(s)s) AS given(s, o) "
            "WHERE orders.order_id = given.o"
        ),
        (
            "UPDATE JSON_TABLE(%s, '$[*]' COLUMNS (s TEXT PATH '$[0]')) AS given "
            "STRAIGHT_JOIN orders FORCE INDEX (PRIMARY) SET orders.state=given.s "
            "WHERE orders.order_id = given.o"
        ),
        "SELECT 1 FROM quotas UNION ALL SELECT 1 FROM partner_quotas",
        "SELECT 1 FROM products WHERE products.number = 'a.partner_id = ?'",
        "SELECT 1 FROM products WHERE products.partner_id IN (SELECT partner_id FROM quotas)",
    ],
)
def test_statements_that_name_no_partner_are_found(sql: str) -> None:
    """Also where a partner's name stands in a text only, or comes from many rows."""
    assert across(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT orders.state FROM orders WHERE orders.order_id = ? AND orders.partner_id = ?",
        (
            "SELECT 1 FROM orders JOIN order_lines ON order_lines.partner_id = orders.partner_id "
            "WHERE orders.partner_id = %(partner_id)s::VARCHAR"
        ),
        "SELECT 1 FROM partners WHERE partners.partner_id = ANY (%(keys)s::TEXT[])",
        "SELECT 1 FROM quotas WHERE quotas.scope = ?",
        "INSERT INTO orders (order_id, partner_id) SELECT given.a, given.b FROM unnest(%(a)s) AS g",
    ],
)
def test_statements_that_name_the_partner_are_not_found(sql: str) -> None:
    """A value, a partner's other table, a list of keys; the bank's tables have no partner."""
    assert not across(sql)
    assert faults_of_sql(sql) == []


# What is really sent.


class _Heard:
    """A driver's cursor that tells what it is asked."""

    def __init__(self, cursor: Any, heard: set[str]) -> None:  # noqa: ANN401 - any driver's
        self._cursor = cursor
        self._heard = heard

    def execute(self, sql: str, *parameters: Any) -> Any:  # noqa: ANN401 - the driver's
        self._heard.add(sql)
        return self._cursor.execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> Any:  # noqa: ANN401 - the driver's
        self._heard.add(sql)
        return self._cursor.executemany(sql, *parameters)

    def copy(self, sql: str) -> Any:  # noqa: ANN401 - the driver's
        self._heard.add(sql)
        return self._cursor.copy(sql)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the driver's
        return getattr(self._cursor, name)


class _HeardStorage(SqlStorage):
    """A store whose statements are heard."""

    heard: set[str]

    def write_session(self, work: Callable[[Session], T], partner_id: str | None = None) -> T:
        return super().write_session(lambda session: work(self._hearing(session)), partner_id)

    def read_session(self, work: Callable[[Session], T], *, one_instant: bool = True) -> T:
        return super().read_session(
            lambda session: work(self._hearing(session)), one_instant=one_instant
        )

    def _hearing(self, session: Session) -> Session:
        session._cursor = _Heard(session._cursor, self.heard)
        return session


@pytest.fixture
def bank(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk on each engine, of whose statements none is missed; each is sent by itself."""
    monkeypatch.setattr("consignment.adapters.sqlalchemy.statements.GATHERING", frozenset())
    storage = _HeardStorage(database_at(empty(engine, tmp_path)))
    storage.heard = set()
    clock, ledger, messaging = ManualClock(START), Ledger(storage), MemoryMessaging()
    desk = Consignment(storage=storage, messaging=messaging, crediting=ledger, clock=clock)
    return Desk(desk, clock, ledger, messaging)


def test_what_is_sent_keeps_the_rules(bank: Desk) -> None:
    """From the admission to the credited profit, and beside that way: everything that is sent."""
    storage = bank.desk.storage
    assert isinstance(storage, _HeardStorage)
    with bank.desk as desk:
        aksu.test_a_partner_is_admitted_sells_and_the_profit_is_credited(bank)
        _beside_the_way(desk)
        assert isinstance(bank.ledger, Ledger)
        assert bank.ledger.check() == []
    heard = storage.heard
    assert len(heard) > 70
    every = every_statement()
    known = {
        form(sql)
        for name, statement in every.items()
        if (name.partition("[")[0] if name.startswith("names.") else name)
        in ACROSS.keys() | CHANGES_ACROSS.keys()
        for texts in forms(name, statement).values()
        for sql in texts
    }
    not_spread = {
        sql for name in NOT_SPREAD for texts in forms(name, every[name]).values() for sql in texts
    }
    for sql in heard - not_spread:
        assert faults_of_sql(sql) == [], sql
        if across(sql):
            assert form(sql) in known, sql
    # Nothing that is sent depends on rows that others have locked, but for how much is found.
    for sql in heard:
        if "SKIP LOCKED" in sql:
            assert written(sql) is None


class _Unlocked(_Heard):
    """A driver's cursor that reads without any lock."""

    def execute(self, sql: str, *parameters: Any) -> Any:  # noqa: ANN401 - the driver's
        return super().execute(re.sub(r"\s+FOR (?:NO KEY )?UPDATE.*$", "", sql), *parameters)


class _UnlockedStorage(_HeardStorage):
    """A store that locks nothing that it reads."""

    def _hearing(self, session: Session) -> Session:
        session._cursor = _Unlocked(session._cursor, self.heard)
        return session


@pytest.mark.parametrize("engine", SERVERS)
def test_claims_need_no_locks(engine: str, tmp_path: Path) -> None:
    """Four at once claim what is due, and read it without a lock: each entry goes to one."""
    storage = _UnlockedStorage(database_at(empty(engine, tmp_path)))
    storage.heard = set()
    entries = [an_entry(a_message(f"M-{i:02}", order_id=f"D-{i}:green-farm")) for i in range(40)]
    storage.write(lambda t: t.outbox.add(entries))

    def claim(_: int) -> list[str]:
        claimed: list[str] = []
        while True:
            try:
                found = storage.write(
                    lambda t: t.outbox.claim(
                        Message, now=NOW, lease_until=NOW + timedelta(hours=1), limit=3
                    )
                )
            except StaleWrite:
                # Others were quicker five times in a row.
                continue
            if not found:
                return claimed
            claimed += [each.entry_id for each in found]

    with closing(storage), ThreadPoolExecutor(4) as pool:
        claims = [entry_id for part in pool.map(claim, range(4)) for entry_id in part]
    assert sorted(claims) == [each.entry_id for each in entries]
    assert any("FOR UPDATE" in sql or "FOR NO KEY" in sql for sql in storage.heard) is False


def _beside_the_way(desk: Consignment) -> None:
    """Do what does not happen in the story."""
    apples = ("AKS-APPLE-5KG", "2")
    for demand_id in ("N-1", "N-2", "N-3"):
        demand = a_demand(demand_id, apples, sales_partner_id=aksu.SALES_PARTNER)
        (order,) = desk.dispatch.place(demand)
    desk.dispatch.cancel("N-1:aksu-luyuan", why="no", actor="officer:li")
    desk.work()
    at = desk.dispatch.order("N-2:aksu-luyuan").dispatched_at
    reports = [
        accepted("N-2:aksu-luyuan", report_id="N-A", at=at),
        procured("N-2:aksu-luyuan", ("AKS-APPLE-5KG", "1", "60.00"), report_id="N-P", at=at),
    ]
    for answer in desk.reporting.take_many(aksu.PARTNER, reports):
        assert not answer.reasons
    desk.dispatch.short_close("N-2:aksu-luyuan", why="no", actor="officer:li")
    desk.relay.recover()
    desk.dispatch.expire_due()
    desk.progress.by_partner(aksu.PARTNER)
    desk.progress.by_sales_partner(aksu.SALES_PARTNER)
    desk.progress.by_business_line("retail")
    desk.quotas.show()
    assert desk.relay.set_aside() == []
    assert order.order_id == "N-3:aksu-luyuan"
