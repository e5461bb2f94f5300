"""Consigned products (代销商品): what a partner may sell, and how a row of an import is read."""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen
from stdnum import ean

from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.money import MAX_MINOR, Money, minor_places
from consignment.domain.quantity import MAX_UNIT_PLACES
from consignment.domain.text import name_key, text_fault

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COLUMNS", "REQUIRED_COLUMNS", "ConsignedProduct", "read_row"]

#: The columns with a meaning of their own; any other is kept as an attribute.
COLUMNS = (
    "number",
    "name",
    "unit",
    "unit_places",
    "currency",
    "agreed_price",
    "gtin",
    "category",
    "on_sale_from",
    "on_sale_until",
)

#: The columns that a file must have.
REQUIRED_COLUMNS = ("name", "unit", "currency", "agreed_price")

_COLUMN_SET = frozenset(COLUMNS)
_PRICE = re.compile(r"([0-9]{1,32})(?:\.([0-9]{1,32}))?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_NUMBER_LENGTH = 64
_NAME_LENGTH = 200
_UNIT_LENGTH = 16
_CATEGORY_LENGTH = 100
_ATTRIBUTE_NAME_LENGTH = 64
_ATTRIBUTE_LENGTH = 1000
_ATTRIBUTES = 50


@frozen
class ConsignedProduct:
    """A product that a partner may sell for the bank.

    `agreed_price_minor` is the price of one whole unit in minor units of `currency`. The product
    is on sale from `on_sale_from` to `on_sale_until`, both days included, in the bank's time zone;
    None leaves that end open. A quantity of it has `unit_places` decimal places.
    """

    partner_id: str
    number: str
    name: str
    unit: str
    unit_places: int
    currency: str
    agreed_price_minor: int
    gtin: str | None = None
    category: str | None = None
    on_sale_from: date | None = None
    on_sale_until: date | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    revision: int = 0

    @property
    def agreed_price(self) -> Money:
        """The agreed price of one whole unit."""
        return Money(self.agreed_price_minor, self.currency)

    def on_sale(self, day: date) -> bool:
        """Tell whether a business day is within the product's lifetime."""
        return (self.on_sale_from is None or self.on_sale_from <= day) and (
            self.on_sale_until is None or day <= self.on_sale_until
        )

    def lifetime_left_days(self, day: date) -> int | None:
        """Give how many days of its lifetime are left after `day`; None when it has no end."""
        if self.on_sale_until is None:
            return None
        return max(0, (self.on_sale_until - day).days)

    def same_as(self, other: ConsignedProduct) -> bool:
        """Tell whether everything that an import gives is the same."""
        return self == (
            other if other.revision == self.revision else evolve(other, revision=self.revision)
        )

    def revised(self, row: ConsignedProduct, *, ordered: bool) -> ConsignedProduct | list[Reason]:
        """Return the product as an import row now gives it, or why it may not change so.

        Once it has been ordered, what its counts and amounts are counted in is fixed.
        """
        if ordered:
            fixed = [
                reason(
                    "fixed_since_ordered",
                    column=column,
                    value=str(getattr(row, column)),
                    was=str(getattr(self, column)),
                )
                for column in ("unit", "unit_places", "currency")
                if getattr(row, column) != getattr(self, column)
            ]
            if fixed:
                return fixed
        return evolve(row, revision=self.revision)


class _RowFault(Exception):
    def __init__(self, column: str, code: str, value: object) -> None:
        self.reason = reason(code, column=column, value=str(value)[:80])


def read_row(partner_id: str, row: Mapping[str, Any]) -> ConsignedProduct | list[Reason]:
    """Read one row of an import: a product, or every reason why it is not one.

    A row maps column names to text (JSON may give `unit_places` as a whole number). Blank
    optional columns count as absent. Each reason has `column` and `value`; codes:
    `text_missing`, `text_too_long`, `text_has_outer_spaces`, `text_unprintable`, `not_text`,
    `unit_places_invalid`, `currency_unknown`, `price_invalid`, `price_negative`,
    `too_many_places`, `amount_too_large`, `gtin_invalid`, `gtin_check_failed` (GS1 General
    Specifications 7.9), `date_invalid`, `lifetime_reversed`, `attribute_invalid`,
    `too_many_columns`.

    An empty `number` is assigned: it follows from the partner, the name, the unit and the GTIN,
    so the same row gets the same number each time.
    """
    faults: list[Reason] = []
    get = row.get

    name = get("name")
    if code := _text_code(name, _NAME_LENGTH):
        faults.append(_at("name", code, name))
    unit = get("unit")
    if code := _unit_code(unit):
        faults.append(_at("unit", code, unit))
    places = _try(faults, "unit_places", get("unit_places"), _unit_places)
    currency: Any = get("currency")
    price: Any = None
    currency_places = _try(faults, "currency", currency, _currency_places)
    if currency_places is not None:
        price = _try(faults, "agreed_price", get("agreed_price"), _price_reader(currency_places))
    gtin = _try(faults, "gtin", value, _gtin) if (value := get("gtin")) else None
    category = value if (value := get("category")) else None
    if category is not None and (code := _category_code(category)):
        faults.append(_at("category", code, category))
    first = _try(faults, "on_sale_from", value, _day) if (value := get("on_sale_from")) else None
    last = _try(faults, "on_sale_until", value, _day) if (value := get("on_sale_until")) else None
    if first is not None and last is not None and last < first:
        faults.append(_at("on_sale_until", "lifetime_reversed", last))
    attributes = () if row.keys() <= _COLUMN_SET else _attributes(row, faults)

    number = get("number")
    if number:
        if code := _text_code(number, _NUMBER_LENGTH):
            faults.append(_at("number", code, number))
    elif not faults:
        number = _assigned_number(partner_id, str(name), str(unit), gtin)
    if faults:
        return faults
    return ConsignedProduct(
        partner_id,
        number,  # type: ignore[arg-type] # no fault: it is text
        name,  # type: ignore[arg-type] # likewise
        unit,  # type: ignore[arg-type] # likewise
        places,
        currency,
        price,
        gtin,
        category,
        first,
        last,
        attributes,
    )


def _at(column: str, code: str, value: object) -> Reason:
    return reason(code, column=column, value="" if value is None else str(value)[:80])


def _try(faults: list[Reason], column: str, value: Any, read: Any) -> Any:  # noqa: ANN401 - as `read` gives
    try:
        return read(value)
    except _RowFault as fault:
        faults.append(_at(column, fault.reason.code, value))
        return None


def _fault(code: str) -> _RowFault:
    return _RowFault("", code, "")


def _text_code(value: object, max_length: int) -> str | None:
    if value is not None and not isinstance(value, str):
        return "not_text"
    return text_fault(value, max_length)


# What repeats from row to row is looked at once. Only text is kept: other values might not be
# hashable, or be equal to text or numbers that they are not (True and 1).


def _unit_code(value: object) -> str | None:
    return _unit_text_code(value) if isinstance(value, str) else _text_code(value, _UNIT_LENGTH)


@lru_cache(maxsize=1024)
def _unit_text_code(value: str) -> str | None:
    return text_fault(value, _UNIT_LENGTH)


def _category_code(value: object) -> str | None:
    return _category_text_code(value) if isinstance(value, str) else "not_text"


@lru_cache(maxsize=4096)
def _category_text_code(value: str) -> str | None:
    return text_fault(value, _CATEGORY_LENGTH)


def _unit_places(value: object) -> int:
    """Read the decimal places of a unit: a digit, or a whole number out of JSON."""
    if value is None or value == "":
        return 0
    if isinstance(value, str) and len(value) == 1 and value in "0123456":
        return int(value)
    if type(value) is int and 0 <= value <= MAX_UNIT_PLACES:
        places: int = value
        return places
    raise _fault("unit_places_invalid")


def _currency_places(value: object) -> int:
    if not isinstance(value, str) or not value:
        raise _fault("not_text" if value else "text_missing")
    try:
        return minor_places(value)
    except InvalidValue as error:
        raise _fault("currency_unknown") from error


@lru_cache(maxsize=16)
def _price_reader(currency_places: int) -> Any:  # noqa: ANN401 - a reader of prices
    scale: int = 10**currency_places

    def read(value: object) -> int:
        if not isinstance(value, str):
            raise _fault("text_missing" if value is None else "not_text")
        match = _PRICE.fullmatch(value)
        if match is None:
            negative = value.startswith("-") and _PRICE.fullmatch(value[1:])
            raise _fault("price_negative" if negative else "price_invalid")
        whole, decimals = match.groups()
        minor = int(whole) * scale
        if decimals is not None:
            if len(decimals) > currency_places:
                raise _fault("too_many_places")
            minor += int(decimals.ljust(currency_places, "0"))
        if minor > MAX_MINOR:
            raise _fault("amount_too_large")
        return minor

    return read


def _gtin(value: object) -> str:
    if not isinstance(value, str):
        raise _fault("not_text")
    if not (value.isascii() and value.isdigit() and len(value) in (8, 12, 13, 14)):
        raise _fault("gtin_invalid")
    # Only the check digit is asked of the library: its `validate` would strip separators first.
    if ean.calc_check_digit(value[:-1]) != value[-1]:
        raise _fault("gtin_check_failed")
    return value


def _day(value: object) -> date:
    if not isinstance(value, str):
        raise _fault("not_text")
    return _day_of(value)


@lru_cache(maxsize=4096)
def _day_of(value: str) -> date:
    try:
        if not _DAY.fullmatch(value):
            raise _fault("date_invalid")
        return date.fromisoformat(value)
    except ValueError as error:
        raise _fault("date_invalid") from error


def _attributes(row: Mapping[Any, Any], faults: list[Reason]) -> tuple[tuple[str, str], ...]:
    kept = []
    for name, value in row.items():
        if name in _COLUMN_SET or value is None or value == "":
            continue
        if not isinstance(name, str):
            faults.append(_at("", "too_many_columns", value))
        elif _text_code(name, _ATTRIBUTE_NAME_LENGTH) or _text_code(value, _ATTRIBUTE_LENGTH):
            faults.append(_at(name, "attribute_invalid", value))
        else:
            kept.append((name, value))
    if len(kept) > _ATTRIBUTES:
        faults.append(_at("", "too_many_columns", len(kept)))
    return tuple(sorted(kept))


def _assigned_number(partner_id: str, name: str, unit: str, gtin: str | None) -> str:
    identity = "\0".join((partner_id, name_key(name), unit, gtin or ""))
    return "P-" + b32encode(hashlib.sha256(identity.encode()).digest())[:16].decode()
