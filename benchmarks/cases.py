"""The cases: what the library does in each, and the hand-written statements beside it."""

from __future__ import annotations

import csv
import gc
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from sqlalchemy import Table, Update, bindparam, insert, select, update

from benchmarks import bank, handwritten
from consignment.adapters.sqlalchemy import tables as t

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from benchmarks.handwritten import Snapshot
    from consignment.desk import Consignment

__all__ = ["Figure", "Steps", "compare"]


@frozen
class Figure:
    """What one comparison showed: units a second on both sides, medians of the repeats.

    `ratio` is the library's rate as a part of the hand-written one's.
    """

    name: str
    units: str
    library: float
    handwritten: float
    aim: float | None

    @property
    def ratio(self) -> float:
        """The library's rate ÷ the hand-written rate."""
        return self.library / self.handwritten


@frozen
class Steps:
    """What the hand-written side does, per transaction: inserts by table, then updates."""

    inserts: list[tuple[Table, list[dict[str, Any]]]] = field(factory=list)
    updates: list[tuple[Update, list[dict[str, Any]]]] = field(factory=list)

    def run(self, connection: Connection) -> None:
        """Carry them out; one row is given as such, several as a list."""
        for table, rows in self.inserts:
            if rows:
                connection.execute(insert(table), rows if len(rows) > 1 else rows[0])
        for statement, rows in self.updates:
            if rows:
                connection.execute(statement, rows if len(rows) > 1 else rows[0])


_TALLY = (
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


def _added_to(table: Table, key: tuple[str, ...], counts: tuple[str, ...]) -> Update:
    """Add to counts, and set the rest of the given columns."""
    statement = update(table).where(*(table.c[name] == bindparam(f"k_{name}") for name in key))
    return statement.values({name: table.c[name] + bindparam(f"n_{name}") for name in counts})


def _set(table: Table, key: tuple[str, ...], columns: tuple[str, ...]) -> Update:
    statement = update(table).where(*(table.c[name] == bindparam(f"k_{name}") for name in key))
    return statement.values({name: bindparam(f"n_{name}") for name in columns})


def _key(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key)


def steps(
    before: Snapshot,
    after: Snapshot,
    transactions: int,
    *,
    inserted: tuple[Table, ...],
    set_: dict[Table, tuple[str, ...]],
    tallied: tuple[str, ...] = (),
    tallied_also: tuple[str, ...] = (),
    quota: int = 0,
) -> list[Steps]:
    """Derive the hand-written transactions from what the library left behind.

    `set_` has the columns that are set in rows that were there. `tallied` are the counts of
    products that order lines add to, `tallied_also` columns of products that are set. `quota` is
    what each transaction adds to the one quota, in minor units.
    """
    made = [Steps() for _ in range(transactions)]
    for table in inserted:
        rows = handwritten.added(before, after, table)
        for step, part in zip(made, handwritten.shares(rows, transactions), strict=True):
            step.inserts.append((table, list(part)))
    for table, columns in set_.items():
        pairs = handwritten.changed(before, after, table)
        parameters = [
            {f"k_{name}": row[name] for name in _key(table)}
            | {f"n_{name}": row[name] for name in columns}
            for _, row in pairs
        ]
        statement = _set(table, _key(table), columns)
        for step, part in zip(made, handwritten.shares(parameters, transactions), strict=True):
            step.updates.append((statement, list(part)))
    if tallied:
        _tally(made, before, after, tallied, tallied_also)
    if quota:
        statement = (
            update(t.quotas)
            .where(t.quotas.c.scope == "total", t.quotas.c.currency == "CNY")
            .where(t.quotas.c.used_minor + bindparam("n") <= t.quotas.c.limit_minor)
            .values(used_minor=t.quotas.c.used_minor + bindparam("n"))
        )
        for step in made:
            step.updates.append((statement, [{"n": quota}]))
    return made


def _tally(
    made: list[Steps],
    before: Snapshot,
    after: Snapshot,
    tallied: tuple[str, ...],
    also: tuple[str, ...],
) -> None:
    """Add to the products what the lines of each transaction's orders changed by."""
    new_lines = handwritten.added(before, after, t.order_lines)
    pairs: list[tuple[dict[str, Any] | None, dict[str, Any]]] = (
        [(None, row) for row in new_lines]
        if new_lines
        else list(handwritten.changed(before, after, t.order_lines))
    )
    products = after[t.products.name]
    statement = _added_to(t.products, ("partner_id", "number"), tallied)
    if also:
        statement = statement.values({name: bindparam(f"s_{name}") for name in also})
    for step, part in zip(made, handwritten.shares(pairs, len(made)), strict=True):
        sums: dict[tuple[str, str], dict[str, int]] = {}
        for old, new in part:
            key = (new["partner_id"], new["product_number"])
            counts = sums.setdefault(key, dict.fromkeys(tallied, 0))
            for name in tallied:
                counts[name] += new[name] - (old[name] if old is not None else 0)
        parameters = [
            {"k_partner_id": key[0], "k_number": key[1]}
            | {f"n_{name}": count for name, count in counts.items()}
            | {f"s_{name}": products[key][name] for name in also}
            for key, counts in sorted(sums.items())
        ]
        step.updates.append((statement, parameters))


def set_apart() -> None:
    """Keep the collector from looking through what the benchmark itself holds, on both sides."""
    gc.collect()
    gc.freeze()


def compare(
    name: str,
    units: str,
    count: int,
    aim: float | None,
    *,
    base: Path,
    work: Path,
    repeats: int,
    library: Callable[[Consignment], None],
    by_hand: Callable[[Snapshot, Snapshot], list[Steps]],
) -> Figure:
    """Run both sides in turn, each on a fresh copy of `base`; check that they leave the same."""
    before = handwritten.snapshot(base)
    library_s, hand_s = [], []
    for i in range(repeats):
        mine = handwritten.copy(base, work / f"library-{i}.db")
        with bank.opened(mine) as desk:
            desk.quotas.show()  # opens the connection
            set_apart()
            begun = perf_counter()
            library(desk)
            library_s.append(perf_counter() - begun)
        after = handwritten.snapshot(mine)
        plan = by_hand(before, after)
        theirs = handwritten.copy(base, work / f"hand-{i}.db")
        engine = handwritten.engine(theirs)
        with engine.begin() as connection:
            connection.execute(select(t.quotas))  # opens the connection
        set_apart()
        begun = perf_counter()
        for step in plan:
            with engine.begin() as connection:
                step.run(connection)
        hand_s.append(perf_counter() - begun)
        engine.dispose()
        assert handwritten.snapshot(theirs) == after, f"{name}: the two sides left different rows"
        for path in (mine, theirs):
            path.unlink()
    return Figure(name, units, count / median(library_s), count / median(hand_s), aim)


def import_case(work: Path, count: int, repeats: int) -> Iterator[Figure]:
    """Import of a product file, beside its rows written from memory, and beside a plain script."""
    base = bank.founded(work / "import.db")
    file = bank.product_file(work / "products.csv", count)

    def library(desk: Consignment) -> None:
        result = desk.catalogue.import_products(bank.PARTNER, desk.product_rows(file))
        assert result.created == count

    def rows_ready(before: Snapshot, after: Snapshot) -> list[Steps]:
        transactions = len(handwritten.added(before, after, t.journal))
        return steps(
            before,
            after,
            transactions,
            inserted=(t.products, t.product_numbers, t.journal),
            set_={},
        )

    shared: dict[str, Any] = {"base": base, "work": work, "repeats": repeats, "library": library}
    name = f"import of {count:,} rows"
    yield compare(f"{name}, beside rows ready", "rows", count, 0.5, by_hand=rows_ready, **shared)
    yield _beside_script(name, file, base, work, count=count, repeats=repeats)


def _beside_script(
    name: str, file: Path, base: Path, work: Path, *, count: int, repeats: int
) -> Figure:
    """Beside a script that reads the same file, converts it without a check, and writes it."""
    before = handwritten.snapshot(base)
    library_s, hand_s = [], []
    for _ in range(repeats):
        mine = handwritten.copy(base, work / "library.db")
        with bank.opened(mine) as desk:
            set_apart()
            begun = perf_counter()
            desk.catalogue.import_products(bank.PARTNER, desk.product_rows(file))
            library_s.append(perf_counter() - begun)
        after = handwritten.snapshot(mine)
        facts = handwritten.added(before, after, t.journal)
        theirs = handwritten.copy(base, work / "hand.db")
        engine = handwritten.engine(theirs)
        set_apart()
        begun = perf_counter()
        rows = _script_rows(file)
        for fact in facts:
            batch = [row for _, row in zip(range(count // len(facts)), rows, strict=False)]
            with engine.begin() as connection:
                connection.execute(insert(t.products), batch)
                connection.execute(
                    insert(t.product_numbers),
                    [{"number": r["number"], "partner_id": r["partner_id"]} for r in batch],
                )
                connection.execute(insert(t.journal), fact)
        hand_s.append(perf_counter() - begun)
        engine.dispose()
        assert handwritten.snapshot(theirs) == after, f"{name}: different rows"
        for path in (mine, theirs):
            path.unlink()
    title = f"{name}, beside a script"
    return Figure(title, "rows", count / median(library_s), count / median(hand_s), 0.5)


def _script_rows(file: Path) -> Iterator[dict[str, Any]]:
    zeros = dict.fromkeys(_TALLY, 0)
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            whole, cents = row["agreed_price"].split(".")
            yield {
                "partner_id": bank.PARTNER,
                "number": row["number"],
                "name": row["name"],
                "name_key": row["name"].casefold(),
                "unit": row["unit"],
                "unit_places": int(row["unit_places"]),
                "currency": row["currency"],
                "agreed_price_minor": int(whole) * 100 + int(cents),
                "gtin": row["gtin"] or None,
                "category": row["category"],
                "on_sale_from": row["on_sale_from"],
                "on_sale_until": row["on_sale_until"],
                "attributes": None,
                "revision": 0,
                "first_sale_at": None,
                "last_sale_at": None,
                "last_report_at": None,
                **zeros,
            }


_PLACED = (t.demands, t.orders, t.order_lines, t.outbox, t.journal)
_PRODUCTS = 200


def order_cases(work: Path, count: int, repeats: int) -> Iterator[Figure]:
    """Orders of one line, one by one and 100 at a time."""
    base = bank.stocked(bank.founded(work / "orders.db"), _PRODUCTS)
    wanted = bank.demands(count, 1, _PRODUCTS)

    def one_by_one(desk: Consignment) -> None:
        for demand in wanted:
            desk.dispatch.place(demand)

    # One by one, the disk makes a run long enough; in batches it takes more orders.
    many = bank.demands(count * 5, 1, _PRODUCTS)

    def batched(desk: Consignment) -> None:
        for i in range(0, len(many), 100):
            desk.dispatch.place_many(many[i : i + 100])

    def by_hand(before: Snapshot, after: Snapshot, transactions: int) -> list[Steps]:
        made = steps(before, after, transactions, inserted=_PLACED, set_={}, tallied=("ordered",))
        lines = handwritten.added(before, after, t.order_lines)
        statement = (
            update(t.quotas)
            .where(t.quotas.c.scope == "total", t.quotas.c.currency == "CNY")
            .where(t.quotas.c.used_minor + bindparam("n") <= t.quotas.c.limit_minor)
            .values(used_minor=t.quotas.c.used_minor + bindparam("n"))
        )
        for step, part in zip(made, handwritten.shares(lines, transactions), strict=True):
            amount = sum(row["ordered"] * row["agreed_price_minor"] for row in part)
            step.updates.append((statement, [{"n": amount}]))
        return made

    shared: dict[str, Any] = {"base": base, "work": work, "repeats": repeats}
    yield compare(
        "orders one by one",
        "orders",
        count,
        0.6,
        library=one_by_one,
        by_hand=lambda before, after: by_hand(before, after, count),
        **shared,
    )
    yield compare(
        "orders 100 at a time",
        "orders",
        len(many),
        0.5,
        library=batched,
        by_hand=lambda before, after: by_hand(before, after, len(many) // 100),
        **shared,
    )


def report_cases(work: Path, count: int, repeats: int) -> Iterator[Figure]:
    """Sales reports of one line, and of 100 lines."""
    for lines, orders, aim in ((1, count, 0.6), (100, max(count // 20, 10), 0.5)):
        wanted = bank.demands(orders, lines, _PRODUCTS)
        base = bank.stocked(bank.founded(work / f"reports-{lines}.db"), _PRODUCTS)
        bank.report(bank.place(base, wanted), bank.accepted(wanted))
        reports = [bank.sold(demand) for demand in wanted]

        def library(desk: Consignment, reports: Any = reports) -> None:  # noqa: ANN401 - bound now
            for each in reports:
                assert desk.reporting.take(bank.PARTNER, each).taken

        def by_hand(before: Snapshot, after: Snapshot, orders: int = orders) -> list[Steps]:
            return steps(
                before,
                after,
                orders,
                inserted=(t.reports, t.journal),
                set_={
                    t.orders: ("state", "last_report_at", "revision"),
                    t.order_lines: (
                        "sold",
                        "gross_sales_minor",
                        "first_sale_at",
                        "last_sale_at",
                    ),
                },
                tallied=("sold", "gross_sales_minor"),
                tallied_also=("first_sale_at", "last_sale_at", "last_report_at"),
            )

        yield compare(
            f"sales reports of {lines} line{'s' if lines > 1 else ''}",
            "lines",
            orders * lines,
            aim,
            base=base,
            work=work,
            repeats=repeats,
            library=library,
            by_hand=by_hand,
        )


def settlement_case(work: Path, count: int, repeats: int) -> Iterator[Figure]:
    """Settlement of completed orders: three shares each, two of them to be credited."""
    wanted = bank.demands(count, 1, _PRODUCTS)
    base = bank.stocked(bank.founded(work / "settlement.db"), _PRODUCTS)
    bank.report(bank.place(base, wanted), bank.accepted(wanted))
    bank.report(base, bank.finished(wanted))

    def library(desk: Consignment) -> None:
        outcome = desk.settlement.settle_due()
        assert outcome.settled == count, outcome.refusals[:3]

    def by_hand(before: Snapshot, after: Snapshot) -> list[Steps]:
        transactions = count // 200
        made = steps(
            before,
            after,
            transactions,
            inserted=(t.settlements, t.settlement_shares, t.outbox, t.journal),
            set_={
                t.orders: ("state", "settled_at", "revision"),
                t.order_lines: ("settled",),
            },
            tallied=("settled",),
        )
        (was, now) = handwritten.changed(before, after, t.quotas)[0]
        prices = {
            row["number"]: row["agreed_price_minor"] for row in after[t.products.name].values()
        }
        pairs = handwritten.changed(before, after, t.order_lines)
        released = [-20 * prices[row["product_number"]] for _, row in pairs]
        assert was["used_minor"] + sum(released) == now["used_minor"]
        statement = (
            update(t.quotas)
            .where(t.quotas.c.scope == "total", t.quotas.c.currency == "CNY")
            .values(used_minor=t.quotas.c.used_minor + bindparam("n"))
        )
        for step, part in zip(made, handwritten.shares(released, transactions), strict=True):
            step.updates.append((statement, [{"n": sum(part)}]))
        return made

    yield compare(
        f"settlement of {count:,} completed orders",
        "orders",
        count,
        None,
        base=base,
        work=work,
        repeats=repeats,
        library=library,
        by_hand=by_hand,
    )
