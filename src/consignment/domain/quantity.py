"""Quantities: exact whole numbers of a product's smallest unit."""

from __future__ import annotations

from decimal import Decimal
from typing import Self

from attrs import field, frozen
from attrs.validators import ge, instance_of, le

from consignment.domain.errors import InvalidValue, reason
from consignment.domain.money import decimal_text, parse_decimal, scaled

__all__ = ["MAX_UNIT_PLACES", "Quantity"]

#: A product's unit may have at most this many decimal places (grams of a tonne).
MAX_UNIT_PLACES = 6


@frozen(order=False)
class Quantity:
    """A quantity: `count` smallest units, of which `10**places` make one whole unit.

    `Quantity.of("1.250", 3)` is `Quantity(1250, 3)`; `str()` gives `"1.250"`.
    """

    count: int = field(validator=instance_of(int))
    places: int = field(default=0, validator=[instance_of(int), ge(0), le(MAX_UNIT_PLACES)])

    @classmethod
    def of(cls, value: str | int | Decimal, places: int = 0) -> Self:
        """Read a quantity in whole units, exactly; `InvalidValue` with `quantity_invalid`."""
        try:
            count = scaled(parse_decimal(value), places)
        except InvalidValue:
            count = None
        if count is None:
            raise InvalidValue(
                reason("quantity_invalid", value=str(value)[:64], unit_places=places)
            )
        return cls(count, places)

    @property
    def amount(self) -> Decimal:
        """The quantity in whole units, exact."""
        return Decimal(str(self))

    def __str__(self) -> str:
        return decimal_text(self.count, self.places)

    def __bool__(self) -> bool:
        return self.count != 0
