"""Quotas: limits, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from consignment.domain.errors import InvalidValue
from consignment.domain.money import Money
from consignment.domain.quota import Quota, check_quota_scope, exceeded

_SCENARIOS = Path(__file__).parent.parent / "scenarios"


@pytest.mark.parametrize(
    "scope", ["total", "business_line:retail", "partner:green-farm", "product:苹果 №1:x"]
)
def test_scopes_that_can_have_a_quota(scope: str) -> None:
    """The whole, a business line, a partner and a product have quotas."""
    assert check_quota_scope(scope) == scope
    assert Quota.of(scope, Money(5, "CNY")).key == (scope, "CNY")


@pytest.mark.parametrize(
    "scope", ["", "Total", "total:", "all", "business_line:", "partner:a b", "product: x", "x:y"]
)
def test_other_scopes_are_refused(scope: str) -> None:
    """What is no scope is refused by its name."""
    with pytest.raises(InvalidValue) as caught:
        check_quota_scope(scope)
    assert caught.value.codes == ("scope_invalid",)
    with pytest.raises(InvalidValue):
        Quota(scope, "CNY", 1)


def test_available_is_never_below_zero() -> None:
    """A limit that was lowered below what is used leaves nothing, not less."""
    quota = Quota("total", "CNY", 1000, 400)
    assert (quota.limit, quota.used, quota.available) == (
        Money(1000, "CNY"),
        Money(400, "CNY"),
        Money(600, "CNY"),
    )
    assert Quota("total", "CNY", 300, 400).available == Money(0, "CNY")


@pytest.mark.parametrize(("currency", "limit"), [("RMB", 1), ("CNY", -1)])
def test_quotas_that_cannot_be_are_refused(currency: str, limit: int) -> None:
    """A quota has a currency and a limit of nothing or more."""
    with pytest.raises(InvalidValue):
        Quota("total", currency, limit)


def test_every_exceeded_quota_is_named_with_its_figures() -> None:
    """Each scope that an order asks too much of is a reason; what fits exactly is none."""
    quotas = [
        Quota("total", "CNY", 1000, 400),
        Quota("business_line:retail", "CNY", 500, 0),
        Quota("partner:p", "CNY", 100, 200),
        Quota("total", "JPY", 0, 0),
        Quota("product:x", "CNY", 600),
    ]
    wanted = dict.fromkeys([quota.key for quota in quotas[:3]], 600)
    wanted["product:x", "CNY"] = 600
    faults = exceeded(quotas, wanted, {})
    assert [each.as_dict() for each in faults] == [
        {
            "code": "quota_exceeded",
            "scope": "business_line:retail",
            "available": "5.00",
            "wanted": "6.00",
            "limit": "5.00",
            "currency": "CNY",
        },
        {
            "code": "quota_exceeded",
            "scope": "partner:p",
            "available": "0.00",
            "wanted": "6.00",
            "limit": "1.00",
            "currency": "CNY",
        },
    ]
    taken = exceeded(quotas[:1], wanted, {("total", "CNY"): 1})
    assert taken[0].details["available"] == "5.99"


def test_of_two_orders_that_fit_one_at_a_time_one_is_refused() -> None:
    """The race of two business lines for the total, with the figures of the scenario."""
    scenario = json.loads((_SCENARIOS / "quota_race.json").read_text(encoding="utf-8"))
    used = {line: Money.of(value, "CNY") for line, value in scenario["used_before"].items()}
    total = sum(each.minor for each in used.values())
    expected = scenario["expected"]["loser"]
    orders = {each["id"]: each for each in scenario["orders"]}
    for winner, loser in (("O1", "O2"), ("O2", "O1")):
        quotas = []
        for scope, limit in scenario["limits"].items():
            before = total if scope == "total" else used.get(scope, Money(0, "CNY")).minor
            quotas.append(Quota(scope, "CNY", Money.of(limit, "CNY").minor, before))

        def wants(order_id: str) -> dict[tuple[str, str], int]:
            amount = Money.of(orders[order_id]["amount"], "CNY").minor
            line = f"business_line:{orders[order_id]['business_line']}"
            return {("total", "CNY"): amount, (line, "CNY"): amount}

        assert exceeded(quotas, wants(winner), {}) == []
        (fault,) = exceeded(quotas, wants(loser), wants(winner))
        assert (fault.code, fault.details["scope"]) == (expected["code"], expected["scope"])
        assert fault.details["available"] == f"{expected[f'available_if_{winner}_won']}.00"
