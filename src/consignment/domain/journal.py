"""The journal: every fact that happened, append-only; the audit trail."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from attrs import field, frozen

__all__ = ["Fact", "FactKind"]


class FactKind(StrEnum):
    """What kinds of facts there are."""

    POLICY_SET = "policy_set"
    ADMISSION_DECIDED = "admission_decided"
    PARTNER_SUSPENDED = "partner_suspended"
    PARTNER_REINSTATED = "partner_reinstated"
    PARTNER_EXITED = "partner_exited"
    PRODUCTS_IMPORTED = "products_imported"
    PRODUCT_CHANGED = "product_changed"
    SALES_PARTNER_SET = "sales_partner_set"
    RULE_ADDED = "rule_added"
    QUOTA_SET = "quota_set"
    ORDER_PLACED = "order_placed"
    ORDER_DISPATCHED = "order_dispatched"
    ORDER_CANCELLED = "order_cancelled"
    ORDER_EXPIRED = "order_expired"
    ORDER_SHORT_CLOSED = "order_short_closed"
    REPORT_TAKEN = "report_taken"
    REPORT_REFUSED = "report_refused"
    SALES_DATA_PUSHED = "sales_data_pushed"
    ORDER_SETTLED = "order_settled"
    CREDITED = "credited"
    ORDER_CLOSED = "order_closed"
    SET_ASIDE = "set_aside"
    RETRIED = "retried"


@frozen
class Fact:
    """Something that became true, once and for good.

    `partner_id` is the partner whose data it concerns, or `message.BANK`. `data` is plain JSON
    with the figures; amounts and quantities are decimal text. `at` is UTC.
    """

    kind: FactKind
    at: datetime
    partner_id: str
    order_id: str | None = None
    actor: str | None = None
    data: dict[str, Any] = field(factory=dict, hash=False)
