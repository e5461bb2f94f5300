"""The story of `examples/aksu`, told as one test: from a request to a credited profit."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from consignment.domain.admission import Decision
from consignment.domain.errors import Refused
from consignment.domain.journal import FactKind
from consignment.domain.message import Recipient
from consignment.domain.order import OrderState
from consignment.domain.quota import Quota
from consignment.formats.documents import (
    read_admission_request,
    read_demand,
    read_policy,
    read_quotas,
    read_rule,
    read_sales_partner,
)
from tests.system.desks import ROOT, Desk, balance, messages_of, used

if TYPE_CHECKING:
    from consignment.desk import Consignment
    from consignment.domain.progress import Progress
    from consignment.domain.settlement import Settlement

AKSU = ROOT / "examples" / "aksu"
EXPECTED = json.loads((AKSU / "expected.json").read_text("utf-8"))
PARTNER, SALES_PARTNER = "aksu-luyuan", "sp-li"
ORDER = EXPECTED["order"]["order_id"]
RETAIL = "business_line:retail"


def at(text: str) -> datetime:
    """Read an instant as it is said in Shanghai."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Asia/Shanghai"))


def reports() -> dict[str, list[bytes]]:
    """Give the partner's messages by id, each as often as it comes."""
    lines: dict[str, list[bytes]] = {}
    for line in (AKSU / "messages.jsonl").read_bytes().splitlines():
        lines.setdefault(json.loads(line)["id"], []).append(line)
    return lines


def progress_figures(progress: Progress) -> dict[str, str]:
    """Give the figures of an answer that are expected."""
    wanted = EXPECTED["progress"][progress.product_number]
    return {name: str(getattr(progress, name)) for name in wanted}


def settlement_figures(settlement: Settlement) -> dict[str, Any]:
    """Give a settlement in the form of what is expected."""

    def minor(amount: int) -> str:
        return f"{amount // 100}.{amount % 100:02d}"

    return {
        "net_sales": str(settlement.net_sales),
        "cost_of_goods": str(settlement.cost_of_goods),
        "deductions": {name: minor(amount) for name, amount in settlement.deductions},
        "pool": str(settlement.pool),
        "shares": {
            each.beneficiary: {
                "share": minor(each.share_minor),
                "withheld": minor(each.withheld_minor),
                ("kept" if each.state == "kept" else "credited"): minor(each.payable_minor),
            }
            for each in settlement.shares
        },
        "credited_total": str(settlement.credited_total),
    }


def names_found(desk: Consignment, text: str) -> list[str]:
    """Give the numbers of the products found by name."""
    return [each.product_number for each in desk.progress.by_name(text).products]


def test_a_partner_is_admitted_sells_and_the_profit_is_credited(bank: Desk) -> None:  # noqa: PLR0915 - it is one story
    """From the admission request to the credited profit, every figure comes out."""
    desk, clock, inbox = bank.desk, bank.clock, bank.messaging.inbox
    quota_used = EXPECTED["quota_used"]
    told = reports()

    def comes(report_id: str, when: str) -> None:
        """Let the partner's message come in by its channel, and the desk work."""
        clock.set(at(when))
        bank.messaging.put(PARTNER, *told[report_id])
        done = desk.work()
        assert (done.received.taken, done.received.refused) == (1, 0)
        assert done.received.repeated == len(told[report_id]) - 1

    def state() -> OrderState:
        return desk.dispatch.order(ORDER).state

    # The bank says what it asks of partners, and 阿克苏绿源 asks to be admitted to retail. Nobody
    # has worked with it before, so its five assessments decide.
    desk.admission.set_policy(read_policy((AKSU / "policy.json").read_bytes()))
    request = read_admission_request((AKSU / "admission.json").read_bytes())
    decision = desk.admission.request(request)
    assert {
        "decision": decision.decision.value,
        "basis": None if decision.basis is None else decision.basis.value,
        "policy_version": decision.policy_version,
        "valid_until": str(decision.valid_until),
    } == EXPECTED["admission"]
    assert desk.admission.request(request) == decision

    # It sends the list of what it sells. The same list again changes nothing.
    with (AKSU / "products.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    imported = desk.catalogue.import_products(PARTNER, rows)
    assert {
        "created": imported.created,
        "updated": imported.updated,
        "unchanged": imported.unchanged,
        "rejected": imported.rejected,
        "products": [list(each) for each in imported.products],
    } == EXPECTED["import"]
    again = desk.catalogue.import_products(PARTNER, rows)
    assert (again.created, again.updated, again.unchanged, again.rejected) == (0, 0, 3, 0)

    # Retail may have 30,000.00 on consignment at once. 李明 wants goods sold on his behalf, and
    # the bank has agreed with the partner how profit is shared.
    clock.set(at("2026-08-31T19:00"))
    limits = read_quotas((AKSU / "quotas.json").read_bytes())
    desk.quotas.set([Quota.of(scope, limit) for scope, limit in limits])
    desk.sales_partners.add(read_sales_partner((AKSU / "sales_partner.json").read_bytes()))
    desk.settlement.add_rule(read_rule((AKSU / "rule.json").read_bytes()))

    # On the first of September the demand becomes one order with the partner.
    clock.set(at("2026-09-01T10:00"))
    demand = read_demand((AKSU / "demand.json").read_bytes())
    (order,) = desk.dispatch.place(demand)
    assert {
        "order_id": order.order_id,
        "agreed_value": str(order.agreed_value),
    } == EXPECTED["order"]
    assert order.state is OrderState.PLACED
    assert used(desk) == {RETAIL: quota_used["after_order"]}
    assert desk.dispatch.place(demand) == (order,)

    # As much again does not fit any more.
    second = read_demand((AKSU / "demand.json").read_bytes().replace(b"-0901", b"-0902"))
    with pytest.raises(Refused) as refused:
        desk.dispatch.place(second)
    assert [each.as_dict() for each in refused.value.reasons] == [
        {
            "code": "quota_exceeded",
            "scope": RETAIL,
            "available": "6924.00",
            "wanted": "23076.00",
            "limit": "30000.00",
            "currency": "CNY",
        }
    ]

    # The order reaches the partner, which takes it on and buys all but three bags of walnuts.
    assert desk.work().messages.done == 1
    (placed,) = inbox(Recipient.partner(PARTNER))
    assert (placed.type, placed.data["agreed_value"]) == ("order.placed", "23076.00")
    assert state() is OrderState.DISPATCHED
    comes("AC-1", "2026-09-01T11:30")
    assert state() is OrderState.ACCEPTED
    comes("PR-1", "2026-09-03T16:00")
    assert state() is OrderState.ON_SALE
    assert used(desk) == {RETAIL: quota_used["after_procurement"]}
    (procured,) = messages_of(inbox(Recipient.sales_partner(SALES_PARTNER)), "products.procured")
    assert [line["procured"] for line in procured.data["lines"]] == ["120", "200", "147"]

    # The goods sell; one report comes twice and counts once. Two boxes of apples come back.
    comes("SR-1", "2026-09-20T21:00")
    comes("SR-2", "2026-10-08T21:00")
    comes("SR-3", "2026-10-28T21:00")
    comes("RT-1", "2026-10-30T10:00")
    assert state() is OrderState.ON_SALE
    assert used(desk) == {RETAIL: quota_used["after_procurement"]}

    # What is left goes back to the farm, the freight is reported, and the order is complete.
    comes("SB-1", "2026-11-02T10:00")
    assert used(desk) == {RETAIL: quota_used["after_sent_back"]}
    comes("EX-1", "2026-11-02T11:00")
    clock.set(at("2026-11-03T09:00"))
    (answer,) = desk.reporting.receive(PARTNER, told["CP-1"])
    assert not answer.reasons
    assert state() is OrderState.COMPLETED
    assert used(desk) == {RETAIL: quota_used["after_sent_back"]}

    # Anybody can ask how the goods sold, by number, by order, and by a part of the name.
    numbers = list(EXPECTED["progress"])
    by_number = desk.progress.by_numbers(numbers)
    assert {each.product_number: progress_figures(each) for each in by_number} == EXPECTED[
        "progress"
    ]
    assert {
        each.product_number: progress_figures(each) for each in desk.progress.by_order(ORDER)
    } == EXPECTED["progress"]
    assert {text: names_found(desk, text) for text in EXPECTED["find_by_name"]} == EXPECTED[
        "find_by_name"
    ]
    assert by_number[0].stage == "sold_out"
    assert by_number[0].sell_through_text == "0.9417"

    # A preview says what everybody will get, and changes nothing.
    facts = list(desk.audit.facts())
    preview = desk.settlement.preview(ORDER)
    assert settlement_figures(preview) == EXPECTED["settlement"]
    assert list(desk.audit.facts()) == facts
    assert balance(bank.ledger, "bank") == "0"

    # The desk settles and credits: the sales partner and the bank get theirs, the partner keeps
    # its own and pays the others.
    done = desk.work()
    assert done.settled.settled == 1
    assert done.credits.done == 2
    (settlement,) = desk.settlement.of_order(ORDER)
    assert settlement_figures(settlement) == EXPECTED["settlement"]
    assert settlement.explanation == preview.explanation
    shares = EXPECTED["settlement"]["shares"]
    assert (
        balance(bank.ledger, f"sales_partner:{SALES_PARTNER}")
        == (shares["sales_partner"]["credited"])
    )
    assert balance(bank.ledger, "bank") == shares["bank"]["credited"]
    assert balance(bank.ledger, f"partner:{PARTNER}") == (
        "-" + EXPECTED["settlement"]["credited_total"]
    )
    assert used(desk) == {RETAIL: quota_used["after_settlement"]}
    closed = desk.dispatch.order(ORDER)
    assert closed.state is OrderState.CLOSED
    assert [(line.net_sold, line.settled) for line in closed.lines] == [
        (113, 113),
        (195, 195),
        (145, 145),
    ]
    assert {each.stage for each in desk.progress.by_numbers(numbers)} == {"settled"}

    # Settling again, working again: nothing more happens.
    assert desk.settlement.settle(ORDER) == settlement
    idle = desk.work()
    assert (idle.settled.settled, idle.credits.done, idle.messages.done) == (0, 0, 0)
    assert balance(bank.ledger, "bank") == shares["bank"]["credited"]

    # Every day at six 李明 was told how it goes; the days add up to the whole.
    clock.set(at("2026-11-03T18:00"))
    assert desk.work().pushed == 1
    pushes = messages_of(inbox(Recipient.sales_partner(SALES_PARTNER)), "sales.data")
    days = [each.data["slot"] for each in pushes]
    assert (days[0], days[-1], len(days)) == ("2026-09-01T10:00:00Z", "2026-11-03T10:00:00Z", 64)
    assert len(set(days)) == len(days)
    lines = [line for each in pushes for line in each.data["lines"]]
    apples = [line for line in lines if line["product_number"] == "AKS-APPLE-5KG"]
    assert sum(int(line["sold"]) for line in apples) == 115
    assert sum(int(line["returned"]) for line in apples) == 2
    assert pushes[-1].data["completed_orders"] == [ORDER]
    assert sum(each.data["empty"] for each in pushes) == 64 - 5

    # He and the partner were told of the settlement; he sees his own share only.
    (to_partner,) = messages_of(inbox(Recipient.partner(PARTNER)), "profit.settled")
    (to_him,) = messages_of(inbox(Recipient.sales_partner(SALES_PARTNER)), "profit.settled")
    assert to_partner.data["pool"] == EXPECTED["settlement"]["pool"]
    assert [each["beneficiary"] for each in to_him.data["shares"]] == ["sales_partner"]

    # The journal tells the order's whole life.
    assert [each.kind for each in desk.audit.facts(order_id=ORDER)] == [
        FactKind.ORDER_PLACED,
        FactKind.ORDER_DISPATCHED,
        *[FactKind.REPORT_TAKEN] * 9,
        FactKind.ORDER_SETTLED,
        FactKind.CREDITED,
        FactKind.CREDITED,
        FactKind.ORDER_CLOSED,
    ]
    assert decision.decision is Decision.ADMITTED
