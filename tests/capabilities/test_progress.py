from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from consignment.domain.errors import InvalidValue, NotFound
from consignment.testing import builders
from tests.capabilities.banks import FARM, ORDER, Bank, reasons_of, row

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.domain.progress import Progress


@pytest.fixture
def orchard(bank: Bank) -> Bank:
    """Make a bank with products whose names have something in common."""
    bank.admit()
    bank.admit("blue-farm")
    bank.stock(
        row("A1", name="苹果"),
        row("A2", name="苹果 5kg"),
        row("A3", name="阿克苏苹果"),
        row("B1", name="APPLE Juice １Ｌ"),
        row("B2", name="Pineapple"),
    )
    bank.stock(row("A4", name="苹果"), partner_id="blue-farm")
    return bank


def found(bank: Bank, text: str) -> list[str]:
    """Give the numbers of the products found by name."""
    return [each.product_number for each in bank.desk.progress.by_name(text).products]


# By number.


def test_a_product_that_was_never_ordered_has_zeros(shop: Bank) -> None:
    """It exists: so there is one answer, with its lifetime and no sell-through."""
    shop.stock(row(on_sale_until="2026-09-30"))
    progress = shop.desk.progress.by_number("APPLE")
    assert (progress.stage, str(progress.ordered), progress.sell_through) == (
        "not_ordered",
        "0",
        None,
    )
    assert progress.sell_through_text is None
    assert (progress.lifetime_left_days, progress.as_of) == (29, builders.NOW)
    assert progress.first_sale_at is progress.last_report_at is None


def test_an_unknown_number_is_refused(shop: Bank) -> None:
    """Never zeros for a number that does not exist; each unknown one is named."""
    with pytest.raises(NotFound) as refused:
        shop.desk.progress.by_numbers(["PEAR", "APPLE", "PLUM"])
    assert reasons_of(refused.value) == [
        {"code": "product_unknown", "product_number": "PEAR"},
        {"code": "product_unknown", "product_number": "PLUM"},
    ]


def test_answers_come_in_the_order_asked(orchard: Bank) -> None:
    """Also over several partners, and when one is asked for twice."""
    numbers = ["B1", "A4", "A1", "B1"]
    answers = orchard.desk.progress.by_numbers(numbers)
    assert [each.product_number for each in answers] == numbers
    assert [each.partner_id for each in answers] == [FARM, "blue-farm", FARM, FARM]
    assert orchard.desk.progress.by_numbers([]) == []


def test_a_product_sums_up_all_its_orders(shop: Bank) -> None:
    """Quantities, sales and instants over all orders; an order's own answer has its share."""
    shop.place()
    shop.place("D-2", ("APPLE", "5"))
    second = "D-2:green-farm"
    shop.take(
        builders.accepted(),
        builders.accepted(second, report_id="AC-2"),
        builders.procured(),
        builders.procured(second, ("APPLE", "2", "50.00"), report_id="PR-2"),
        builders.sold(ORDER, ("APPLE", "6", "70.00"), at=builders.NOW.replace(hour=1)),
    )
    shop.later(hours=3)
    shop.take(
        builders.sold(second, ("APPLE", "2", "65.00"), report_id="SR-2"),
        builders.returned(ORDER, ("APPLE", "1", "70.00")),
    )
    progress = shop.desk.progress.by_number("APPLE")
    assert (str(progress.ordered), str(progress.procured), str(progress.unsold)) == (
        "15",
        "12",
        "5",
    )
    assert (str(progress.sold), str(progress.returned), str(progress.net_sold)) == ("8", "1", "7")
    assert (str(progress.gross_sales), str(progress.net_sales)) == ("550.00", "480.00")
    assert progress.currency == "CNY"
    assert progress.sell_through == Fraction(7, 12)
    assert progress.sell_through_text == "0.5833"
    assert progress.stage == "on_sale"
    assert progress.first_sale_at == builders.NOW.replace(hour=1)
    assert progress.last_sale_at == builders.NOW.replace(hour=3)
    (own,) = shop.desk.progress.by_order(second)
    assert (own.order_id, own.stage) == (second, "on_sale")
    assert (str(own.ordered), str(own.net_sales)) == ("5", "130.00")


def test_a_product_goes_through_its_stages(shop: Bank) -> None:
    """Not ordered, ordered, on sale, sold out, settled; a declined order counts as none."""

    def stage() -> str:
        return shop.desk.progress.by_number("APPLE").stage

    shop.place("D-0")
    shop.take(builders.rejected("D-0:green-farm"))
    stages = [stage()]
    shop.place()
    stages.append(stage())
    shop.take(builders.accepted(), builders.procured())
    stages.append(stage())
    shop.take(builders.sold())
    stages.append(stage())
    shop.take(builders.completed())
    shop.desk.settlement.settle(ORDER)
    stages.append(stage())
    assert stages == ["not_ordered", "ordered", "on_sale", "sold_out", "settled"]
    assert str(shop.desk.progress.by_number("APPLE").settled) == "10"


# By order.


def test_an_order_is_told_line_by_line(shop: Bank) -> None:
    """In the order's own order."""
    shop.stock(row("AVOCADO", unit_places="3", on_sale_until="2026-09-11"))
    order_id = shop.place("D-1", ("APPLE", "1"), ("AVOCADO", "1.250")).order_id
    first, second = shop.desk.progress.by_order(order_id)
    assert (first.product_number, first.lifetime_left_days) == ("APPLE", None)
    assert (str(second.ordered), second.lifetime_left_days) == ("1.250", 10)
    assert {first.stage, second.stage} == {"placed"}


def test_the_last_report_is_the_same_everywhere(shop: Bank) -> None:
    """Of an order, its products, and all by whom they are sold: also where no count changed."""
    shop.stock(row("PEAR"))
    shop.place("D-1", ("APPLE", "10"), ("PEAR", "3"))
    progress = shop.desk.progress

    def last() -> set[datetime | None]:
        answers = [
            *progress.by_order(ORDER),
            *progress.by_numbers(["APPLE", "PEAR"]),
            *progress.by_partner(FARM),
            *progress.by_sales_partner("sp-li"),
            *progress.by_business_line("retail"),
        ]
        assert len(answers) == 10
        return {each.last_report_at for each in answers}

    assert last() == {None}
    for report in (
        builders.accepted(),
        builders.procured(ORDER, ("APPLE", "10", "495.00")),
        builders.sold(ORDER, ("APPLE", "4", "280.00")),
    ):
        shop.later(minutes=1)
        shop.take(report)
        assert last() == {shop.desk.dispatch.order(ORDER).last_report_at}
    assert last() != {None}


def test_an_unknown_order_is_refused(shop: Bank) -> None:
    """Never an empty answer for an order that does not exist."""
    with pytest.raises(NotFound) as refused:
        shop.desk.progress.by_order("D-9:green-farm")
    assert refused.value.codes == ("order_unknown",)


# By partner, sales partner and business line.


def both_farms(shop: Bank) -> None:
    """Let two partners sell for two sales partners in two business lines."""
    shop.admit("blue-farm", "retail", "corporate")
    shop.stock(row("FISH", agreed_price="5.00"), row("SHELL"), partner_id="blue-farm")
    shop.desk.sales_partners.add(builders.a_sales_partner("sp-wu"))
    shop.place("D-1", ("APPLE", "10"))
    shop.desk.dispatch.place(
        builders.a_demand("D-2", ("APPLE", "1"), ("FISH", "4"), sales_partner_id="sp-wu")
    )
    shop.desk.dispatch.place(builders.a_demand("D-3", ("FISH", "2"), business_line="corporate"))
    shop.take(builders.accepted(), builders.procured(), builders.sold(ORDER, ("APPLE", "3", "70")))
    for demand_id, quantity in (("D-2", "4"), ("D-3", "2")):
        order_id, goods = f"{demand_id}:blue-farm", ("FISH", quantity, "6.00")
        shop.take(
            builders.accepted(order_id, report_id=f"AC-{demand_id}"),
            builders.procured(order_id, goods, report_id=f"PR-{demand_id}"),
            builders.sold(order_id, goods, report_id=f"SR-{demand_id}"),
            partner_id="blue-farm",
        )


def summed(answers: list[Progress]) -> list[tuple[str, str, str, str]]:
    """Give number, ordered, net sold and net sales of each answer."""
    return [
        (each.product_number, str(each.ordered), str(each.net_sold), str(each.net_sales))
        for each in answers
    ]


def test_a_partner_is_told_by_product(shop: Bank) -> None:
    """What was ever ordered of it, over all orders; nothing of others."""
    both_farms(shop)
    progress = shop.desk.progress
    assert summed(progress.by_partner("blue-farm")) == [("FISH", "6", "6", "36.00")]
    assert summed(progress.by_partner(FARM)) == [("APPLE", "11", "3", "210.00")]
    assert progress.by_partner(FARM) == [progress.by_number("APPLE")]
    shop.admit("new-farm")
    assert progress.by_partner("new-farm") == []
    with pytest.raises(NotFound) as refused:
        progress.by_partner("nobody")
    assert reasons_of(refused.value) == [{"code": "partner_unknown", "partner_id": "nobody"}]


def test_a_sales_partner_is_told_of_its_own(shop: Bank) -> None:
    """Only the orders on its behalf count."""
    both_farms(shop)
    progress = shop.desk.progress
    assert summed(progress.by_sales_partner("sp-wu")) == [
        ("FISH", "4", "4", "24.00"),
        ("APPLE", "1", "0", "0.00"),
    ]
    assert summed(progress.by_sales_partner("sp-li")) == [
        ("FISH", "2", "2", "12.00"),
        ("APPLE", "10", "3", "210.00"),
    ]
    with pytest.raises(NotFound) as refused:
        progress.by_sales_partner("nobody")
    assert refused.value.codes == ("sales_partner_unknown",)


def test_a_business_line_is_told_of_its_own(shop: Bank) -> None:
    """Orders in other lines do not count; a line without orders has nothing."""
    both_farms(shop)
    progress = shop.desk.progress
    assert summed(progress.by_business_line("corporate")) == [("FISH", "2", "2", "12.00")]
    assert summed(progress.by_business_line("retail")) == [
        ("FISH", "4", "4", "24.00"),
        ("APPLE", "11", "3", "210.00"),
    ]
    assert progress.by_business_line("interbank") == []


# By name.


def test_the_whole_name_comes_first(orchard: Bank) -> None:
    """Then names that begin with the text, then those that have it; equal ones by number."""
    assert found(orchard, "苹果") == ["A1", "A4", "A2", "A3"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("果", ["A1", "A3", "A4", "A2"]),
        ("apple", ["B1", "B2"]),
        ("ＡＰＰＬＥ", ["B1", "B2"]),
        (" juice  1l ", ["B1"]),
        ("5KG", ["A2"]),
        ("梨", []),
        ("%", []),
        ("_", []),
    ],
)
def test_width_case_and_composition_do_not_matter(
    orchard: Bank, text: str, numbers: list[str]
) -> None:
    """Names are found by any part, from one character on; nothing found is an empty page."""
    assert found(orchard, text) == numbers


def test_many_products_are_paged(orchard: Bank) -> None:
    """Each page goes on behind the one before, over the ranks; the last says that it is."""
    pages: list[list[str]] = []
    page: str | None = None
    while True:
        answer = orchard.desk.progress.by_name("苹果", page=page, limit=1)
        pages.append([each.product_number for each in answer.products])
        page = answer.next_page
        if page is None:
            break
    assert pages == [["A1"], ["A4"], ["A2"], ["A3"]]
    assert orchard.desk.progress.by_name("苹果", limit=4).next_page is None


@pytest.mark.parametrize("text", ["", "  ", "\u3000"])
def test_a_name_is_needed(orchard: Bank, text: str) -> None:
    """Nothing but blanks finds nothing: it is refused."""
    with pytest.raises(InvalidValue) as refused:
        orchard.desk.progress.by_name(text)
    assert refused.value.codes == ("name_empty",)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_page_has_a_size(orchard: Bank, limit: int) -> None:
    """From one to a thousand."""
    with pytest.raises(InvalidValue) as refused:
        orchard.desk.progress.by_name("苹果", limit=limit)
    assert reasons_of(refused.value) == [{"code": "limit_invalid", "limit": limit, "most": 1000}]


@pytest.mark.parametrize(
    "page",
    ["", "3:A1", "0:", "A1", "4:1:果A1", "0:0:A1", "0:17:果A1", "1:1:果", "1:2:果", "-1:1:果A1"],
)
def test_a_page_is_named_by_the_one_before(orchard: Bank, page: str) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidValue) as refused:
        orchard.desk.progress.by_name("苹果", page=page)
    assert reasons_of(refused.value) == [{"code": "page_invalid", "page": page}]
