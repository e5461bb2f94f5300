"""Find orders, and store what they have become with what follows for tallies and quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.domain.errors import NotFound, reason
from consignment.domain.progress import Tally, tally_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.order import PurchaseOrder
    from consignment.domain.quota import QuotaKey
    from consignment.ports.storage import Transaction


def order_of(tx: Transaction, order_id: str) -> PurchaseOrder:
    """Give an order, else raise `NotFound` (`order_unknown`)."""
    order = tx.orders.get([order_id]).get(order_id)
    if order is None:
        raise NotFound(reason("order_unknown", order_id=order_id[:160]))
    return order


def store_changes(tx: Transaction, changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]]) -> None:
    """Save orders, each as (as read, as now), and keep tallies and quotas in step with them."""
    if not changes:
        return
    tx.orders.save(changes)
    keep_in_step(tx, changes)


def keep_in_step(
    tx: Transaction, changes: Sequence[tuple[PurchaseOrder | None, PurchaseOrder]]
) -> None:
    """Add to tallies and quotas what orders' changes make of them; None before: a new order.

    Partners, and the products and scopes of each, are touched in rising order, so that two
    transactions never wait for each other in a circle.
    """
    tallies: dict[str, dict[str, Tally]] = {}
    quotas: dict[str, dict[QuotaKey, int]] = {}
    for before, after in changes:
        of_partner = tallies.setdefault(after.partner_id, {})
        for number, change in tally_changes(before, after).items():
            known = of_partner.get(number)
            of_partner[number] = change if known is None else known.plus(change)
        reserved = after.reservations() if before is None else after.reservation_changes(before)
        if reserved:
            of_quota = quotas.setdefault(after.partner_id, {})
            for key, amount in reserved.items():
                of_quota[key] = of_quota.get(key, 0) + amount
    for partner_id in sorted(tallies):
        if of_partner := tallies[partner_id]:
            tx.products.tally(partner_id, dict(sorted(of_partner.items())))
    for partner_id in sorted(quotas):
        tx.quotas.change(dict(sorted(quotas[partner_id].items())), partner_id)
