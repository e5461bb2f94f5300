"""Progress by number and by exact name, beside the hand-written query, in turn."""

from __future__ import annotations

import random
from statistics import median, quantiles
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import bindparam, column, select, table

from benchmarks import bank
from benchmarks.databases import opened_engine
from consignment.adapters.sqlalchemy import tables as t
from consignment.domain.text import name_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Engine

    from benchmarks.databases import Databases

__all__ = ["QueryFigure", "in_turn", "progress"]

_CALLS = 1_000
_ROUNDS = 5


@frozen
class QueryFigure:
    """Microseconds a query, median and 99th percentile: of the library, and of the other side."""

    name: str
    library_us: float
    library_p99_us: float
    other_us: float
    other_p99_us: float
    aim: float | None

    @property
    def ratio(self) -> float:
        """The library's time ÷ the other one's."""
        return self.library_us / self.other_us


def in_turn(
    name: str,
    first: tuple[Callable[[str], object], Sequence[str]],
    second: tuple[Callable[[str], object], Sequence[str]],
    aim: float | None,
) -> QueryFigure:
    """Time two ways to ask, one call of each after the other, so that both see the same machine."""
    taken: tuple[list[float], list[float]] = ([], [])
    for round_ in range(_ROUNDS + 1):
        for keys in zip(first[1], second[1], strict=True):
            for (ask, _), key, times in zip((first, second), keys, taken, strict=True):
                begun = perf_counter()
                ask(key)
                # The first round makes everything warm.
                if round_:
                    times.append((perf_counter() - begun) * 1e6)
    return QueryFigure(
        name,
        median(taken[0]),
        quantiles(taken[0], n=100)[-1],
        median(taken[1]),
        quantiles(taken[1], n=100)[-1],
        aim,
    )


_BY_NUMBER = (
    select(t.products)
    .join(
        t.product_numbers,
        (t.product_numbers.c.partner_id == t.products.c.partner_id)
        & (t.product_numbers.c.number == t.products.c.number),
    )
    .where(t.product_numbers.c.number == bindparam("number"))
)
_BY_NAME = (
    select(t.products)
    .join(
        t.name_tails,
        (t.name_tails.c.partner_id == t.products.c.partner_id)
        & (t.name_tails.c.number == t.products.c.number),
    )
    .where(
        t.name_tails.c.place == 0,
        t.name_tails.c.tail == bindparam("tail"),
        t.products.c.name_key == bindparam("key"),
    )
    .order_by(t.products.c.number)
    .limit(100)
)
_TERM = table("name_tails_terms", column("term"))
_TERMS = (
    select(_TERM.c.term)
    .where(_TERM.c.term >= bindparam("low"), _TERM.c.term < bindparam("high"))
    .order_by(_TERM.c.term)
    .limit(100)
)
_BY_NUMBERS = select(t.products).where(
    t.products.c.partner_id == bindparam("partner_id"),
    t.products.c.number.in_(bindparam("numbers", expanding=True)),
)


def _by_number(engine: Engine) -> Callable[[str], object]:
    def ask(number: str) -> object:
        with engine.connect() as connection:
            return dict(connection.execute(_BY_NUMBER, {"number": number}).mappings().one())

    return ask


def _by_name(engine: Engine) -> Callable[[str], object]:
    def ask(name: str) -> object:
        key = name_key(name)
        with engine.connect() as connection:
            found = connection.execute(_BY_NAME, {"tail": key[:16], "key": key})
            return [dict(row) for row in found.mappings()]

    def ask_terms(name: str) -> object:
        key = name_key(name)
        low = f"0{key[:16]}"
        with engine.connect() as connection:
            terms = connection.execute(_TERMS, {"low": f"{low}\t", "high": f"{low}\n"}).scalars()
            numbers = [term.split("\t")[1].replace("@s", "S") for term in terms]
            numbers = [number.replace("@k", "K").replace("@u", "U") for number in numbers]
            found = connection.execute(
                _BY_NUMBERS, {"partner_id": bank.PARTNER, "numbers": numbers}
            )
            return [dict(row) for row in found.mappings()]

    return ask_terms if engine.dialect.name == "sqlite" else ask


def asked(products: int) -> tuple[list[str], list[str]]:
    """Draw product numbers, and names, to ask for."""
    draw = random.Random(1)
    chosen = sorted(draw.sample(range(products), min(_CALLS, products)))
    draw.shuffle(chosen)
    rows = dict(enumerate(bank.product_lines(max(chosen) + 1), start=-1))
    return (
        [rows[i].split(",")[0] for i in chosen],
        [rows[i].split(",")[1] for i in chosen],
    )


def beside_by_hand(url: str, products: int, title: str) -> Iterator[QueryFigure]:
    """Hold both questions against the hand-written query, without a transaction and with one."""
    numbers, names = asked(products)
    for autocommit, way, aim in (
        (True, "", 2.0),
        (False, ", in a transaction", None),
    ):
        engine = opened_engine(url, autocommit=autocommit)
        with bank.opened(url) as desk:
            kinds: list[tuple[str, Any, Any, list[str]]] = [
                ("by number", desk.progress.by_number, _by_number(engine), numbers),
                ("by exact name", desk.progress.by_name, _by_name(engine), names),
            ]
            for kind, library, by_hand, keys in kinds:
                _same(library, by_hand, keys)
                yield in_turn(
                    f"progress {kind}, {title}{way}", (library, keys), (by_hand, keys), aim
                )
        engine.dispose()


def _same(
    library: Callable[[str], Any], by_hand: Callable[[str], Any], keys: Sequence[str]
) -> None:
    for key in keys[:20]:
        ours, theirs = library(key), by_hand(key)
        if isinstance(theirs, list):
            # The library gives names that have the text elsewhere too, after the exact ones.
            found = [each.product_number for each in ours.products[: len(theirs)]]
            assert found == [each["number"] for each in theirs] != [], key
        else:
            assert ours.product_number == theirs["number"], key


def progress(databases: Databases, products: int) -> Iterator[QueryFigure]:
    """Ask for random products of so many."""
    url = bank.stocked(bank.founded(databases.create("progress")), products)
    yield from beside_by_hand(url, products, f"{products:,} products")
    databases.drop(url)
