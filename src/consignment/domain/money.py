"""Money: exact whole numbers of minor units, and the few places where they are rounded.

No float is accepted anywhere. What needs more than the minor unit on its way (percentages,
weights, prices per fraction of a unit) is a `Fraction` until it is rounded, once.
"""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache, lru_cache
from math import lcm
from typing import TYPE_CHECKING, Any, Self

import iso4217
from attrs import field, frozen

from consignment.domain.errors import InvalidValue, reason

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_MINOR",
    "MAX_SUM",
    "CurrencyMismatch",
    "Money",
    "allocate",
    "decimal_text",
    "minor_places",
    "parse_decimal",
    "parse_percent",
    "percent_text",
    "round_half_up",
    "scaled",
    "value_minor",
]

#: The largest amount or count taken from outside: sums of nine thousand of them fit 64 bits.
MAX_MINOR = 10**15

#: The largest sum of amounts, or amount computed from them, that is kept: it fits 64 bits.
MAX_SUM = 9 * 10**18

#: How a whole part and so many decimals are written; `%` is the quickest way to write them.
_FORMS = tuple(f"%d.%0{places}d" for places in range(10))

_DECIMAL = re.compile(r"-?[0-9]{1,32}(?:\.[0-9]{1,32})?", re.ASCII)


class CurrencyMismatch(InvalidValue):
    """Two amounts of different currencies were to be added or compared."""


@cache
def minor_places(currency: str) -> int:
    """Give the number of decimal places of a currency's minor unit (CNY: 2, JPY: 0).

    Source: ISO 4217, the published list of active currencies. `InvalidValue` with
    `currency_unknown` for a code that is not on it or that has no minor unit (gold, testing).
    """
    try:
        places: int | None = iso4217.Currency(currency).exponent
    except (ValueError, TypeError):
        places = None
    if places is None:
        raise InvalidValue(reason("currency_unknown", currency=str(currency)[:16]))
    return places


def parse_decimal(value: object) -> Decimal:
    """Read an exact decimal from text, an int or a Decimal; never from a float.

    Text is ASCII digits with an optional sign and point: no exponent, no NaN, no blanks.
    Raises `InvalidValue` with `number_invalid`.
    """
    if isinstance(value, str):
        if _DECIMAL.fullmatch(value):
            return Decimal(value)
    elif isinstance(value, Decimal):
        if value.is_finite() and _DECIMAL.fullmatch(text := format(value, "f")):
            return Decimal(text)
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**32:
        return Decimal(value)
    raise InvalidValue(reason("number_invalid", value=repr(value)[:64]))


def scaled(value: Decimal, places: int) -> int | None:
    """Give `value × 10^places` when that is whole and at most `MAX_MINOR` in size, else None."""
    numerator, denominator = value.as_integer_ratio()
    whole, rest = divmod(numerator * 10**places, denominator)
    return whole if not rest and -MAX_MINOR <= whole <= MAX_MINOR else None


# The same figure is told in several places: in an explanation, in messages, in the journal.
@lru_cache(maxsize=16_384)
def decimal_text(units: int, places: int) -> str:
    """Write a count of units with `places` decimal places: `(123456, 2)` is `"1234.56"`."""
    if not places:
        return str(units)
    if units < 0:
        return "-" + decimal_text(-units, places)
    text: str = _FORMS[places] % divmod(units, 10**places)
    return text


def round_half_up(value: Fraction) -> int:
    """Round to the nearest whole number, halves away from zero (commercial rounding)."""
    numerator, denominator = value.numerator, value.denominator
    if numerator < 0:
        return -((-2 * numerator + denominator) // (2 * denominator))
    return (2 * numerator + denominator) // (2 * denominator)


def value_minor(count: int, places: int, unit_amount_minor: int) -> int:
    """Value a line: `count` smallest units of `places` decimals at a price per whole unit.

    Rounded half-up to the minor unit. Both factors are non-negative.
    """
    if not places:
        return count * unit_amount_minor
    unit = 10**places
    rounded: int = (2 * count * unit_amount_minor + unit) // (2 * unit)
    return rounded


def parse_percent(value: object) -> Fraction:
    """Read a percentage (`"12.5"`) between 0 and 100 as the exact fraction 1/8."""
    number = parse_decimal(value)
    if not 0 <= number <= 100:  # noqa: PLR2004 - what a percentage is
        raise InvalidValue(reason("percent_out_of_range", value=str(value)[:64]))
    return Fraction(number) / 100


@lru_cache(maxsize=4096)
def percent_text(fraction: Fraction) -> str:
    """Write the fraction 1/8 as `"12.5"`; the inverse of `parse_percent`."""
    percent = fraction * 100
    with localcontext(prec=100):  # as many digits as `parse_decimal` takes, and more
        number = Decimal(percent.numerator) / Decimal(percent.denominator)
        return format(number.normalize(), "f")


def allocate(amount_minor: int, weights: Sequence[Fraction]) -> list[int]:
    """Divide a non-negative amount by weight, exactly: the parts add up to the amount.

    Largest remainder (Hamilton) method: everyone gets the whole minor units of their exact part,
    and the units left over go one by one to the largest remainders, ties in the given order.
    `InvalidValue` with `shares_empty`, `weight_negative` or `weights_zero`.
    """
    if not weights:
        raise InvalidValue(reason("shares_empty"))
    if any(weight < 0 for weight in weights):
        raise InvalidValue(reason("weight_negative"))
    scale = lcm(*(weight.denominator for weight in weights))
    whole = [weight.numerator * (scale // weight.denominator) for weight in weights]
    total = sum(whole)
    if not total:
        raise InvalidValue(reason("weights_zero"))
    if amount_minor < 0:
        raise InvalidValue(reason("amount_negative", amount_minor=amount_minor))
    parts = [amount_minor * weight // total for weight in whole]
    left_over = amount_minor - sum(parts)
    if left_over:
        remainders = [amount_minor * weight % total for weight in whole]
        by_remainder = sorted(range(len(parts)), key=lambda i: -remainders[i])
        for i in by_remainder[:left_over]:
            parts[i] += 1
    return parts


def _whole(instance: object, attribute: object, value: Any) -> None:  # noqa: ANN401, ARG001 - attrs' signature
    if type(value) is not int:
        raise InvalidValue(reason("amount_not_whole", value=repr(value)[:64]))


def _known(instance: object, attribute: object, value: str) -> None:  # noqa: ARG001 - attrs' signature
    minor_places(value)


@frozen(order=False)
class Money:
    """An amount: a whole number of minor units of an ISO 4217 currency.

    `Money.of("12.30", "CNY")` is `Money(1230, "CNY")`; `str()` gives `"12.30"`. Adding, subtracting
    and comparing need the same currency, else `CurrencyMismatch`.
    """

    minor: int = field(validator=_whole)
    currency: str = field(validator=_known)

    @classmethod
    def of(cls, amount: str | int | Decimal, currency: str) -> Self:
        """Read an amount in the currency's main unit; no rounding.

        Raises `InvalidValue`: `number_invalid`, `currency_unknown`, `too_many_places` (for
        example three decimals in CNY) or `amount_too_large`.
        """
        places = minor_places(currency)
        number = parse_decimal(amount)
        minor = scaled(number, places)
        if minor is None:
            code = "amount_too_large" if abs(number) * 10**places > MAX_MINOR else "too_many_places"
            raise InvalidValue(reason(code, value=str(amount)[:64], currency=currency))
        return cls(minor, currency)

    @property
    def amount(self) -> Decimal:
        """The amount in the main unit, exact."""
        return Decimal(str(self))

    def __str__(self) -> str:
        return decimal_text(self.minor, minor_places(self.currency))

    def __repr__(self) -> str:
        return f"Money({self} {self.currency})"

    def __bool__(self) -> bool:
        return self.minor != 0

    def _minor_of(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(
                reason("currency_mismatch", currencies=[self.currency, other.currency])
            )
        return other.minor

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._minor_of(other), self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._minor_of(other), self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._minor_of(other)

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._minor_of(other)

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._minor_of(other)

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._minor_of(other)
