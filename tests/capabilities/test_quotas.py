from __future__ import annotations

import pytest

from consignment.domain.errors import InvalidValue, NotFound
from consignment.domain.journal import FactKind
from consignment.testing import builders
from tests.capabilities.banks import FARM, ORDER, Bank, reasons_of


def test_limit_used_and_available_can_be_read(shop: Bank) -> None:
    """What open orders reserve already counts when a limit is set."""
    shop.place()
    facts = len(shop.kinds())
    (quota,) = shop.desk.quotas.set([builders.a_quota("total", "1000.00")], actor="officer:li")
    assert (str(quota.limit), str(quota.used), str(quota.available)) == (
        "1000.00",
        "688.00",
        "312.00",
    )
    assert shop.desk.quotas.show() == [quota]
    (fact,) = list(shop.desk.audit.facts())[facts:]
    assert (fact.kind, fact.actor) == (FactKind.QUOTA_SET, "officer:li")
    assert fact.data == {
        "scope": "total",
        "limit": "1000.00",
        "used": "688.00",
        "currency": "CNY",
    }


def test_a_limit_below_what_is_used_is_allowed(shop: Bank) -> None:
    """Nothing is available then; what is released counts as ever."""
    shop.place()
    shop.limit(total="100.00")
    (quota,) = shop.desk.quotas.show()
    assert (str(quota.used), str(quota.available)) == ("688.00", "0.00")
    shop.desk.dispatch.cancel(ORDER, why="不要了")
    assert shop.used == {"total": "0.00"}


def test_a_scope_of_a_partner_or_product_needs_one(shop: Bank) -> None:
    """All unknown ones are named, and no limit is set."""
    with pytest.raises(NotFound) as refused:
        shop.limits({"total": "1.00", "partner:nobody": "1.00", "product:PEAR": "1.00"})
    assert reasons_of(refused.value) == [
        {"code": "partner_unknown", "partner_id": "nobody", "scope": "partner:nobody"},
        {"code": "product_unknown", "product_number": "PEAR", "scope": "product:PEAR"},
    ]
    assert shop.desk.quotas.show() == []


def test_a_scope_comes_once(shop: Bank) -> None:
    """Twice in one currency is refused; in two currencies it is two quotas."""
    twice = [builders.a_quota("total", "1.00"), builders.a_quota("total", "2.00")]
    with pytest.raises(InvalidValue) as refused:
        shop.desk.quotas.set(twice)
    assert reasons_of(refused.value) == [
        {"code": "scope_repeated", "scope": "total", "currency": "CNY"}
    ]
    both = [builders.a_quota("total", "1.00"), builders.a_quota("total", "2.00", currency="USD")]
    shop.desk.quotas.set(both)
    assert shop.desk.quotas.show() == both


@pytest.mark.parametrize("scope", ["", "all", "partner:", "business_line:a b", "product:"])
def test_a_scope_must_make_sense(scope: str) -> None:
    """Anything but the four kinds is refused."""
    with pytest.raises(InvalidValue) as refused:
        builders.a_quota(scope)
    assert refused.value.codes == ("scope_invalid",)


def test_a_quota_is_used_until_the_goods_are_settled(shop: Bank) -> None:
    """Reserved by the order, released by short delivery, sending back and settlement."""
    shop.limits({"total": "1000.00", f"partner:{FARM}": "1000.00", "product:APPLE": "1000.00"})
    seen = []
    shop.place()
    seen.append(set(shop.used.values()))
    shop.take(builders.accepted(), builders.procured(ORDER, ("APPLE", "8", "49.50"), final=True))
    seen.append(set(shop.used.values()))
    shop.take(builders.sold(ORDER, ("APPLE", "5", "70.00")))
    seen.append(set(shop.used.values()))
    shop.take(builders.sent_back(ORDER, ("APPLE", "2", "49.50")))
    seen.append(set(shop.used.values()))
    shop.take(builders.written_off(ORDER, ("APPLE", "1")), builders.completed())
    seen.append(set(shop.used.values()))
    shop.desk.settlement.settle(ORDER)
    seen.append(set(shop.used.values()))
    assert seen == [{"688.00"}, {"550.40"}, {"550.40"}, {"412.80"}, {"412.80"}, {"0.00"}]
