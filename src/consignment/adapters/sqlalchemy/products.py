"""Consigned products, their tallies in all and by scope, and to whom each number belongs."""

from __future__ import annotations

from itertools import combinations, groupby
from typing import TYPE_CHECKING

from sqlalchemy import (
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    json_text,
    json_value,
    optional_day,
    optional_instant,
    optional_micros,
)
from consignment.adapters.sqlalchemy.engines import insert_missing, upsert
from consignment.adapters.sqlalchemy.names import NameIndex
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally, added_up
from consignment.ports.storage import NameHit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Column, ColumnElement, Table
    from sqlalchemy.sql.base import Executable

    from consignment.adapters.sqlalchemy.names import Named
    from consignment.adapters.sqlalchemy.statements import Row
    from consignment.domain.name_search import NamePlace
    from consignment.domain.progress import TallyChange
    from consignment.ports.name_forms import NameForms

__all__ = ["ProductRows"]

_PRODUCTS = tables.products.c
_NUMBERS = tables.product_numbers.c
_TALLIES = tables.tallies.c
_NOTHING = Tally()
_NO_FIGURES = (*[0] * 9, *[None] * 3)

_READ = (
    _PRODUCTS.partner_id,
    _PRODUCTS.number,
    _PRODUCTS.name,
    _PRODUCTS.unit,
    _PRODUCTS.unit_places,
    _PRODUCTS.currency,
    _PRODUCTS.agreed_price_minor,
    _PRODUCTS.gtin,
    _PRODUCTS.category,
    _PRODUCTS.on_sale_from,
    _PRODUCTS.on_sale_until,
    _PRODUCTS.attributes,
    _PRODUCTS.revision,
    *(_PRODUCTS[name] for name in tables.COUNTS),
    _PRODUCTS.first_sale_at,
    _PRODUCTS.last_sale_at,
    _PRODUCTS.last_report_at,
)

_ADD_NUMBERS = Statement(insert(tables.product_numbers))


def _missing_numbers(dialect: str) -> Executable:
    return insert_missing(dialect, tables.product_numbers)


_CLAIM_NUMBERS = Statement(_missing_numbers, *_NUMBERS.keys())
_GIVEN = (
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
_COUNTED_IN = ("unit", "unit_places", "currency")
# The tally's columns begin as their defaults say.
_ADD = Statement(
    insert(tables.products).values({name: bindparam(name) for name in _GIVEN}), *_GIVEN
)
_SAVE = Statement(
    update(tables.products)
    .values(
        {
            **{name: bindparam(f"{name}_") for name in _GIVEN[2:-1]},
            "revision": _PRODUCTS.revision + 1,
        }
    )
    .where(
        _PRODUCTS.partner_id == bindparam("partner_id_"),
        _PRODUCTS.number == bindparam("number_"),
        _PRODUCTS.revision == bindparam("read_"),
        # What it is counted in is looked at beside what was ordered, as it is now: an order may
        # have come since the product was read.
        or_(
            _PRODUCTS.ordered == 0,
            and_(*(_PRODUCTS[name] == bindparam(f"{name}_") for name in _COUNTED_IN)),
        ),
    ),
    *(f"{name}_" for name in _GIVEN[2:-1]),
    "partner_id_",
    "number_",
    "read_",
)


def _earlier(column: Column[int]) -> ColumnElement[int]:
    # Without a stored or a new instant the comparison is null, and the other one is taken.
    name = column.name
    new = func.coalesce(bindparam(f"{name}_", type_=column.type), column)
    return case((column <= bindparam(f"{name}_than", type_=column.type), column), else_=new)


def _later(column: Column[int]) -> ColumnElement[int]:
    name = column.name
    new = func.coalesce(bindparam(f"{name}_", type_=column.type), column)
    return case((column >= bindparam(f"{name}_than", type_=column.type), column), else_=new)


def _adding(table: Table, *where: str) -> Statement:
    c = table.c
    return Statement(
        update(table)
        .values(
            {
                **{name: c[name] + bindparam(f"{name}_") for name in tables.COUNTS},
                "first_sale_at": _earlier(c.first_sale_at),
                "last_sale_at": _later(c.last_sale_at),
                "last_report_at": _later(c.last_report_at),
            }
        )
        .where(*(c[name] == bindparam(f"{name}_") for name in where)),
        *(f"{name}_" for name in tables.COUNTS),
        "first_sale_at_than",
        "first_sale_at_",
        "last_sale_at_than",
        "last_sale_at_",
        "last_report_at_than",
        "last_report_at_",
        *(f"{name}_" for name in where),
    )


_SCOPES = ("partner_id", "product_number", "sales_partner_id", "business_line")
_ADD_TO_PRODUCTS = _adding(tables.products, "partner_id", "number", "unit_places", "currency")
_ADD_TO_TALLIES = _adding(tables.tallies, *_SCOPES)


def _ordered_more(dialect: str) -> Executable:
    return upsert(dialect, tables.tallies, added=("ordered",))


#: Adds what was ordered to a tally by scope, or begins it. Only that: an engine holds a new row
#: against the constraints before it finds that there is one, and no more is sold than ordered.
_ORDERED_MORE = Statement(_ordered_more, *_TALLIES.keys())


def _summed(*names: str) -> Statement:
    return Statement(
        select(
            _TALLIES.partner_id,
            _TALLIES.product_number,
            *(func.sum(_TALLIES[name]) for name in tables.COUNTS),
            func.min(_TALLIES.first_sale_at),
            func.max(_TALLIES.last_sale_at),
            func.max(_TALLIES.last_report_at),
        )
        .where(*(_TALLIES[name] == bindparam(name) for name in names))
        .group_by(_TALLIES.partner_id, _TALLIES.product_number)
        .order_by(_TALLIES.partner_id, _TALLIES.product_number),
        *names,
    )


_ASKED_BY = ("partner_id", "sales_partner_id", "business_line")
#: By the conditions that are given.
_SUMS = {names: _summed(*names) for size in range(4) for names in combinations(_ASKED_BY, size)}
_OWNERS = Statement(
    select(_NUMBERS.number, _NUMBERS.partner_id).where(
        _NUMBERS.number.in_(bindparam(KEYS, expanding=True))
    )
)
_GET = Statement(
    select(*_READ).where(
        _PRODUCTS.number.in_(bindparam(KEYS, expanding=True)),
        _PRODUCTS.partner_id == bindparam("partner_id"),
    ),
    "partner_id",
)
# Whose a number is and the product itself, in one statement: the table of numbers is one place's,
# and a partner's products are in another.
_BY_NUMBER = Statement(
    select(*_READ).where(
        _PRODUCTS.number == bindparam("number"),
        _PRODUCTS.partner_id
        == select(_NUMBERS.partner_id)
        .where(_NUMBERS.number == bindparam("number"))
        .scalar_subquery(),
    ),
    "number",
)
_BY_NUMBERS = Statement(
    select(*_READ).where(
        tuple_(_PRODUCTS.partner_id, _PRODUCTS.number).in_(
            select(_NUMBERS.partner_id, _NUMBERS.number).where(
                _NUMBERS.number.in_(bindparam(KEYS, expanding=True))
            )
        )
    )
)

_NAMES = Statement(
    select(_PRODUCTS.number, _PRODUCTS.name, _PRODUCTS.revision).where(
        tuple_(_PRODUCTS.partner_id, _PRODUCTS.number).in_(
            select(_NUMBERS.partner_id, _NUMBERS.number).where(
                _NUMBERS.number.in_(bindparam(KEYS, expanding=True))
            )
        )
    )
)
_NUMBERS_AFTER = Statement(
    select(_NUMBERS.number)
    .where(_NUMBERS.number > bindparam("after"))
    .order_by(_NUMBERS.number)
    .limit(bindparam("limit")),
    "after",
    "limit",
)
_RENAME = Statement(
    update(tables.products)
    .values(name_key=bindparam("name_key_"), revision=_PRODUCTS.revision + 1)
    .where(
        _PRODUCTS.partner_id == bindparam("partner_id_"),
        _PRODUCTS.number == bindparam("number_"),
        _PRODUCTS.revision == bindparam("read_"),
    ),
    "name_key_",
    "partner_id_",
    "number_",
    "read_",
)


class ProductRows:
    """Consigned products."""

    def __init__(self, session: Session, names: NameForms) -> None:
        self._session = session
        self._names = names
        self._index = NameIndex(session)
        self._claimed: set[str] = set()

    def owners(self, numbers: Collection[str]) -> dict[str, str]:
        """Give the partner id of each product number that exists."""
        return dict(self._session.rows_by(_OWNERS, numbers))

    def get(
        self, partner_id: str, numbers: Collection[str]
    ) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give a partner's products that exist, with their tallies, by number."""
        rows = self._session.rows_by(_GET, numbers, partner_id)
        return {row[1]: (_product(row), _tally(row)) for row in rows}

    def by_numbers(self, numbers: Collection[str]) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give the products of whatever partners that exist, with their tallies, by number."""
        if len(numbers) == 1:
            rows = self._session.rows(_BY_NUMBER, *numbers)
        else:
            rows = self._session.rows_by(_BY_NUMBERS, numbers)
        return {row[1]: (_product(row), _tally(row)) for row in rows}

    def claim(self, partner_id: str, numbers: Collection[str]) -> dict[str, str]:
        """Take numbers; give the partner id of each that somebody has already."""
        # By rising number: two imports of the same numbers do not wait for each other in a circle.
        # And none is given up because another was first: on MariaDB, what a transaction leaves
        # behind that is rolled back lets those who wait for it run into each other.
        rows = [(number, partner_id) for number in sorted(set(numbers))]
        if self._session.run(_CLAIM_NUMBERS, rows) == len(rows):
            self._claimed.update(numbers)
            return {}
        # Ours and others': whose product is there already, or is somebody else's, is not claimed.
        owners = self.owners(numbers)
        own = [number for number, owner in owners.items() if owner == partner_id]
        there = self.get(partner_id, own)
        taken = {
            number: owner
            for number, owner in owners.items()
            if owner != partner_id or number in there
        }
        self._claimed.update(set(numbers) - taken.keys())
        return taken

    def add(self, products: Sequence[ConsignedProduct]) -> None:
        """Add products."""
        numbers = [(each.number, each.partner_id) for each in products]
        self._session.add(
            _ADD_NUMBERS, sorted(each for each in numbers if each[0] not in self._claimed)
        )
        named = [self._named(each.partner_id, each.number, each.name) for each in products]
        self._session.add(
            _ADD,
            [
                (each.partner_id, each.number, *_changeable(each, name[2]), each.revision)
                for each, name in zip(products, named, strict=True)
            ],
        )
        self._index.add(named)

    def save(self, products: Sequence[ConsignedProduct]) -> None:
        """Store changed products; their tallies stay."""
        ordered = sorted(products, key=lambda each: each.number)
        named = [self._named(each.partner_id, each.number, each.name) for each in ordered]
        # That these are the names to be replaced, the revision says.
        stored = self._index.stored([each.number for each in ordered])
        rows = [
            (*_changeable(each, name[2]), each.partner_id, each.number, each.revision)
            for each, name in zip(ordered, named, strict=True)
        ]
        self._session.change(_SAVE, rows, "products")
        # What is not there is stale, and not in the index.
        self._session.flush()
        self._index.change([(stored[name[1]], name) for name in named])

    def tally(self, changes: Sequence[TallyChange]) -> None:
        """Add to the tallies of products, and to those by whom they are sold for, atomically."""
        products = added_up(
            (
                (each.partner_id, each.product_number, each.unit_places, each.currency),
                each.change,
            )
            for each in changes
        )
        self._session.change(
            _ADD_TO_PRODUCTS, [(*_added(change), *key) for key, change in products], "products"
        )
        by_scope = added_up(
            (
                (
                    each.partner_id,
                    each.product_number,
                    each.sales_partner_id,
                    each.business_line,
                ),
                each.change,
            )
            for each in changes
        )
        # In a use case orders are placed, or go on; a mixture is added part by part, in order.
        for only_ordered, part in groupby(by_scope, key=lambda item: _only_ordered(item[1])):
            tallies = list(part)
            begun = [(*key, change.ordered, *_NO_FIGURES[1:]) for key, change in tallies]
            if only_ordered:
                self._session.add(_ORDERED_MORE, begun)
                continue
            begun = [(*key, 0, *_NO_FIGURES[1:]) for key, change in tallies if change.ordered > 0]
            self._session.add(_ORDERED_MORE, begun)
            self._session.change(
                _ADD_TO_TALLIES, [(*_added(change), *key) for key, change in tallies], "tallies"
            )

    def tallies(
        self,
        *,
        partner_id: str | None = None,
        sales_partner_id: str | None = None,
        business_line: str | None = None,
    ) -> dict[tuple[str, str], Tally]:
        """Give what happened to products in the orders that meet every given condition."""
        given = {
            "partner_id": partner_id,
            "sales_partner_id": sales_partner_id,
            "business_line": business_line,
        }
        names = tuple(name for name, value in given.items() if value is not None)
        rows = self._session.rows(_SUMS[names], *(given[name] for name in names))
        return {(row[0], row[1]): _summed_tally(row[2:]) for row in rows}

    def find(self, text: str, *, after: NamePlace | None = None, limit: int) -> Sequence[NameHit]:
        """Find products by name: by rank, then by what follows the text, then by number."""
        places = self._index.find(self._names.key(text), after=after, limit=limit)
        found = self.by_numbers([each.number for each in places]) if places else {}
        return [NameHit(each, *found[each.number]) for each in places]

    def reindex(self, after: str, limit: int) -> tuple[str | None, int]:
        """Bring some products' forms up to date; give the last number and how many changed."""
        numbers = [row[0] for row in self._session.rows(_NUMBERS_AFTER, after, limit)]
        if not numbers:
            return None, 0
        stored = self._index.stored(numbers)
        changes, rows = [], []
        for number, name, revision in self._session.rows_by(_NAMES, numbers):
            was = stored[number]
            now = self._named(was[0], number, name)
            if now != was:
                changes.append((was, now))
                rows.append((now[2], was[0], number, revision))
        self._session.change(_RENAME, sorted(rows, key=lambda row: row[2]), "products")
        self._index.change(changes)
        return numbers[-1], len(changes)

    def _named(self, partner_id: str, number: str, name: str) -> Named:
        key = self._names.key(name)
        return partner_id, number, key, tuple(self._names.others(key))


def _changeable(product: ConsignedProduct, key: str) -> Row:
    first, last = product.on_sale_from, product.on_sale_until
    return (
        product.name,
        key,
        product.unit,
        product.unit_places,
        product.currency,
        product.agreed_price_minor,
        product.gtin,
        product.category,
        None if first is None else first.isoformat(),
        None if last is None else last.isoformat(),
        json_text(product.attributes) if product.attributes else None,
    )


def _product(row: Row) -> ConsignedProduct:
    attributes = row[11]
    return ConsignedProduct(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        optional_day(row[9]),
        optional_day(row[10]),
        ()
        if attributes is None
        else tuple((name, value) for name, value in json_value(attributes)),
        row[12],
    )


def _only_ordered(change: Tally) -> bool:
    return change.ordered > 0 and change == Tally(ordered=change.ordered)


def _added(change: Tally) -> Row:
    first = optional_micros(change.first_sale_at)
    last = optional_micros(change.last_sale_at)
    report = optional_micros(change.last_report_at)
    return (
        change.ordered,
        change.procured,
        change.sold,
        change.returned,
        change.sent_back,
        change.written_off,
        change.settled,
        change.gross_sales_minor,
        change.returns_minor,
        first,
        first,
        last,
        last,
        report,
        report,
    )


def _tally(row: Row) -> Tally:
    figures = row[13:]
    return _NOTHING if figures == _NO_FIGURES else _tally_of(figures)


def _summed_tally(figures: Row) -> Tally:
    # Engines sum whole numbers as decimals.
    return _tally_of((*map(int, figures[:9]), *figures[9:]))


def _tally_of(figures: Row) -> Tally:
    (ordered, procured, sold, returned, sent_back, written_off, settled, gross, back, *at) = figures
    first_sale_at, last_sale_at, last_report_at = at
    return Tally(
        ordered,
        procured,
        sold,
        returned,
        sent_back,
        written_off,
        settled,
        gross,
        back,
        optional_instant(first_sale_at),
        optional_instant(last_sale_at),
        optional_instant(last_report_at),
    )
