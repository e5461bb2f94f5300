"""Consigned products, their tallies, and to whom each number belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, case, func, insert, not_, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    json_text,
    json_value,
    optional_day,
    optional_instant,
    optional_micros,
)
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally
from consignment.domain.text import name_key
from consignment.ports.storage import NameHit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ColumnElement

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["ProductRows"]

_PRODUCTS = tables.products.c
_NUMBERS = tables.product_numbers.c
_NOTHING = Tally()
_NO_FIGURES = (*[0] * 9, *[None] * 3)

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
    *(_PRODUCTS[name] for name in _COUNTS),
    _PRODUCTS.first_sale_at,
    _PRODUCTS.last_sale_at,
    _PRODUCTS.last_report_at,
)

_ADD_NUMBERS = Statement(insert(tables.product_numbers))
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
    ),
    *(f"{name}_" for name in _GIVEN[2:-1]),
    "partner_id_",
    "number_",
    "read_",
)


def _earlier(name: str) -> ColumnElement[int]:
    # Without a stored or a new instant the comparison is null, and the other one is taken.
    column = _PRODUCTS[name]
    new = func.coalesce(bindparam(f"{name}_", type_=column.type), column)
    return case((column <= bindparam(f"{name}_than", type_=column.type), column), else_=new)


def _later(name: str) -> ColumnElement[int]:
    column = _PRODUCTS[name]
    new = func.coalesce(bindparam(f"{name}_", type_=column.type), column)
    return case((column >= bindparam(f"{name}_than", type_=column.type), column), else_=new)


_TALLY = Statement(
    update(tables.products)
    .values(
        {
            **{name: _PRODUCTS[name] + bindparam(f"{name}_") for name in _COUNTS},
            "first_sale_at": _earlier("first_sale_at"),
            "last_sale_at": _later("last_sale_at"),
            "last_report_at": _later("last_report_at"),
        }
    )
    .where(
        _PRODUCTS.partner_id == bindparam("partner_id_"),
        _PRODUCTS.number == bindparam("number_"),
    ),
    *(f"{name}_" for name in _COUNTS),
    "first_sale_at_than",
    "first_sale_at_",
    "last_sale_at_than",
    "last_sale_at_",
    "last_report_at_than",
    "last_report_at_",
    "partner_id_",
    "number_",
)
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

# A name that begins with a key lies between the key and this.
_LAST = chr(0x10FFFF)
_ESCAPE = "!"
#: No name is longer in the form that is searched: of 200 characters, each may become eighteen.
#: Engines take no pattern of any length (SQLite: 50,000 bytes).
_LONGEST_KEY = 200 * 18


def _found(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return and_(*conditions, _PRODUCTS.number > bindparam("after"))


_BEGINS = and_(_PRODUCTS.name_key >= bindparam("key"), _PRODUCTS.name_key < bindparam("end"))
_BY_NAME = tuple(
    Statement(
        select(*_READ).where(condition).order_by(_PRODUCTS.number).limit(bindparam("limit")),
        *names,
        "after",
        "limit",
    )
    for condition, names in (
        (_found(_PRODUCTS.name_key == bindparam("key")), ("key",)),
        (
            _found(_PRODUCTS.name_key > bindparam("key"), _PRODUCTS.name_key < bindparam("end")),
            ("key", "end"),
        ),
        (
            _found(_PRODUCTS.name_key.like(bindparam("like"), escape=_ESCAPE), not_(_BEGINS)),
            ("like", "key", "end"),
        ),
    )
)


class ProductRows:
    """Consigned products."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def owners(self, numbers: Collection[str]) -> dict[str, str]:
        """Give the partner id of each product number that exists."""
        return dict(self._session.rows_by(_OWNERS, numbers))

    def get(
        self, partner_id: str, numbers: Collection[str]
    ) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give a partner's products that exist, with their tallies, by number."""
        rows = self._session.rows_by(_GET, numbers, partner_id)
        return {row[1]: (_product(row), _tally(row)) for row in rows}

    def add(self, products: Sequence[ConsignedProduct]) -> None:
        """Add products."""
        self._session.run(_ADD_NUMBERS, [(each.number, each.partner_id) for each in products])
        self._session.run(
            _ADD,
            [
                (each.partner_id, each.number, *_changeable(each), each.revision)
                for each in products
            ],
        )

    def save(self, products: Sequence[ConsignedProduct]) -> None:
        """Store changed products; their tallies stay."""
        rows = [
            (*_changeable(each), each.partner_id, each.number, each.revision) for each in products
        ]
        self._session.change(_SAVE, rows, "products")

    def tally(self, partner_id: str, changes: Mapping[str, Tally]) -> None:
        """Add to the tallies of a partner's products, atomically."""
        rows = []
        for number, change in changes.items():
            first = optional_micros(change.first_sale_at)
            last = optional_micros(change.last_sale_at)
            report = optional_micros(change.last_report_at)
            rows.append(
                (
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
                    partner_id,
                    number,
                )
            )
        self._session.change(_TALLY, rows, f"products of {partner_id}")

    def find(
        self, key: str, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[NameHit]:
        """Find products whose name has `key` in it, by rank, then number."""
        if len(key) > _LONGEST_KEY:
            return []
        escaped = key
        for special in (_ESCAPE, "%", "_"):
            escaped = escaped.replace(special, _ESCAPE + special)
        end = key + _LAST
        values: tuple[tuple[str, ...], ...] = ((key,), (key, end), (f"%{escaped}%", key, end))
        from_rank, number = (0, "") if after is None else after
        hits: list[NameHit] = []
        # The whole name and its beginning are found by index; only what is left by looking at all.
        for rank in range(from_rank, len(_BY_NAME)):
            if len(hits) == limit:
                break
            rows = self._session.rows(_BY_NAME[rank], *values[rank], number, limit - len(hits))
            hits += [NameHit(rank, _product(row), _tally(row)) for row in rows]
            number = ""
        return hits


def _changeable(product: ConsignedProduct) -> Row:
    first, last = product.on_sale_from, product.on_sale_until
    return (
        product.name,
        name_key(product.name),
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


def _tally(row: Row) -> Tally:
    figures = row[13:]
    if figures == _NO_FIGURES:
        return _NOTHING
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
