"""Settlement (利润结算): profit to accounts, once.

Rules; preview; settling what is due; what was settled and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from consignment._orders import order_of, store_changes
from consignment.domain.errors import Conflict, NotFound, Reason, Refused, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import (
    BANK,
    CreditInstruction,
    Message,
    OutboxEntry,
    Recipient,
    message_id_of,
)
from consignment.domain.money import Money, decimal_text, minor_places
from consignment.domain.order import OrderState, PurchaseOrder, partner_id_of
from consignment.domain.rule import RuleSet
from consignment.domain.settings import Settings
from consignment.domain.settlement import CreditState, Settlement, SettlementShare, compute
from consignment.ports.clock import Clock
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from typing import Any

    from consignment.domain.partner import Account
    from consignment.domain.rule import SettlementRule
    from consignment.domain.sales_partner import SalesPartner
    from consignment.ports.storage import Transaction

__all__ = ["SettledOrders", "Settling"]

#: Orders in a transaction.
_BATCH = 200


@define
class SettledOrders:
    """How many orders were settled, and why others that are due were not."""

    settled: int = 0
    refusals: list[Reason] = field(factory=list)


@frozen
class Settling:
    """The use cases of settlement."""

    _storage: Storage
    _clock: Clock
    _settings: Settings

    def add_rule(self, rule: SettlementRule, *, actor: str | None = None) -> SettlementRule:
        """Add a version of a settlement rule.

        The same version with the same content again changes nothing. Raises `Conflict`:
        `rule_conflict` (the version is there with other content), `rule_ambiguous` (another rule
        has the same scope and effective date); and `NotFound` (`sales_partner_unknown`).
        """
        now = self._clock.now()

        def work(tx: Transaction) -> SettlementRule:
            known = tx.rules.get(rule.rule_id, rule.version)
            if known is not None:
                if known.digest() != rule.digest():
                    raise Conflict(
                        reason("rule_conflict", rule_id=rule.rule_id, version=rule.version)
                    )
                return known
            _check_rule(tx, rule)
            tx.rules.add(rule, now)
            data = {
                "rule_id": rule.rule_id,
                "version": rule.version,
                "scope": rule.scope,
                "effective_from": rule.effective_from.isoformat(),
            }
            tx.journal.append([Fact(FactKind.RULE_ADDED, now, BANK, actor=actor, data=data)])
            return rule

        return self._storage.write(work)

    def preview(self, order_id: str) -> Settlement:
        """Compute what settling an order would give now, without writing anything.

        The order may still be running: then it is what the figures so far would give. Raises
        `NotFound` (`order_unknown`), `Refused`: `order_state` (ended without a sale, or settled
        already: see `of_order`), `rule_missing`, `rule_currency_differs`, `amount_too_large`.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> Settlement:
            order = order_of(tx, order_id)
            if order.state not in _PREVIEWED:
                raise Refused(_wrong_state(order, "preview"))
            (settlement,) = self._computed(tx, [order], now)
            if isinstance(settlement, Refused):
                raise settlement
            return settlement

        return self._storage.read(work)

    def settle(self, order_id: str, *, actor: str | None = None) -> Settlement:
        """Settle a completed order: the settlement and its credit instructions are committed.

        Settling a settled order again gives the settlement that stands. Raises as `preview`, and
        `order_state` while the order is not completed.
        """
        now = self._clock.now()

        def work(tx: Transaction) -> Settlement:
            order = order_of(tx, order_id)
            if settled := tx.settlements.of_orders([order_id]).get(order_id):
                return settled[-1]
            if order.state is not OrderState.COMPLETED:
                raise Refused(_wrong_state(order, "settle"))
            (settlement,) = self._settle(tx, [order], now, actor)
            if isinstance(settlement, Refused):
                raise settlement
            return settlement

        return self._storage.write(work, partner_id=partner_id_of(order_id) or None)

    def settle_due(self) -> SettledOrders:
        """Settle every completed order, some hundred in a transaction.

        An order that cannot be settled (no rule) stays due, and is told with the reasons.
        """
        outcome = SettledOrders()
        now = self._clock.now()
        after = ""
        while True:

            def work(tx: Transaction, after: str = after) -> tuple[str, list[Settlement | Refused]]:
                due = tx.orders.in_state([OrderState.COMPLETED], after=after, limit=_BATCH)
                last = due[-1].order_id if due else ""
                return last, self._settle(tx, due, now, None)

            last, settled = self._storage.write(work)
            for each in settled:
                if isinstance(each, Refused):
                    outcome.refusals += each.reasons
                else:
                    outcome.settled += 1
            if len(settled) < _BATCH:
                return outcome
            after = last

    def of_order(self, order_id: str) -> tuple[Settlement, ...]:
        """Give an order's settlements, oldest first.

        Raises `NotFound`: `order_unknown`; `not_settled`, with the order's state.
        """

        def work(tx: Transaction) -> tuple[Settlement, ...]:
            settled = tx.settlements.of_orders([order_id]).get(order_id)
            if not settled:
                order = order_of(tx, order_id)
                raise NotFound(reason("not_settled", order_id=order_id, state=order.state.value))
            return settled

        return self._storage.read(work)

    def _computed(
        self, tx: Transaction, orders: Sequence[PurchaseOrder], now: datetime
    ) -> list[Settlement | Refused]:
        rules = RuleSet(tx.rules.of_scopes(_scopes(orders)))
        computed: list[Settlement | Refused] = []
        for order in orders:
            placed_on = self._settings.day_of(order.placed_at)
            try:
                computed.append(compute(order, rules, placed_on=placed_on, settled_at=now))
            except Refused as refusal:
                computed.append(refusal)
        return computed

    def _settle(
        self, tx: Transaction, orders: Sequence[PurchaseOrder], now: datetime, actor: str | None
    ) -> list[Settlement | Refused]:
        if not orders:
            return []
        computed = self._computed(tx, orders, now)
        pairs = [
            (order, settlement)
            for order, settlement in zip(orders, computed, strict=True)
            if isinstance(settlement, Settlement)
        ]
        if not pairs:
            return computed
        beneficiaries = tx.sales_partners.get(
            {
                share.account.partition(":")[2]
                for _, settlement in pairs
                for share in settlement.shares
                if share.account.startswith("sales_partner:")
            }
        )
        partners = tx.partners.get({order.partner_id for order, _ in pairs})
        changes: list[tuple[PurchaseOrder, PurchaseOrder]] = []
        entries: list[OutboxEntry] = []
        facts: list[Fact] = []
        for order, settlement in pairs:
            settled = order.settled(now)
            facts.append(_settled_fact(settlement, actor))
            if not settlement.due:
                settled = settled.closed(now)
                facts.append(closed_fact(settled, now))
            changes.append((order, settled))
            payer = partners[order.partner_id].details.account
            entries += _entries(order, settlement, payer, beneficiaries)
        tx.settlements.add([settlement for _, settlement in pairs])
        store_changes(tx, changes, entries=entries, facts=facts)
        return computed


_PREVIEWED = frozenset(
    {OrderState.ACCEPTED, OrderState.PROCURING, OrderState.ON_SALE, OrderState.COMPLETED}
)


def closed_fact(order: PurchaseOrder, now: datetime) -> Fact:
    """Give the fact that an order is closed."""
    return Fact(FactKind.ORDER_CLOSED, now, order.partner_id, order.order_id)


def _check_rule(tx: Transaction, rule: SettlementRule) -> None:
    same = [
        reason(
            "rule_ambiguous",
            rule_id=other.rule_id,
            version=other.version,
            scope=rule.scope,
            effective_from=rule.effective_from.isoformat(),
        )
        for other in tx.rules.of_scopes([rule.scope])
        if other.rule_id != rule.rule_id and other.effective_from == rule.effective_from
    ]
    if same:
        raise Conflict(same)
    wanted = rule.other_sales_partners
    known = tx.sales_partners.get(wanted) if wanted else {}
    unknown = [
        reason("sales_partner_unknown", sales_partner_id=each)
        for each in wanted
        if each not in known
    ]
    if unknown:
        raise NotFound(unknown)


def _wrong_state(order: PurchaseOrder, wanted: str) -> Reason:
    return reason("order_state", order_id=order.order_id, state=order.state.value, wanted=wanted)


def _scopes(orders: Iterable[PurchaseOrder]) -> set[str]:
    scopes = {"all"}
    for order in orders:
        scopes.add(f"business_line:{order.business_line}")
        scopes.add(f"partner:{order.partner_id}")
        scopes.update(f"product:{line.product_number}" for line in order.lines)
    return scopes


def _entries(
    order: PurchaseOrder,
    settlement: Settlement,
    payer_account: Account,
    beneficiaries: dict[str, SalesPartner],
) -> list[OutboxEntry]:
    """Give the credit instructions of a settlement, and the messages that tell of it."""
    now = settlement.settled_at
    payer = f"partner:{order.partner_id}"
    credits_due = [
        OutboxEntry(
            order.partner_id,
            CreditInstruction(
                key=settlement.credit_key(share),
                partner_id=order.partner_id,
                order_id=order.order_id,
                settlement_id=settlement.settlement_id,
                payer=payer,
                beneficiary=share.account,
                amount=Money(share.payable_minor, order.currency),
                payer_account=payer_account,
                account=_account(share.account, beneficiaries),
                instructed_at=now,
            ),
            0,
            now,
        )
        for share in settlement.due
    ]
    position = order.message_position(0)
    return [
        *credits_due,
        *(
            OutboxEntry(order.partner_id, message, position, now)
            for message in _settled_messages(settlement)
        ),
    ]


def _account(account: str, beneficiaries: dict[str, SalesPartner]) -> Account | None:
    beneficiary = beneficiaries.get(account.partition(":")[2])
    return None if beneficiary is None else beneficiary.account


def _settled_messages(settlement: Settlement) -> tuple[Message, Message]:
    """Tell partner and sales partner of a settlement; the latter sees its own share only."""
    places = minor_places(settlement.currency)
    head = {
        "order_id": settlement.order_id,
        "settlement_id": settlement.settlement_id,
        "currency": settlement.currency,
        "net_sales": decimal_text(settlement.net_sales_minor, places),
    }
    shares = [_told_share(share, places) for share in settlement.shares]
    own = f"sales_partner:{settlement.sales_partner_id}"
    own_shares = [
        told for told, share in zip(shares, settlement.shares, strict=True) if share.account == own
    ]
    everything = {
        **head,
        "cost_of_goods": decimal_text(settlement.cost_of_goods_minor, places),
        "deductions": {
            name: decimal_text(amount, places) for name, amount in settlement.deductions
        },
        "pool": decimal_text(settlement.pool_minor, places),
        "shares": shares,
    }
    return (
        _settled_message(settlement, Recipient.partner(settlement.partner_id), everything),
        _settled_message(
            settlement,
            Recipient.sales_partner(settlement.sales_partner_id),
            {**head, "shares": own_shares},
        ),
    )


def _told_share(share: SettlementShare, places: int) -> dict[str, str]:
    paid = "kept" if share.state is CreditState.KEPT else "credited"
    return {
        "beneficiary": share.beneficiary,
        "share": decimal_text(share.share_minor, places),
        "withheld": decimal_text(share.withheld_minor, places),
        paid: decimal_text(share.payable_minor, places),
    }


def _settled_message(settlement: Settlement, recipient: Recipient, data: dict[str, Any]) -> Message:
    return Message(
        message_id_of(settlement.settlement_id, "settled", recipient.kind.value),
        recipient,
        "profit.settled",
        settlement.settled_at,
        data,
        settlement.order_id,
    )


def _settled_fact(settlement: Settlement, actor: str | None) -> Fact:
    places = minor_places(settlement.currency)
    data = {
        "settlement_id": settlement.settlement_id,
        "currency": settlement.currency,
        "net_sales": decimal_text(settlement.net_sales_minor, places),
        "pool": decimal_text(settlement.pool_minor, places),
        "loss": decimal_text(max(0, -settlement.base_minor), places),
        "shares": {
            share.beneficiary: decimal_text(share.share_minor, places)
            for share in settlement.shares
        },
        "rules": [list(each) for each in settlement.rules],
    }
    return Fact(
        FactKind.ORDER_SETTLED,
        settlement.settled_at,
        settlement.partner_id,
        settlement.order_id,
        actor,
        data,
    )
