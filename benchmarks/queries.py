"""Progress by number at two sizes, beside the hand-written query."""

from __future__ import annotations

import random
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING

from attrs import frozen
from sqlalchemy import bindparam, select

from benchmarks import bank, handwritten
from consignment.adapters.sqlalchemy import tables as t

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_CALLS = 3_000


@frozen
class QueryFigure:
    """Microseconds a query, median and 99th percentile, of both sides."""

    products: int
    library_us: float
    library_p99_us: float
    handwritten_us: float
    handwritten_p99_us: float

    @property
    def ratio(self) -> float:
        """The library's time ÷ the hand-written query's."""
        return self.library_us / self.handwritten_us


def _timed(call: Callable[[str], object], numbers: list[str]) -> list[float]:
    for number in numbers[:200]:
        call(number)
    taken = []
    for number in numbers:
        begun = perf_counter()
        call(number)
        taken.append((perf_counter() - begun) * 1e6)
    return taken


def progress_by_number(work: Path, products: int) -> QueryFigure:
    """Ask for random products, the library and the hand-written query in turn."""
    path = bank.founded(work / f"progress-{products}.db")
    file = bank.product_file(work / f"progress-{products}.csv", products)
    with bank.opened(path) as desk:
        desk.catalogue.import_products(bank.PARTNER, desk.product_rows(file))
    draw = random.Random(1)
    numbers = [f"SKU-{draw.randrange(products):07d}" for _ in range(_CALLS)]
    statement = (
        select(t.products)
        .join(
            t.product_numbers,
            (t.product_numbers.c.partner_id == t.products.c.partner_id)
            & (t.product_numbers.c.number == t.products.c.number),
        )
        .where(t.product_numbers.c.number == bindparam("number"))
    )
    engine = handwritten.reading_engine(path)

    def by_hand(number: str) -> object:
        with engine.connect() as connection:
            return dict(connection.execute(statement, {"number": number}).mappings().one())

    library: list[float] = []
    hand: list[float] = []
    with bank.opened(path) as desk:
        for _ in range(3):
            library += _timed(desk.progress.by_number, numbers)
            hand += _timed(by_hand, numbers)
    engine.dispose()
    return QueryFigure(
        products,
        median(library),
        quantiles(library, n=100)[-1],
        median(hand),
        quantiles(hand, n=100)[-1],
    )
