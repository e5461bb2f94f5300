"""From a demand to purchase orders: one for each partner concerned, or every reason why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.domain.errors import Reason, reason
from consignment.domain.message import Message, Recipient, message_id_of
from consignment.domain.money import MAX_MINOR, decimal_text, minor_places, scaled, value_minor
from consignment.domain.order import (
    ConsignmentDemand,
    DemandLine,
    OrderLine,
    PurchaseOrder,
    order_id_of,
)
from consignment.domain.partner import not_admitted
from consignment.domain.quota import exceeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime

    from consignment.domain.partner import Partner
    from consignment.domain.product import ConsignedProduct
    from consignment.domain.quota import Quota, QuotaKey

__all__ = ["placed_message", "plan_orders", "reserved_by"]


def plan_orders(
    demand: ConsignmentDemand,
    *,
    products: Mapping[str, ConsignedProduct],
    partners: Mapping[str, Partner],
    sales_partner_known: bool,
    now: datetime,
    today: date,
    quotas: Mapping[str, Iterable[Quota]] | None = None,
    taken: Mapping[QuotaKey, int] | None = None,
) -> list[PurchaseOrder] | list[Reason]:
    """Plan the orders that a demand yields, by rising partner id; or give every reason why not.

    `products` are those that exist, by number, `partners` those of the products, by id. `quotas`
    has those that may apply, by partner, and `taken` what others have reserved since they were
    read. What is sound in a demand is held against the quotas also when the rest is not.

    Codes: `sales_partner_unknown`, `product_unknown`, `product_not_on_sale`, `quantity_invalid`,
    `amount_too_large`, `currency_mixed`, `partner_not_admitted`, `admission_expired`,
    `line_not_admitted`, `quota_exceeded`.
    """
    faults: list[Reason] = []
    if not sales_partner_known:
        faults.append(reason("sales_partner_unknown", sales_partner_id=demand.sales_partner_id))
    lines: dict[str, list[OrderLine]] = {}
    currencies: dict[str, set[str]] = {}
    for wanted in demand.lines:
        product = products.get(wanted.product_number)
        if product is None:
            faults.append(reason("product_unknown", product_number=wanted.product_number[:80]))
            continue
        if not product.on_sale(today):
            faults.append(_not_on_sale(product, today))
        partner_lines = lines.setdefault(product.partner_id, [])
        currencies.setdefault(product.partner_id, set()).add(product.currency)
        line = _line(wanted, product)
        if isinstance(line, Reason):
            faults.append(line)
        else:
            partner_lines.append(line)
    for partner_id in sorted(lines):
        partner = partners.get(partner_id)
        if partner is None:
            faults.append(not_admitted(partner_id))
        else:
            faults += partner.ordering_faults(demand.business_line, today)
        if len(currencies[partner_id]) > 1:
            mixed = sorted(currencies[partner_id])
            faults.append(reason("currency_mixed", partner_id=partner_id, currencies=mixed))
    orders = [
        PurchaseOrder(
            order_id_of(demand.demand_id, partner_id),
            partner_id,
            demand.demand_id,
            demand.business_line,
            demand.sales_partner_id,
            next(iter(currencies[partner_id])),
            now,
            tuple(lines[partner_id]),
        )
        for partner_id in sorted(lines)
        if lines[partner_id] and len(currencies[partner_id]) == 1
    ]
    if quotas:
        applicable = {
            quota.key: quota for order in orders for quota in quotas.get(order.partner_id, ())
        }
        faults += exceeded(applicable.values(), reserved_by(orders), taken or {})
    return faults or orders


def reserved_by(orders: Iterable[PurchaseOrder]) -> dict[QuotaKey, int]:
    """Sum what orders reserve, in minor units, per scope that could have a quota."""
    wanted: dict[QuotaKey, int] = {}
    for order in orders:
        for key, amount in order.reservations().items():
            wanted[key] = wanted.get(key, 0) + amount
    return wanted


def _line(wanted: DemandLine, product: ConsignedProduct) -> OrderLine | Reason:
    number, price = product.number, product.agreed_price_minor
    quantity = str(wanted.quantity)[:64]
    count = scaled(wanted.quantity, product.unit_places)
    if count is None or count <= 0:
        places = product.unit_places
        return reason(
            "quantity_invalid", product_number=number, quantity=quantity, unit_places=places
        )
    if value_minor(count, product.unit_places, price) > MAX_MINOR:
        return reason("amount_too_large", product_number=number, quantity=quantity)
    return OrderLine(number, product.name, count, product.unit_places, price)


def _not_on_sale(product: ConsignedProduct, today: date) -> Reason:
    first, last = product.on_sale_from, product.on_sale_until
    return reason(
        "product_not_on_sale",
        product_number=product.number,
        on_sale_from=None if first is None else first.isoformat(),
        on_sale_until=None if last is None else last.isoformat(),
        day=today.isoformat(),
    )


def placed_message(order: PurchaseOrder) -> Message:
    """Give the message that tells a partner of an order."""
    places = minor_places(order.currency)
    data = {
        "order_id": order.order_id,
        "business_line": order.business_line,
        "sales_partner_id": order.sales_partner_id,
        "currency": order.currency,
        "agreed_value": str(order.agreed_value),
        "lines": [
            {
                "product_number": line.product_number,
                "name": line.name,
                "quantity": decimal_text(line.ordered, line.unit_places),
                "agreed_price": decimal_text(line.agreed_price_minor, places),
            }
            for line in order.lines
        ],
    }
    return Message(
        message_id_of(order.order_id, "placed"),
        Recipient.partner(order.partner_id),
        "order.placed",
        order.placed_at,
        data,
        order.order_id,
    )
