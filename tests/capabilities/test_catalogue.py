from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consignment.catalogue import Rejection
from consignment.domain.errors import NotFound, Refused, UnusableInput, reason
from consignment.domain.journal import FactKind
from consignment.ports.product_rows import ProductRow
from tests.capabilities.banks import FARM, Bank, reasons_of, row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from consignment.catalogue import ImportResult


@pytest.fixture
def farm(bank: Bank) -> Bank:
    """Make a bank with a partner that has nothing to sell yet."""
    bank.admit()
    return bank


def counts(result: ImportResult) -> tuple[int, int, int, int]:
    """Give how many rows were created, updated, unchanged and rejected."""
    return result.created, result.updated, result.unchanged, result.rejected


def rejections(result: ImportResult) -> list[tuple[int, list[dict[str, Any]]]]:
    """Give the rejected rows with their reasons as plain mappings."""
    return [(each.row, [why.as_dict() for why in each.reasons]) for each in result.rejections]


def test_rows_are_created_updated_and_left_alone(farm: Bank) -> None:
    """Each row ends as created, updated or unchanged; the same rows again change nothing."""
    catalogue = farm.desk.catalogue
    assert counts(catalogue.import_products(FARM, [row("A"), row("B")])) == (2, 0, 0, 0)
    changed = [row("A", agreed_price="70.00", color="red"), row("B"), row("C")]
    assert counts(catalogue.import_products(FARM, changed, actor="officer:li")) == (1, 1, 1, 0)
    facts = list(farm.desk.audit.facts())
    assert counts(catalogue.import_products(FARM, changed)) == (0, 0, 3, 0)
    assert list(farm.desk.audit.facts()) == facts
    assert [each.kind for each in facts[-2:]] == [
        FactKind.PRODUCT_CHANGED,
        FactKind.PRODUCTS_IMPORTED,
    ]
    assert facts[-2].actor == "officer:li"
    assert facts[-2].data == {
        "product_number": "A",
        "changes": {"agreed_price": ["68.80", "70.00"], "attributes": [{}, {"color": "red"}]},
    }
    assert facts[-1].data == {
        "created": 1,
        "updated": 1,
        "unchanged": 1,
        "rejected": 0,
        "first_row": 1,
        "last_row": 3,
    }


def test_a_changed_day_and_a_cleared_column_are_told(farm: Bank) -> None:
    """The journal has what a product was and is, in plain text."""
    farm.stock(row("A", on_sale_until="2027-01-01", category="fruit"))
    farm.stock(row("A", on_sale_until="2027-02-01", unit_places="1"))
    *_, changed, _ = farm.desk.audit.facts()
    assert changed.data["changes"] == {
        "unit_places": [0, 1],
        "category": ["fruit", None],
        "on_sale_until": ["2027-01-01", "2027-02-01"],
    }


def test_good_rows_land_although_others_are_bad(farm: Bank) -> None:
    """A rejected row has its number, its line and every reason with column and value."""
    rows = [
        ProductRow(1, 2, row("A")),
        ProductRow(2, 3, row("B", agreed_price="1.005", currency="CNY", gtin="6970000000018")),
        ProductRow(3, 7, {}, reason("too_few_cells", column="name", value="")),
        ProductRow(4, 8, row("C")),
    ]
    result = farm.desk.catalogue.import_products(FARM, rows)
    assert counts(result) == (2, 0, 0, 2)
    assert list(result.products) == [("A", "产品 A"), ("C", "产品 C")]
    assert [(each.row, each.line) for each in result.rejections] == [(2, 3), (3, 7)]
    assert rejections(result)[0][1] == [
        {"code": "too_many_places", "column": "agreed_price", "value": "1.005"},
        {"code": "gtin_check_failed", "column": "gtin", "value": "6970000000018"},
    ]
    assert rejections(result)[1][1] == [{"code": "too_few_cells", "column": "name", "value": ""}]
    with pytest.raises(NotFound):
        farm.desk.progress.by_number("B")


def test_a_number_of_another_partner_is_taken(farm: Bank) -> None:
    """Product numbers are unique in the bank, names are not."""
    farm.admit("other-farm")
    farm.stock(row("A"))
    result = farm.desk.catalogue.import_products("other-farm", [row("A"), row("B", name="产品 A")])
    assert rejections(result) == [(1, [{"code": "number_taken", "column": "number", "value": "A"}])]
    assert farm.desk.progress.by_number("A").partner_id == FARM
    assert farm.desk.progress.by_number("B").name == "产品 A"


def test_a_number_comes_once_in_an_import(farm: Bank) -> None:
    """The second row with a number is rejected, also in a later transaction of the import."""
    rows = [row("A"), row("A", name="另一个"), *(row(f"N{i}") for i in range(5_000)), row("A")]
    result = farm.desk.catalogue.import_products(FARM, rows)
    assert counts(result) == (5_001, 0, 0, 2)
    repeated = [{"code": "number_repeated", "column": "number", "value": "A"}]
    assert rejections(result) == [(2, repeated), (5_003, repeated)]
    assert farm.desk.progress.by_number("A").name == "产品 A"


def test_an_empty_number_is_assigned(farm: Bank) -> None:
    """The same row gets the same number each time."""
    first = farm.desk.catalogue.import_products(FARM, [row(None, name="无号")])
    ((number, name),) = first.products
    assert name == "无号"
    again = farm.desk.catalogue.import_products(FARM, [row("", name="无号")])
    assert counts(again) == (0, 0, 1, 0)
    assert list(again.products) == [(number, name)]


def test_what_counts_are_made_in_is_fixed_once_ordered(shop: Bank) -> None:
    """After an order unit, places and currency stay; the price may still change."""
    shop.place()
    changed = row(unit="BG", unit_places="2", currency="USD", agreed_price="1.00")
    result = shop.desk.catalogue.import_products(FARM, [changed])
    assert rejections(result) == [
        (
            1,
            [
                {"code": "fixed_since_ordered", "column": "unit", "value": "BG", "was": "BX"},
                {"code": "fixed_since_ordered", "column": "unit_places", "value": "2", "was": "0"},
                {
                    "code": "fixed_since_ordered",
                    "column": "currency",
                    "value": "USD",
                    "was": "CNY",
                },
            ],
        )
    ]
    cheaper = shop.desk.catalogue.import_products(FARM, [row(agreed_price="1.00")])
    assert counts(cheaper) == (0, 1, 0, 0)
    # The order keeps the price that was agreed when it was placed.
    assert shop.order().lines[0].agreed_price_minor == 6880
    assert str(shop.place("D-2").agreed_value) == "10.00"


def test_all_or_nothing(farm: Bank) -> None:
    """One bad row keeps all others out, and every one of them is told."""
    with pytest.raises(Refused) as refused:
        farm.desk.catalogue.import_products(
            FARM, [row("A"), row("B", name=""), row("A")], all_or_nothing=True
        )
    assert reasons_of(refused.value) == [
        {
            "code": "row_rejected",
            "row": 2,
            "line": 2,
            "reasons": [{"code": "text_missing", "column": "name", "value": ""}],
        },
        {
            "code": "row_rejected",
            "row": 3,
            "line": 3,
            "reasons": [{"code": "number_repeated", "column": "number", "value": "A"}],
        },
    ]
    with pytest.raises(NotFound):
        farm.desk.progress.by_number("A")
    assert FactKind.PRODUCTS_IMPORTED not in farm.kinds()


def test_all_or_nothing_of_good_rows(farm: Bank) -> None:
    """With only good rows everything lands, in one transaction, from a list or from a stream."""
    rows = [row(f"N{i}") for i in range(5_001)]
    result = farm.desk.catalogue.import_products(FARM, rows, all_or_nothing=True)
    assert counts(result) == (5_001, 0, 0, 0)
    streamed = farm.desk.catalogue.import_products(FARM, iter(rows), all_or_nothing=True)
    assert counts(streamed) == (0, 0, 5_001, 0)


def test_rows_are_streamed(farm: Bank) -> None:
    """An iterator is read once, in transactions of some thousand rows, and progress is told."""
    done: list[int] = []
    rows = (row(f"N{i}") for i in range(12_000))
    result = farm.desk.catalogue.import_products(FARM, rows, progress=done.append)
    assert counts(result) == (12_000, 0, 0, 0)
    assert done == [5_000, 10_000, 12_000]
    imports = [
        fact.data for fact in farm.desk.audit.facts() if fact.kind is FactKind.PRODUCTS_IMPORTED
    ]
    assert [(each["first_row"], each["last_row"]) for each in imports] == [
        (1, 5_000),
        (5_001, 10_000),
        (10_001, 12_000),
    ]


def test_what_came_before_a_broken_source_stands(farm: Bank) -> None:
    """Transactions that were committed before the source failed stand; the error is passed on."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from (row(f"N{i}") for i in range(5_000))
        raise UnusableInput(reason("unreadable"))

    with pytest.raises(UnusableInput):
        farm.desk.catalogue.import_products(FARM, rows())
    assert farm.desk.progress.by_number("N4999").partner_id == FARM
    again = farm.desk.catalogue.import_products(FARM, [row("N0")])
    assert counts(again) == (0, 0, 1, 0)


@pytest.mark.parametrize("all_or_nothing", [False, True])
@pytest.mark.parametrize("rows", [[], [row("A")]])
def test_only_an_admitted_partner_imports(
    bank: Bank, rows: list[dict[str, Any]], *, all_or_nothing: bool
) -> None:
    """A partner that is unknown, or applied only, is refused, even with no rows."""
    with pytest.raises(Refused) as refused:
        bank.desk.catalogue.import_products(FARM, rows, all_or_nothing=all_or_nothing)
    assert reasons_of(refused.value) == [
        {"code": "partner_not_admitted", "partner_id": FARM, "status": None}
    ]


def test_an_expired_admission_imports_nothing(farm: Bank) -> None:
    """On the last day it still does, on the day after it does not."""
    farm.later(days=365)
    assert counts(farm.desk.catalogue.import_products(FARM, [row("A")])) == (1, 0, 0, 0)
    farm.later(days=1)
    with pytest.raises(Refused) as refused:
        farm.desk.catalogue.import_products(FARM, [row("B")])
    assert reasons_of(refused.value) == [
        {"code": "partner_not_admitted", "partner_id": FARM, "status": "admitted"}
    ]


def test_no_rows_are_no_import(farm: Bank) -> None:
    """An empty source lands nothing and says so."""
    result = farm.desk.catalogue.import_products(FARM, [])
    assert counts(result) == (0, 0, 0, 0)
    assert (len(result.products), len(result.rejections)) == (0, 0)


def test_the_result_is_a_sequence(farm: Bank) -> None:
    """What landed can be counted, indexed from both ends, sliced and compared, though packed."""
    result = farm.desk.catalogue.import_products(FARM, (row(f"N{i}") for i in range(5_002)))
    products = result.products
    assert len(products) == 5_002
    assert products[0] == ("N0", "产品 N0")
    assert products[5_001] == products[-1] == ("N5001", "产品 N5001")
    assert products[-5_002] == products[0]
    assert products[4_999:5_001] == [("N4999", "产品 N4999"), ("N5000", "产品 N5000")]
    assert products == list(products)
    assert products != 5
    for outside in (5_002, -5_003):
        with pytest.raises(IndexError):
            products[outside]
    bad = farm.desk.catalogue.import_products(FARM, [row("A", unit="")])
    (rejection,) = bad.rejections
    assert rejection == Rejection(1, 1, (reason("text_missing", column="unit", value=""),))
    assert rejection.reasons[0].details == {"column": "unit", "value": ""}
