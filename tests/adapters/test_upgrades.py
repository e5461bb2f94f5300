"""Upgrades of a desk with data in it, from the first release on, on each engine."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from consignment.adapters.memory import ManualClock, MemoryMessaging
from consignment.adapters.sqlalchemy import HEAD, Ledger, SqlStorage, schema_version, upgrade
from consignment.adapters.sqlalchemy.schema import REVISIONS
from consignment.desk import Consignment
from consignment.domain.errors import StorageBusy
from consignment.domain.order import OrderState
from consignment.testing.builders import a_demand, accepted, completed, procured, sold
from tests.adapters.schemas import (
    FIRST_DESK,
    at_revision,
    connected,
    definitions,
    each_statement,
    put_first_desk,
    rows,
)
from tests.engines import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

#: When the first release was left.
THEN = datetime.fromisoformat("2026-11-03T10:00:00+08:00")
_COUNTS = (
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


@pytest.fixture
def url(engine: str, tmp_path: Path) -> Iterator[str]:
    """A database at revision 0001 with the desk that the first release made."""
    with scratch(engine, tmp_path, "old") as address:
        put_first_desk(address)
        yield address


def _first(table: str) -> list[dict[str, Any]]:
    """Give the rows of a table as the first release left them."""
    kept = FIRST_DESK["tables"][table]
    return [dict(zip(kept["columns"], row, strict=True)) for row in kept["rows"]]


def _state(url: str) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    with connected(url) as connection:
        return definitions(connection), rows(connection)


# One revision after the other.


def test_each_revision_keeps_what_was_there(url: str) -> None:
    """Step by step: every row stays as it was, but for what a revision computes anew."""
    _, before = _state(url)
    for revision in REVISIONS[1:]:
        at_revision(url, revision)
        assert schema_version(url) == revision
        _, after = _state(url)
        for table in FIRST_DESK["tables"]:
            if table != "products":
                assert after[table] == before[table], (revision, table)
        assert len(after["products"]) == len(before["products"])
    with connected(url) as connection:
        stored = connection.exec_driver_sql("SELECT * FROM products").mappings().all()
    kept = {row["number"]: row for row in _first("products")}
    for row in stored:
        # Now every report on an order counts, also one that changed no figure of the product.
        assert {**kept[row["number"]], "last_report_at": row["last_report_at"]} == dict(row)
        assert (row["last_report_at"] or 0) >= (kept[row["number"]]["last_report_at"] or 0)


def _sums() -> dict[tuple[str, ...], tuple[Any, ...]]:
    """Sum up the first desk's orders by partner, product, sales partner and business line."""
    orders = {row["order_id"]: row for row in _first("orders")}
    sums: defaultdict[tuple[str, ...], list[int]] = defaultdict(lambda: [0] * len(_COUNTS))
    instants: defaultdict[tuple[str, ...], dict[str, list[int]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for line in _first("order_lines"):
        order = orders[line["order_id"]]
        key = (
            line["partner_id"],
            line["product_number"],
            order["sales_partner_id"],
            order["business_line"],
        )
        never = order["state"] in {"rejected", "cancelled", "expired"}
        for i, name in enumerate(_COUNTS):
            sums[key][i] += 0 if never and name == "ordered" else line[name]
        for name, source in (
            ("first_sale_at", line),
            ("last_sale_at", line),
            ("last_report_at", order),
        ):
            if source[name] is not None:
                instants[key][name].append(source[name])
    return {
        key: (
            *figures,
            min(instants[key]["first_sale_at"], default=None),
            max(instants[key]["last_sale_at"], default=None),
            max(instants[key]["last_report_at"], default=None),
        )
        for key, figures in sums.items()
    }


def test_tallies_are_what_the_orders_sum_to(url: str) -> None:
    """Revision 0003 computes the tallies by scope; one for each that has an order."""
    upgrade(url)
    names = (*_COUNTS, "first_sale_at", "last_sale_at", "last_report_at")
    with connected(url) as connection:
        stored = connection.execute(text("SELECT * FROM tallies")).mappings().all()
        dates = connection.execute(
            text("SELECT scope, effective_from, rule_id FROM rule_dates ORDER BY 1, 2")
        ).all()
    key = ("partner_id", "product_number", "sales_partner_id", "business_line")
    found = {tuple(row[name] for name in key): tuple(row[name] for name in names) for row in stored}
    assert found == _sums()
    assert len(found) == 11
    assert [tuple(row) for row in dates] == [
        ("partner:aksu-luyuan", "2026-08-01", "aksu-profit"),
        ("partner:green-farm", "2026-01-01", "green"),
        ("partner:green-farm", "2026-09-02", "green"),
    ]


# The desk goes on.


def _desk(url: str) -> tuple[Consignment, ManualClock, Ledger]:
    storage = SqlStorage.open(url)
    clock, ledger = ManualClock(THEN), Ledger(storage)
    desk = Consignment(storage=storage, messaging=MemoryMessaging(), crediting=ledger, clock=clock)
    return desk, clock, ledger


def _figures(answers: Any) -> dict[str, list[str]]:  # noqa: ANN401 - answers
    return {
        each.product_number: [str(getattr(each, name)) for name in FIRST_DESK["figures"]]
        for each in answers
    }


def test_the_desk_answers_as_it_did(url: str) -> None:
    """Progress in every way, names, quotas, states and balances are what they were."""
    upgrade(url)
    desk, _, ledger = _desk(url)
    with desk:
        asked, was = desk.progress, FIRST_DESK["progress"]
        assert _figures(asked.by_numbers(list(was["by_number"]))) == was["by_number"]
        for by in ("by_partner", "by_sales_partner", "by_business_line"):
            for name, figures in was[by].items():
                assert _figures(getattr(asked, by)(name)) == figures, (by, name)
        for part, numbers in FIRST_DESK["by_name"].items():
            assert [each.product_number for each in asked.by_name(part).products] == numbers, part
        used = {each.scope: str(each.used) for each in desk.quotas.show()}
        assert used == FIRST_DESK["quotas_used"]
        for order_id, state in FIRST_DESK["states"].items():
            assert desk.dispatch.order(order_id).state == state
        for account, amount in FIRST_DESK["balances"].items():
            assert [str(each) for each in ledger.balance(account)] == [amount]
        for order_id, pool in FIRST_DESK["preview"].items():
            assert str(desk.settlement.preview(order_id).pool) == pool
        assert ledger.check() == []


def test_the_desk_goes_on(url: str) -> None:
    """Orders that the first release had begun are reported on, completed and settled."""
    upgrade(url)
    desk, clock, ledger = _desk(url)
    order = "D-1:green-farm"
    with desk:
        before = {each.product_number: each for each in desk.progress.by_partner("green-farm")}
        # Of 40 apples 30 were procured, 9 of them are with customers, 1 was written off; of 12.5 kg
        # of rice a quarter was sold.
        reports = (
            sold(order, ("APPLE", "20", "68.80"), ("RICE", "12.250", "3.33"), report_id="N-1"),
            completed(order, report_id="N-2"),
        )
        clock.advance(hours=6)
        desk.dispatch.short_close(order, why="no more this year", actor="officer:li")
        for answer in desk.reporting.take_many("green-farm", reports):
            assert not answer.reasons
        after = {each.product_number: each for each in desk.progress.by_partner("green-farm")}
        assert after["APPLE"].net_sold.count - before["APPLE"].net_sold.count == 20
        assert not after["RICE"].unsold
        work = desk.work()
        # D-5 was complete already.
        assert work.settled.settled == 2
        assert desk.dispatch.order(order).state is OrderState.CLOSED
        (settled,) = desk.settlement.of_order("D-5:green-farm")
        assert str(settled.pool) == FIRST_DESK["preview"]["D-5:green-farm"]
        assert work.credits.done > 0
        # A repeated report is known; a new order is taken on and sold.
        assert [each.repeated for each in desk.reporting.take_many("green-farm", reports)] == [
            True,
            True,
        ]
        (new,) = desk.dispatch.place(a_demand("D-20", ("APPLE", "3"), sales_partner_id="sp-2"))
        desk.work()
        at = clock.now()
        for answer in desk.reporting.take_many(
            "green-farm",
            [
                accepted(new.order_id, report_id="N-3", at=at),
                procured(new.order_id, ("APPLE", "3", "60.00"), report_id="N-4", at=at),
                sold(new.order_id, ("APPLE", "3", "68.80"), report_id="N-5", at=at),
            ],
        ):
            assert not answer.reasons
        (apple,) = desk.progress.by_numbers(["APPLE"])
        assert apple.ordered.count == after["APPLE"].ordered.count + 3
        assert apple.sold.count == after["APPLE"].sold.count + 3
        assert ledger.check() == []
        assert {each.minor for each in ledger.trial_balance()} == {0}


# Broken off.


def _die_before(url: str, statement: int) -> int:
    """Upgrade in a process that is killed before a statement; give how it ended."""

    def child() -> None:
        left = statement

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        with each_statement(count):
            upgrade(url)
        # Whatever the tests have prepared for their own end is not for this process.
        os._exit(0)

    process = get_context("fork").Process(target=child)
    process.start()
    process.join()
    code = process.exitcode
    assert code in {0, -signal.SIGKILL}
    return code


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("begun", [True, False], ids=["with a desk", "from nothing"])
def test_an_upgrade_that_was_killed_is_run_again(
    engine: str, tmp_path: Path, *, begun: bool
) -> None:
    """Killed before each of its statements in turn, it ends as if it had not been.

    On MariaDB every definition stands by itself, and each run goes on with what the one before has
    left. Elsewhere nothing of a killed run is there; on PostgreSQL, where a run takes longest, that
    is tried before every seventh.
    """
    step = 7 if engine == "postgresql" else 1
    with scratch(engine, tmp_path, "whole") as whole, scratch(engine, tmp_path, "cut") as cut:
        if begun:
            put_first_desk(whole)
            put_first_desk(cut)
        elif engine == "sqlite":
            # The file itself, in its mode, is there from the first run on.
            with connected(cut):
                pass
        upgrade(whole)
        before = _state(cut)
        statement = 1
        while _die_before(cut, statement) != 0:
            if engine != "mariadb":
                assert _state(cut) == before
            statement += step
        assert statement > (10 if begun else 40)
        assert _state(cut) == _state(whole)
        SqlStorage.open(cut).close()


# At once.


def _upgraded(url: str) -> str:
    return upgrade(url)


def test_two_processes_upgrade_at_once(url: str, engine: str, tmp_path: Path) -> None:
    """While somebody upgrades, others wait; then the first does the work, and all succeed."""
    with scratch(engine, tmp_path, "alone") as alone:
        put_first_desk(alone)
        upgrade(alone)
        expected = _state(alone)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        # The processes are there, and have imported what they need.
        assert list(pool.map(schema_version, [url] * 2)) == ["0001"] * 2
        with connected(url):
            waiting: list[Future[str]] = [pool.submit(_upgraded, url) for _ in range(2)]
            with pytest.raises(TimeoutError):
                waiting[0].result(timeout=0.7)
            assert not any(each.done() for each in waiting)
        assert [each.result(timeout=60) for each in waiting] == [HEAD] * 2
    assert _state(url) == expected


def test_who_waits_too_long_for_an_upgrade_is_told(url: str) -> None:
    """The other one goes on; this one says that the database is busy."""
    with connected(url), pytest.raises(StorageBusy):
        upgrade(url, busy_timeout_s=0.2)
    assert schema_version(url) == "0001"
    assert upgrade(url) == HEAD
