"""Builders of domain values with sensible defaults, for tests and trials.

Each gives a whole, valid value from as little as is said. Unless told otherwise everything belongs
together: the partner `green-farm` is admitted for `retail`, sells `APPLE` in CNY on behalf of the
sales partner `sp-li`, and its order is `D-1:green-farm`. `NOW` is the present instant, `TODAY` its
business day in Shanghai.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import evolve
from stdnum.cn import uscc

from consignment.domain.admission import (
    AdmissionDecision,
    AdmissionPolicy,
    AdmissionRequest,
    Assessment,
    Criterion,
    decide,
)
from consignment.domain.digest import content_digest
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import (
    BANK,
    CreditInstruction,
    Message,
    OutboxEntry,
    Recipient,
)
from consignment.domain.money import Money
from consignment.domain.order import (
    ConsignmentDemand,
    DemandLine,
    OrderLine,
    PurchaseOrder,
    order_id_of,
    partner_id_of,
)
from consignment.domain.partner import (
    Account,
    LineAdmission,
    Partner,
    PartnerDetails,
    PartnerStatus,
)
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally, TallyChange
from consignment.domain.quota import Quota
from consignment.domain.report import (
    Accepted,
    Completed,
    ExpenseReported,
    GoodsLine,
    PartnerReport,
    Procured,
    Rejected,
    ReportOutcome,
    ReportRecord,
    Returned,
    SentBack,
    Sold,
    WrittenOff,
)
from consignment.domain.rule import SettlementRule, Share
from consignment.domain.sales_partner import PushSchedule, SalesPartner
from consignment.domain.settlement import (
    CreditState,
    Settlement,
    SettlementShare,
    settlement_id_of,
)
from consignment.ports.storage import DemandRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "NOW",
    "TODAY",
    "a_credit",
    "a_decision",
    "a_demand",
    "a_demand_record",
    "a_fact",
    "a_line",
    "a_message",
    "a_partner",
    "a_policy",
    "a_product",
    "a_quota",
    "a_record",
    "a_registration_number",
    "a_rule",
    "a_sales_partner",
    "a_settlement",
    "accepted",
    "an_account",
    "an_admission_request",
    "an_entry",
    "an_order",
    "assessments",
    "completed",
    "details",
    "expense",
    "procured",
    "rejected",
    "returned",
    "sent_back",
    "sold",
    "written_off",
]

NOW = datetime(2026, 9, 1, 2, 0, tzinfo=UTC)
TODAY = date(2026, 9, 1)

_PARTNER = "green-farm"
_SALES_PARTNER = "sp-li"
_PRODUCT = "APPLE"
_ORDER = f"D-1:{_PARTNER}"

#: A line of goods: product number, quantity and, where there is one, the amount per unit.
Goods = tuple[str, str, str] | tuple[str, str]


# Who.


def a_registration_number(seed: str = _PARTNER) -> str:
    """Make a valid unified social credit code; the same seed gives the same one."""
    body = hashlib.sha256(seed.encode()).hexdigest().upper()
    digits = "".join(str(int(each, 16) % 10) for each in body[:15])
    number = f"91{digits}"
    check: str = uscc.calc_check_digit(number)
    return number + check


def an_account(holder: str = "绿源农场", number: str = "6500120000012345678") -> Account:
    """Make a CNY account."""
    return Account(holder, number, "307881000015", "CNY")


def details(
    partner_id: str = _PARTNER, *, registration_number: str | None = None, name: str = "绿源农场"
) -> PartnerDetails:
    """Make what a partner is by its papers; the registration number follows from the id."""
    number = registration_number or a_registration_number(partner_id)
    return PartnerDetails(partner_id, name, number, an_account(name))


def a_partner(
    partner_id: str = _PARTNER,
    *,
    lines: tuple[str, ...] = ("retail",),
    valid_until: date = date(2027, 8, 31),
    status: PartnerStatus = PartnerStatus.ADMITTED,
    **changes: Any,  # noqa: ANN401 - any field of a partner
) -> Partner:
    """Make a partner that is admitted in some lines until a day."""
    admissions = tuple(LineAdmission(line, valid_until, "2026-1", "ADM-1") for line in lines)
    partner = Partner(details(partner_id), status, admissions)
    return evolve(partner, **changes)


def a_sales_partner(
    sales_partner_id: str = _SALES_PARTNER,
    *,
    cron: str | None = None,
    **changes: Any,  # noqa: ANN401 - any field of a sales partner
) -> SalesPartner:
    """Make a sales partner; with `cron`, scheduled in Shanghai from `NOW` on."""
    account = an_account("李明", "6225880100000000003")
    if cron is None:
        return evolve(SalesPartner(sales_partner_id, "李明", account), **changes)
    partner = SalesPartner(sales_partner_id, "李明", account, PushSchedule(cron))
    return evolve(partner.scheduled_from(NOW), **changes)


# Admission.


def assessments(
    score: str = "90",
    *,
    assessed_on: date = date(2026, 8, 1),
    scores: Mapping[Criterion, str] | None = None,
    evidence: str = "doc:1",
) -> tuple[Assessment, ...]:
    """Make an assessment of each of the five criteria, all with one score but for `scores`."""
    return tuple(
        Assessment(criterion, Decimal((scores or {}).get(criterion, score)), evidence, assessed_on)
        for criterion in Criterion
    )


def a_policy(
    version: str = "2026-1",
    *,
    minimum: str = "60",
    history_window_days: int = 730,
    validity_days: int = 365,
    evidence_max_age_days: int = 180,
    overlays: Mapping[str, Mapping[str, str]] | None = None,
) -> AdmissionPolicy:
    """Make a policy with one minimum for all criteria."""
    minimums = {each.value: minimum for each in Criterion}
    return AdmissionPolicy(
        version,
        history_window_days,
        validity_days,
        evidence_max_age_days,
        minimums,
        overlays or {},
    )


def an_admission_request(
    request_id: str = "ADM-1",
    partner_id: str = _PARTNER,
    *,
    lines: tuple[str, ...] = ("retail",),
    **changes: Any,  # noqa: ANN401 - any field of a request
) -> AdmissionRequest:
    """Make a request with five good assessments."""
    fields: dict[str, Any] = {
        "request_id": request_id,
        "actor": "officer:wang",
        "partner": details(partner_id),
        "business_lines": lines,
        "assessments": assessments(),
        **changes,
    }
    return AdmissionRequest(**fields)


def a_decision(
    request_id: str = "ADM-1",
    partner_id: str = _PARTNER,
    *,
    sequence: int = 1,
    request: AdmissionRequest | None = None,
) -> AdmissionDecision:
    """Make a decision, admitted unless the request says otherwise."""
    request = request or an_admission_request(request_id, partner_id)
    return decide(request, a_policy(), None, None, now=NOW, today=TODAY, sequence=sequence)


# What.


def a_product(
    number: str = _PRODUCT,
    partner_id: str = _PARTNER,
    *,
    name: str = "阿克苏冰糖心苹果 5kg",
    price: str = "68.80",
    currency: str = "CNY",
    **changes: Any,  # noqa: ANN401 - any field of a product
) -> ConsignedProduct:
    """Make a product that is always on sale, counted in whole boxes."""
    minor = Money.of(price, currency).minor
    product = ConsignedProduct(partner_id, number, name, "BX", 0, currency, minor)
    return evolve(product, **changes)


def a_demand(
    demand_id: str = "D-1",
    *goods: tuple[str, str],
    business_line: str = "retail",
    sales_partner_id: str = _SALES_PARTNER,
    raised_at: datetime | None = None,
) -> ConsignmentDemand:
    """Make a demand for goods, each as (product number, quantity); ten apples by default."""
    wanted = goods or ((_PRODUCT, "10"),)
    lines = tuple(DemandLine(number, Decimal(quantity)) for number, quantity in wanted)
    return ConsignmentDemand(demand_id, business_line, sales_partner_id, lines, raised_at)


def a_demand_record(demand_id: str = "D-1", *partner_ids: str) -> DemandRecord:
    """Make the record of a demand that yielded an order for each partner."""
    order_ids = tuple(order_id_of(demand_id, each) for each in partner_ids or (_PARTNER,))
    return DemandRecord(demand_id, "0" * 64, order_ids, NOW)


def a_line(
    number: str = _PRODUCT,
    ordered: int = 10,
    *,
    price_minor: int = 6880,
    places: int = 0,
    **changes: Any,  # noqa: ANN401 - any field of a line
) -> OrderLine:
    """Make an order line to which nothing has happened yet, but for `changes`."""
    line = OrderLine(number, f"name of {number}", ordered, places, price_minor)
    return evolve(line, **changes)


def an_order(
    demand_id: str = "D-1",
    partner_id: str = _PARTNER,
    *lines: OrderLine,
    **changes: Any,  # noqa: ANN401 - any field of an order
) -> PurchaseOrder:
    """Make an order that was just placed, but for `changes`; ten apples by default."""
    order = PurchaseOrder(
        order_id=order_id_of(demand_id, partner_id),
        partner_id=partner_id,
        demand_id=demand_id,
        business_line="retail",
        sales_partner_id=_SALES_PARTNER,
        currency="CNY",
        placed_at=NOW,
        lines=lines or (a_line(),),
    )
    return evolve(order, **changes)


def a_tally_change(
    tally: Tally,
    number: str = _PRODUCT,
    partner_id: str = _PARTNER,
    **changes: Any,  # noqa: ANN401 - any field of a change
) -> TallyChange:
    """Make a change of a product's tally, as an order for it makes one."""
    change = TallyChange(partner_id, number, _SALES_PARTNER, "retail", "CNY", 0, tally)
    return evolve(change, **changes)


def a_quota(
    scope: str = "total", limit: str = "1000000.00", *, used: str = "0", currency: str = "CNY"
) -> Quota:
    """Make a quota."""
    limit_minor, used_minor = Money.of(limit, currency).minor, Money.of(used, currency).minor
    return Quota(scope, currency, limit_minor, used_minor)


# What a partner reports.


def _head(order_id: str, report_id: str, occurred_at: datetime | None) -> dict[str, Any]:
    return {
        "order_id": order_id,
        "report_id": report_id,
        "occurred_at": occurred_at or NOW + timedelta(hours=1),
    }


def _goods(lines: tuple[Goods, ...], amount: str | None) -> tuple[GoodsLine, ...]:
    if not lines:
        return (GoodsLine(_PRODUCT, "10", amount),)
    return tuple(GoodsLine(*line) for line in lines)


def accepted(
    order_id: str = _ORDER, *, report_id: str = "AC-1", at: datetime | None = None
) -> Accepted:
    """Make the report that a partner takes an order on."""
    return Accepted(**_head(order_id, report_id, at))


def rejected(
    order_id: str = _ORDER,
    *,
    report_id: str = "RJ-1",
    at: datetime | None = None,
    why: str = "没有货",
) -> Rejected:
    """Make the report that a partner declines an order."""
    return Rejected(**_head(order_id, report_id, at), reason=why)


def procured(
    order_id: str = _ORDER,
    *lines: Goods,
    report_id: str = "PR-1",
    at: datetime | None = None,
    final: bool = False,
) -> Procured:
    """Make a report of goods bought; ten apples for 49.50 each by default."""
    goods = _goods(lines, "49.50")
    return Procured(**_head(order_id, report_id, at), lines=goods, final=final)


def sold(
    order_id: str = _ORDER, *lines: Goods, report_id: str = "SR-1", at: datetime | None = None
) -> Sold:
    """Make a report of sales; ten apples for 68.80 each by default."""
    return Sold(**_head(order_id, report_id, at), lines=_goods(lines, "68.80"))


def returned(
    order_id: str = _ORDER, *lines: Goods, report_id: str = "RT-1", at: datetime | None = None
) -> Returned:
    """Make a report of what customers brought back."""
    return Returned(**_head(order_id, report_id, at), lines=_goods(lines, "68.80"))


def sent_back(
    order_id: str = _ORDER, *lines: Goods, report_id: str = "SB-1", at: datetime | None = None
) -> SentBack:
    """Make a report of what went back to the supplier."""
    return SentBack(**_head(order_id, report_id, at), lines=_goods(lines, "49.50"))


def written_off(
    order_id: str = _ORDER,
    *lines: Goods,
    report_id: str = "WO-1",
    at: datetime | None = None,
    why: str = "坏了",
) -> WrittenOff:
    """Make a report of what was lost or spoilt."""
    return WrittenOff(**_head(order_id, report_id, at), lines=_goods(lines, None), reason=why)


def expense(
    order_id: str = _ORDER,
    name: str = "freight",
    amount: str = "480.15",
    *,
    report_id: str = "EX-1",
    at: datetime | None = None,
    currency: str = "CNY",
) -> ExpenseReported:
    """Make a report of an expense."""
    head = _head(order_id, report_id, at)
    return ExpenseReported(**head, name=name, amount=Decimal(amount), currency=currency)


def completed(
    order_id: str = _ORDER, *, report_id: str = "CP-1", at: datetime | None = None
) -> Completed:
    """Make the report that nothing is left to sell."""
    return Completed(**_head(order_id, report_id, at))


def a_record(
    report: PartnerReport | None = None,
    *,
    received_at: datetime | None = None,
    **changes: Any,  # noqa: ANN401 - any field of a record
) -> ReportRecord:
    """Make the record of a report that was taken from the order's partner."""
    report = report or sold()
    record = ReportRecord(
        partner_id=partner_id_of(report.order_id),
        report_id=report.report_id,
        kind=report.kind,
        digest=report.digest(),
        order_id=report.order_id,
        occurred_at=report.occurred_at,
        received_at=received_at or NOW + timedelta(hours=2),
        outcome=ReportOutcome.TAKEN,
        details=report.details(),
        sales_partner_id=_SALES_PARTNER,
    )
    return evolve(record, **changes)


# Profit.


def a_rule(
    rule_id: str = "profit",
    version: int = 1,
    *,
    scope: str = "all",
    **changes: Any,  # noqa: ANN401 - any field of a rule
) -> SettlementRule:
    """Make a rule that shares the profit 45 : 35 : 20 among sales partner, partner and bank."""
    shares = (Share("sales_partner", "45"), Share("partner", "35"), Share("bank", "20"))
    fields: dict[str, Any] = {
        "rule_id": rule_id,
        "version": version,
        "effective_from": date(2026, 1, 1),
        "scope": scope,
        "basis": "profit",
        "shares": shares,
        **changes,
    }
    return SettlementRule(**fields)


def a_settlement(
    order_id: str = _ORDER,
    sequence: int = 1,
    **changes: Any,  # noqa: ANN401 - any field of a settlement
) -> Settlement:
    """Make a settlement of 100.00, of which 45.00 and 20.00 are due."""
    partner_id = partner_id_of(order_id)
    settlement = Settlement(
        settlement_id=settlement_id_of(order_id, sequence),
        sequence=sequence,
        order_id=order_id,
        partner_id=partner_id,
        sales_partner_id=_SALES_PARTNER,
        currency="CNY",
        settled_at=NOW,
        net_sales_minor=68800,
        cost_of_goods_minor=49500,
        deductions=(("freight", 9300),),
        base_minor=10000,
        pool_minor=10000,
        shares=(
            SettlementShare(
                "sales_partner", f"sales_partner:{_SALES_PARTNER}", 4500, 0, CreditState.DUE
            ),
            SettlementShare("partner", f"partner:{partner_id}", 3500, 0, CreditState.KEPT),
            SettlementShare("bank", "bank", 2000, 0, CreditState.DUE),
        ),
        rules=(("profit", 1),),
        explanation=("net sales 688.00", "pool: the whole base = 100.00"),
    )
    return evolve(settlement, **changes)


def a_credit(
    key: str = f"{_ORDER}:1:sales_partner",
    amount: str = "45.00",
    *,
    currency: str = "CNY",
    **changes: Any,  # noqa: ANN401 - any field of an instruction
) -> CreditInstruction:
    """Make an instruction: the partner pays the sales partner.

    Each beneficiary has an account of its own, unless another is given; the bank has none.
    """
    order_id = _ORDER
    beneficiary: str = changes.get("beneficiary", f"sales_partner:{_SALES_PARTNER}")
    number = f"62258801{int(content_digest(beneficiary)[:12], 16) % 10**11:011d}"
    instruction = CreditInstruction(
        key=key,
        partner_id=partner_id_of(order_id),
        order_id=order_id,
        settlement_id=settlement_id_of(order_id, 1),
        payer=f"partner:{partner_id_of(order_id)}",
        beneficiary=beneficiary,
        amount=Money.of(amount, currency),
        payer_account=an_account(),
        account=None if beneficiary == "bank" else an_account("李明", number),
        instructed_at=NOW,
    )
    return evolve(instruction, **changes)


# Messages, facts.


def a_message(
    message_id: str = "M-1",
    *,
    recipient: Recipient | None = None,
    order_id: str | None = _ORDER,
    **changes: Any,  # noqa: ANN401 - any field of a message
) -> Message:
    """Make a message to the partner about its order."""
    to = recipient or Recipient.partner(_PARTNER)
    data = {"order_id": order_id, "lines": [{"product_number": _PRODUCT, "quantity": "10"}]}
    return evolve(Message(message_id, to, "order.placed", NOW, data, order_id), **changes)


def an_entry(
    intent: Message | CreditInstruction | str = "M-1",
    position: int = 0,
    *,
    due_at: datetime = NOW,
    **changes: Any,  # noqa: ANN401 - any field of an entry
) -> OutboxEntry:
    """Make an outbox entry that is due; text stands for a message with that id."""
    if isinstance(intent, str):
        intent = a_message(intent)
    if isinstance(intent, CreditInstruction):
        partner_id = intent.partner_id
    else:
        partner_id = BANK if intent.order_id is None else partner_id_of(intent.order_id)
    return evolve(OutboxEntry(partner_id, intent, position, due_at), **changes)


def a_fact(
    kind: FactKind = FactKind.ORDER_PLACED,
    *,
    order_id: str | None = _ORDER,
    **changes: Any,  # noqa: ANN401 - any field of a fact
) -> Fact:
    """Make a fact about an order, or about the bank when there is none."""
    partner_id = BANK if order_id is None else partner_id_of(order_id)
    data = {"agreed_value": "688.00", "lines": [{"quantity": "10"}]}
    return evolve(Fact(kind, NOW, partner_id, order_id, "officer:wang", data), **changes)
