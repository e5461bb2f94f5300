"""Products, and how a row of an import is read."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.money import MAX_MINOR, Money
from consignment.domain.product import COLUMNS, ConsignedProduct, read_row
from consignment.testing.builders import TODAY, a_product


def _row(**columns: object) -> dict[str, object]:
    return {
        "number": "AKS-1",
        "name": "苹果 5kg",
        "unit": "BX",
        "currency": "CNY",
        "agreed_price": "68.80",
        **columns,
    }


def _read(**columns: object) -> ConsignedProduct:
    product = read_row("green-farm", _row(**columns))
    assert isinstance(product, ConsignedProduct)
    return product


def _faults(**columns: object) -> list[tuple[str, str]]:
    faults = read_row("green-farm", _row(**columns))
    assert isinstance(faults, list)
    return [(each.details["column"], each.code) for each in faults]


def test_a_whole_row_is_read() -> None:
    """Every column comes where it belongs; others become attributes, by name."""
    product = _read(
        unit_places="3",
        gtin="6970000000017",
        category="fruit",
        on_sale_from="2026-09-01",
        on_sale_until="2026-12-31",
        产地="阿克苏",
        brand="x",
        empty="",
        none=None,
    )
    assert product == ConsignedProduct(
        "green-farm",
        "AKS-1",
        "苹果 5kg",
        "BX",
        3,
        "CNY",
        6880,
        "6970000000017",
        "fruit",
        date(2026, 9, 1),
        date(2026, 12, 31),
        (("brand", "x"), ("产地", "阿克苏")),
    )
    assert product.agreed_price == Money(6880, "CNY")


def test_blank_optional_columns_count_as_absent() -> None:
    """What a spreadsheet leaves empty is not there."""
    names = ("unit_places", "gtin", "category", "on_sale_from", "on_sale_until")
    assert _read(**dict.fromkeys(names, "")) == _read(**dict.fromkeys(names)) == _read()


@pytest.mark.parametrize(
    ("columns", "column", "code"),
    [
        ({"name": None}, "name", "text_missing"),
        ({"name": "  "}, "name", "text_missing"),
        ({"name": "x" * 201}, "name", "text_too_long"),
        ({"name": " x"}, "name", "text_has_outer_spaces"),
        ({"name": "a\u202eb"}, "name", "text_unprintable"),
        ({"name": 7}, "name", "not_text"),
        ({"number": "x" * 65}, "number", "text_too_long"),
        ({"number": "a\n"}, "number", "text_unprintable"),
        ({"number": 12}, "number", "not_text"),
        ({"unit": ""}, "unit", "text_missing"),
        ({"unit": "x" * 17}, "unit", "text_too_long"),
        ({"unit": 1}, "unit", "not_text"),
        ({"unit_places": "7"}, "unit_places", "unit_places_invalid"),
        ({"unit_places": "-1"}, "unit_places", "unit_places_invalid"),
        ({"unit_places": "1.0"}, "unit_places", "unit_places_invalid"),
        ({"unit_places": "１"}, "unit_places", "unit_places_invalid"),
        ({"unit_places": True}, "unit_places", "unit_places_invalid"),
        ({"unit_places": 2.0}, "unit_places", "unit_places_invalid"),
        ({"unit_places": 7}, "unit_places", "unit_places_invalid"),
        ({"currency": ""}, "currency", "text_missing"),
        ({"currency": None}, "currency", "text_missing"),
        ({"currency": 156}, "currency", "not_text"),
        ({"currency": "RMB"}, "currency", "currency_unknown"),
        ({"agreed_price": None}, "agreed_price", "text_missing"),
        ({"agreed_price": 68.8}, "agreed_price", "not_text"),
        ({"agreed_price": 68}, "agreed_price", "not_text"),
        ({"agreed_price": ""}, "agreed_price", "price_invalid"),
        ({"agreed_price": "1,000.00"}, "agreed_price", "price_invalid"),
        ({"agreed_price": "1e3"}, "agreed_price", "price_invalid"),
        ({"agreed_price": "NaN"}, "agreed_price", "price_invalid"),
        ({"agreed_price": "１"}, "agreed_price", "price_invalid"),
        ({"agreed_price": "-"}, "agreed_price", "price_invalid"),
        ({"agreed_price": "-1.00"}, "agreed_price", "price_negative"),
        ({"agreed_price": "1.005"}, "agreed_price", "too_many_places"),
        ({"agreed_price": "10000000000000.01"}, "agreed_price", "amount_too_large"),
        ({"gtin": "697000000001"}, "gtin", "gtin_check_failed"),
        ({"gtin": "6970000000018"}, "gtin", "gtin_check_failed"),
        ({"gtin": "123456789"}, "gtin", "gtin_invalid"),
        ({"gtin": "697000000001X"}, "gtin", "gtin_invalid"),
        ({"gtin": "６970000000017"}, "gtin", "gtin_invalid"),
        ({"gtin": 6970000000017}, "gtin", "not_text"),
        ({"category": "x" * 101}, "category", "text_too_long"),
        ({"category": 5}, "category", "not_text"),
        ({"on_sale_from": "2026-02-30"}, "on_sale_from", "date_invalid"),
        ({"on_sale_from": "2026-9-1"}, "on_sale_from", "date_invalid"),
        ({"on_sale_until": "20260901"}, "on_sale_until", "date_invalid"),
        ({"on_sale_until": "2026-W36-2"}, "on_sale_until", "date_invalid"),
        ({"on_sale_until": date(2026, 9, 1)}, "on_sale_until", "not_text"),
        (
            {"on_sale_from": "2026-09-02", "on_sale_until": "2026-09-01"},
            "on_sale_until",
            "lifetime_reversed",
        ),
        ({"x" * 65: "1"}, "x" * 65, "attribute_invalid"),
        ({"note": "x" * 1001}, "note", "attribute_invalid"),
        ({"note": 1}, "note", "attribute_invalid"),
        ({"note": "a\x00"}, "note", "attribute_invalid"),
    ],
)
def test_each_fault_names_its_column(columns: dict[str, Any], column: str, code: str) -> None:
    """A row that cannot be read says which column is at fault, by a code."""
    assert _faults(**columns) == [(column, code)]


def test_all_faults_of_a_row_are_named() -> None:
    """The first fault does not hide the others."""
    assert _faults(name="", unit=None, currency="XXX", gtin="1", on_sale_from="soon") == [
        ("name", "text_missing"),
        ("unit", "text_missing"),
        ("currency", "currency_unknown"),
        ("gtin", "gtin_invalid"),
        ("on_sale_from", "date_invalid"),
    ]


def test_more_cells_than_columns_are_named() -> None:
    """What stands beyond the last column (as a CSV reader gives it) is a fault."""
    assert read_row("green-farm", {**_row(), None: ["more"]})[0].code == "too_many_columns"  # type: ignore[dict-item, index] # as csv.DictReader gives it
    many = {f"a{i}": "x" for i in range(51)}
    assert _faults(**many) == [("", "too_many_columns")]
    assert len(_read(**dict(list(many.items())[:50])).attributes) == 50


def test_a_fault_shows_what_was_there() -> None:
    """The value at fault is shown, cut to what a person reads."""
    faults = read_row("green-farm", _row(name="x" * 500, agreed_price=None))
    assert isinstance(faults, list)
    assert [each.details["value"] for each in faults] == ["x" * 80, ""]


def test_places_and_prices_of_currencies_differ() -> None:
    """A price has as many places as its currency; a GTIN of each length is taken."""
    assert _read(currency="JPY", agreed_price="12").agreed_price_minor == 12
    assert _faults(currency="JPY", agreed_price="12.0") == [("agreed_price", "too_many_places")]
    assert _read(currency="KWD", agreed_price="1.5").agreed_price_minor == 1500
    assert _read(agreed_price="10000000000000").agreed_price_minor == MAX_MINOR
    assert _read(agreed_price="0").agreed_price_minor == 0
    assert _read(unit_places=6).unit_places == 6
    for gtin in ("96385074", "036000291452", "4006381333931", "10614141000415"):
        assert _read(gtin=gtin).gtin == gtin


# Assigned numbers.


def test_an_assigned_number_is_the_same_each_time() -> None:
    """It follows from partner, name as it is compared, unit and GTIN; nothing else changes it."""
    number = _read(number="").number
    assert number.startswith("P-")
    assert len(number) == 18
    same = [
        _read(number=None),
        _read(number="", agreed_price="1.00", category="x"),
        _read(number="", name="苹果　5KG"),
    ]
    assert {each.number for each in same} == {number}
    others = [
        _read(number="", name="苹果 6kg"),
        _read(number="", unit="BG"),
        _read(number="", gtin="6970000000017"),
        read_row("other-farm", _row(number="")),
    ]
    numbers = {each.number for each in others if isinstance(each, ConsignedProduct)}
    assert len(numbers | {number}) == 5


def test_no_number_is_assigned_to_a_bad_row() -> None:
    """A row that is not taken has its own faults only."""
    assert _faults(number="", name="") == [("name", "text_missing")]


# Products.


def test_the_lifetime_includes_both_days() -> None:
    """On sale from the first to the last day; an open end is no end."""
    product = a_product(on_sale_from=date(2026, 9, 1), on_sale_until=date(2026, 9, 3))
    days = [date(2026, 8, 31), *(date(2026, 9, each) for each in range(1, 5))]
    assert [product.on_sale(day) for day in days] == [False, True, True, True, False]
    assert [product.lifetime_left_days(day) for day in days] == [3, 2, 1, 0, 0]
    assert a_product().on_sale(date.min)
    assert a_product().lifetime_left_days(TODAY) is None


def test_same_means_what_an_import_gives() -> None:
    """The revision does not matter, everything else does."""
    product = a_product(revision=3)
    assert product.same_as(a_product())
    assert product.same_as(product)
    assert not product.same_as(a_product(name="x"))
    assert not product.same_as(a_product(attributes=(("a", "b"),)))


def test_a_product_that_was_never_ordered_may_change() -> None:
    """The row's content is taken, the revision stays."""
    row = a_product(unit="BG", unit_places=3, currency="USD", name="x")
    revised = a_product(revision=3).revised(row, ordered=False)
    assert revised == evolve(row, revision=3)


def test_once_ordered_what_is_counted_in_is_fixed() -> None:
    """Unit, places and currency stay when the product was ordered; the rest may change."""
    product = a_product()
    faults = product.revised(a_product(unit="BG", unit_places=3, currency="USD"), ordered=True)
    assert isinstance(faults, list)
    assert [each.as_dict() for each in faults] == [
        {"code": "fixed_since_ordered", "column": "unit", "value": "BG", "was": "BX"},
        {"code": "fixed_since_ordered", "column": "unit_places", "value": "3", "was": "0"},
        {"code": "fixed_since_ordered", "column": "currency", "value": "USD", "was": "CNY"},
    ]
    assert product.revised(a_product(name="x", price="1"), ordered=True) == a_product(
        name="x", price="1"
    )


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(COLUMNS), st.text(max_size=5)),
        st.one_of(st.none(), st.text(max_size=8), st.integers(), st.floats(), st.booleans()),
    )
)
def test_any_row_is_read_or_refused(row: dict[str, object]) -> None:
    """Whatever stands in a row, the answer is a product or at least one reason."""
    result = read_row("green-farm", row)
    assert isinstance(result, ConsignedProduct) or result
