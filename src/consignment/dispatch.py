"""Dispatch (订单下发): demands become purchase orders, and orders reach partners.

Place, cancel, short-close; orders that nobody answered expire.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from consignment._orders import order_of, store_changes, store_new
from consignment.domain.errors import Conflict, Reason, Refused, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import Message, OutboxEntry, Recipient, message_id_of
from consignment.domain.order import (
    ConsignmentDemand,
    OrderState,
    PurchaseOrder,
    partner_id_of,
)
from consignment.domain.partner import Partner
from consignment.domain.placing import placed_message, plan_orders, reserved_by
from consignment.domain.product import ConsignedProduct
from consignment.domain.quota import Quota
from consignment.domain.settings import Settings
from consignment.domain.text import check_text
from consignment.ports.clock import Clock
from consignment.ports.storage import DemandRecord, Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from consignment.domain.quota import QuotaKey
    from consignment.ports.storage import Transaction

__all__ = ["Dispatch"]

_EXPIRIES = 200

#: What a demand came to: its orders, or the refusal.
Placed = tuple[PurchaseOrder, ...] | Refused


@frozen
class _Known:
    """What the store knows of everything that a batch of demands names."""

    products: dict[str, ConsignedProduct]
    partners: dict[str, Partner]
    sales_partner_ids: frozenset[str]
    quotas: dict[str, Sequence[Quota]]
    now: datetime
    today: date


@frozen
class Dispatch:
    """The use cases of dispatch."""

    _storage: Storage
    _clock: Clock
    _settings: Settings

    def place(
        self, demand: ConsignmentDemand, *, actor: str | None = None
    ) -> tuple[PurchaseOrder, ...]:
        """Place a demand: one purchase order per partner concerned, by rising partner id.

        Orders, quota reservations and the messages to the partners are committed together. The
        same demand again gives its orders as they are now. Raises `Refused` with every reason and
        keeps nothing: `product_unknown`, `product_not_on_sale`, `quantity_invalid`,
        `partner_not_admitted`, `admission_expired`, `line_not_admitted`,
        `sales_partner_unknown`, `currency_mixed`, `amount_too_large`, `quota_exceeded`;
        and `Conflict` (`demand_conflict`) when the id was used with other content.
        """
        (placed,) = self.place_many([demand], actor=actor)
        if isinstance(placed, Refused):
            raise placed
        return placed

    def place_many(
        self, demands: Sequence[ConsignmentDemand], *, actor: str | None = None
    ) -> list[Placed]:
        """Place demands in one transaction, each for itself, in their order.

        Gives for each what `place` would give or raise.
        """
        now = self._clock.now()
        return self._storage.write(lambda tx: self._place(tx, demands, now, actor))

    def _place(
        self,
        tx: Transaction,
        demands: Sequence[ConsignmentDemand],
        now: datetime,
        actor: str | None,
    ) -> list[Placed]:
        placed_before = tx.orders.demands([demand.demand_id for demand in demands])
        earlier = [id_ for each in placed_before.values() for id_ in each.order_ids]
        there = tx.orders.get(earlier) if earlier else {}
        records = dict(placed_before)
        fresh = [demand for demand in demands if demand.demand_id not in records]
        known = self._known(tx, fresh, now) if fresh else None
        taken: dict[QuotaKey, int] = {}
        orders: dict[str, PurchaseOrder] = {}
        answers: list[Refused | DemandRecord] = []
        for demand in demands:
            record = records.get(demand.demand_id)
            if record is not None:
                same = record.digest == demand.digest()
                conflict = Conflict(reason("demand_conflict", demand_id=demand.demand_id))
                answers.append(record if same else conflict)
                continue
            planned = [] if known is None else _plan(demand, known, taken)
            if planned and isinstance(planned[0], Reason):
                answers.append(Refused(each for each in planned if isinstance(each, Reason)))
                continue
            new = [order for order in planned if isinstance(order, PurchaseOrder)]
            ids = tuple(order.order_id for order in new)
            record = DemandRecord(demand.demand_id, demand.digest(), ids, now)
            records[demand.demand_id] = record
            orders.update(zip(ids, new, strict=True))
            answers.append(record)
        if orders:
            added = [each for each in records.values() if each.demand_id not in placed_before]
            self._keep(tx, added, list(orders.values()), actor)
        orders.update(there)
        return [
            answer
            if isinstance(answer, Refused)
            else tuple(orders[order_id] for order_id in answer.order_ids)
            for answer in answers
        ]

    def _known(
        self, tx: Transaction, demands: Sequence[ConsignmentDemand], now: datetime
    ) -> _Known:
        wanted = {line.product_number for demand in demands for line in demand.lines}
        products = {
            number: product for number, (product, _) in tx.products.by_numbers(wanted).items()
        }
        partner_ids = {product.partner_id for product in products.values()}
        lines = {demand.business_line for demand in demands}
        return _Known(
            products=products,
            partners=tx.partners.get(partner_ids) if partner_ids else {},
            sales_partner_ids=frozenset(
                tx.sales_partners.get({demand.sales_partner_id for demand in demands})
            ),
            quotas={
                partner_id: tx.quotas.applicable(lines, partner_id)
                for partner_id in sorted(partner_ids)
            },
            now=now,
            today=self._settings.day_of(now),
        )

    def _keep(
        self,
        tx: Transaction,
        records: Sequence[DemandRecord],
        orders: Sequence[PurchaseOrder],
        actor: str | None,
    ) -> None:
        tx.orders.add_demands(records)
        store_new(
            tx,
            orders,
            entries=[
                OutboxEntry(order.partner_id, placed_message(order), 0, order.placed_at)
                for order in orders
            ],
            facts=[
                _fact(
                    FactKind.ORDER_PLACED,
                    order,
                    order.placed_at,
                    actor,
                    demand_id=order.demand_id,
                    business_line=order.business_line,
                    sales_partner_id=order.sales_partner_id,
                    agreed_value=str(order.agreed_value),
                    currency=order.currency,
                )
                for order in orders
            ],
        )

    def order(self, order_id: str) -> PurchaseOrder:
        """Give an order as it is now, else raise `NotFound` (`order_unknown`)."""
        return self._storage.read(lambda tx: order_of(tx, order_id))

    def cancel(self, order_id: str, *, why: str, actor: str | None = None) -> PurchaseOrder:
        """Cancel an order before anything was procured, release its quotas, tell the partner.

        Cancelling again for the same reason changes nothing. Raises `NotFound` (`order_unknown`)
        and `IllegalTransition` (`order_state`).
        """

        def change(order: PurchaseOrder, now: datetime) -> PurchaseOrder:
            if order.state is OrderState.CANCELLED and order.end_reason == why:
                return order
            return order.cancelled(why, now)

        return self._change(
            order_id, change, FactKind.ORDER_CANCELLED, "order.cancelled", actor, reason=why
        )

    def short_close(self, order_id: str, *, why: str, actor: str | None = None) -> PurchaseOrder:
        """Close an order short: no more is to be procured, and what never came is released.

        What is there is still sold, reported and settled. Raises `NotFound` (`order_unknown`) and
        `IllegalTransition` (`order_state`) before anything was procured (then it is cancelled) or
        after completion, and `InvalidValue` when the reason is no text.
        """
        check_text(why, "reason", 500)

        def change(order: PurchaseOrder, _: datetime) -> PurchaseOrder:
            closed = order.short_closed()
            return order if closed == order else closed

        return self._change(
            order_id, change, FactKind.ORDER_SHORT_CLOSED, "order.short_closed", actor, reason=why
        )

    def _change(
        self,
        order_id: str,
        change: Callable[[PurchaseOrder, datetime], PurchaseOrder],
        kind: FactKind,
        message_type: str,
        actor: str | None,
        **data: str,
    ) -> PurchaseOrder:
        now = self._clock.now()

        def work(tx: Transaction) -> PurchaseOrder:
            order = order_of(tx, order_id)
            changed = change(order, now)
            if changed is order:
                return order
            _store(tx, [(order, changed)], kind, message_type, now=now, actor=actor, data=data)
            return evolve(changed, revision=order.revision + 1)

        return self._storage.write(work, partner_id=partner_id_of(order_id) or None)

    def expire_due(self) -> int:
        """Expire the orders that their partners have not accepted in time; give how many.

        The time is `answer_days` of the settings. Quotas are released and partners told.
        """
        now = self._clock.now()
        limit = now - timedelta(days=self._settings.answer_days)

        def work(tx: Transaction) -> int:
            unanswered = tx.orders.in_state(
                [OrderState.PLACED, OrderState.DISPATCHED], placed_until=limit, limit=_EXPIRIES
            )
            changes = [(order, order.expired(now)) for order in unanswered]
            _store(
                tx,
                changes,
                FactKind.ORDER_EXPIRED,
                "order.expired",
                now=now,
                actor=None,
                data={"reason": "no answer"},
            )
            return len(changes)

        expired = 0
        while count := self._storage.write(work):
            expired += count
        return expired


def _plan(
    demand: ConsignmentDemand, known: _Known, taken: dict[QuotaKey, int]
) -> Sequence[PurchaseOrder | Reason]:
    """Plan a demand's orders and take its quotas; or give the reasons, and take nothing."""
    planned = plan_orders(
        demand,
        products=known.products,
        partners=known.partners,
        sales_partner_known=demand.sales_partner_id in known.sales_partner_ids,
        now=known.now,
        today=known.today,
        quotas=known.quotas,
        taken=taken,
    )
    if any(known.quotas.values()):
        orders = [order for order in planned if isinstance(order, PurchaseOrder)]
        for key, amount in reserved_by(orders).items():
            taken[key] = taken.get(key, 0) + amount
    return planned


def _store(
    tx: Transaction,
    changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]],
    kind: FactKind,
    message_type: str,
    *,
    now: datetime,
    actor: str | None,
    data: dict[str, str],
) -> None:
    """Store changed orders, and tell their partners and the journal."""
    if not changes:
        return
    store_changes(
        tx,
        changes,
        entries=_entries(changes, message_type, now, data),
        facts=[_fact(kind, after, now, actor, **data) for _, after in changes],
    )


def _entries(
    changes: Iterable[tuple[PurchaseOrder, PurchaseOrder]],
    message_type: str,
    now: datetime,
    data: dict[str, str],
) -> list[OutboxEntry]:
    return [
        OutboxEntry(
            after.partner_id,
            Message(
                message_id_of(after.order_id, message_type.partition(".")[2]),
                Recipient.partner(after.partner_id),
                message_type,
                now,
                {"order_id": after.order_id, **data},
                after.order_id,
            ),
            before.message_position(0),
            now,
        )
        for before, after in changes
    ]


def _fact(
    kind: FactKind, order: PurchaseOrder, at: datetime, actor: str | None, **data: str
) -> Fact:
    return Fact(kind, at, order.partner_id, order.order_id, actor, dict(data))
