"""Settlements and the shares of each."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import instant, json_text, json_value, micros
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.errors import StorageError
from consignment.domain.settlement import CreditState, Settlement, SettlementShare

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["SettlementRows"]

_SETTLEMENTS = tables.settlements.c
_SHARES = tables.settlement_shares.c
_STATES = {each.value: each for each in CreditState}

_ADD = Statement(insert(tables.settlements))
_ADD_SHARES = Statement(insert(tables.settlement_shares))
_GET = Statement(
    select(tables.settlements)
    .where(_SETTLEMENTS.order_id.in_(bindparam(KEYS, expanding=True)))
    .order_by(_SETTLEMENTS.order_id, _SETTLEMENTS.sequence)
)
_GET_SHARES = Statement(
    select(
        _SHARES.order_id,
        _SHARES.sequence,
        _SHARES.beneficiary,
        _SHARES.account,
        _SHARES.share_minor,
        _SHARES.withheld_minor,
        _SHARES.state,
    )
    .where(_SHARES.order_id.in_(bindparam(KEYS, expanding=True)))
    .order_by(_SHARES.order_id, _SHARES.sequence, _SHARES.share_no)
)
_MARK = Statement(
    update(tables.settlement_shares)
    .values(state=bindparam("state_"))
    .where(
        _SHARES.order_id == bindparam("order_id_"),
        _SHARES.sequence == bindparam("sequence_"),
        _SHARES.partner_id == bindparam("partner_id_"),
        _SHARES.beneficiary == bindparam("beneficiary_"),
    ),
    "state_",
    "order_id_",
    "sequence_",
    "partner_id_",
    "beneficiary_",
)


class SettlementRows:
    """Settlements."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def of_orders(self, order_ids: Collection[str]) -> dict[str, tuple[Settlement, ...]]:
        """Give each order's settlements, by sequence; orders without any are left out."""
        rows = self._session.rows_by(_GET, order_ids)
        if not rows:
            return {}
        shares: defaultdict[tuple[str, int], list[SettlementShare]] = defaultdict(list)
        for row in self._session.rows_by(_GET_SHARES, {row[0] for row in rows}):
            shares[row[0], row[1]].append(
                SettlementShare(row[2], row[3], row[4], row[5], _STATES[row[6]])
            )
        settlements: defaultdict[str, list[Settlement]] = defaultdict(list)
        for row in rows:
            settlements[row[0]].append(_settlement(row, shares[row[0], row[1]]))
        return {order_id: tuple(each) for order_id, each in settlements.items()}

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Keep settlements."""
        for each in settlements:
            # The one invariant that no constraint of a single row can hold.
            if sum(share.share_minor for share in each.shares) != each.pool_minor:
                raise StorageError(f"the shares of {each.settlement_id} are not its pool")
        self._session.add(_ADD, [_row(each) for each in settlements])
        self._session.add(
            _ADD_SHARES,
            [
                _share_row(each, share_no, share)
                for each in settlements
                for share_no, share in enumerate(each.shares)
            ],
        )

    def mark(self, states: Sequence[tuple[Settlement, str, CreditState]]) -> None:
        """Note what became of shares' credits, each as (settlement, beneficiary, state)."""
        # Whoever marks a share has its order locked.
        rows = [
            (state.value, each.order_id, each.sequence, each.partner_id, beneficiary)
            for each, beneficiary, state in states
        ]
        self._session.change(_MARK, rows, "settlement shares")


def _row(settlement: Settlement) -> Row:
    return (
        settlement.order_id,
        settlement.sequence,
        settlement.partner_id,
        settlement.settlement_id,
        settlement.sales_partner_id,
        settlement.currency,
        micros(settlement.settled_at),
        settlement.net_sales_minor,
        settlement.cost_of_goods_minor,
        json_text(settlement.deductions),
        settlement.base_minor,
        settlement.pool_minor,
        json_text(settlement.rules),
        json_text(settlement.explanation),
    )


def _share_row(settlement: Settlement, share_no: int, share: SettlementShare) -> Row:
    return (
        settlement.order_id,
        settlement.sequence,
        settlement.partner_id,
        share.beneficiary,
        share_no,
        share.account,
        share.share_minor,
        share.withheld_minor,
        share.state.value,
    )


def _settlement(row: Row, shares: Sequence[SettlementShare]) -> Settlement:
    return Settlement(
        settlement_id=row[3],
        sequence=row[1],
        order_id=row[0],
        partner_id=row[2],
        sales_partner_id=row[4],
        currency=row[5],
        settled_at=instant(row[6]),
        net_sales_minor=row[7],
        cost_of_goods_minor=row[8],
        deductions=tuple((name, minor) for name, minor in json_value(row[9])),
        base_minor=row[10],
        pool_minor=row[11],
        shares=tuple(shares),
        rules=tuple((rule_id, version) for rule_id, version in json_value(row[12])),
        explanation=tuple(json_value(row[13])),
    )
