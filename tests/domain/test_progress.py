"""How goods sell: tallies and what they say."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from consignment.domain.errors import Refused
from consignment.domain.money import Money
from consignment.domain.order import OrderState, PurchaseOrder
from consignment.domain.progress import (
    ProductStage,
    Progress,
    Tally,
    TallyChange,
    added_up,
    tally_changes,
)
from consignment.domain.quantity import Quantity
from consignment.testing.builders import (
    NOW,
    TODAY,
    a_line,
    a_product,
    accepted,
    an_order,
    completed,
    procured,
    rejected,
    returned,
    sent_back,
    sold,
    written_off,
)

if TYPE_CHECKING:
    from consignment.domain.report import PartnerReport

_LATER = NOW + timedelta(hours=3)
_TICK = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("tally", "stage"),
    [
        (Tally(), ProductStage.NOT_ORDERED),
        (Tally(10), ProductStage.ORDERED),
        (Tally(10, 5), ProductStage.ON_SALE),
        (Tally(10, 5, 4), ProductStage.ON_SALE),
        (Tally(10, 5, 5), ProductStage.SOLD_OUT),
        (Tally(10, 5, 5, settled=4), ProductStage.SOLD_OUT),
        (Tally(10, 5, 5, settled=5), ProductStage.SETTLED),
        (Tally(10, 5, 5, returned=1), ProductStage.ON_SALE),
        (Tally(10, 5, 3, 1, 2, 1, settled=2), ProductStage.SETTLED),
    ],
)
def test_stages(tally: Tally, stage: ProductStage) -> None:
    """A product's stage follows from its counts."""
    assert tally.stage is stage


_COUNTS = st.integers(-(10**6), 10**6)
_INSTANTS = st.one_of(st.none(), st.integers(-100, 100).map(lambda n: NOW + n * _TICK))
_TALLIES = st.builds(Tally, *[_COUNTS] * 9, _INSTANTS, _INSTANTS, _INSTANTS)


@given(_TALLIES, _TALLIES, _TALLIES)
def test_tallies_add_up_in_any_order(a: Tally, b: Tally, c: Tally) -> None:
    """Changes can come in any order and grouping; nothing changes nothing."""
    assert a.plus(b) == b.plus(a)
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert a.plus(Tally()) == a


_REPORTS = st.lists(
    st.sampled_from(
        [
            rejected(),
            accepted(at=NOW),
            procured("D-1:green-farm", ("APPLE", "3", "1")),
            sold("D-1:green-farm", ("APPLE", "2", "1.5"), at=NOW + _TICK),
            sold("D-1:green-farm", ("APPLE", "1", "1.5"), at=NOW - _TICK),
            returned("D-1:green-farm", ("APPLE", "1", "1")),
            sent_back("D-1:green-farm", ("APPLE", "1", "1")),
            written_off("D-1:green-farm", ("APPLE", "1")),
            completed(),
        ]
    ),
    max_size=15,
)


def _changes(before: PurchaseOrder | None, after: PurchaseOrder) -> dict[str, Tally]:
    return {each.product_number: each.change for each in tally_changes(before, after)}


@given(_REPORTS)
def test_changes_sum_up_to_the_order(reports: list[PartnerReport]) -> None:
    """Summed over an order's life, its changes are its counts; void orders count as none."""
    order = an_order("D-1", "green-farm", a_line(ordered=8), a_line("PEAR"))
    tallies = _changes(None, order)
    assert tallies == {"APPLE": Tally(8), "PEAR": Tally(10)}
    for report in [accepted(), *reports] if len(reports) % 2 else reports:
        try:
            changed = order.take(report, _LATER)
        except Refused:
            continue
        for number, change in _changes(order, changed).items():
            tallies[number] = tallies[number].plus(change)
        order = changed
    if order.state is OrderState.COMPLETED:
        settled = order.settled(_LATER)
        for number, change in _changes(order, settled).items():
            tallies[number] = tallies[number].plus(change)
        order = settled
    void = order.state is OrderState.REJECTED
    for line in order.lines:
        tally = tallies[line.product_number]
        assert tally.ordered == (0 if void else line.ordered)
        assert (tally.procured, tally.sold, tally.returned) == (
            line.procured,
            line.sold,
            line.returned,
        )
        assert (tally.sent_back, tally.written_off, tally.settled) == (
            line.sent_back,
            line.written_off,
            line.settled,
        )
        assert tally.unsold == line.unsold
        assert tally.gross_sales_minor == line.gross_sales_minor
        assert tally.returns_minor == line.returns_minor
        assert (tally.first_sale_at, tally.last_sale_at) == (line.first_sale_at, line.last_sale_at)


@pytest.mark.parametrize(
    "end",
    [
        lambda o: o.cancelled("why", NOW),
        lambda o: o.expired(NOW),
        lambda o: o.take(rejected(), NOW),
    ],
)
def test_an_order_that_ended_early_was_never_ordered(end: object) -> None:
    """Cancelling, expiry and rejection take the ordered quantity back."""
    order = an_order()
    ended = end(order)  # type: ignore[operator] # a function
    assert _changes(order, ended)["APPLE"].ordered == -10
    assert tally_changes(ended, ended) == []


def test_a_report_is_one_on_every_line() -> None:
    """What a report names is counted anew; of the other lines it is the last report too."""
    order = an_order("D-1", "green-farm", a_line(), a_line("PEAR"), state=OrderState.ACCEPTED)
    changed = order.take(procured("D-1:green-farm", ("PEAR", "1", "1")), _LATER)
    assert _changes(order, changed) == {
        "APPLE": Tally(last_report_at=changed.last_report_at),
        "PEAR": Tally(procured=1, last_report_at=changed.last_report_at),
    }
    assert changed.last_report_at is not None
    assert tally_changes(changed, evolve(changed, accepted_at=_LATER)) == []


def test_accepting_is_a_report_on_the_products() -> None:
    """The products' last report is the order's, also where it has changed no count."""
    order = an_order()
    taken = order.take(accepted(), _LATER)
    assert _changes(order, taken) == {"APPLE": Tally(last_report_at=taken.last_report_at)}
    assert taken.last_report_at is not None


def test_changes_say_what_they_are_counted_in_and_for_whom() -> None:
    """A change names partner, product, sales partner, line, currency and unit places."""
    line = a_line("PEAR", 1500, places=3)
    order = an_order(
        "D-1",
        "farm",
        line,
        currency="USD",
        sales_partner_id="sp-wang",
        business_line="corporate",
    )
    assert tally_changes(None, order) == [
        TallyChange("farm", "PEAR", "sp-wang", "corporate", "USD", 3, Tally(1500))
    ]


def test_tallies_of_the_same_key_are_added_up() -> None:
    """By rising key, whatever order they came in."""
    found = added_up([(("b", 1), Tally(1)), (("a", 2), Tally(2)), (("b", 1), Tally(4))])
    assert found == [(("a", 2), Tally(2)), (("b", 1), Tally(5))]


def test_progress_of_a_product() -> None:
    """Every figure of the answer, with units, money and the share sold."""
    product = a_product(unit_places=3, on_sale_until=TODAY + timedelta(days=9))
    at = [NOW + i * _TICK for i in range(4)]
    tally = Tally(9000, 3000, 2500, 500, 400, 100, 1000, 12_345, 345, at[0], at[1], at[2])
    progress = Progress.of_product(product, tally, as_of=at[3], today=TODAY)
    assert progress == Progress(
        product_number="APPLE",
        name=product.name,
        partner_id="green-farm",
        stage="on_sale",
        ordered=Quantity(9000, 3),
        procured=Quantity(3000, 3),
        sold=Quantity(2500, 3),
        returned=Quantity(500, 3),
        net_sold=Quantity(2000, 3),
        sent_back=Quantity(400, 3),
        written_off=Quantity(100, 3),
        unsold=Quantity(500, 3),
        settled=Quantity(1000, 3),
        gross_sales=Money(12_345, "CNY"),
        net_sales=Money(12_000, "CNY"),
        sell_through=Fraction(2, 3),
        first_sale_at=at[0],
        last_sale_at=at[1],
        last_report_at=at[2],
        lifetime_left_days=9,
        as_of=at[3],
    )
    assert progress.sell_through_text == "0.6667"
    assert progress.currency == "CNY"


def test_progress_before_anything_was_procured() -> None:
    """There is no share of nothing."""
    progress = Progress.of_product(a_product(), Tally(10), as_of=NOW, today=TODAY)
    assert progress.sell_through is None
    assert progress.sell_through_text is None
    assert progress.lifetime_left_days is None


def test_progress_of_a_line() -> None:
    """In an order's answer the stage is the order's state, and the order is named."""
    line = a_line(procured=10, sold=10, gross_sales_minor=100, first_sale_at=NOW, last_sale_at=NOW)
    order: PurchaseOrder = an_order(
        "D-1", "green-farm", line, state=OrderState.ON_SALE, last_report_at=NOW
    )
    progress = Progress.of_line(order, line, lifetime_left_days=3, as_of=_LATER)
    assert (progress.order_id, progress.stage) == ("D-1:green-farm", "on_sale")
    assert (progress.sell_through_text, progress.last_report_at) == ("1.0000", NOW)
    assert (progress.name, progress.lifetime_left_days) == ("name of APPLE", 3)


def test_settled_counts_what_was_sold() -> None:
    """After settlement the tally says how much of it is settled."""
    line = a_line(procured=10, sold=8, returned=1, sent_back=3, delivery_final=True)
    order = an_order("D-1", "green-farm", line, state=OrderState.COMPLETED)
    assert _changes(order, order.settled(NOW)) == {"APPLE": Tally(settled=7)}
    assert evolve(line, settled=7).reserved_minor == 0
    assert date.max > TODAY
