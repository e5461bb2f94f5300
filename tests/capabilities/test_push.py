from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from consignment.domain.errors import Conflict, InvalidValue, NotFound
from consignment.domain.journal import FactKind
from consignment.domain.sales_partner import PushSchedule
from consignment.push import Push
from consignment.testing import builders
from tests.capabilities.banks import ORDER, TO_LI, Bank, reasons_of, row

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.ports.storage import Storage, Transaction

T = TypeVar("T")

#: Every hour on the hour; `builders.NOW` is an hour.
HOURLY = "0 * * * *"


@pytest.fixture
def shop() -> Bank:
    """Make a bank that pushes hourly and has ten boxes of apples to sell."""
    shop = Bank().open_shop(cron=HOURLY)
    shop.place()
    shop.take(builders.accepted(), builders.procured())
    return shop


def pushes(bank: Bank) -> list[dict[str, Any]]:
    """Deliver what is due, and give the sales data that were received."""
    bank.desk.relay.deliver_due()
    return [each.data for each in bank.messages(TO_LI, "sales.data")]


def sell(bank: Bank, quantity: str, report_id: str) -> None:
    """Sell some apples."""
    bank.take(builders.sold(ORDER, ("APPLE", quantity, "70.00"), report_id=report_id))


def test_nothing_is_pushed_before_the_first_slot(shop: Bank) -> None:
    """The first slot is the first one after the sales partner was added."""
    assert shop.desk.push.push_due() == 0
    shop.later(minutes=59, seconds=59)
    assert shop.desk.push.push_due() == 0
    shop.later(seconds=1)
    assert shop.desk.push.push_due() == 1
    assert shop.desk.push.push_due() == 0


def test_a_push_has_what_moved_and_the_running_totals(shop: Bank) -> None:
    """What was sold, returned and completed since the last one, and the totals up to its slot."""
    sell(shop, "4", "SR-1")
    shop.later(hours=1)
    shop.desk.push.push_due()
    sell(shop, "3", "SR-2")
    shop.take(builders.returned(ORDER, ("APPLE", "1", "70.00")))
    shop.later(hours=1)
    shop.desk.push.push_due()
    first, second = pushes(shop)
    assert first["since"] is None
    assert second == {
        "sales_partner_id": "sp-li",
        "slot": "2026-09-01T04:00:00Z",
        "since": "2026-09-01T03:00:00Z",
        "empty": False,
        "lines": [
            {
                "order_id": ORDER,
                "product_number": "APPLE",
                "name": "产品 APPLE",
                "currency": "CNY",
                "sold": "3",
                "returned": "1",
                "net_sales": "140.00",
                "total_sold": "7",
                "total_returned": "1",
                "total_gross_sales": "490.00",
                "total_net_sales": "420.00",
            }
        ],
        "completed_orders": [],
    }


def test_an_empty_period_is_said_explicitly(shop: Bank) -> None:
    """It still has the running totals of what is being sold."""
    shop.later(hours=1)
    assert shop.desk.push.push_due() == 1
    sell(shop, "4", "SR-1")
    shop.later(hours=2)
    assert shop.desk.push.push_due() == 2
    empty, full, again = pushes(shop)
    assert (empty["empty"], empty["lines"]) == (True, [])
    assert full["empty"] is False
    assert again["empty"] is True
    (line,) = again["lines"]
    assert (line["sold"], line["net_sales"], line["total_sold"]) == ("0", "0.00", "4")


def test_missed_slots_are_caught_up(shop: Bank) -> None:
    """Each has what was taken up to it, and the totals as of it; nothing twice, nothing lost."""
    sell(shop, "1", "SR-1")
    shop.later(hours=1, minutes=30)
    sell(shop, "2", "SR-2")
    shop.later(hours=2)
    sell(shop, "3", "SR-3")
    shop.later(minutes=45)
    assert shop.desk.push.push_due() == 4
    told = pushes(shop)
    assert [each["slot"] for each in told] == [
        f"2026-09-01T0{hour}:00:00Z" for hour in (3, 4, 5, 6)
    ]
    assert [each["lines"][0]["sold"] for each in told] == ["1", "2", "0", "3"]
    assert [each["lines"][0]["total_sold"] for each in told] == ["1", "3", "3", "6"]
    assert [each["empty"] for each in told] == [False, False, True, False]


def test_a_report_at_the_very_slot_belongs_to_it(shop: Bank) -> None:
    """What was received at the slot's instant is told with it; what came later with the next."""
    shop.later(hours=1)
    sell(shop, "1", "SR-1")
    shop.later(seconds=1)
    sell(shop, "2", "SR-2")
    assert shop.desk.push.push_due() == 1
    (first,) = pushes(shop)
    assert [line["total_sold"] for line in first["lines"]] == ["1"]
    shop.later(hours=1)
    shop.desk.push.push_due()
    _, second = pushes(shop)
    assert [line["sold"] for line in second["lines"]] == ["2"]


def test_a_late_report_goes_to_the_next_slot(shop: Bank) -> None:
    """What happened before a slot but was received after it is told with the next one."""
    shop.later(hours=1)
    shop.desk.push.push_due()
    late = builders.sold(ORDER, ("APPLE", "5", "70.00"), at=builders.NOW)
    shop.take(late)
    shop.later(hours=1)
    shop.desk.push.push_due()
    first, second = pushes(shop)
    assert first["empty"]
    assert [line["sold"] for line in second["lines"]] == ["5"]
    record = shop.desk.reporting.report("green-farm", "SR-1")
    assert record.pushed_slot == builders.NOW + timedelta(hours=2)


def test_a_completed_order_is_told_once_with_its_last_figures(shop: Bank) -> None:
    """Also when it has been settled and closed before the slot came."""
    shop.take(builders.sold(), builders.completed())
    assert shop.desk.settlement.settle_due().settled == 1
    shop.desk.relay.credit_due()
    shop.later(hours=2)
    assert shop.desk.push.push_due() == 2
    first, second = pushes(shop)
    assert first["completed_orders"] == [ORDER]
    assert [line["total_sold"] for line in first["lines"]] == ["10"]
    assert (second["completed_orders"], second["lines"], second["empty"]) == ([], [], True)


def test_refused_reports_and_other_kinds_are_not_told(shop: Bank) -> None:
    """Only what was sold, returned or completed."""
    shop.refuse(builders.sold(ORDER, ("APPLE", "11", "70.00")))
    shop.take(builders.expense(), builders.written_off(ORDER, ("APPLE", "1")))
    shop.later(hours=1)
    shop.desk.push.push_due()
    (told,) = pushes(shop)
    assert (told["empty"], told["lines"]) == (True, [])


def test_each_sales_partner_is_told_of_its_own(shop: Bank) -> None:
    """Orders of one are not told to another; one without a schedule is told nothing."""
    shop.desk.sales_partners.add(builders.a_sales_partner("sp-wu", cron=HOURLY))
    shop.desk.sales_partners.add(builders.a_sales_partner("sp-no"))
    (order,) = shop.desk.dispatch.place(builders.a_demand("D-2", sales_partner_id="sp-wu"))
    shop.take(
        builders.accepted(order.order_id, report_id="AC-2"),
        builders.procured(order.order_id, report_id="PR-2"),
        builders.sold(order.order_id, ("APPLE", "9", "70.00"), report_id="SR-2"),
    )
    sell(shop, "1", "SR-1")
    shop.later(hours=1)
    assert shop.desk.push.push_due() == 2
    (told,) = pushes(shop)
    assert [(line["order_id"], line["sold"]) for line in told["lines"]] == [(ORDER, "1")]
    assert shop.desk.sales_partners.get("sp-no").next_push_at is None


def test_several_orders_and_products_are_told_line_by_line(shop: Bank) -> None:
    """Each line of each order for itself; lines of which nothing was sold are left out."""
    shop.stock(row("PEAR", agreed_price="2.00"), row("PLUM", agreed_price="3.00"))
    order_id = shop.place("D-2", ("PEAR", "5"), ("APPLE", "5"), ("PLUM", "5")).order_id
    shop.take(
        builders.accepted(order_id, report_id="AC-2"),
        builders.procured(
            order_id,
            ("PEAR", "5", "1.00"),
            ("APPLE", "5", "1.00"),
            ("PLUM", "5", "1.00"),
            report_id="PR-2",
        ),
        builders.sold(order_id, ("PEAR", "2", "2.00"), ("APPLE", "1", "9.00"), report_id="SR-2"),
    )
    sell(shop, "1", "SR-1")
    shop.later(hours=1)
    shop.desk.push.push_due()
    (told,) = pushes(shop)
    assert [
        (line["order_id"], line["product_number"], line["net_sales"]) for line in told["lines"]
    ] == [
        (ORDER, "APPLE", "70.00"),
        (order_id, "PEAR", "4.00"),
        (order_id, "APPLE", "9.00"),
    ]


def test_a_long_absence_is_caught_up_in_some_transactions(shop: Bank) -> None:
    """Hundreds of missed slots of many sales partners are all made, each once."""
    for i in range(25):
        shop.desk.sales_partners.add(builders.a_sales_partner(f"sp-{i}", cron=HOURLY))
    sell(shop, "1", "SR-1")
    shop.later(hours=250)
    assert shop.desk.push.push_due() == 26 * 250
    facts = [fact for fact in shop.desk.audit.facts() if fact.kind is FactKind.SALES_DATA_PUSHED]
    assert len({fact.data["message_id"] for fact in facts}) == len(facts) == 26 * 250
    assert sum(not fact.data["empty"] for fact in facts) == 1


# Sales partners.


def test_a_sales_partner_is_added_once(shop: Bank) -> None:
    """The same content again changes nothing, whatever was pushed since."""
    shop.later(hours=1)
    shop.desk.push.push_due()
    again = shop.desk.sales_partners.add(builders.a_sales_partner(cron=HOURLY))
    assert again.pushed_until == builders.NOW + timedelta(hours=1)
    assert again == shop.desk.sales_partners.get("sp-li")
    with pytest.raises(Conflict) as refused:
        shop.desk.sales_partners.add(builders.a_sales_partner(cron="0 18 * * *"))
    assert reasons_of(refused.value) == [
        {"code": "sales_partner_conflict", "sales_partner_id": "sp-li"}
    ]


def test_an_unknown_sales_partner_is_refused(shop: Bank) -> None:
    """There is nothing under an id that was never added."""
    with pytest.raises(NotFound) as refused:
        shop.desk.sales_partners.get("nobody")
    assert refused.value.codes == ("sales_partner_unknown",)


@pytest.mark.parametrize(
    ("cron", "timezone", "code"),
    [
        ("0 18 * *", "Asia/Shanghai", "cron_invalid"),
        ("0 25 * * *", "Asia/Shanghai", "cron_invalid"),
        ("0 18 * * *", "Asia/Atlantis", "timezone_unknown"),
    ],
)
def test_a_schedule_must_make_sense(cron: str, timezone: str, code: str) -> None:
    """An impossible schedule cannot be made."""
    with pytest.raises(InvalidValue) as refused:
        PushSchedule(cron, timezone)
    assert refused.value.codes == (code,)


# Several workers.


class _Overtaken:
    """A store in which something happens after each read, some times."""

    def __init__(self, storage: Storage, times: int, happens: Callable[[], object]) -> None:
        self._storage = storage
        self._times = times
        self._happens = happens

    def read(self, work: Callable[[Transaction], T], *, one_instant: bool = True) -> T:
        result = self._storage.read(work, one_instant=one_instant)
        if self._times:
            self._times -= 1
            self._happens()
        return result

    def write(self, work: Callable[[Transaction], T], *, partner_id: str | None = None) -> T:
        return self._storage.write(work, partner_id=partner_id)

    def close(self) -> None:
        self._storage.close()


def test_a_slot_that_somebody_else_pushed_is_not_pushed_again(shop: Bank) -> None:
    """Who was slower stores nothing of it, and pushes what is left: here, nothing."""
    sell(shop, "4", "SR-1")
    shop.later(hours=1)
    storage = _Overtaken(shop.storage, 1, shop.desk.push.push_due)
    assert Push(storage, shop.clock).push_due() == 0
    assert [each["empty"] for each in pushes(shop)] == [False]
    kinds = [each.kind for each in shop.desk.audit.facts()]
    assert kinds.count(FactKind.SALES_DATA_PUSHED) == 1


def test_what_comes_while_a_push_is_made_is_in_the_next_one(shop: Bank) -> None:
    """Lists and totals are as of one instant: a report in between changes neither."""
    sell(shop, "4", "SR-1")
    shop.later(hours=1)
    storage = _Overtaken(shop.storage, 1, lambda: sell(shop, "3", "SR-2"))
    assert Push(storage, shop.clock).push_due() == 1
    shop.later(hours=1)
    assert shop.desk.push.push_due() == 1
    first, second = (each["lines"][0] for each in pushes(shop))
    assert (first["sold"], first["total_sold"]) == ("4", "4")
    assert (second["sold"], second["total_sold"]) == ("3", "7")


def test_the_others_sales_partners_are_pushed_all_the_same(shop: Bank) -> None:
    """Of several that are due, only those that somebody else was faster with are left out."""
    other = builders.a_sales_partner("sp-wu", cron=HOURLY)
    shop.desk.sales_partners.add(other)
    shop.later(hours=1)

    def take_one() -> None:
        def work(tx: Transaction) -> None:
            li = tx.sales_partners.get(["sp-li"])["sp-li"]
            tx.sales_partners.save(li.pushed(shop.clock.now()))

        shop.storage.write(work)

    assert Push(_Overtaken(shop.storage, 1, take_one), shop.clock).push_due() == 1
    shop.desk.relay.deliver_due()
    assert not shop.messages(TO_LI, "sales.data")


def test_a_worker_that_is_always_slower_leaves_it_to_others(shop: Bank) -> None:
    """It does not go on for ever."""
    shop.later(hours=1)

    def change() -> None:
        def work(tx: Transaction) -> None:
            tx.sales_partners.save(tx.sales_partners.get(["sp-li"])["sp-li"])

        shop.storage.write(work)

    assert Push(_Overtaken(shop.storage, 100, change), shop.clock).push_due() == 0
    assert shop.desk.push.push_due() == 1
