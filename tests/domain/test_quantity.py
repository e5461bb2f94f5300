"""Quantities, and what is digested."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.digest import content_digest
from consignment.domain.errors import InvalidValue
from consignment.domain.quantity import MAX_UNIT_PLACES, Quantity


def test_quantity_is_read_and_written() -> None:
    """A quantity in whole units becomes a count of smallest units and back."""
    quantity = Quantity.of("1.250", 3)
    assert quantity == Quantity(1250, 3)
    assert (str(quantity), quantity.amount) == ("1.250", Decimal("1.25"))
    assert Quantity.of(7) == Quantity(7)
    assert bool(quantity)
    assert not Quantity(0, 3)


@pytest.mark.parametrize(
    ("value", "places"), [("1.5", 0), ("1.2501", 3), ("x", 0), ("1e1", 0), (str(10**15 + 1), 0)]
)
def test_what_cannot_be_counted_is_refused(value: str, places: int) -> None:
    """Too fine, too large and what is no number are refused."""
    with pytest.raises(InvalidValue) as caught:
        Quantity.of(value, places)
    assert caught.value.codes == ("quantity_invalid",)
    assert caught.value.reasons[0].details["unit_places"] == places


@pytest.mark.parametrize("places", [-1, MAX_UNIT_PLACES + 1])
def test_units_have_up_to_six_places(places: int) -> None:
    """A unit has none to six decimal places."""
    with pytest.raises(ValueError, match="places"):
        Quantity(1, places)


@given(st.integers(-(10**15), 10**15), st.integers(0, MAX_UNIT_PLACES))
def test_a_written_quantity_is_read_again(count: int, places: int) -> None:
    """What `str` writes, `of` reads."""
    assert Quantity.of(str(Quantity(count, places)), places) == Quantity(count, places)


def test_digests_tell_contents_apart() -> None:
    """Equal content has equal digests; other values, orders and nestings have others."""
    contents: list[tuple[object, ...]] = [
        ("a", "b"),
        ("ab",),
        ("b", "a"),
        (["a", "b"],),
        ("a", ["b"]),
        (1,),
        ("1",),
        (None,),
        ("null",),
        (True,),
        ({"x": 1, "y": 2},),
        ({"x": 2, "y": 1},),
        ("苹果",),
        ("\ud800",),
    ]
    digests = [content_digest(*each) for each in contents]
    assert len(set(digests)) == len(contents)
    assert digests == [content_digest(*each) for each in contents]
    assert content_digest({"y": 2, "x": 1}) == content_digest({"x": 1, "y": 2})
    assert content_digest(Decimal("1.0")) == content_digest("1.0")
