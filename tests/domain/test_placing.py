"""From a demand to purchase orders."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from consignment.domain.errors import Reason
from consignment.domain.message import Recipient
from consignment.domain.money import Money
from consignment.domain.order import OrderState, PurchaseOrder
from consignment.domain.partner import PartnerStatus
from consignment.domain.placing import placed_message, plan_orders
from consignment.domain.quota import Quota
from consignment.testing.builders import (
    NOW,
    TODAY,
    a_demand,
    a_line,
    a_partner,
    a_product,
    an_order,
)

_PRODUCTS = {
    each.number: each
    for each in (
        a_product(),
        a_product("PEAR", unit_places=3, name="香梨", price="5.00"),
        a_product("TEA", "tea-house"),
        a_product("OLD", on_sale_until=TODAY - timedelta(days=1)),
        a_product("NEW", on_sale_from=TODAY + timedelta(days=1)),
        a_product("YEN", currency="JPY", price="1"),
    )
}
_PARTNERS = {each: a_partner(each) for each in ("green-farm", "tea-house")}


def _plan(*goods: tuple[str, str], **changes: Any) -> list[PurchaseOrder] | list[Reason]:  # noqa: ANN401 - any argument
    arguments: dict[str, Any] = {
        "products": _PRODUCTS,
        "partners": _PARTNERS,
        "sales_partner_known": True,
        "now": NOW,
        "today": TODAY,
        **changes,
    }
    return plan_orders(a_demand("D-1", *goods), **arguments)


def _faults(*goods: tuple[str, str], **changes: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any argument
    faults = _plan(*goods, **changes)
    assert faults
    return [each.as_dict() for each in faults if isinstance(each, Reason)]


def test_a_demand_yields_an_order_for_each_partner() -> None:
    """Orders come by partner id, their lines as demanded."""
    orders = _plan(("TEA", "2"), ("PEAR", "1.5"), ("APPLE", "10"))
    assert orders == [
        an_order(
            "D-1",
            "green-farm",
            a_line("PEAR", 1500, price_minor=500, places=3, name="香梨"),
            a_line(name=_PRODUCTS["APPLE"].name),
        ),
        an_order("D-1", "tea-house", a_line("TEA", 2, name=_PRODUCTS["TEA"].name)),
    ]
    assert all(isinstance(each, PurchaseOrder) for each in orders)


def test_every_reason_is_given_at_once() -> None:
    """Products, quantities, partners and the sales partner are all looked at."""
    faults = _faults(
        ("NONE", "1"),
        ("OLD", "1"),
        ("NEW", "0"),
        ("APPLE", "1.5"),
        ("TEA", "1"),
        sales_partner_known=False,
        partners={"green-farm": a_partner(status=PartnerStatus.SUSPENDED)},
    )
    assert [each["code"] for each in faults] == [
        "sales_partner_unknown",
        "product_unknown",
        "product_not_on_sale",
        "product_not_on_sale",
        "quantity_invalid",
        "quantity_invalid",
        "partner_not_admitted",
        "partner_not_admitted",
    ]
    assert faults[2] == {
        "code": "product_not_on_sale",
        "product_number": "OLD",
        "on_sale_from": None,
        "on_sale_until": "2026-08-31",
        "day": "2026-09-01",
    }
    assert faults[3]["on_sale_from"] == "2026-09-02"
    assert [each["status"] for each in faults[-2:]] == ["suspended", None]


def test_quotas_are_looked_at_with_the_rest() -> None:
    """What is sound in a demand is held against the quotas, whatever else is wrong with it."""
    total = Quota.of("total", Money.of("100.00", "CNY"))
    of_tea = Quota.of("product:TEA", Money.of("1.00", "CNY"))
    faults = _faults(
        ("NONE", "1"),
        ("APPLE", "2"),
        ("TEA", "0"),
        partners={**_PARTNERS, "green-farm": a_partner(status=PartnerStatus.SUSPENDED)},
        quotas={"green-farm": [total], "tea-house": [total, of_tea]},
        taken={("total", "CNY"): 1},
    )
    assert [each["code"] for each in faults] == [
        "product_unknown",
        "quantity_invalid",
        "partner_not_admitted",
        "quota_exceeded",
    ]
    assert (faults[-1]["wanted"], faults[-1]["available"]) == ("137.60", "99.99")


def test_what_is_in_two_currencies_is_held_against_no_quota() -> None:
    """There is no saying what of it would be ordered."""
    quota = Quota.of("total", Money.of("0.00", "CNY"))
    faults = _faults(("APPLE", "1"), ("YEN", "1"), quotas={"green-farm": [quota]})
    assert [each["code"] for each in faults] == ["currency_mixed"]


@pytest.mark.parametrize(
    ("goods", "changes", "code"),
    [
        ((("APPLE", "-1"),), {}, "quantity_invalid"),
        ((("PEAR", "0.0001"),), {}, "quantity_invalid"),
        ((("APPLE", "999999999999999"),), {}, "amount_too_large"),
        ((("APPLE", "1"), ("YEN", "1")), {}, "currency_mixed"),
        ((("APPLE", "1"),), {"today": date(2027, 9, 1)}, "admission_expired"),
        (
            (("APPLE", "1"),),
            {"partners": {"green-farm": a_partner(lines=("corporate",))}},
            "line_not_admitted",
        ),
    ],
)
def test_each_reason_has_its_code(
    goods: tuple[tuple[str, str], ...], changes: dict[str, Any], code: str
) -> None:
    """Each fault of a demand has its code."""
    assert [each["code"] for each in _faults(*goods, **changes)] == [code]


def test_the_partner_is_told_of_its_order() -> None:
    """The message has quantities and prices as text, and an id that never changes."""
    message = placed_message(an_order("D-1", "green-farm", a_line("PEAR", 1500, places=3)))
    assert message.message_id == "D-1~green-farm~placed"
    assert message.recipient == Recipient.partner("green-farm")
    assert (message.type, message.time, message.order_id) == (
        "order.placed",
        NOW,
        "D-1:green-farm",
    )
    assert message.data == {
        "order_id": "D-1:green-farm",
        "business_line": "retail",
        "sales_partner_id": "sp-li",
        "currency": "CNY",
        "agreed_value": "103.20",
        "lines": [
            {
                "product_number": "PEAR",
                "name": "name of PEAR",
                "quantity": "1.500",
                "agreed_price": "68.80",
            }
        ],
    }
    assert an_order().state is OrderState.PLACED
