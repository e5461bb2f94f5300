"""Money: exact, and rounded half-up where it must be."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.errors import InvalidValue
from consignment.domain.money import (
    MAX_MINOR,
    CurrencyMismatch,
    Money,
    allocate,
    decimal_text,
    minor_places,
    parse_decimal,
    parse_percent,
    percent_text,
    round_half_up,
    scaled,
    value_minor,
)

if TYPE_CHECKING:
    from collections.abc import Callable

fractions = st.fractions(min_value=-(10**12), max_value=10**12, max_denominator=10**6)
weights = st.lists(
    st.fractions(min_value=0, max_value=1000, max_denominator=1000), min_size=1, max_size=8
).filter(any)


def refused(work: Callable[[], object]) -> str:
    """Run what has to be refused, and give the code."""
    with pytest.raises(InvalidValue) as caught:
        work()
    return caught.value.codes[0]


# Currencies.


def test_minor_places_follow_iso_4217() -> None:
    """Each currency has the decimal places of its minor unit."""
    places = {"CNY": 2, "USD": 2, "JPY": 0, "KWD": 3, "CLF": 4}
    assert {currency: minor_places(currency) for currency in places} == places


@pytest.mark.parametrize("currency", ["", "cny", "XXX", "XAU", "XTS", "RMB", "CNY ", "DEM", "￥"])
def test_unknown_currencies_are_refused(currency: str) -> None:
    """What is no active currency with a minor unit is refused."""
    assert refused(lambda: minor_places(currency)) == "currency_unknown"


# Decimals.


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("0", "0"),
        ("-0.50", "-0.50"),
        ("007", "7"),
        ("9" * 32 + "." + "9" * 32, "9" * 32 + "." + "9" * 32),
        (Decimal("1E+3"), "1000"),
        (Decimal("1.50"), "1.50"),
        (-12, "-12"),
        (10**32 - 1, str(10**32 - 1)),
    ],
)
def test_decimals_are_read_exactly(value: object, number: str) -> None:
    """Text, whole numbers and decimals are read to the last digit."""
    assert parse_decimal(value) == Decimal(number)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " 1",
        "1 ",
        "+1",
        "1e3",
        "1,000",
        ".5",
        "5.",
        "--1",
        "1_000",
        "NaN",
        "Infinity",
        "１",
        "一",
        "1\n",
        "9" * 33,
        "0." + "1" * 33,
        1.5,
        float("nan"),
        True,
        None,
        10**32,
        -(10**32),
        b"1",
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+40"),
        Decimal("1E-40"),
        Fraction(1, 2),
        [],
    ],
)
def test_everything_else_is_no_number(value: object) -> None:
    """Floats, booleans, exponents, blanks, other digits and what is too long are refused."""
    assert refused(lambda: parse_decimal(value)) == "number_invalid"


def test_scaled_gives_whole_counts_only() -> None:
    """A decimal scales to a whole count of at most 10^15 in size, or to nothing."""
    assert scaled(Decimal("12.30"), 2) == 1230
    assert scaled(Decimal("-0.001"), 3) == -1
    assert scaled(Decimal("12.305"), 2) is None
    assert scaled(Decimal(MAX_MINOR), 0) == MAX_MINOR
    assert scaled(Decimal(-MAX_MINOR), 0) == -MAX_MINOR
    assert scaled(Decimal(MAX_MINOR + 1), 0) is None
    assert scaled(Decimal(-MAX_MINOR - 1), 0) is None


@given(st.integers(-(10**18), 10**18), st.integers(0, 6))
def test_decimal_text_and_scaling_are_inverse(units: int, places: int) -> None:
    """A count written with places and read again is the same count."""
    text = decimal_text(units, places)
    assert Decimal(text) * 10**places == units
    assert len(text.partition(".")[2]) == places


def test_decimal_text_pads_with_zeros() -> None:
    """Small counts have a nought before the point, negative ones their sign before it."""
    assert [decimal_text(n, 2) for n in (0, 5, -5, 123, -1234)] == [
        "0.00",
        "0.05",
        "-0.05",
        "1.23",
        "-12.34",
    ]
    assert decimal_text(-7, 0) == "-7"


# Rounding.


@pytest.mark.parametrize(
    ("numerator", "denominator", "rounded"),
    [
        (1, 2, 1),
        (3, 2, 2),
        (5, 2, 3),
        (-1, 2, -1),
        (-3, 2, -2),
        (49, 100, 0),
        (-49, 100, 0),
        (51, 100, 1),
        (-51, 100, -1),
        (7, 1, 7),
        (0, 1, 0),
    ],
)
def test_halves_go_away_from_zero(numerator: int, denominator: int, rounded: int) -> None:
    """Rounding is to the nearest, halves away from zero on both sides."""
    assert round_half_up(Fraction(numerator, denominator)) == rounded


@given(fractions)
def test_rounding_is_to_the_nearest_and_symmetric(value: Fraction) -> None:
    """A rounded value is within a half, and the negative rounds to the negative."""
    assert abs(round_half_up(value) - value) <= Fraction(1, 2)
    assert round_half_up(-value) == -round_half_up(value)


@given(st.decimals(-(10**9), 10**9, places=4))
def test_rounding_agrees_with_the_decimal_library(value: Decimal) -> None:
    """Half-up is what the decimal library calls ROUND_HALF_UP."""
    expected = int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert round_half_up(Fraction(value)) == expected


@given(st.integers(0, MAX_MINOR), st.integers(0, 6), st.integers(0, MAX_MINOR))
def test_a_lines_value_is_rounded_once(count: int, places: int, price: int) -> None:
    """Quantity times price is exact but for one rounding half-up."""
    assert value_minor(count, places, price) == round_half_up(Fraction(count * price, 10**places))


def test_a_lines_value_by_hand() -> None:
    """0.125 kg at 1.00 is 0.125: 0.13; 0.124 kg is 0.12."""
    assert value_minor(125, 3, 100) == 13
    assert value_minor(124, 3, 100) == 12
    assert value_minor(3, 0, 100) == 300


# Percentages.


def test_percentages_are_exact_fractions() -> None:
    """12.5 % is an eighth, and is written as it was read."""
    assert parse_percent("12.5") == Fraction(1, 8)
    assert [percent_text(parse_percent(each)) for each in ("12.50", "0", "100", "0.6")] == [
        "12.5",
        "0",
        "100",
        "0.6",
    ]


@pytest.mark.parametrize("value", ["-0.01", "100.01", 101])
def test_percentages_are_between_0_and_100(value: object) -> None:
    """What is no share of a whole is refused."""
    assert refused(lambda: parse_percent(value)) == "percent_out_of_range"


# Dividing.


@given(st.integers(0, 10**15), weights)
def test_parts_add_up_and_are_next_to_exact(amount: int, shares: list[Fraction]) -> None:
    """Parts sum to the amount, each less than a unit from its exact part; no weight, no part."""
    parts = allocate(amount, shares)
    total = sum(shares, Fraction(0))
    assert sum(parts) == amount
    for part, weight in zip(parts, shares, strict=True):
        assert abs(part - amount * weight / total) < 1
        assert part >= 0
        if not weight:
            assert part == 0


@given(st.integers(0, 10**6), weights)
def test_parts_do_not_depend_on_the_weights_size(amount: int, shares: list[Fraction]) -> None:
    """Weights say proportions only."""
    assert allocate(amount, shares) == allocate(amount, [3 * each for each in shares])


@given(st.integers(0, 10**6), st.integers(1, 9))
def test_ties_go_to_those_declared_first(amount: int, count: int) -> None:
    """Among equals the units left over go to the first ones."""
    parts = allocate(amount, [Fraction(1)] * count)
    assert parts == sorted(parts, reverse=True)
    assert parts[0] - parts[-1] <= 1


def test_dividing_by_hand() -> None:
    """Largest remainders get the units left over: 100 by 1:1:1, and 699.30 by 55:30:15."""
    assert allocate(100, [Fraction(1)] * 3) == [34, 33, 33]
    assert allocate(69930, [Fraction(55), Fraction(30), Fraction(15)]) == [38462, 20979, 10489]
    assert allocate(1, [Fraction(0), Fraction(1, 3)]) == [0, 1]
    assert allocate(0, [Fraction(2), Fraction(1)]) == [0, 0]


@pytest.mark.parametrize(
    ("amount", "shares", "code"),
    [
        (1, [], "shares_empty"),
        (1, [2, -1], "weight_negative"),
        (1, [0, 0], "weights_zero"),
        (-1, [1], "amount_negative"),
    ],
)
def test_what_cannot_be_divided_is_refused(amount: int, shares: list[int], code: str) -> None:
    """No shares, negative ones, nothing but noughts, and debts are refused."""
    assert refused(lambda: allocate(amount, list(map(Fraction, shares)))) == code


# Money.


def test_money_is_read_and_written() -> None:
    """An amount in the main unit becomes minor units and back, without rounding."""
    money = Money.of("12.30", "CNY")
    assert money == Money(1230, "CNY")
    assert (str(money), repr(money), money.amount) == ("12.30", "Money(12.30 CNY)", Decimal("12.3"))
    assert Money.of(5, "JPY") == Money(5, "JPY")
    assert Money.of(Decimal("-0.001"), "KWD") == Money(-1, "KWD")


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("12.305", "CNY", "too_many_places"),
        ("1.5", "JPY", "too_many_places"),
        ("10000000000000.01", "CNY", "amount_too_large"),
        ("-10000000000000.01", "CNY", "amount_too_large"),
        ("1", "RMB", "currency_unknown"),
        ("one", "CNY", "number_invalid"),
        (1.5, "CNY", "number_invalid"),
    ],
)
def test_amounts_that_cannot_be_are_refused(amount: str, currency: str, code: str) -> None:
    """Too fine, too large, unknown currencies and what is no number are refused."""
    assert refused(lambda: Money.of(amount, currency)) == code


@pytest.mark.parametrize("minor", [1.0, True, "1", None, Decimal(1)])
def test_minor_units_are_whole_numbers(minor: int) -> None:
    """Only an int counts minor units."""
    assert refused(lambda: Money(minor, "CNY")) == "amount_not_whole"


def test_money_is_added_and_compared() -> None:
    """Amounts of one currency add up, compare, and are true unless nothing."""
    one, two = Money(100, "CNY"), Money(200, "CNY")
    assert one + one == two
    assert one - two == -one == Money(-100, "CNY")
    assert one < two
    assert one <= two
    assert two > one
    assert two >= one
    assert not one > two
    assert bool(one)
    assert not Money(0, "CNY")
    assert len({one, Money(100, "CNY"), Money(100, "USD")}) == 2


@pytest.mark.parametrize(
    "work",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a < b,
        lambda a, b: a <= b,
        lambda a, b: a > b,
        lambda a, b: a >= b,
    ],
)
def test_currencies_do_not_mix(work: Callable[[Money, Money], object]) -> None:
    """Adding or comparing different currencies is refused, with both named."""
    with pytest.raises(CurrencyMismatch) as caught:
        work(Money(1, "CNY"), Money(1, "JPY"))
    assert caught.value.reasons[0].details == {"currencies": ["CNY", "JPY"]}
    assert Money(1, "CNY") != Money(1, "JPY")


@given(st.integers(-MAX_MINOR, MAX_MINOR), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_written_money_is_read_again(minor: int, currency: str) -> None:
    """What `str` writes, `of` reads."""
    money = Money(minor, currency)
    assert Money.of(str(money), currency) == money
