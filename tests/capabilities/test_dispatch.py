from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from consignment.domain.errors import (
    Conflict,
    IllegalTransition,
    InvalidValue,
    NotFound,
    Refused,
)
from consignment.domain.journal import FactKind
from consignment.domain.message import IntentState
from consignment.domain.order import ConsignmentDemand, DemandLine, OrderState, PurchaseOrder
from consignment.domain.settings import Settings
from consignment.testing import builders
from tests.capabilities.banks import FARM, ORDER, TO_FARM, Bank, reasons_of, row

if TYPE_CHECKING:
    from collections.abc import Sequence


def refusal(bank: Bank, demand: ConsignmentDemand) -> list[dict[str, Any]]:
    """Place a demand that is refused, and check that nothing of it is kept; give the reasons."""
    before = bank.kinds(), bank.used, bank.entries()
    with pytest.raises(Refused) as refused:
        bank.desk.dispatch.place(demand)
    assert before == (bank.kinds(), bank.used, bank.entries())
    assert not bank.storage.read(lambda tx: tx.orders.demands([demand.demand_id]))
    return reasons_of(refused.value)


# Placing.


def test_a_demand_yields_an_order_for_each_partner(shop: Bank) -> None:
    """Orders come by rising partner id, each with its lines in the demand's order."""
    shop.admit("blue-farm")
    shop.stock(row("FISH", agreed_price="12.50", unit_places="3"), partner_id="blue-farm")
    shop.stock(row("APPLE"), row("PEAR"))
    demand = builders.a_demand("D-1", ("PEAR", "2"), ("FISH", "1.501"), ("APPLE", "1"))
    blue, green = shop.desk.dispatch.place(demand, actor="officer:li")
    assert [blue.order_id, green.order_id] == ["D-1:blue-farm", "D-1:green-farm"]
    assert [(line.product_number, line.ordered) for line in green.lines] == [
        ("PEAR", 2),
        ("APPLE", 1),
    ]
    # 12.50 x 1.501 = 18.7625, half-up.
    assert (str(blue.agreed_value), str(green.agreed_value)) == ("18.76", "206.40")
    assert {blue.state, green.state} == {OrderState.PLACED}
    placed = [fact for fact in shop.desk.audit.facts() if fact.kind is FactKind.ORDER_PLACED]
    assert [fact.actor for fact in placed] == ["officer:li"] * 2
    assert placed[0].data == {
        "demand_id": "D-1",
        "business_line": "retail",
        "sales_partner_id": "sp-li",
        "agreed_value": "18.76",
        "currency": "CNY",
    }
    assert [entry.entry_id for entry in shop.entries()] == [
        "D-1~blue-farm~placed",
        "D-1~green-farm~placed",
    ]


def test_the_message_reaches_the_partner(shop: Bank) -> None:
    """The message has what was ordered; after it arrived, the order is dispatched."""
    shop.place()
    assert shop.desk.relay.deliver_due().done == 1
    (message,) = shop.messages(TO_FARM)
    assert message.data == {
        "order_id": ORDER,
        "business_line": "retail",
        "sales_partner_id": "sp-li",
        "currency": "CNY",
        "agreed_value": "688.00",
        "lines": [
            {
                "product_number": "APPLE",
                "name": "产品 APPLE",
                "quantity": "10",
                "agreed_price": "68.80",
            }
        ],
    }
    assert shop.state() is OrderState.DISPATCHED
    assert shop.order().dispatched_at == builders.NOW


def test_the_same_demand_gives_its_orders_as_they_are_now(shop: Bank) -> None:
    """A repeat has no second effect, and is not decided anew."""
    shop.place()
    shop.take(builders.accepted())
    shop.desk.admission.suspend(FARM, why="检查", actor="officer:li")
    facts = shop.kinds()
    (order,) = shop.desk.dispatch.place(builders.a_demand())
    assert order == shop.order()
    assert order.state is OrderState.ACCEPTED
    assert shop.kinds() == facts


def test_a_demand_id_stands_for_one_content(shop: Bank) -> None:
    """The same id with other content is a conflict."""
    shop.place()
    with pytest.raises(Conflict) as refused:
        shop.place("D-1", ("APPLE", "11"))
    assert reasons_of(refused.value) == [{"code": "demand_conflict", "demand_id": "D-1"}]
    assert shop.order().lines[0].ordered == 10


def test_every_reason_is_given_at_once(shop: Bank) -> None:
    """Unknown and unsuitable products, quantities, currencies and the sales partner: all told."""
    shop.stock(
        row("OLD", on_sale_until="2026-08-31"),
        row("NEW", on_sale_from="2026-09-02", on_sale_until="2026-12-31"),
        row("DOLLAR", currency="USD"),
        row("DEAR", agreed_price="9999999999999.99"),
    )
    goods = [
        ("NOWHERE", "1"),
        ("OLD", "1"),
        ("NEW", "0"),
        ("APPLE", "1.5"),
        ("DOLLAR", "-1"),
        ("DEAR", "2"),
    ]
    lines = tuple(DemandLine(number, quantity) for number, quantity in goods)
    reasons = refusal(shop, ConsignmentDemand("D-1", "retail", "nobody", lines))
    assert reasons == [
        {"code": "sales_partner_unknown", "sales_partner_id": "nobody"},
        {"code": "product_unknown", "product_number": "NOWHERE"},
        {
            "code": "product_not_on_sale",
            "product_number": "OLD",
            "on_sale_from": None,
            "on_sale_until": "2026-08-31",
            "day": "2026-09-01",
        },
        {
            "code": "product_not_on_sale",
            "product_number": "NEW",
            "on_sale_from": "2026-09-02",
            "on_sale_until": "2026-12-31",
            "day": "2026-09-01",
        },
        {"code": "quantity_invalid", "product_number": "NEW", "quantity": "0", "unit_places": 0},
        {
            "code": "quantity_invalid",
            "product_number": "APPLE",
            "quantity": "1.5",
            "unit_places": 0,
        },
        {
            "code": "quantity_invalid",
            "product_number": "DOLLAR",
            "quantity": "-1",
            "unit_places": 0,
        },
        {"code": "amount_too_large", "product_number": "DEAR", "quantity": "2"},
        {"code": "currency_mixed", "partner_id": FARM, "currencies": ["CNY", "USD"]},
    ]


def test_the_lifetime_is_of_days_in_the_banks_time_zone(shop: Bank) -> None:
    """The last day ends at midnight in Shanghai, sixteen hours UTC."""
    shop.stock(row("LAST", on_sale_until="2026-09-01"))
    shop.later(hours=13, minutes=59)
    shop.place("D-1", ("LAST", "1"))
    shop.later(minutes=1)
    (fault,) = refusal(shop, builders.a_demand("D-2", ("LAST", "1")))
    assert (fault["code"], fault["day"]) == ("product_not_on_sale", "2026-09-02")


def test_a_partner_must_be_admitted_to_the_line(shop: Bank) -> None:
    """Not to another line, not longer than it is valid, not suspended."""
    assert refusal(shop, builders.a_demand(business_line="corporate")) == [
        {"code": "line_not_admitted", "partner_id": FARM, "business_line": "corporate"}
    ]
    shop.desk.admission.suspend(FARM, why="检查", actor="officer:li")
    assert refusal(shop, builders.a_demand()) == [
        {"code": "partner_not_admitted", "partner_id": FARM, "status": "suspended"}
    ]
    shop.desk.admission.reinstate(FARM, why="没事", actor="officer:li")
    shop.later(days=365)
    shop.place("D-1")
    shop.later(days=1)
    assert refusal(shop, builders.a_demand("D-2")) == [
        {
            "code": "admission_expired",
            "partner_id": FARM,
            "business_line": "retail",
            "valid_until": "2027-09-01",
        }
    ]
    # What runs carries on.
    shop.take(builders.accepted())


def test_an_order_needs_something_wanted(shop: Bank) -> None:
    """A demand without lines, or with a product twice, cannot be made."""
    with pytest.raises(InvalidValue) as refused:
        ConsignmentDemand("D-1", "retail", "sp-li", ())
    assert refused.value.codes == ("lines_empty",)
    with pytest.raises(InvalidValue) as refused:
        shop.place("D-1", ("APPLE", "1"), ("APPLE", "2"))
    assert refused.value.codes == ("line_repeated",)


# Quotas.


def test_an_order_reserves_in_every_scope(shop: Bank) -> None:
    """Total, business line, partner and product each count it; other scopes do not."""
    shop.limits(
        {
            "total": "1000.00",
            "business_line:retail": "1000.00",
            "business_line:corporate": "1000.00",
            f"partner:{FARM}": "1000.00",
            "product:APPLE": "1000.00",
        }
    )
    shop.place()
    assert shop.used == {
        "business_line:corporate": "0.00",
        "business_line:retail": "688.00",
        f"partner:{FARM}": "688.00",
        "product:APPLE": "688.00",
        "total": "688.00",
    }


def test_every_quota_that_is_exceeded_is_named(shop: Bank) -> None:
    """With what is available, wanted and the limit; and nothing is reserved anywhere."""
    shop.limits({"total": "687.99", f"partner:{FARM}": "688.00", "product:APPLE": "0"})
    reasons = refusal(shop, builders.a_demand())
    assert reasons == [
        {
            "code": "quota_exceeded",
            "scope": scope,
            "available": available,
            "wanted": "688.00",
            "limit": available,
            "currency": "CNY",
        }
        for scope, available in (("product:APPLE", "0.00"), ("total", "687.99"))
    ]
    assert set(shop.used.values()) == {"0.00"}


def test_quotas_are_told_with_the_other_reasons(shop: Bank) -> None:
    """What of the demand could be ordered is measured, though something else is wrong."""
    shop.limit(total="100.00")
    reasons = refusal(shop, builders.a_demand("D-1", ("NOWHERE", "1"), ("APPLE", "2")))
    assert [(each["code"], each.get("wanted")) for each in reasons] == [
        ("product_unknown", None),
        ("quota_exceeded", "137.60"),
    ]


def test_what_fits_exactly_passes(shop: Bank) -> None:
    """The last cent may be used."""
    shop.limit(total="688.00")
    shop.place()
    (fault,) = refusal(shop, builders.a_demand("D-2", ("APPLE", "1")))
    assert (fault["available"], fault["wanted"]) == ("0.00", "68.80")


def test_orders_of_two_partners_share_the_bank_wide_quota(shop: Bank) -> None:
    """One demand with two partners wants the sum of both."""
    shop.admit("blue-farm")
    shop.stock(row("FISH", agreed_price="100.00"), partner_id="blue-farm")
    shop.limit(total="168.79")
    demand = builders.a_demand("D-1", ("FISH", "1"), ("APPLE", "1"))
    (fault,) = refusal(shop, demand)
    assert (fault["scope"], fault["wanted"]) == ("total", "168.80")
    shop.limit(total="168.80")
    assert len(shop.desk.dispatch.place(demand)) == 2


def test_a_quota_in_another_currency_does_not_count(shop: Bank) -> None:
    """A limit in USD limits no order in CNY."""
    shop.desk.quotas.set([builders.a_quota("total", "1.00", currency="USD")])
    shop.place()
    (quota,) = shop.desk.quotas.show()
    assert str(quota.used) == "0.00"


# Batches.


def test_a_batch_is_placed_in_its_order(shop: Bank) -> None:
    """Each demand for itself: passed, refused, repeated, in conflict, and the quota is shared."""
    shop.place("D-0", ("APPLE", "1"))
    shop.limit(total="500.00")
    demands = [
        builders.a_demand("D-1", ("APPLE", "4")),
        builders.a_demand("D-2", ("APPLE", "3")),
        builders.a_demand("D-3", ("NOWHERE", "1")),
        builders.a_demand("D-4", ("APPLE", "2")),
        builders.a_demand("D-1", ("APPLE", "4")),
        builders.a_demand("D-1", ("APPLE", "5")),
        builders.a_demand("D-0", ("APPLE", "1")),
        builders.a_demand("D-0", ("APPLE", "2")),
        builders.a_demand("D-2", ("APPLE", "3")),
    ]
    answers = shop.desk.dispatch.place_many(demands)
    assert [_shown(each) for each in answers] == [
        ["D-1:green-farm"],
        ["quota_exceeded", "156.00", "206.40"],
        ["product_unknown"],
        ["D-4:green-farm"],
        ["D-1:green-farm"],
        ["demand_conflict"],
        ["D-0:green-farm"],
        ["demand_conflict"],
        ["quota_exceeded", "18.40", "206.40"],
    ]
    assert answers[4] == answers[0]
    assert shop.used == {"total": "481.60"}
    # Each order was told and told of once.
    assert len(shop.entries()) == 3
    assert shop.kinds().count(FactKind.ORDER_PLACED) == 3


def _shown(answer: Sequence[PurchaseOrder] | Refused) -> list[str]:
    if isinstance(answer, Refused):
        (why,) = answer.reasons
        details = why.details
        return [why.code, *(details[name] for name in ("available", "wanted") if name in details)]
    return [each.order_id for each in answer]


def test_an_empty_batch_does_nothing(shop: Bank) -> None:
    """No demands, no answers."""
    facts = shop.kinds()
    assert shop.desk.dispatch.place_many([]) == []
    assert shop.kinds() == facts


# Cancel, short-close, expire.


@pytest.mark.parametrize("accepted", [False, True])
def test_an_order_is_cancelled_before_goods_were_bought(shop: Bank, *, accepted: bool) -> None:
    """Its quotas are released, its products count as not ordered, and the partner is told."""
    shop.limit(total="1000.00")
    shop.place()
    if accepted:
        shop.take(builders.accepted())
    order = shop.desk.dispatch.cancel(ORDER, why="不要了", actor="officer:li")
    assert (order.state, order.end_reason) == (OrderState.CANCELLED, "不要了")
    assert shop.used == {"total": "0.00"}
    assert shop.desk.progress.by_number("APPLE").stage == "not_ordered"
    facts = shop.kinds()
    assert facts[-1] is FactKind.ORDER_CANCELLED
    # Again for the same reason: nothing more.
    assert shop.desk.dispatch.cancel(ORDER, why="不要了").state is OrderState.CANCELLED
    assert shop.kinds() == facts
    with pytest.raises(IllegalTransition) as refused:
        shop.desk.dispatch.cancel(ORDER, why="别的原因")
    assert reasons_of(refused.value) == [
        {"code": "order_state", "order_id": ORDER, "state": "cancelled", "wanted": "cancel"}
    ]
    shop.desk.relay.deliver_due()
    assert [each.type for each in shop.messages(TO_FARM)] == ["order.placed", "order.cancelled"]
    assert shop.messages(TO_FARM)[1].data == {"order_id": ORDER, "reason": "不要了"}
    assert shop.state() is OrderState.CANCELLED


def test_an_order_with_goods_is_not_cancelled_but_closed_short(shop: Bank) -> None:
    """What never came is released; what is there is still sold and settled."""
    shop.limit(total="1000.00")
    shop.place()
    with pytest.raises(IllegalTransition) as refused:
        shop.desk.dispatch.short_close(ORDER, why="没有更多")
    assert refused.value.reasons[0].details["wanted"] == "short_close"
    shop.take(builders.accepted(), builders.procured(ORDER, ("APPLE", "4", "49.50")))
    assert shop.used == {"total": "688.00"}
    with pytest.raises(IllegalTransition):
        shop.desk.dispatch.cancel(ORDER, why="不要了")
    order = shop.desk.dispatch.short_close(ORDER, why="没有更多", actor="officer:li")
    assert order.state is OrderState.ON_SALE
    assert shop.used == {"total": "275.20"}
    facts = shop.kinds()
    shop.desk.dispatch.short_close(ORDER, why="没有更多")
    assert shop.kinds() == facts
    more = builders.procured(ORDER, ("APPLE", "1", "49.50"), report_id="PR-2")
    assert shop.refuse(more)[0]["code"] == "procurement_final"
    shop.take(builders.sold(ORDER, ("APPLE", "4", "68.80")), builders.completed())
    assert shop.desk.settlement.settle(ORDER).net_sales.minor == 27520
    assert shop.used == {"total": "0.00"}
    shop.desk.relay.deliver_due()
    assert [each.type for each in shop.messages(TO_FARM)] == [
        "order.placed",
        "order.short_closed",
        "report.refused",
        "profit.settled",
    ]


def test_an_unknown_order_is_refused(shop: Bank) -> None:
    """Nothing can be done to an order that does not exist."""
    unknown = [{"code": "order_unknown", "order_id": "D-9:green-farm"}]
    with pytest.raises(NotFound) as refused:
        shop.desk.dispatch.cancel("D-9:green-farm", why="不要了")
    assert reasons_of(refused.value) == unknown
    with pytest.raises(NotFound) as refused:
        shop.desk.dispatch.short_close("D-9:green-farm", why="不要了")
    assert reasons_of(refused.value) == unknown
    with pytest.raises(NotFound) as refused:
        shop.desk.dispatch.order("D-9:green-farm")
    assert reasons_of(refused.value) == unknown


def test_orders_without_an_answer_expire() -> None:
    """After the days of the settings; the quota is released and the partner told."""
    shop = Bank(Settings(answer_days=3)).open_shop()
    shop.limit(total="100000.00")
    shop.place("D-1")
    shop.later(seconds=1)
    shop.place("D-2")
    shop.place("D-3")
    shop.take(builders.accepted("D-3:green-farm"))
    shop.later(days=3, seconds=-1)
    assert shop.desk.dispatch.expire_due() == 1
    assert shop.state() is OrderState.EXPIRED
    assert shop.state("D-2:green-farm") is OrderState.PLACED
    assert shop.used == {"total": "1376.00"}
    shop.later(seconds=1)
    assert shop.desk.work().expired == 1
    assert shop.desk.dispatch.expire_due() == 0
    assert shop.used == {"total": "688.00"}
    expired = shop.messages(TO_FARM, "order.expired")
    assert [each.data for each in expired] == [
        {"order_id": "D-1:green-farm", "reason": "no answer"},
        {"order_id": "D-2:green-farm", "reason": "no answer"},
    ]
    assert shop.refuse(builders.accepted(report_id="AC-9"))[0]["code"] == "order_state"


def test_many_orders_expire_in_some_transactions() -> None:
    """More than fit one transaction expire all the same."""
    shop = Bank(Settings(answer_days=1)).open_shop()
    demands = [builders.a_demand(f"D-{i}", ("APPLE", "1")) for i in range(450)]
    assert len(shop.desk.dispatch.place_many(demands)) == 450
    shop.later(days=1)
    assert shop.desk.dispatch.expire_due() == 450


def test_an_order_that_ends_unsent_still_tells_its_story_in_order(shop: Bank) -> None:
    """Placed and cancelled before any delivery: the partner gets both messages, in this order."""
    shop.place()
    shop.desk.dispatch.cancel(ORDER, why="不要了")
    shop.desk.relay.deliver_due()
    assert [each.type for each in shop.messages(TO_FARM)] == ["order.placed", "order.cancelled"]
    assert not shop.entries(IntentState.WAITING)
    assert shop.order().dispatched_at is not None
