"""Progress (代销进度): how a product or an order is selling, as of an instant."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from consignment.domain.money import Money, round_half_up
from consignment.domain.quantity import Quantity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from consignment.domain.order import OrderLine, PurchaseOrder
    from consignment.domain.product import ConsignedProduct

__all__ = [
    "NamePage",
    "ProductStage",
    "Progress",
    "Tally",
    "TallyChange",
    "added_up",
    "tally_changes",
]

K = TypeVar("K", bound=tuple[object, ...])


class ProductStage(StrEnum):
    """How far a product has come, over all its orders."""

    NOT_ORDERED = "not_ordered"
    ORDERED = "ordered"
    ON_SALE = "on_sale"
    SOLD_OUT = "sold_out"
    SETTLED = "settled"


@frozen
class Tally:
    """What has happened to a product over all its orders, or to one line of one order.

    Counts are in the product's smallest unit, amounts in minor units of its currency. A difference
    of two tallies is a tally too; its instants are the later tally's where they changed.
    """

    ordered: int = 0
    procured: int = 0
    sold: int = 0
    returned: int = 0
    sent_back: int = 0
    written_off: int = 0
    settled: int = 0
    gross_sales_minor: int = 0
    returns_minor: int = 0
    first_sale_at: datetime | None = None
    last_sale_at: datetime | None = None
    last_report_at: datetime | None = None

    @property
    def unsold(self) -> int:
        """What the partner still has of it."""
        return self.procured - self.sold + self.returned - self.sent_back - self.written_off

    @property
    def stage(self) -> ProductStage:
        """How far it has come."""
        if not self.ordered:
            return ProductStage.NOT_ORDERED
        if not self.procured:
            return ProductStage.ORDERED
        if self.unsold:
            return ProductStage.ON_SALE
        if self.settled >= self.sold - self.returned:
            return ProductStage.SETTLED
        return ProductStage.SOLD_OUT

    def plus(self, change: Tally) -> Tally:
        """Return the tally after a change; first instants are the earlier, last ones the later."""
        return Tally(
            self.ordered + change.ordered,
            self.procured + change.procured,
            self.sold + change.sold,
            self.returned + change.returned,
            self.sent_back + change.sent_back,
            self.written_off + change.written_off,
            self.settled + change.settled,
            self.gross_sales_minor + change.gross_sales_minor,
            self.returns_minor + change.returns_minor,
            _pick(min, self.first_sale_at, change.first_sale_at),
            _pick(max, self.last_sale_at, change.last_sale_at),
            _pick(max, self.last_report_at, change.last_report_at),
        )


def _pick(choose: object, one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return one or other
    return choose(one, other)  # type: ignore[operator, no-any-return] # min or max


@frozen
class TallyChange:
    """What an order adds to the tally of a product, and to that of the product in its scopes.

    `currency` and `unit_places` say what the order counts in: the product has to be the same.
    """

    partner_id: str
    product_number: str
    sales_partner_id: str
    business_line: str
    currency: str
    unit_places: int
    change: Tally


def added_up(tallies: Iterable[tuple[K, Tally]]) -> list[tuple[K, Tally]]:
    """Add up the tallies of each key, by rising key."""
    sums: dict[K, Tally] = {}
    for key, tally in tallies:
        known = sums.get(key)
        sums[key] = tally if known is None else known.plus(tally)
    return sorted(sums.items(), key=lambda item: item[0])


def _line_tally(line: OrderLine, order: PurchaseOrder) -> Tally:
    return Tally(
        line.ordered,
        line.procured,
        line.sold,
        line.returned,
        line.sent_back,
        line.written_off,
        line.settled,
        line.gross_sales_minor,
        line.returns_minor,
        line.first_sale_at,
        line.last_sale_at,
        order.last_report_at,
    )


#: States whose orders count as never ordered: imported by value to keep this module free of cycles.
_VOID = frozenset({"rejected", "cancelled", "expired"})
_NOTHING = Tally()


def tally_changes(before: PurchaseOrder | None, after: PurchaseOrder) -> list[TallyChange]:
    """Give what an order's change adds to the tallies of its products.

    An order that ended before anything was procured counts as never ordered. A report on an order
    is one on each of its products, also where it changes none of their counts.
    """
    changes: list[TallyChange] = []
    was_void = before is not None and before.state.value in _VOID
    void = after.state.value in _VOID
    reported = before is None or after.last_report_at != before.last_report_at
    for i, line in enumerate(after.lines):
        old = None if before is None else before.lines[i]
        if old is line and void == was_void and not reported:
            continue
        was = _NOTHING if old is None or before is None else _line_tally(old, before)
        now = _line_tally(line, after)
        change = Tally(
            (0 if void else now.ordered) - (0 if was_void else was.ordered),
            now.procured - was.procured,
            now.sold - was.sold,
            now.returned - was.returned,
            now.sent_back - was.sent_back,
            now.written_off - was.written_off,
            now.settled - was.settled,
            now.gross_sales_minor - was.gross_sales_minor,
            now.returns_minor - was.returns_minor,
            now.first_sale_at if now.first_sale_at != was.first_sale_at else None,
            now.last_sale_at if now.last_sale_at != was.last_sale_at else None,
            now.last_report_at if reported else None,
        )
        changes.append(
            TallyChange(
                after.partner_id,
                line.product_number,
                after.sales_partner_id,
                after.business_line,
                after.currency,
                line.unit_places,
                change,
            )
        )
    return changes


@frozen(kw_only=True)
class Progress:
    """How a product is selling: over all its orders, or in one of them.

    `stage` is a `ProductStage`, or the order's state in an answer about one order. `sell_through`
    is net sold ÷ procured, None while nothing was procured. `settled` is how much of what was sold
    has been settled. `lifetime_left_days` is None for a product without an end. `as_of` is the
    instant (UTC) that the answer is true of.
    """

    product_number: str
    name: str
    partner_id: str
    stage: str
    ordered: Quantity
    procured: Quantity
    sold: Quantity
    returned: Quantity
    net_sold: Quantity
    sent_back: Quantity
    written_off: Quantity
    unsold: Quantity
    settled: Quantity
    gross_sales: Money
    net_sales: Money
    sell_through: Fraction | None
    first_sale_at: datetime | None
    last_sale_at: datetime | None
    last_report_at: datetime | None
    lifetime_left_days: int | None
    as_of: datetime
    order_id: str | None = None

    @property
    def currency(self) -> str:
        """The currency of the sales figures."""
        return self.gross_sales.currency

    @property
    def sell_through_text(self) -> str | None:
        """Sell-through as a decimal with four places (`"0.9417"`), half-up; None without any."""
        if self.sell_through is None:
            return None
        units = round_half_up(self.sell_through * 10_000)
        return f"{units // 10_000}.{units % 10_000:04d}"

    @classmethod
    def of_product(
        cls, product: ConsignedProduct, tally: Tally, *, as_of: datetime, today: date
    ) -> Progress:
        """Tell how a product is selling over all its orders."""
        return _progress(
            tally,
            product_number=product.number,
            name=product.name,
            partner_id=product.partner_id,
            places=product.unit_places,
            currency=product.currency,
            stage=tally.stage.value,
            lifetime_left_days=product.lifetime_left_days(today),
            as_of=as_of,
            order_id=None,
        )

    @classmethod
    def of_line(
        cls,
        order: PurchaseOrder,
        line: OrderLine,
        *,
        lifetime_left_days: int | None,
        as_of: datetime,
    ) -> Progress:
        """Tell how one product of one order is selling."""
        return _progress(
            _line_tally(line, order),
            product_number=line.product_number,
            name=line.name,
            partner_id=order.partner_id,
            places=line.unit_places,
            currency=order.currency,
            stage=order.state.value,
            lifetime_left_days=lifetime_left_days,
            as_of=as_of,
            order_id=order.order_id,
        )


# A page of products has a thousand quantities, and few different ones: most products stand still.
_quantity = lru_cache(maxsize=4096)(Quantity)


def _progress(
    tally: Tally,
    *,
    product_number: str,
    name: str,
    partner_id: str,
    places: int,
    currency: str,
    stage: str,
    lifetime_left_days: int | None,
    as_of: datetime,
    order_id: str | None,
) -> Progress:
    net_sold = tally.sold - tally.returned
    return Progress(
        product_number=product_number,
        name=name,
        partner_id=partner_id,
        stage=stage,
        ordered=_quantity(tally.ordered, places),
        procured=_quantity(tally.procured, places),
        sold=_quantity(tally.sold, places),
        returned=_quantity(tally.returned, places),
        net_sold=_quantity(net_sold, places),
        sent_back=_quantity(tally.sent_back, places),
        written_off=_quantity(tally.written_off, places),
        unsold=_quantity(tally.unsold, places),
        settled=_quantity(tally.settled, places),
        gross_sales=Money(tally.gross_sales_minor, currency),
        net_sales=Money(tally.gross_sales_minor - tally.returns_minor, currency),
        sell_through=Fraction(net_sold, tally.procured) if tally.procured else None,
        first_sale_at=tally.first_sale_at,
        last_sale_at=tally.last_sale_at,
        last_report_at=tally.last_report_at,
        lifetime_left_days=lifetime_left_days,
        as_of=as_of,
        order_id=order_id,
    )


@frozen
class NamePage:
    """A page of products found by name, best first; `next_page` continues, None at the end."""

    products: tuple[Progress, ...]
    next_page: str | None = None
