"""One bad thing keeps nothing else back, and what is wrong with it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from consignment.adapters.memory import ManualClock
from consignment.desk import Consignment
from consignment.domain.errors import InvalidValue, Refused
from consignment.domain.order import OrderState
from consignment.domain.rule import PerUnit
from consignment.testing import builders
from tests.capabilities.banks import FARM, ORDER, Bank, row

if TYPE_CHECKING:
    from pathlib import Path


def _sold_out(desk: Consignment, demand_id: str, number: str) -> str:
    order_id = f"{demand_id}:{FARM}"
    desk.dispatch.place(builders.a_demand(demand_id, (number, "10")))
    goods = number, "10", "1.00"
    reports = [
        builders.accepted(order_id, report_id=f"AC-{demand_id}"),
        builders.procured(order_id, goods, report_id=f"PR-{demand_id}"),
        builders.sold(order_id, goods, report_id=f"SR-{demand_id}"),
        builders.completed(order_id, report_id=f"CP-{demand_id}"),
    ]
    assert all(answer.taken for answer in desk.reporting.take_many(FARM, reports))
    return order_id


def test_an_order_that_cannot_be_settled_keeps_no_other_back(tmp_path: Path) -> None:
    """A rule that gives more than 64 bits hold is refused for its order; the others are settled."""
    clock = ManualClock(builders.NOW)
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    with Consignment.open(url, mailbox=tmp_path / "mailbox", clock=clock) as desk:
        desk.admission.set_policy(builders.a_policy())
        desk.admission.request(builders.an_admission_request())
        desk.catalogue.import_products(FARM, [row(), row("TEA")])
        desk.sales_partners.add(builders.a_sales_partner())
        desk.settlement.add_rule(builders.a_rule())
        beyond = PerUnit(value="1" + "0" * 18)
        desk.settlement.add_rule(builders.a_rule("R-2", scope="product:TEA", amount=beyond))
        bad, good = _sold_out(desk, "D-1", "TEA"), _sold_out(desk, "D-2", "APPLE")

        done = desk.work()

        assert done.settled.settled == 1
        assert [each.code for each in done.settled.refusals] == ["amount_too_large"]
        assert desk.dispatch.order(bad).state is OrderState.COMPLETED
        assert desk.dispatch.order(good).state is OrderState.CLOSED


def test_a_short_close_needs_a_reason_that_can_be_told(shop: Bank) -> None:
    """The reason goes to the partner: it is text, else nothing happens."""
    shop.place()
    goods = "APPLE", "4", "49.50"
    shop.take(builders.accepted(ORDER), builders.procured(ORDER, goods))
    for why in ("", " ", "\u202e", "\ud83c", "x" * 501):
        with pytest.raises(InvalidValue):
            shop.desk.dispatch.short_close(ORDER, why=why)
    assert shop.state() is OrderState.PROCURING


def test_a_demand_is_refused_for_its_quota_with_everything_else(shop: Bank) -> None:
    """An unknown product, a suspended partner and a full quota are told at once."""
    shop.limit(total="100.00")
    shop.desk.admission.suspend(FARM, why="inspection", actor="ops")
    demand = builders.a_demand("D-1", ("APPLE", "2"), ("NONE", "1"))
    with pytest.raises(Refused) as caught:
        shop.desk.dispatch.place(demand)
    assert caught.value.codes == ("product_unknown", "partner_not_admitted", "quota_exceeded")
    assert shop.used == {"total": "0.00"}


def test_a_partner_that_left_is_admitted_only_to_what_it_asks_for(bank: Bank) -> None:
    """Lines of before the exit are not ordered in again without a decision on them."""
    bank.admit(FARM, "retail", "corporate")
    bank.desk.admission.exit(FARM, why="left", actor="ops", for_cause=False)
    again = builders.an_admission_request("ADM-2", FARM, lines=("retail",))
    bank.desk.admission.request(again)
    (partner,) = bank.desk.admission.partners()
    assert [each.business_line for each in partner.admissions] == ["retail"]
