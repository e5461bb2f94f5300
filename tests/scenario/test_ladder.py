"""The ladder of `tests/scenarios/ladder.json`, through orders that sold for just that much."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from consignment.domain.order import OrderState
from consignment.domain.rule import Band, Basis, Ladder, LadderMethod, Share
from consignment.testing import builders
from tests.system.desks import ROOT, Desk, balance

SCENARIO = json.loads((ROOT / "tests" / "scenarios" / "ladder.json").read_text("utf-8"))
PARTNER = "green-farm"


def ladder(method: LadderMethod) -> Ladder:
    """Make the ladder of the scenario."""
    return Ladder(
        method=method,
        bands=tuple(Band(each["from"], each["percent"]) for each in SCENARIO["bands"]),
        minimum=SCENARIO["minimum"],
        cap=SCENARIO["cap"],
    )


def sell_for(bank: Desk, net_sales: str) -> str:
    """Let an order of one piece be placed, bought and sold for this much; give its id."""
    desk = bank.desk
    (order,) = desk.dispatch.place(builders.a_demand("D-1", ("APPLE", "1")))
    goods = "APPLE", "1"
    reports = [
        builders.accepted(),
        builders.procured(order.order_id, (*goods, "0.01")),
        builders.sold(order.order_id, (*goods, net_sales)),
        builders.completed(),
    ]
    assert all(each.taken for each in desk.reporting.take_many(PARTNER, reports))
    return order.order_id


@pytest.mark.parametrize("method", list(LadderMethod))
@pytest.mark.parametrize("case", SCENARIO["cases"], ids=lambda case: str(case["net_sales"]))
def test_a_ladder_forms_the_pool(bank: Desk, case: dict[str, Any], method: LadderMethod) -> None:
    """Sales of that much give that pool: rounded half-up, then the minimum, then the cap."""
    desk = bank.desk
    desk.admission.set_policy(builders.a_policy())
    desk.admission.request(builders.an_admission_request())
    desk.sales_partners.add(builders.a_sales_partner())
    row = {"number": "APPLE", "name": "苹果", "unit": "BX", "currency": "CNY"}
    desk.catalogue.import_products(PARTNER, [{**row, "agreed_price": "1.00"}])
    desk.settlement.add_rule(
        builders.a_rule(
            basis=Basis.SALES,
            amount=ladder(method),
            shares=(Share("bank", "1"),),
            effective_from=date(2026, 8, 20),
        )
    )
    order_id = sell_for(bank, case["net_sales"])
    settlement = desk.settlement.settle(order_id)
    assert str(settlement.net_sales) == case["net_sales"]
    assert str(settlement.pool) == case[method.value]["due"]
    (formed,) = (line for line in settlement.explanation if line.startswith("pool: ladder"))
    assert formed.endswith(f" = {case[method.value]['computed']} (half-up)")
    assert desk.work().credits.done == 1
    assert balance(bank.ledger, "bank") == case[method.value]["due"]
    assert desk.dispatch.order(order_id).state is OrderState.CLOSED
