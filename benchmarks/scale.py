"""What things cost when more and more has been sold: 1,000 to 10,000,000 sale lines.

The sale lines are those of sales reports of 100 lines, over 1,000 products. The first orders are
made by the library, the rest are copies of them (see `many`). There is a database of each size; the
library is measured on one after the other, several times over, and then progress at the largest
size is held against that at 10,000, call by call.
What was seen is kept in `docs/explanation/cost-against-size.json`, and drawn beside it.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import bank, chart, many
from benchmarks.queries import QueryFigure, asked, beside_by_hand, in_turn
from benchmarks.room import room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from benchmarks.databases import Databases
    from benchmarks.room import Room

__all__ = ["compared", "grown", "lived", "measured"]

_KEPT = Path(__file__).parents[1] / "docs" / "explanation" / "cost-against-size.json"
_PRODUCTS = 1_000
_LINES = 100
_SMALLEST = 1_000
_COMPARED = 10_000
#: What does not grow with what is sold.
_STANDING = {"products", "product_numbers", "tallies"}
_FRESH = 100
_ROUNDS = 3


def measured(databases: Databases, largest: int, *, keep: bool) -> Iterator[QueryFigure]:
    """Measure at each power of ten up to the largest; print what things cost, give comparisons."""
    yield from compared(databases, grown(databases, largest), keep=keep)


def grown(databases: Databases, largest: int) -> dict[int, str]:
    """Make a database for each power of ten from 1,000 sale lines on; give addresses by size."""
    url = bank.stocked(bank.founded(databases.create("scale")), _PRODUCTS)
    wanted = bank.demands(_SMALLEST // _LINES, _LINES, _PRODUCTS, apart=_LINES)
    bank.report(bank.place(url, wanted), bank.accepted(wanted))
    bank.report(url, [bank.sold(demand) for demand in wanted])
    made: dict[int, str] = {}
    size = _SMALLEST
    while size < largest:
        made[size] = databases.copy(url, "scale")
        begun = perf_counter()
        many.multiply(url, size * 10 // _SMALLEST, first=size // _SMALLEST)
        print(f"  {size * 10:,} sale lines made in {perf_counter() - begun:,.0f} s", flush=True)
        size *= 10
    return made | {size: url}


def compared(databases: Databases, urls: dict[int, str], *, keep: bool) -> Iterator[QueryFigure]:
    """Measure databases of different sizes in turn, print what things cost, give comparisons."""
    largest = max(urls)
    costs = _costs(urls)
    print(f"{'sale lines':>12} {'by number':>11} {'report':>9} {'order':>9} {'settled':>9} µs each")
    for size, cost in costs.items():
        print(
            f"{size:>12,} {cost['progress']:>11.0f} {cost['report']:>9.0f} {cost['order']:>9.0f} "
            f"{cost['settlement']:>9.0f}",
            flush=True,
        )
    yield from _against(urls[largest], urls[_COMPARED], largest)
    yield from beside_by_hand(urls[largest], _PRODUCTS, f"{largest:,} sale lines")
    _printed(urls[largest])
    if keep:
        _keep(databases, {"costs_us": {str(size): cost for size, cost in costs.items()}})
        chart.draw(_KEPT)
    for url in urls.values():
        databases.drop(url)


def _costs(urls: dict[int, str]) -> dict[int, dict[str, float]]:
    """Give microseconds by size and kind: medians of single calls; of settlement, of batches."""
    taken: dict[int, dict[str, list[float]]] = {
        size: {kind: [] for kind in ("progress", "order", "report", "settlement")} for size in urls
    }
    numbers, _ = asked(_PRODUCTS)
    for round_ in range(_ROUNDS):
        fresh = bank.demands(_FRESH, 1, _PRODUCTS, first=round_ * _FRESH, prefix="F")
        for size, url in urls.items():
            found = taken[size]
            with bank.opened(url) as desk:
                found["progress"] += _each(desk.progress.by_number, numbers)
                found["order"] += _each(desk.dispatch.place, fresh)
                desk.relay.deliver_due()
            bank.report(url, bank.accepted(fresh))
            reports = [bank.sold(demand) for demand in fresh]
            with bank.opened(url) as desk:
                desk.quotas.show()
                take = desk.reporting.take
                found["report"] += _each(lambda each, take=take: take(bank.PARTNER, each), reports)  # type: ignore[misc] # bound now
            bank.report(url, bank.finished(fresh, "17"))
            with bank.opened(url) as desk:
                desk.quotas.show()
                begun = perf_counter()
                assert desk.settlement.settle_due().settled == _FRESH
                found["settlement"].append((perf_counter() - begun) * 1e6 / _FRESH)
                desk.relay.credit_due()
                desk.relay.deliver_due()
    return {
        size: {kind: median(times) for kind, times in found.items()}
        for size, found in taken.items()
    }


def _each(call: Callable[[Any], object], given: Iterable[Any]) -> list[float]:
    taken = []
    for each in given:
        begun = perf_counter()
        call(each)
        taken.append((perf_counter() - begun) * 1e6)
    return taken


def _against(url: str, small: str, largest: int) -> Iterator[QueryFigure]:
    numbers, names = asked(_PRODUCTS)
    title = f"{largest:,} sale lines ÷ {_COMPARED:,}"
    with bank.opened(url) as large_desk, bank.opened(small) as small_desk:
        yield in_turn(
            f"by number, {title}",
            (large_desk.progress.by_number, numbers),
            (small_desk.progress.by_number, numbers),
            1.3,
        )
        yield in_turn(
            f"by exact name, {title}",
            (large_desk.progress.by_name, names),
            (small_desk.progress.by_name, names),
            1.3,
        )


def lived(databases: Databases, orders: int, *, keep: bool) -> None:
    """Let orders of 100 lines live from demand to credit, and measure the room that they take.

    Each line is sold in five reports of 100 lines. All messages are delivered.
    """
    url = bank.stocked(bank.founded(databases.create("room")), _PRODUCTS)
    wanted = bank.demands(orders, _LINES, _PRODUCTS, apart=_LINES)
    for i in range(0, orders, 10):
        part = wanted[i : i + 10]
        bank.report(bank.place(url, part), bank.accepted(part))
        # All of an order's twenty.
        for quantity in ("2", "3", "4", "5"):
            bank.report(url, [bank.sold(demand, quantity) for demand in part])
        bank.report(url, bank.finished(part, "6"))
    with bank.opened(url) as desk:
        assert desk.work().settled.settled == orders
    lines = orders * _LINES * 5
    rooms = [each for each in _printed(url) if each.table not in _STANDING]
    total = sum(each.rows * each.bytes_a_row for each in rooms)
    print(f"  {lines:,} sale lines, {total / lines:,.0f} bytes a sale line in all")
    if keep:
        rows = {
            each.table: {
                "rows_a_sale_line": round(each.rows / lines, 4),
                "bytes_a_row": round(each.bytes_a_row),
            }
            for each in rooms
        }
        _keep(databases, {"rows": rows})


def _printed(url: str) -> list[Room]:
    rooms = room(url)
    for each in rooms:
        print(f"  {each.table:<20} {each.rows:>12,} rows  {each.bytes_a_row:>8,.0f} bytes a row")
    return rooms


def _kept() -> dict[str, Any]:
    return dict(json.loads(_KEPT.read_text(encoding="utf-8"))) if _KEPT.exists() else {}


def _keep(databases: Databases, seen: dict[str, Any]) -> None:
    kept = _kept()
    about = {"version": databases.described(), "python": platform.python_version()}
    kept[databases.engine] = kept.get(databases.engine, {}) | about | seen
    text = json.dumps(kept, ensure_ascii=False, indent=2, sort_keys=True)
    _KEPT.write_text(text + "\n", encoding="utf-8")
