"""Find orders, and store what they have become with all that follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.domain.errors import NotFound, reason
from consignment.domain.progress import tally_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.journal import Fact
    from consignment.domain.message import OutboxEntry
    from consignment.domain.order import PurchaseOrder
    from consignment.domain.progress import TallyChange
    from consignment.domain.quota import QuotaKey
    from consignment.ports.storage import Transaction


def order_of(tx: Transaction, order_id: str) -> PurchaseOrder:
    """Give an order, else raise `NotFound` (`order_unknown`)."""
    order = tx.orders.get([order_id]).get(order_id)
    if order is None:
        raise NotFound(reason("order_unknown", order_id=order_id[:160]))
    return order


def store_new(
    tx: Transaction,
    orders: Sequence[PurchaseOrder],
    *,
    entries: Sequence[OutboxEntry],
    facts: Sequence[Fact],
) -> None:
    """Add orders with their messages and facts, and count them."""
    tx.orders.add(orders)
    tx.outbox.add(entries)
    tx.journal.append(facts)
    _count(tx, [(None, order) for order in orders])


def store_changes(
    tx: Transaction,
    changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]],
    *,
    entries: Sequence[OutboxEntry] = (),
    facts: Sequence[Fact] = (),
) -> None:
    """Save orders, each as (as read, as now), add intents and facts, and count what changed.

    Also without any order: intents and facts are there then all the same.
    """
    if changes:
        tx.orders.save(changes)
    if entries:
        tx.outbox.add(entries)
    if facts:
        tx.journal.append(facts)
    _count(tx, changes)


def _count(tx: Transaction, changes: Sequence[tuple[PurchaseOrder | None, PurchaseOrder]]) -> None:
    """Add to tallies and quotas what orders' changes make of them; None before: a new order.

    It comes last in a transaction: these are the rows that everybody changes, and a change of one
    keeps everybody else waiting until the commit.
    """
    tallies: list[TallyChange] = []
    quotas: dict[str, dict[QuotaKey, int]] = {}
    for before, after in changes:
        tallies += tally_changes(before, after)
        reserved = after.reservations() if before is None else after.reservation_changes(before)
        if reserved:
            of_partner = quotas.setdefault(after.partner_id, {})
            for key, amount in reserved.items():
                of_partner[key] = of_partner.get(key, 0) + amount
    if tallies:
        tx.products.tally(tallies)
    if quotas:
        tx.quotas.change(quotas)
