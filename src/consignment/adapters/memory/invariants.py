"""What no stored row may break: what CHECK constraints are to the SQL tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consignment.domain.errors import StorageError
from consignment.domain.money import MAX_SUM

if TYPE_CHECKING:
    from consignment.domain.order import OrderLine, PurchaseOrder
    from consignment.domain.progress import Tally
    from consignment.domain.quota import Quota
    from consignment.domain.settlement import Settlement

__all__ = ["check_order", "check_quota", "check_settlement", "check_tally"]


def _counts_hold(row: OrderLine | Tally) -> bool:
    return (
        min(
            row.ordered,
            row.procured,
            row.sold,
            row.returned,
            row.sent_back,
            row.written_off,
            row.settled,
            row.gross_sales_minor,
            row.returns_minor,
            row.sold - row.returned,
            row.unsold,
            row.ordered - row.procured,
        )
        >= 0
    )


def check_order(order: PurchaseOrder) -> None:
    """Raise `StorageError` when an order has impossible figures."""
    for line in order.lines:
        if (
            not _counts_hold(line)
            or min(
                line.agreed_price_minor, line.procurement_cost_minor, line.sent_back_credit_minor
            )
            < 0
        ):
            raise StorageError(f"impossible figures in order {order.order_id}: {line}")


def check_tally(number: str, tally: Tally) -> None:
    """Raise `StorageError` when a product would have an impossible tally."""
    largest = max(tally.ordered, tally.sold, tally.gross_sales_minor, tally.returns_minor)
    if not _counts_hold(tally) or largest > MAX_SUM:
        raise StorageError(f"impossible tally of product {number}: {tally}")


def check_quota(quota: Quota) -> None:
    """Raise `StorageError` when less than nothing of a quota would be used."""
    if quota.used_minor < 0:
        raise StorageError(f"less than nothing used of quota {quota.scope}: {quota.used_minor}")


def check_settlement(settlement: Settlement) -> None:
    """Raise `StorageError` when a settlement shares what it does not have."""
    shares = settlement.shares
    if (
        min((min(s.share_minor, s.withheld_minor, s.payable_minor) for s in shares), default=0) < 0
        or sum(share.share_minor for share in shares) != settlement.pool_minor
    ):
        raise StorageError(f"impossible shares in settlement {settlement.settlement_id}")
