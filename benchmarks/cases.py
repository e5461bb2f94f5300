"""The cases: what the library does in each, and the hand-written statements beside it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import insert, select

from benchmarks import bank, handwritten, many
from benchmarks.databases import opened_engine
from consignment.adapters.sqlalchemy import tables as t

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.databases import Databases
    from benchmarks.handwritten import Snapshot, Steps
    from consignment.desk import Consignment
    from consignment.domain.report import Sold

__all__ = ["Figure", "Way", "compare", "order_cases", "report_cases", "settlement_cases"]

PRODUCTS = 200
_PLACED = (t.demands, t.orders, t.order_lines, t.outbox, t.journal)
_TIMES = ("first_sale_at", "last_sale_at", "last_report_at")


@frozen
class Figure:
    """What one comparison showed: units a second on both sides, medians of the repeats.

    `ratio` is the library's rate as a part of the hand-written one's; `ratios` has that of each
    repeat.
    """

    name: str
    units: str
    library: float
    handwritten: float
    ratios: Sequence[float]
    aim: float | None

    @property
    def ratio(self) -> float:
        """The library's rate ÷ the hand-written rate."""
        return self.library / self.handwritten


Plan = Callable[["Snapshot", "Snapshot"], "list[Steps]"]


@frozen
class Way:
    """One way to write the same by hand.

    `title` is put behind the case's name. `plan` gives the statements from what was before and what
    is afterwards; `together` of its steps are one transaction. `aim` is the ratio aimed at.
    """

    title: str
    plan: Plan
    together: int
    aim: float | None


def set_apart() -> None:
    """Keep the collector from looking through what the benchmark itself holds, on both sides."""
    gc.collect()
    gc.freeze()


def compare(
    databases: Databases,
    base: str,
    name: str,
    *,
    units: str,
    count: int,
    repeats: int,
    library: Callable[[Consignment], None],
    ways: Sequence[Way],
) -> Iterator[Figure]:
    """Run both sides in turn, each on a fresh copy of `base`; check that they leave the same."""
    before = handwritten.snapshot(base)
    library_s: list[float] = []
    hand_s: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        mine = databases.copy(base, "library")
        with bank.opened(mine) as desk:
            desk.quotas.show()  # opens the connection
            set_apart()
            begun = perf_counter()
            library(desk)
            library_s.append(perf_counter() - begun)
        after = handwritten.snapshot(mine)
        wanted = handwritten.digests(mine)
        databases.drop(mine)
        for way, taken in zip(ways, hand_s, strict=True):
            plan = way.plan(before, after)
            theirs = databases.copy(base, "hand")
            engine = opened_engine(theirs)
            with engine.begin() as connection:
                connection.execute(select(t.quotas))  # opens the connection
            set_apart()
            begun = perf_counter()
            handwritten.run(engine, plan, way.together)
            taken.append(perf_counter() - begun)
            engine.dispose()
            found = handwritten.digests(theirs)
            differ = [table for table in wanted if wanted[table] != found[table]]
            assert not differ, f"{name}{way.title}: the two sides left different rows in {differ}"
            databases.drop(theirs)
    for way, taken in zip(ways, hand_s, strict=True):
        ratios = [hand / ours for hand, ours in zip(taken, library_s, strict=True)]
        rates = count / median(library_s), count / median(taken)
        yield Figure(name + way.title, units, *rates, ratios, way.aim)


def order_cases(databases: Databases, count: int, repeats: int) -> Iterator[Figure]:
    """Orders of one line, one by one and 100 at a time."""
    base = bank.stocked(bank.founded(databases.create("orders")), PRODUCTS)
    one_by_one = bank.demands(count, 1, PRODUCTS)
    # One by one, the disk makes a run long enough; in batches it takes more orders.
    batched = bank.demands(count * 5, 1, PRODUCTS)

    def place(desk: Consignment) -> None:
        for demand in one_by_one:
            desk.dispatch.place(demand)

    def place_many(desk: Consignment) -> None:
        for i in range(0, len(batched), 100):
            desk.dispatch.place_many(batched[i : i + 100])

    def by_hand(steps: int) -> Plan:
        return lambda before, after: placed_by_hand(databases.engine, steps, before, after)

    yield from compare(
        databases,
        base,
        "orders one by one",
        units="orders",
        count=count,
        repeats=repeats,
        library=place,
        ways=[Way("", by_hand(count), 1, 0.6)],
    )
    yield from compare(
        databases,
        base,
        "orders 100 at a time",
        units="orders",
        count=len(batched),
        repeats=repeats,
        library=place_many,
        ways=_in_batches(databases.engine, by_hand, len(batched) // 100, 100),
    )


def _in_batches(
    engine: str,
    by_hand: Callable[[int], Plan],
    transactions: int,
    each: int,
) -> list[Way]:
    lists = by_hand(transactions)
    if engine != "postgresql":
        return [Way("", lists, 1, 0.5)]
    return [
        Way(", by statement", by_hand(transactions * each), each, 5.0),
        Way(", by lists", lists, 1, None),
    ]


def placed_by_hand(engine: str, steps: int, before: Snapshot, after: Snapshot) -> list[Steps]:
    """Plan the placing of orders, as many in each step."""
    made = handwritten.plan(before, after, steps, inserted=_PLACED)
    handwritten.count(made, before, after, engine, counts=("ordered",))
    lines = handwritten.added(before, after, t.order_lines)
    amounts = [
        sum(row["ordered"] * row["agreed_price_minor"] for row in part)
        for part in handwritten.shares(lines, steps)
    ]
    handwritten.use_quota(made, amounts, limited=True)
    return made


def reported_by_hand(engine: str, steps: int, before: Snapshot, after: Snapshot) -> list[Steps]:
    """Plan the taking of sales reports, as many in each step."""
    line = ("sold", "gross_sales_minor", "first_sale_at", "last_sale_at")
    made = handwritten.plan(
        before,
        after,
        steps,
        inserted=(t.reports, t.journal),
        set_={t.orders: ("state", "last_report_at", "revision"), t.order_lines: line},
    )
    counts = ("sold", "gross_sales_minor")
    handwritten.count(made, before, after, engine, counts=counts, also=_TIMES)
    return made


def report_cases(databases: Databases, count: int, repeats: int) -> Iterator[Figure]:
    """Sales reports of one line, one by one and 100 at a time; and reports of 100 lines."""

    def one(desk: Consignment, reports: Sequence[Sold]) -> None:
        for each in reports:
            assert desk.reporting.take(bank.PARTNER, each).taken

    def hundred(desk: Consignment, reports: Sequence[Sold]) -> None:
        for i in range(0, len(reports), 100):
            answers = desk.reporting.take_many(bank.PARTNER, reports[i : i + 100])
            assert all(answer.taken for answer in answers)

    kinds = [
        ("sales reports one by one", one, count, 1, 1),
        ("sales reports 100 at a time", hundred, count, 1, 100),
        ("sales reports of 100 lines", one, max(count // 20, 10), 100, 1),
    ]
    bases: dict[int, str] = {}
    for name, take, orders, lines, together in kinds:
        wanted = bank.demands(orders, lines, PRODUCTS)
        if lines not in bases:
            base = bank.stocked(bank.founded(databases.create("reports")), PRODUCTS)
            bases[lines] = bank.report(bank.place(base, wanted), bank.accepted(wanted))
        reports = [bank.sold(demand) for demand in wanted]

        def by_hand(steps: int) -> Plan:
            return lambda before, after: reported_by_hand(databases.engine, steps, before, after)

        yield from compare(
            databases,
            bases[lines],
            name,
            units="lines",
            count=orders * lines,
            repeats=repeats,
            library=lambda desk, take=take, reports=reports: take(desk, reports),  # type: ignore[misc] # bound now
            ways=_in_batches(databases.engine, by_hand, orders // 100, 100)
            if together > 1
            else [Way("", by_hand(orders), 1, 0.6 if lines == 1 else 0.5)],
        )


def settlement_cases(databases: Databases, count: int, repeats: int) -> Iterator[Figure]:
    """Settlement of completed orders, of three shares each; and the whole `work` with its credits.

    The hand-written side writes what is left at the end, and nothing that stood in between.
    """
    some = min(count, 1_000)
    wanted = bank.demands(some, 1, PRODUCTS)
    base = bank.stocked(bank.founded(databases.create("settlement")), PRODUCTS)
    bank.report(bank.place(base, wanted), bank.accepted(wanted))
    bank.report(base, bank.finished(wanted))
    many.multiply(base, count // some)
    engine = databases.engine

    def settle(desk: Consignment) -> None:
        outcome = desk.settlement.settle_due()
        assert outcome.settled == count, outcome.refusals[:3]

    def work(desk: Consignment) -> None:
        done = desk.work()
        assert done.settled.settled == count, done.settled.refusals[:3]
        assert done.credits.failed == 0 < done.credits.done, done.credits

    def by_hand(before: Snapshot, after: Snapshot) -> list[Steps]:
        steps = count // 200
        made = handwritten.plan(
            before,
            after,
            steps,
            inserted=(
                t.settlements,
                t.settlement_shares,
                t.outbox,
                t.ledger_entries,
                t.ledger_balances,
                t.journal,
            ),
            set_={
                t.orders: ("state", "settled_at", "ended_at", "revision"),
                t.order_lines: ("settled",),
                t.ledger_balances: ("balance_minor",),
            },
        )
        of_entry: dict[str, list[dict[str, Any]]] = {}
        for row in handwritten.added(before, after, t.ledger_postings):
            of_entry.setdefault(row["entry_key"], []).append(row)
        entries = handwritten.added(before, after, t.ledger_entries)
        for step, part in zip(made, handwritten.shares(entries, steps), strict=True):
            postings = [row for entry in part for row in of_entry[entry["entry_key"]]]
            step.add(insert(t.ledger_postings), postings)
        handwritten.count(made, before, after, engine, counts=("settled",))
        products = after[t.products.name]
        released = [
            -row["ordered"]
            * products[row["partner_id"], row["product_number"]]["agreed_price_minor"]
            for _, row in handwritten.changed(before, after, t.order_lines)
        ]
        amounts = [sum(part) for part in handwritten.shares(released, steps)]
        handwritten.use_quota(made, amounts, limited=False)
        return made

    for name, library, runs in (
        (f"settlement of {count:,} completed orders", settle, repeats),
        (f"a work that settles {count:,} orders", work, 1),
    ):
        yield from compare(
            databases,
            base,
            name,
            units="orders",
            count=count,
            repeats=runs,
            library=library,
            ways=[Way("", by_hand, 1, None)],
        )
