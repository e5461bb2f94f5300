"""The domain's values as plain JSON: the keys that the commands promise."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from consignment.domain.money import decimal_text, minor_places
from consignment.domain.settlement import CreditState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from consignment.domain.admission import AdmissionDecision
    from consignment.domain.errors import Reason
    from consignment.domain.journal import Fact
    from consignment.domain.message import OutboxEntry
    from consignment.domain.order import OrderLine, PurchaseOrder
    from consignment.domain.partner import Partner
    from consignment.domain.progress import Progress
    from consignment.domain.quota import Quota
    from consignment.domain.settlement import Settlement, SettlementShare
    from consignment.ports.account_crediting import Posting

__all__ = [
    "decision_shape",
    "entry_shape",
    "fact_shape",
    "instant_text",
    "order_shape",
    "partner_shape",
    "posting_shape",
    "progress_shape",
    "quota_shape",
    "reason_shapes",
    "settlement_shape",
]


def instant_text(at: datetime | None) -> str | None:
    """Write an instant as RFC 3339 in UTC."""
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _day_text(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def reason_shapes(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """Give reasons as plain JSON."""
    return [each.as_dict() for each in reasons]


def decision_shape(decision: AdmissionDecision) -> dict[str, Any]:
    """Give an admission decision as plain JSON."""
    return {
        "request_id": decision.request.request_id,
        "partner_id": decision.request.partner.partner_id,
        "decision": decision.decision.value,
        "basis": None if decision.basis is None else decision.basis.value,
        "policy_version": decision.policy_version,
        "valid_until": _day_text(decision.valid_until),
        "reasons": reason_shapes(decision.reasons),
    }


def partner_shape(partner: Partner) -> dict[str, Any]:
    """Give a partner as plain JSON."""
    return {
        "partner_id": partner.partner_id,
        "name": partner.details.name,
        "registration_number": partner.details.registration_number,
        "status": partner.status.value,
        "business_lines": {
            each.business_line: each.valid_until.isoformat() for each in partner.admissions
        },
        "review_on": _day_text(partner.review_on),
    }


def quota_shape(quota: Quota) -> dict[str, str]:
    """Give a quota as plain JSON."""
    return {
        "scope": quota.scope,
        "limit": str(quota.limit),
        "used": str(quota.used),
        "available": str(quota.available),
        "currency": quota.currency,
    }


def order_shape(order: PurchaseOrder) -> dict[str, Any]:
    """Give an order as plain JSON."""
    places = minor_places(order.currency)
    return {
        "order_id": order.order_id,
        "partner_id": order.partner_id,
        "state": order.state.value,
        "agreed_value": str(order.agreed_value),
        "currency": order.currency,
        "demand_id": order.demand_id,
        "business_line": order.business_line,
        "sales_partner_id": order.sales_partner_id,
        "placed_at": instant_text(order.placed_at),
        "dispatched_at": instant_text(order.dispatched_at),
        "accepted_at": instant_text(order.accepted_at),
        "completed_at": instant_text(order.completed_at),
        "settled_at": instant_text(order.settled_at),
        "ended_at": instant_text(order.ended_at),
        "end_reason": order.end_reason,
        "lines": [_order_line_shape(line, places) for line in order.lines],
        "expenses": {name: decimal_text(minor, places) for name, minor in order.expenses},
    }


def _order_line_shape(line: OrderLine, places: int) -> dict[str, Any]:
    def count(units: int) -> str:
        return decimal_text(units, line.unit_places)

    return {
        "product_number": line.product_number,
        "name": line.name,
        "agreed_price": decimal_text(line.agreed_price_minor, places),
        "ordered": count(line.ordered),
        "procured": count(line.procured),
        "sold": count(line.sold),
        "returned": count(line.returned),
        "sent_back": count(line.sent_back),
        "written_off": count(line.written_off),
        "unsold": count(line.unsold),
        "delivery_final": line.delivery_final,
    }


def progress_shape(progress: Progress) -> dict[str, Any]:
    """Give how a product is selling as plain JSON; with the order when it is about one."""
    shape = {
        "product_number": progress.product_number,
        "name": progress.name,
        "partner_id": progress.partner_id,
        "stage": progress.stage,
        "ordered": str(progress.ordered),
        "procured": str(progress.procured),
        "sold": str(progress.sold),
        "returned": str(progress.returned),
        "net_sold": str(progress.net_sold),
        "sent_back": str(progress.sent_back),
        "written_off": str(progress.written_off),
        "unsold": str(progress.unsold),
        "gross_sales": str(progress.gross_sales),
        "net_sales": str(progress.net_sales),
        "currency": progress.currency,
        "sell_through": progress.sell_through_text,
        "first_sale_at": instant_text(progress.first_sale_at),
        "last_sale_at": instant_text(progress.last_sale_at),
        "last_report_at": instant_text(progress.last_report_at),
        "lifetime_left_days": progress.lifetime_left_days,
        "settled": str(progress.settled),
        "as_of": instant_text(progress.as_of),
    }
    if progress.order_id is not None:
        shape["order_id"] = progress.order_id
    return shape


def settlement_shape(settlement: Settlement) -> dict[str, Any]:
    """Give a settlement as plain JSON."""
    places = minor_places(settlement.currency)
    return {
        "settlement_id": settlement.settlement_id,
        "sequence": settlement.sequence,
        "order_id": settlement.order_id,
        "partner_id": settlement.partner_id,
        "settled_at": instant_text(settlement.settled_at),
        "currency": settlement.currency,
        "rules": [{"rule_id": id_, "version": version} for id_, version in settlement.rules],
        "net_sales": str(settlement.net_sales),
        "cost_of_goods": str(settlement.cost_of_goods),
        "deductions": {name: decimal_text(minor, places) for name, minor in settlement.deductions},
        "loss": str(settlement.loss),
        "pool": str(settlement.pool),
        "shares": {each.beneficiary: _share_shape(each, places) for each in settlement.shares},
        "credited_total": str(settlement.credited_total),
        "credits": {
            each.beneficiary: {"account": each.account, "state": each.state.value}
            for each in settlement.shares
        },
        "explanation": list(settlement.explanation),
    }


def _share_shape(share: SettlementShare, places: int) -> dict[str, str]:
    paid = "kept" if share.state is CreditState.KEPT else "credited"
    return {
        "share": decimal_text(share.share_minor, places),
        "withheld": decimal_text(share.withheld_minor, places),
        paid: decimal_text(share.payable_minor, places),
    }


def posting_shape(posting: Posting) -> dict[str, Any]:
    """Give one side of a ledger entry as plain JSON."""
    return {
        "posted_at": instant_text(posting.posted_at),
        "amount": str(posting.amount),
        "currency": posting.amount.currency,
        "counter_account": posting.counter_account,
        "order_id": posting.order_id,
        "key": posting.key,
    }


def fact_shape(fact: Fact) -> dict[str, Any]:
    """Give a fact of the journal as plain JSON."""
    return {
        "at": instant_text(fact.at),
        "kind": fact.kind.value,
        "partner_id": fact.partner_id,
        "order_id": fact.order_id,
        "actor": fact.actor,
        "data": fact.data,
    }


def entry_shape(entry: OutboxEntry) -> dict[str, Any]:
    """Give an entry of the outbox as plain JSON."""
    return {
        "entry_id": entry.entry_id,
        "kind": "credit" if hasattr(entry.intent, "amount") else "message",
        "partner_id": entry.partner_id,
        "order_id": entry.intent.order_id,
        "state": entry.state.value,
        "attempts": entry.attempts,
        "due_at": instant_text(entry.due_at),
        "last_error": entry.last_error,
    }
