"""What a partner reports: one frozen class for each kind, and the record of what became of it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar

from attrs import field, frozen
from attrs.converters import optional

from consignment.domain.digest import content_digest
from consignment.domain.errors import InvalidValue, Reason, reason
from consignment.domain.money import parse_decimal
from consignment.domain.settings import in_utc
from consignment.domain.text import check_text, text_fault

__all__ = [
    "Accepted",
    "Completed",
    "ExpenseReported",
    "GoodsLine",
    "PartnerReport",
    "Procured",
    "Rejected",
    "ReportKind",
    "ReportOutcome",
    "ReportRecord",
    "Returned",
    "SentBack",
    "Sold",
    "WrittenOff",
]


class ReportKind(StrEnum):
    """The kinds of report; the value is the message type after `consignment.`."""

    ACCEPTED = "order.accepted"
    REJECTED = "order.rejected"
    PROCURED = "goods.procured"
    SOLD = "goods.sold"
    RETURNED = "goods.returned"
    SENT_BACK = "goods.sent_back"
    WRITTEN_OFF = "goods.written_off"
    EXPENSE = "expense.reported"
    COMPLETED = "order.completed"
    #: Something that could not be read as any of the others.
    UNREADABLE = "unreadable"


@frozen
class GoodsLine:
    """A quantity of one product, in whole units, and what one unit cost, fetched or is credited.

    `unit_amount` is None where the kind of report has none (goods written off).
    """

    product_number: str
    quantity: Decimal = field(converter=parse_decimal)
    unit_amount: Decimal | None = field(default=None, converter=optional(parse_decimal))

    def content(self) -> list[object]:
        """Give the line as plain content."""
        return [self.product_number, self.quantity, self.unit_amount]


def _check_head(report: PartnerReport) -> None:
    check_text(report.report_id, "id", 128)
    if text_fault(report.order_id, 129):
        raise InvalidValue(reason("id_invalid", field="order_id", value=str(report.order_id)[:80]))
    in_utc(report.occurred_at)


@frozen(kw_only=True)
class PartnerReport:
    """What every report has: the partner's own id for it, the order, and when it happened.

    Who reports is not part of it: that is known from the channel's credential.
    """

    kind: ClassVar[ReportKind]
    report_id: str
    order_id: str
    occurred_at: datetime

    def __attrs_post_init__(self) -> None:
        _check_head(self)

    def digest(self) -> str:
        """Give the digest of the report's content."""
        return content_digest(
            self.kind.value,
            self.report_id,
            self.order_id,
            in_utc(self.occurred_at),
            self.details(),
        )

    def details(self) -> dict[str, Any]:
        """Give what this kind of report has beside the head, as plain text, for the record."""
        return {}


@frozen(kw_only=True)
class Accepted(PartnerReport):
    """The partner takes the order on."""

    kind = ReportKind.ACCEPTED


@frozen(kw_only=True)
class Rejected(PartnerReport):
    """The partner declines the order, with a reason."""

    kind = ReportKind.REJECTED
    reason: str

    def __attrs_post_init__(self) -> None:
        _check_head(self)
        check_text(self.reason, "reason", 500)

    def details(self) -> dict[str, Any]:
        """Give the reason."""
        return {"reason": self.reason}


@frozen(kw_only=True)
class _Goods(PartnerReport):
    lines: tuple[GoodsLine, ...] = field(converter=tuple[GoodsLine, ...])
    needs_amount: ClassVar[bool] = True

    def __attrs_post_init__(self) -> None:
        _check_head(self)
        faults: list[Reason] = []
        if not self.lines:
            faults.append(reason("lines_empty", order_id=self.order_id))
        times = Counter(line.product_number for line in self.lines)
        if len(times) != len(self.lines):
            faults += [
                reason("line_repeated", product_number=number, times=count)
                for number, count in times.items()
                if count > 1
            ]
        faults += [
            reason("unit_amount_missing", product_number=line.product_number)
            for line in self.lines
            if self.needs_amount and line.unit_amount is None
        ]
        if faults:
            raise InvalidValue(faults)

    def details(self) -> dict[str, Any]:
        """Give the lines as [number, quantity, unit amount], in text."""
        return {
            "lines": [
                [
                    line.product_number,
                    format(line.quantity, "f"),
                    None if line.unit_amount is None else format(line.unit_amount, "f"),
                ]
                for line in self.lines
            ]
        }


@frozen(kw_only=True)
class Procured(_Goods):
    """Goods were bought, at a cost per unit; `final` says that no more will come."""

    kind = ReportKind.PROCURED
    final: bool = False

    def details(self) -> dict[str, Any]:
        """Give the lines, and whether the delivery is final."""
        return {**_Goods.details(self), "final": self.final}


@frozen(kw_only=True)
class Sold(_Goods):
    """Goods were sold, at a price per unit."""

    kind = ReportKind.SOLD


@frozen(kw_only=True)
class Returned(_Goods):
    """Customers brought goods back and got the price per unit again."""

    kind = ReportKind.RETURNED


@frozen(kw_only=True)
class SentBack(_Goods):
    """Unsold goods went back to the supplier, for a credit per unit."""

    kind = ReportKind.SENT_BACK


@frozen(kw_only=True)
class WrittenOff(_Goods):
    """Unsold goods were lost or spoilt, with a reason."""

    kind = ReportKind.WRITTEN_OFF
    needs_amount = False
    reason: str

    def __attrs_post_init__(self) -> None:
        _Goods.__attrs_post_init__(self)
        check_text(self.reason, "reason", 500)

    def details(self) -> dict[str, Any]:
        """Give the lines and the reason."""
        return {**_Goods.details(self), "reason": self.reason}


@frozen(kw_only=True)
class ExpenseReported(PartnerReport):
    """The partner spent an amount, by name; a settlement rule says whether it is deducted."""

    kind = ReportKind.EXPENSE
    name: str
    amount: Decimal = field(converter=parse_decimal)
    currency: str

    def __attrs_post_init__(self) -> None:
        _check_head(self)
        check_text(self.name, "name", 64)

    def details(self) -> dict[str, Any]:
        """Give name, amount and currency."""
        return {"name": self.name, "amount": format(self.amount, "f"), "currency": self.currency}


@frozen(kw_only=True)
class Completed(PartnerReport):
    """Nothing is left to sell; the order can be settled."""

    kind = ReportKind.COMPLETED


class ReportOutcome(StrEnum):
    """What became of a report."""

    TAKEN = "taken"
    REFUSED = "refused"


@frozen
class ReportRecord:
    """A report as it was received, and what became of it; kept forever, refused ones too.

    `details` is the report's content in plain text. `sales_partner_id` is known when the order
    is. `effect` has, for sold and returned goods, a (product number, count, value in minor units)
    per line. `pushed_slot` is the schedule slot with which it was told to the sales partner.
    """

    partner_id: str
    report_id: str
    kind: ReportKind
    digest: str
    order_id: str | None
    occurred_at: datetime | None
    received_at: datetime
    outcome: ReportOutcome
    reasons: tuple[Reason, ...] = ()
    details: dict[str, Any] = field(factory=dict, hash=False)
    sales_partner_id: str | None = None
    effect: tuple[tuple[str, int, int], ...] = ()
    pushed_slot: datetime | None = None
