"""Import of a product file, beside hand-written statements that leave the same rows.

The hand-written side is a plain script: it reads the same file, converts the columns without a
check, and writes products, numbers and the entries of the index of names. On SQLite and MariaDB it
executes Core's inserts with lists, in transactions of as many rows as the library's. On PostgreSQL
it is one transaction: COPY into a staging table, one upsert from there, and COPY of the entries.
"""

from __future__ import annotations

import csv
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from attrs import frozen
from sqlalchemy import column, insert, table

from benchmarks import bank, handwritten
from benchmarks.cases import Figure, set_apart
from benchmarks.databases import opened_engine
from consignment.adapters.sqlalchemy import tables as t

# The entries are what they are; a script that is to leave the same ones has to make the same.
from consignment.adapters.sqlalchemy.names import _documents, name_tails

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from benchmarks.databases import Databases

__all__ = ["import_cases"]

_COLUMNS = (
    "partner_id",
    "number",
    "name",
    "name_key",
    "unit",
    "unit_places",
    "currency",
    "agreed_price_minor",
    "gtin",
    "category",
    "on_sale_from",
    "on_sale_until",
    "attributes",
    "revision",
)
_DOCUMENTS = table("name_tails", column("rowid"), column("tails"))


@frozen
class _Batch:
    products: list[tuple[Any, ...]]
    entries: list[tuple[Any, ...]]
    fact: dict[str, Any]


def _batches(file: Path, facts: list[dict[str, Any]], each: int, engine: str) -> Iterator[_Batch]:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = map(_converted, csv.DictReader(lines))
        for fact in facts:
            products = [row for _, row in zip(range(each), rows, strict=False)]
            named = [(row[0], row[1], name_tails(row[3])) for row in products]
            entries: list[tuple[Any, ...]]
            if engine == "sqlite":
                entries = _documents(named)
            else:
                entries = sorted(
                    (place, tail, number, partner_id, shared)
                    for partner_id, number, tails in named
                    for place, tail, shared in tails
                )
            yield _Batch(products, entries, fact)


def _converted(row: dict[str, str]) -> tuple[Any, ...]:
    whole, cents = row["agreed_price"].split(".")
    return (
        bank.PARTNER,
        row["number"],
        row["name"],
        row["name"].casefold(),
        row["unit"],
        int(row["unit_places"]),
        row["currency"],
        int(whole) * 100 + int(cents),
        row["gtin"] or None,
        row["category"],
        row["on_sale_from"],
        row["on_sale_until"],
        None,
        0,
    )


def _written(engine: Engine, batches: Iterable[_Batch]) -> None:
    if engine.dialect.name == "postgresql":
        _copied(engine, batches)
        return
    for batch in batches:
        with engine.begin() as connection:
            connection.execute(
                insert(t.products),
                [dict(zip(_COLUMNS, row, strict=True)) for row in batch.products],
            )
            connection.execute(
                insert(t.product_numbers),
                [{"number": row[1], "partner_id": row[0]} for row in batch.products],
            )
            target = _DOCUMENTS if engine.dialect.name == "sqlite" else t.name_tails
            names = [each.name for each in target.columns]
            connection.execute(
                insert(target), [dict(zip(names, row, strict=True)) for row in batch.entries]
            )
            connection.execute(insert(t.journal), batch.fact)


_UPSERT = f"""
    INSERT INTO products ({", ".join(_COLUMNS)}) SELECT * FROM staged
    ON CONFLICT (partner_id, number) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:-1])},
    revision = products.revision + 1
"""


def _copied(engine: Engine, batches: Iterable[_Batch]) -> None:
    with engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        cursor.execute(
            f"CREATE TEMPORARY TABLE staged ON COMMIT DROP AS "
            f"SELECT {', '.join(_COLUMNS)} FROM products LIMIT 0"
        )
        for batch in batches:
            with cursor.copy(f"COPY staged ({', '.join(_COLUMNS)}) FROM STDIN") as copy:
                for row in batch.products:
                    copy.write_row(row)
            with cursor.copy("COPY name_tails FROM STDIN") as copy:
                for row in batch.entries:
                    copy.write_row(row)
            connection.execute(insert(t.journal), batch.fact)
        cursor.execute("INSERT INTO product_numbers SELECT number, partner_id FROM staged")
        cursor.execute(_UPSERT)


def import_cases(databases: Databases, folder: Path, counts: tuple[int, int]) -> Iterator[Figure]:
    """Import: fewer rows beside rows that are ready in memory, and more beside the script."""
    few, rows = counts
    yield _beside(databases, folder, few, 3, ready=True)
    yield _beside(databases, folder, rows, 1, ready=False)


def _beside(databases: Databases, folder: Path, count: int, repeats: int, *, ready: bool) -> Figure:
    file = bank.product_file(folder / f"{count}.csv", count)
    library_s, hand_s = [], []
    base = bank.founded(databases.create("import"))
    before = handwritten.snapshot(base, [t.journal])
    for _ in range(repeats):
        mine = databases.copy(base, "library")
        with bank.opened(mine) as desk:
            desk.quotas.show()
            set_apart()
            begun = perf_counter()
            result = desk.catalogue.import_products(bank.PARTNER, desk.product_rows(file))
            library_s.append(perf_counter() - begun)
            assert result.created == count, list(result.rejections)[:3]
        del result
        facts = handwritten.added(before, handwritten.snapshot(mine, [t.journal]), t.journal)
        wanted = handwritten.digests(mine)
        databases.drop(mine)
        theirs = databases.copy(base, "hand")
        engine = opened_engine(theirs)
        batches: Iterable[_Batch] = _batches(file, facts, -(-count // len(facts)), databases.engine)
        if ready:
            batches = list(batches)
        with engine.begin():
            pass
        set_apart()
        begun = perf_counter()
        _written(engine, batches)
        hand_s.append(perf_counter() - begun)
        engine.dispose()
        del batches
        found = handwritten.digests(theirs)
        differ = [name for name in wanted if wanted[name] != found[name]]
        assert not differ, f"the import left different rows in {differ}"
        databases.drop(theirs)
    databases.drop(base)
    beside = (
        "rows ready"
        if ready
        else "a script" + (" with COPY" if databases.engine == "postgresql" else "")
    )
    return Figure(
        f"import of {count:,} rows, beside {beside}",
        "rows",
        count / median(library_s),
        count / median(hand_s),
        [hand / ours for hand, ours in zip(hand_s, library_s, strict=True)],
        0.5,
    )
