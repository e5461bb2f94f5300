"""Demands and purchase orders: what is to be sold on behalf of whom, and what became of it.

An order's transitions return a new order and raise `IllegalTransition` or `Refused` with every
reason; nothing is changed in place.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from consignment.domain.digest import content_digest
from consignment.domain.errors import IllegalTransition, InvalidValue, Reason, Refused, reason
from consignment.domain.money import (
    MAX_MINOR,
    Money,
    decimal_text,
    minor_places,
    parse_decimal,
    scaled,
    value_minor,
)
from consignment.domain.report import (
    Accepted,
    Completed,
    ExpenseReported,
    GoodsLine,
    PartnerReport,
    Procured,
    Rejected,
    ReportKind,
    Returned,
    SentBack,
    Sold,
    WrittenOff,
)
from consignment.domain.settings import in_utc
from consignment.domain.text import check_id, check_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.domain.quota import QuotaKey

__all__ = [
    "ConsignmentDemand",
    "DemandLine",
    "OrderLine",
    "OrderState",
    "PurchaseOrder",
    "order_id_of",
    "partner_id_of",
]


class OrderState(StrEnum):
    """`placed → dispatched → accepted → procuring → on_sale → completed → settled → closed`.

    Or an early end: rejected by the partner, cancelled by the bank, expired without an answer.
    """

    PLACED = "placed"
    DISPATCHED = "dispatched"
    ACCEPTED = "accepted"
    PROCURING = "procuring"
    ON_SALE = "on_sale"
    COMPLETED = "completed"
    SETTLED = "settled"
    CLOSED = "closed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_UNANSWERED = frozenset({OrderState.PLACED, OrderState.DISPATCHED})
_RUNNING = frozenset({OrderState.ACCEPTED, OrderState.PROCURING, OrderState.ON_SALE})
_STOCKED = frozenset({OrderState.PROCURING, OrderState.ON_SALE})
_BEFORE_GOODS = _UNANSWERED | {OrderState.ACCEPTED}
_COMPLETED = frozenset({OrderState.COMPLETED, OrderState.SETTLED, OrderState.CLOSED})
#: States in which an order reserves nothing any more.
_RELEASED = frozenset(
    {
        OrderState.SETTLED,
        OrderState.CLOSED,
        OrderState.REJECTED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
    }
)


def order_id_of(demand_id: str, partner_id: str) -> str:
    """Give the id of the order that a demand yields for a partner."""
    return f"{demand_id}:{partner_id}"


def partner_id_of(order_id: str) -> str:
    """Give the partner of an order id, or "" when the id is not one."""
    return order_id.partition(":")[2]


@frozen
class DemandLine:
    """A product and how much of it is wanted, in whole units."""

    product_number: str
    quantity: Decimal = field(converter=parse_decimal)


@frozen
class ConsignmentDemand:
    """Who wants which products and quantities sold on their behalf, in which business line."""

    demand_id: str
    business_line: str
    sales_partner_id: str
    lines: tuple[DemandLine, ...] = field(converter=tuple[DemandLine, ...])
    raised_at: datetime | None = None

    def __attrs_post_init__(self) -> None:
        check_id(self.demand_id, "demand_id")
        check_id(self.business_line, "business_line")
        check_id(self.sales_partner_id, "sales_partner_id")
        if self.raised_at is not None:
            in_utc(self.raised_at)
        if not self.lines:
            raise InvalidValue(reason("lines_empty", demand_id=self.demand_id))
        if len({line.product_number for line in self.lines}) != len(self.lines):
            times = Counter(line.product_number for line in self.lines)
            raise InvalidValue(
                [
                    reason("line_repeated", product_number=number, times=count)
                    for number, count in times.items()
                    if count > 1
                ]
            )

    def digest(self) -> str:
        """Give the digest of the demand's content."""
        return content_digest(
            self.demand_id,
            self.business_line,
            self.sales_partner_id,
            None if self.raised_at is None else in_utc(self.raised_at),
            [[line.product_number, line.quantity] for line in self.lines],
        )


@frozen
class OrderLine:
    """One product of an order: what was ordered, and what has happened to it.

    Counts are in the product's smallest unit (`unit_places` decimals), amounts in minor units of
    the order's currency. `returns_minor` is what customers got back. `settled` is how much of what
    was sold has been settled. `delivery_final` says that no more will be procured.
    """

    product_number: str
    name: str
    ordered: int
    unit_places: int
    agreed_price_minor: int
    procured: int = 0
    sold: int = 0
    returned: int = 0
    sent_back: int = 0
    written_off: int = 0
    settled: int = 0
    delivery_final: bool = False
    procurement_cost_minor: int = 0
    sent_back_credit_minor: int = 0
    gross_sales_minor: int = 0
    returns_minor: int = 0
    first_sale_at: datetime | None = None
    last_sale_at: datetime | None = None

    @property
    def net_sold(self) -> int:
        """Sold less returned."""
        return self.sold - self.returned

    @property
    def unsold(self) -> int:
        """What the partner still has: procured, and neither sold, sent back nor written off."""
        return self.procured - self.net_sold - self.sent_back - self.written_off

    @property
    def net_sales_minor(self) -> int:
        """Sales less what customers got back."""
        return self.gross_sales_minor - self.returns_minor

    @property
    def cost_of_goods_minor(self) -> int:
        """Procurement cost less the credit for what was sent back."""
        return self.procurement_cost_minor - self.sent_back_credit_minor

    @property
    def cost_of_sold_minor(self) -> int:
        """Weighted average procurement cost × net sold, half-up: the cost before completion."""
        if not self.procured:
            return 0
        return (2 * self.procurement_cost_minor * self.net_sold + self.procured) // (
            2 * self.procured
        )

    @property
    def reserved_minor(self) -> int:
        """What the line reserves of its quotas while the order is open."""
        gone = self.settled + self.sent_back
        if self.delivery_final:
            gone += self.ordered - self.procured
        return value_minor(self.ordered - gone, self.unit_places, self.agreed_price_minor)


@frozen
class PurchaseOrder:
    """An order to one partner, with everything that was reported of it.

    `expenses` has the total reported by name, in minor units. Instants are UTC. `revision` grows
    by one with each stored change.
    """

    order_id: str
    partner_id: str
    demand_id: str
    business_line: str
    sales_partner_id: str
    currency: str
    placed_at: datetime
    lines: tuple[OrderLine, ...]
    state: OrderState = OrderState.PLACED
    dispatched_at: datetime | None = None
    accepted_at: datetime | None = None
    completed_at: datetime | None = None
    settled_at: datetime | None = None
    ended_at: datetime | None = None
    end_reason: str | None = None
    last_report_at: datetime | None = None
    expenses: tuple[tuple[str, int], ...] = ()
    revision: int = 0

    @property
    def agreed_value(self) -> Money:
        """Agreed price × ordered quantity, summed over the lines."""
        total = sum(
            value_minor(line.ordered, line.unit_places, line.agreed_price_minor)
            for line in self.lines
        )
        return Money(total, self.currency)

    @property
    def completed(self) -> bool:
        """Tell whether the partner has completed it: nothing more will move."""
        return self.state in _COMPLETED

    def reservations(self) -> dict[QuotaKey, int]:
        """Give what the order reserves, in minor units, per scope that could have a quota."""
        if self.state in _RELEASED:
            return {}
        wanted: dict[QuotaKey, int] = {}
        total = 0
        for line in self.lines:
            amount = line.reserved_minor
            total += amount
            wanted[f"product:{line.product_number}", self.currency] = amount
        for scope in ("total", f"business_line:{self.business_line}", f"partner:{self.partner_id}"):
            wanted[scope, self.currency] = total
        return wanted

    def reservation_changes(self, before: PurchaseOrder) -> dict[QuotaKey, int]:
        """Give by how much each reservation differs from an earlier one's, in minor units."""
        if self.state not in _RELEASED and all(
            line is old or line.reserved_minor == old.reserved_minor
            for line, old in zip(self.lines, before.lines, strict=True)
        ):
            return {}
        was, now = before.reservations(), self.reservations()
        changes = {key: now.get(key, 0) - was.get(key, 0) for key in was | now}
        return {key: change for key, change in changes.items() if change}

    def message_position(self, nth: int) -> int:
        """Give the place, in its streams, of the nth message that follows from a change of it.

        To be asked of the order as it was before the change. The message that it was placed has 0.
        """
        return 1 + self.revision * 10_000 + nth

    # What the bank does.

    def dispatched(self, at: datetime) -> PurchaseOrder:
        """Return it after the message reached the partner; an answer may have come before."""
        if self.state is not OrderState.PLACED:
            return self if self.dispatched_at else evolve(self, dispatched_at=at)
        return evolve(self, state=OrderState.DISPATCHED, dispatched_at=at)

    def cancelled(self, why: str, at: datetime) -> PurchaseOrder:
        """Return it cancelled; possible until something was procured."""
        check_text(why, "reason", 500)
        self._must_be(_BEFORE_GOODS, "cancel")
        return self._ended(OrderState.CANCELLED, why, at)

    def expired(self, at: datetime) -> PurchaseOrder:
        """Return it expired: the partner gave no answer in time."""
        self._must_be(_UNANSWERED, "expire")
        return self._ended(OrderState.EXPIRED, "no answer", at)

    def short_closed(self) -> PurchaseOrder:
        """Return it with no more to be procured; what is there is still sold and settled."""
        self._must_be(_STOCKED, "short_close")
        lines = tuple(evolve(line, delivery_final=True) for line in self.lines)
        return evolve(self, lines=lines, state=OrderState.ON_SALE)

    def settled(self, at: datetime) -> PurchaseOrder:
        """Return it settled: everything sold counts as settled, and nothing stays reserved."""
        self._must_be(frozenset({OrderState.COMPLETED}), "settle")
        lines = tuple(evolve(line, settled=line.net_sold) for line in self.lines)
        return evolve(self, lines=lines, state=OrderState.SETTLED, settled_at=at)

    def closed(self, at: datetime) -> PurchaseOrder:
        """Return it closed: every credit of its settlement was carried out."""
        self._must_be(frozenset({OrderState.SETTLED}), "close")
        return evolve(self, state=OrderState.CLOSED, ended_at=at)

    def _ended(self, state: OrderState, why: str, at: datetime) -> PurchaseOrder:
        return evolve(self, state=state, end_reason=why, ended_at=at)

    # What the partner reports.

    def take(self, report: PartnerReport, received_at: datetime) -> PurchaseOrder:
        """Return the order after a report, taken whole; or refuse it whole, with every reason.

        Raises `IllegalTransition` (`order_state`) when a report of its kind cannot come now, and
        `Refused`: `product_not_in_order`, `quantity_invalid`, `amount_invalid`, `over_procured`,
        `over_sold`, `over_returned`, `exceeds_unsold`, `procurement_final`, `currency_differs`,
        `completion_unreconciled`.
        """
        # A partner's clock that runs ahead is not believed.
        at = min(in_utc(report.occurred_at), received_at)
        match report:
            case Accepted():
                taken = self._accepted(at)
            case Rejected():
                self._must_be(_UNANSWERED, report.kind.value)
                taken = self._ended(OrderState.REJECTED, report.reason, received_at)
            case Procured():
                taken = self._procured(report)
            case Sold():
                self._must_be(_STOCKED, report.kind.value)
                lines = self._changed_lines(
                    report.lines, lambda line, count, value: _sold(line, count, value, at)
                )
                taken = evolve(self, lines=lines, state=OrderState.ON_SALE)
            case Returned():
                taken = self._goods(report.kind, report.lines, _returned)
            case SentBack():
                taken = self._goods(report.kind, report.lines, _sent_back)
            case WrittenOff():
                taken = self._goods(report.kind, report.lines, _written_off)
            case ExpenseReported():
                taken = self._expense(report)
            case Completed():
                taken = self._completed(received_at)
            case _:  # pragma: no cover - the kinds are all above
                raise TypeError(report)
        last = at if self.last_report_at is None else max(at, self.last_report_at)
        return evolve(taken, last_report_at=last)

    def _must_be(self, states: frozenset[OrderState], what: str) -> None:
        if self.state not in states:
            raise IllegalTransition(
                reason("order_state", order_id=self.order_id, state=self.state.value, wanted=what)
            )

    def _accepted(self, at: datetime) -> PurchaseOrder:
        self._must_be(_UNANSWERED, ReportKind.ACCEPTED.value)
        return evolve(self, state=OrderState.ACCEPTED, accepted_at=at)

    def _procured(self, report: Procured) -> PurchaseOrder:
        self._must_be(_RUNNING, report.kind.value)
        lines = self._changed_lines(report.lines, _procured)
        if report.final:
            lines = tuple(evolve(line, delivery_final=True) for line in lines)
        complete = all(line.delivery_final or line.procured == line.ordered for line in lines)
        on_sale = complete or self.state is OrderState.ON_SALE
        return evolve(
            self, lines=lines, state=OrderState.ON_SALE if on_sale else OrderState.PROCURING
        )

    def _goods(
        self, kind: ReportKind, lines: tuple[GoodsLine, ...], change: _LineChange
    ) -> PurchaseOrder:
        self._must_be(_STOCKED, kind.value)
        return evolve(self, lines=self._changed_lines(lines, change))

    def _expense(self, report: ExpenseReported) -> PurchaseOrder:
        self._must_be(_RUNNING, report.kind.value)
        faults: list[Reason] = []
        same = report.currency == self.currency
        if not same:
            faults.append(
                reason(
                    "currency_differs",
                    order_id=self.order_id,
                    currency=report.currency,
                    order_currency=self.currency,
                )
            )
        amount = scaled(report.amount, minor_places(self.currency))
        # How many decimals an amount may have is only known in the right currency.
        if report.amount < 0 or (amount is None and same):
            faults.append(
                reason("amount_invalid", name=report.name, amount=str(report.amount)[:64])
            )
        if faults or amount is None:
            raise Refused(faults)
        totals = dict(self.expenses)
        totals[report.name] = totals.get(report.name, 0) + amount
        if totals[report.name] > MAX_MINOR:
            raise Refused(
                reason("amount_too_large", name=report.name, amount=str(report.amount)[:64])
            )
        return evolve(self, expenses=tuple(sorted(totals.items())))

    def _completed(self, at: datetime) -> PurchaseOrder:
        self._must_be(_RUNNING, ReportKind.COMPLETED.value)
        left = [
            reason(
                "completion_unreconciled",
                order_id=self.order_id,
                product_number=line.product_number,
                unsold=decimal_text(line.unsold, line.unit_places),
            )
            for line in self.lines
            if line.unsold
        ]
        if left:
            raise Refused(left)
        lines = tuple(evolve(line, delivery_final=True) for line in self.lines)
        return evolve(self, lines=lines, state=OrderState.COMPLETED, completed_at=at)

    def _changed_lines(
        self, reported: tuple[GoodsLine, ...], change: _LineChange
    ) -> tuple[OrderLine, ...]:
        by_number = {line.product_number: i for i, line in enumerate(self.lines)}
        lines = list(self.lines)
        faults: list[Reason] = []
        currency_places = minor_places(self.currency)
        for goods in reported:
            index = by_number.get(goods.product_number)
            if index is None:
                faults.append(
                    reason(
                        "product_not_in_order",
                        order_id=self.order_id,
                        product_number=goods.product_number[:80],
                    )
                )
                continue
            line = lines[index]
            count = scaled(goods.quantity, line.unit_places)
            amount = 0 if goods.unit_amount is None else scaled(goods.unit_amount, currency_places)
            if count is None or count <= 0:
                faults.append(
                    _line_fault("quantity_invalid", line, quantity=str(goods.quantity)[:64])
                )
            if amount is None or amount < 0:
                faults.append(
                    _line_fault("amount_invalid", line, unit_amount=str(goods.unit_amount)[:64])
                )
            if count is None or count <= 0 or amount is None or amount < 0:
                continue
            value = value_minor(count, line.unit_places, amount)
            changed = change(line, count, value)
            if isinstance(changed, Reason):
                faults.append(changed)
            elif max(changed.procurement_cost_minor, changed.gross_sales_minor) > MAX_MINOR or (
                max(changed.returns_minor, changed.sent_back_credit_minor) > MAX_MINOR
            ):
                told = str(goods.unit_amount)[:64]
                faults.append(_line_fault("amount_too_large", line, unit_amount=told))
            else:
                lines[index] = changed
        if faults:
            raise Refused(faults)
        return tuple(lines)


def _line_fault(code: str, line: OrderLine, **figures: str) -> Reason:
    return reason(code, product_number=line.product_number, **figures)


def _figures(line: OrderLine, **counts: int) -> dict[str, str]:
    return {name: decimal_text(count, line.unit_places) for name, count in counts.items()}


def _procured(line: OrderLine, count: int, value: int) -> OrderLine | Reason:
    if line.delivery_final:
        return _line_fault("procurement_final", line, **_figures(line, procured=line.procured))
    if line.procured + count > line.ordered:
        return _line_fault(
            "over_procured",
            line,
            **_figures(line, quantity=count, procured=line.procured, ordered=line.ordered),
        )
    return evolve(
        line,
        procured=line.procured + count,
        procurement_cost_minor=line.procurement_cost_minor + value,
    )


def _sold(line: OrderLine, count: int, value: int, at: datetime) -> OrderLine | Reason:
    if count > line.unsold:
        return _line_fault("over_sold", line, **_figures(line, quantity=count, unsold=line.unsold))
    first, last = line.first_sale_at, line.last_sale_at
    return evolve(
        line,
        sold=line.sold + count,
        gross_sales_minor=line.gross_sales_minor + value,
        first_sale_at=at if first is None else min(first, at),
        last_sale_at=at if last is None else max(last, at),
    )


def _returned(line: OrderLine, count: int, value: int) -> OrderLine | Reason:
    if count > line.net_sold:
        return _line_fault(
            "over_returned", line, **_figures(line, quantity=count, net_sold=line.net_sold)
        )
    return evolve(line, returned=line.returned + count, returns_minor=line.returns_minor + value)


def _sent_back(line: OrderLine, count: int, value: int) -> OrderLine | Reason:
    if count > line.unsold:
        return _exceeds_unsold(line, count)
    return evolve(
        line,
        sent_back=line.sent_back + count,
        sent_back_credit_minor=line.sent_back_credit_minor + value,
    )


def _written_off(line: OrderLine, count: int, _: int) -> OrderLine | Reason:
    if count > line.unsold:
        return _exceeds_unsold(line, count)
    return evolve(line, written_off=line.written_off + count)


def _exceeds_unsold(line: OrderLine, count: int) -> Reason:
    return _line_fault("exceeds_unsold", line, **_figures(line, quantity=count, unsold=line.unsold))


if TYPE_CHECKING:
    _LineChange = Callable[[OrderLine, int, int], OrderLine | Reason]
