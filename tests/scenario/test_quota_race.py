"""Two orders that fit only one at a time: `tests/scenarios/quota_race.json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from consignment.domain.errors import NotFound, Refused
from consignment.domain.money import Money
from consignment.domain.quota import Quota
from consignment.testing import builders
from tests import engines
from tests.system.crew import Crew, Place
from tests.system.desks import ROOT, Desk, every_entry, used
from tests.system.racing import place_each

if TYPE_CHECKING:
    from pathlib import Path

    from consignment.desk import Consignment
    from consignment.domain.order import ConsignmentDemand
    from tests.system.crew import Job

SCENARIO = json.loads((ROOT / "tests" / "scenarios" / "quota_race.json").read_text("utf-8"))
LIMITS, BEFORE = SCENARIO["limits"], SCENARIO["used_before"]
EXPECTED = SCENARIO["expected"]
PARTNER, NUMBER = "green-farm", "APPLE"
ORDERS = {each["id"]: each for each in SCENARIO["orders"]}
#: So often two processes race for the quota.
RACES = 6


def prepare(desk: Consignment) -> None:
    """Set the limits, and let orders use what is used before."""
    desk.admission.set_policy(builders.a_policy())
    lines = ("corporate", "retail", "interbank")
    desk.admission.request(builders.an_admission_request(lines=lines))
    desk.sales_partners.add(builders.a_sales_partner())
    row = {"number": NUMBER, "name": "苹果", "unit": "BX", "currency": "CNY"}
    desk.catalogue.import_products(PARTNER, [{**row, "agreed_price": "1.00"}])
    scopes = {**LIMITS, f"partner:{PARTNER}": "2000000", f"product:{NUMBER}": "2000000"}
    desk.quotas.set([Quota.of(scope, Money.of(each, "CNY")) for scope, each in scopes.items()])
    for scope, amount in BEFORE.items():
        line = scope.partition(":")[2]
        demand = builders.a_demand(f"before-{line}", (NUMBER, amount), business_line=line)
        desk.dispatch.place(demand)


def demand_of(name: str) -> ConsignmentDemand:
    """Give the demand that yields one of the orders."""
    order = ORDERS[name]
    return builders.a_demand(name, (NUMBER, order["amount"]), business_line=order["business_line"])


def expect_refusal(reasons: list[dict[str, Any]], winner: str) -> None:
    """Check that the refusal names the scope and what is available after the winner."""
    (told,) = reasons
    assert told["code"] == EXPECTED["loser"]["code"]
    assert told["scope"] == EXPECTED["loser"]["scope"]
    available = EXPECTED["loser"][f"available_if_{winner}_won"]
    assert Money.of(told["available"], "CNY") == Money.of(available, "CNY")


def expect_one_order(desk: Consignment, winner: str, loser: str) -> None:
    """Check that the winner has its order and reservations, and the loser left nothing."""
    line, amount = ORDERS[winner]["business_line"], int(ORDERS[winner]["amount"])
    total = sum(map(int, BEFORE.values())) + amount
    assert str(total) == EXPECTED["used_total_after"][("O1", "O2").index(winner)]
    by_line = {scope: int(each) for scope, each in BEFORE.items()}
    by_line[f"business_line:{line}"] += amount
    wanted = {
        **by_line,
        "business_line:interbank": 0,
        **dict.fromkeys(("total", f"partner:{PARTNER}", f"product:{NUMBER}"), total),
    }
    assert used(desk) == {scope: f"{each}.00" for scope, each in wanted.items()}
    assert desk.dispatch.order(f"{winner}:{PARTNER}").agreed_value == Money(amount * 100, "CNY")
    lost = f"{loser}:{PARTNER}"
    with pytest.raises(NotFound):
        desk.dispatch.order(lost)
    assert not desk.storage.read(lambda tx: tx.orders.demands([loser]))
    about = {entry.intent.order_id for entry in every_entry(desk)}
    assert f"{winner}:{PARTNER}" in about
    assert lost not in about
    assert lost not in {fact.order_id for fact in desk.audit.facts()}
    tallied = desk.progress.by_number(NUMBER)
    assert tallied.ordered.count == total


@pytest.mark.parametrize(("winner", "loser"), [("O1", "O2"), ("O2", "O1")])
def test_the_first_of_two_orders_passes(bank: Desk, winner: str, loser: str) -> None:
    """The first passes; the second is told what is left, and leaves nothing."""
    prepare(bank.desk)
    bank.desk.dispatch.place(demand_of(winner))
    with pytest.raises(Refused) as refused:
        bank.desk.dispatch.place(demand_of(loser))
    expect_refusal([each.as_dict() for each in refused.value.reasons], winner)
    expect_one_order(bank.desk, winner, loser)


@pytest.mark.parametrize(("winner", "loser"), [("O1", "O2"), ("O2", "O1")])
def test_the_first_of_two_orders_in_one_batch_passes(bank: Desk, winner: str, loser: str) -> None:
    """The same in one transaction."""
    prepare(bank.desk)
    won, lost = bank.desk.dispatch.place_many([demand_of(winner), demand_of(loser)])
    assert not isinstance(won, Refused)
    assert isinstance(lost, Refused)
    expect_refusal([each.as_dict() for each in lost.reasons], winner)
    expect_one_order(bank.desk, winner, loser)


def test_of_two_processes_at_once_exactly_one_passes(engine: str, tmp_path: Path) -> None:
    """Two processes race for one quota, again and again: one passes, one leaves nothing."""
    with Crew(2) as crew:
        for i in range(RACES):
            folder = tmp_path / f"race-{i}"
            folder.mkdir()
            place = Place(engines.empty(engine, folder), folder, builders.NOW)
            with place.open() as desk:
                prepare(desk)
            jobs: list[Job] = [(place_each, ([demand_of(name)],)) for name in ORDERS]
            (first,), (second,) = crew.at_once(place, jobs)
            # A refusal is a pair, with the reasons.
            assert [isinstance(each, tuple) for each in (first, second)].count(True) == 1
            winner, loser, refused = (
                ("O2", "O1", first) if first[0] == "Refused" else ("O1", "O2", second)
            )
            expect_refusal(refused[1], winner)
            with place.open() as desk:
                expect_one_order(desk, winner, loser)
