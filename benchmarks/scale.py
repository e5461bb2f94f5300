"""What things cost when more and more has been sold: 1,000 to 10,000,000 sale lines.

The sale lines are those of sales reports of 100 lines, over 1,000 products. The first orders are
made by the library, the rest are copies of them (see `many`). At each size the library alone is
measured; at the end progress at the largest size is held against that at 10,000, call by call.
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

__all__ = ["keep_room", "measured"]

_KEPT = Path(__file__).parents[1] / "docs" / "explanation" / "cost-against-size.json"
_PRODUCTS = 1_000
_LINES = 100
_SMALLEST = 1_000
_COMPARED = 10_000
_FRESH = 200


def measured(databases: Databases, largest: int, *, keep: bool) -> Iterator[QueryFigure]:
    """Measure at each power of ten up to the largest; print what things cost, give comparisons."""
    url = bank.stocked(bank.founded(databases.create("scale")), _PRODUCTS)
    orders = _SMALLEST // _LINES
    wanted = bank.demands(orders, _LINES, _PRODUCTS, apart=_LINES)
    bank.report(bank.place(url, wanted), bank.accepted(wanted))
    bank.report(url, [bank.sold(demand) for demand in wanted])
    print(f"{'sale lines':>12} {'by number':>11} {'report':>9} {'order':>9} {'settled':>9} µs each")
    costs: dict[str, dict[str, float]] = {}
    small = ""
    size = _SMALLEST
    while size <= largest:
        begun = perf_counter()
        if size > _SMALLEST:
            many.multiply(url, size // _SMALLEST, first=size // _SMALLEST // 10)
        took = perf_counter() - begun
        cost = costs[str(size)] = _costs(url, str(size))
        print(
            f"{size:>12,} {cost['progress']:>11.0f} {cost['report']:>9.0f} {cost['order']:>9.0f} "
            f"{cost['settlement']:>9.0f}   (made in {took:,.0f} s)",
            flush=True,
        )
        if size == _COMPARED:
            small = databases.copy(url, "small")
        size *= 10
    yield from _against(url, small, largest)
    yield from beside_by_hand(url, _PRODUCTS, f"{largest:,} sale lines")
    rooms = room(url)
    print_room(rooms)
    if keep:
        _keep(databases, {"costs_us": costs})
        keep_room(databases, rooms)
        chart.draw(_KEPT)
    databases.drop(url)
    databases.drop(small)


def _costs(url: str, name: str) -> dict[str, float]:
    """Give microseconds, medians of calls one by one; of settlement the mean of a batch."""
    fresh = bank.demands(_FRESH, 1, _PRODUCTS, prefix=f"F{len(name)}")
    numbers, _ = asked(_PRODUCTS)
    with bank.opened(url) as desk:
        numbers_us = _each(desk.progress.by_number, numbers * 2)
        order_us = _each(desk.dispatch.place, fresh)
        desk.relay.deliver_due()
    bank.report(url, bank.accepted(fresh))
    with bank.opened(url) as desk:
        desk.quotas.show()
        report_us = _each(
            lambda each: desk.reporting.take(bank.PARTNER, each), [bank.sold(d) for d in fresh]
        )
    bank.report(url, (each for each in bank.finished(fresh, "17")))
    with bank.opened(url) as desk:
        desk.quotas.show()
        begun = perf_counter()
        assert desk.settlement.settle_due().settled == _FRESH
        settled_us = (perf_counter() - begun) * 1e6 / _FRESH
        desk.relay.credit_due()
        desk.relay.deliver_due()
    return {
        "progress": numbers_us,
        "order": order_us,
        "report": report_us,
        "settlement": settled_us,
    }


def _each(call: Callable[[Any], object], given: Iterable[Any]) -> float:
    taken = []
    for each in given:
        begun = perf_counter()
        call(each)
        taken.append((perf_counter() - begun) * 1e6)
    return median(taken)


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


def print_room(rooms: Iterable[Room]) -> None:
    """Print what rows take."""
    for each in rooms:
        print(f"  {each.table:<20} {each.rows:>12,} rows  {each.bytes_a_row:>8,.0f} bytes a row")


def keep_room(databases: Databases, rooms: Iterable[Room]) -> None:
    """Keep bytes a row beside the chart's figures; those of more rows replace those of fewer."""
    known = _kept().get(databases.engine, {}).get("rows", {})
    found = {
        each.table: {"rows": each.rows, "bytes_a_row": round(each.bytes_a_row)}
        for each in rooms
        if each.rows >= known.get(each.table, {"rows": 0})["rows"]
    }
    _keep(databases, {"rows": known | found})


def _kept() -> dict[str, Any]:
    return dict(json.loads(_KEPT.read_text(encoding="utf-8"))) if _KEPT.exists() else {}


def _keep(databases: Databases, seen: dict[str, Any]) -> None:
    kept = _kept()
    about = {"version": databases.described(), "python": platform.python_version()}
    kept[databases.engine] = kept.get(databases.engine, {}) | about | seen
    text = json.dumps(kept, ensure_ascii=False, indent=2, sort_keys=True)
    _KEPT.write_text(text + "\n", encoding="utf-8")
