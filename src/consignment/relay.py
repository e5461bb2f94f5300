"""Relay: carry out what was committed as intent: messages and credits.

Each round claims some intents in one transaction, carries them out outside any, and records the
outcome in another. A crash between leaves them leased; they come up again when the lease ends, with
the same id or key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, frozen

from consignment._orders import store_changes
from consignment.domain.errors import IllegalTransition, NotFound, StaleWrite, reason
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import CreditInstruction, IntentState, Message, OutboxEntry
from consignment.domain.order import OrderState
from consignment.domain.settings import Settings
from consignment.domain.settlement import CreditState
from consignment.ports.account_crediting import AccountCrediting, CreditOutcome
from consignment.ports.clock import Clock
from consignment.ports.partner_messaging import Delivery, PartnerMessaging
from consignment.ports.storage import Storage
from consignment.settlement import closed_fact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from consignment.domain.order import PurchaseOrder
    from consignment.domain.settlement import Settlement
    from consignment.ports.storage import Transaction

__all__ = ["Relay", "Relayed"]

_BATCH = 200

#: The message whose arrival dispatches an order.
_PLACED = "order.placed"


@define
class Relayed:
    """How many intents were carried out, failed (and are tried again later), and were set aside."""

    done: int = 0
    failed: int = 0
    set_aside: int = 0


#: A claimed entry, and what became of it: an error or None, and whether trying again is useless.
_Outcome = tuple[OutboxEntry, str | None, bool]


@frozen
class Relay:
    """The use cases of the outbox."""

    _storage: Storage
    _clock: Clock
    _messaging: PartnerMessaging
    _crediting: AccountCrediting
    _settings: Settings

    def deliver_due(self) -> Relayed:
        """Deliver every message that is due; orders whose message arrived are dispatched."""
        return self._relay(Message, self._deliver, _after_delivery)

    def credit_due(self) -> Relayed:
        """Carry out every credit that is due; orders with all credits carried out are closed."""
        return self._relay(CreditInstruction, self._credit, _after_credit)

    def recover(self) -> int:
        """Take up at once what a crashed worker left leased; give how many intents that were.

        Only for when it is known that no other worker runs; else wait for the leases to end.
        """
        now = self._clock.now()
        return self._storage.write(lambda tx: tx.outbox.release(now))

    def set_aside(self, *, after: str = "", limit: int = 1000) -> Sequence[OutboxEntry]:
        """List what was set aside, by rising id, after an id."""
        return self._storage.read(
            lambda tx: tx.outbox.list(IntentState.SET_ASIDE, after=after, limit=limit)
        )

    def waiting(self, *, after: str = "", limit: int = 1000) -> Sequence[OutboxEntry]:
        """List what waits to be carried out, by rising id, after an id."""
        return self._storage.read(
            lambda tx: tx.outbox.list(IntentState.WAITING, after=after, limit=limit)
        )

    def retry(self, entry_id: str, *, actor: str | None = None) -> OutboxEntry:
        """Make what was set aside due again at once, its tries counted anew, its id the same.

        Raises `NotFound` (`entry_unknown`) and `IllegalTransition` (`entry_state`).
        """
        now = self._clock.now()

        def work(tx: Transaction) -> OutboxEntry:
            entry = tx.outbox.get([entry_id]).get(entry_id)
            if entry is None:
                raise NotFound(reason("entry_unknown", entry_id=entry_id[:200]))
            if entry.state is not IntentState.SET_ASIDE:
                raise IllegalTransition(
                    reason("entry_state", entry_id=entry_id, state=entry.state.value)
                )
            due = entry.retried(now)
            tx.orders.lock(_decided_on([entry]))
            if tx.outbox.save([(entry, due)]) != [True]:
                raise StaleWrite(f"{entry_id} is no longer set aside")
            if isinstance(entry.intent, CreditInstruction):
                _mark(tx, [(entry.intent, CreditState.DUE)])
            tx.journal.append([_fact(FactKind.RETRIED, due, now, actor)])
            return due

        return self._storage.write(work)

    def _relay(
        self,
        kind: type,
        carry_out: Callable[[Sequence[OutboxEntry]], list[_Outcome]],
        follow_up: Callable[[Transaction, Sequence[OutboxEntry], datetime], None],
    ) -> Relayed:
        total = Relayed()
        while True:
            now = self._clock.now()
            lease_until = now + self._settings.lease
            claimed = self._storage.write(
                lambda tx, now=now, until=lease_until: tx.outbox.claim(  # type: ignore[misc] # bound now, used now
                    kind, now=now, lease_until=until, limit=_BATCH
                )
            )
            if not claimed:
                return total
            outcomes = carry_out(claimed)
            round_ = self._storage.write(
                lambda tx, outcomes=outcomes: self._record(tx, outcomes, follow_up)  # type: ignore[misc] # likewise
            )
            total.done += round_.done
            total.failed += round_.failed
            total.set_aside += round_.set_aside

    def _deliver(self, entries: Sequence[OutboxEntry]) -> list[_Outcome]:
        messages = [entry.intent for entry in entries if isinstance(entry.intent, Message)]
        return _outcomes(entries, lambda: self._messaging.deliver(messages))

    def _credit(self, entries: Sequence[OutboxEntry]) -> list[_Outcome]:
        instructions = [
            entry.intent for entry in entries if isinstance(entry.intent, CreditInstruction)
        ]
        return _outcomes(entries, lambda: self._crediting.credit(instructions))

    def _record(
        self,
        tx: Transaction,
        outcomes: Sequence[_Outcome],
        follow_up: Callable[[Transaction, Sequence[OutboxEntry], datetime], None],
    ) -> Relayed:
        now = self._clock.now()
        tx.orders.lock(_decided_on(entry for entry, _, _ in outcomes))
        changes = [
            (
                entry,
                entry.done(now)
                if error is None
                else entry.failed(error, now, self._settings.back_off, final=final),
            )
            for entry, error, final in outcomes
        ]
        stored = tx.outbox.save(changes)
        # What was not stored was taken up by another worker after the lease ended: it is theirs.
        # Or it was stored before, and the store lost the answer: then it is not done twice.
        ours = [after for (_, after), kept in zip(changes, stored, strict=True) if kept]
        done = [entry for entry in ours if entry.state is IntentState.DONE]
        aside = [entry for entry in ours if entry.state is IntentState.SET_ASIDE]
        if done:
            follow_up(tx, done, now)
        if aside:
            _mark(
                tx,
                [
                    (entry.intent, CreditState.SET_ASIDE)
                    for entry in aside
                    if isinstance(entry.intent, CreditInstruction)
                ],
            )
            tx.journal.append([_fact(FactKind.SET_ASIDE, entry, now, None) for entry in aside])
        return Relayed(len(done), len(ours) - len(done) - len(aside), len(aside))


def _outcomes(
    entries: Sequence[OutboxEntry], carry_out: Callable[[], Sequence[Delivery | CreditOutcome]]
) -> list[_Outcome]:
    """Carry out entries; what an adapter raises, or answers too few of, fails all of them."""
    try:
        return [
            (entry, each.error, each.final)
            for entry, each in zip(entries, carry_out(), strict=True)
        ]
    except Exception as error:  # noqa: BLE001 - whatever a host's adapter raises: it is tried again
        why = f"{type(error).__name__}: {error}"
        return [(entry, why, False) for entry in entries]


def _decided_on(entries: Iterable[OutboxEntry]) -> list[str]:
    """Give the orders, by rising id, that what becomes of intents may move on.

    They are locked before their settlements are read: of two workers that carry out the last two
    credits of an order, the second then sees what the first has noted, and closes it.
    """
    return sorted(
        {
            order_id
            for entry in entries
            if (order_id := entry.intent.order_id) is not None
            and (isinstance(entry.intent, CreditInstruction) or entry.intent.type == _PLACED)
        }
    )


def _after_delivery(tx: Transaction, done: Sequence[OutboxEntry], now: datetime) -> None:
    """Mark the orders dispatched whose message has reached the partner."""
    ids = sorted(
        {
            entry.intent.order_id
            for entry in done
            if isinstance(entry.intent, Message)
            and entry.intent.type == _PLACED
            and entry.intent.order_id is not None
        }
    )
    if not ids:
        return
    orders = tx.orders.get(ids)
    changes = [(orders[id_], orders[id_].dispatched(now)) for id_ in ids if id_ in orders]
    moved = [(before, after) for before, after in changes if after is not before]
    store_changes(
        tx,
        moved,
        facts=[
            Fact(FactKind.ORDER_DISPATCHED, now, after.partner_id, after.order_id)
            for _, after in moved
        ],
    )


def _after_credit(tx: Transaction, done: Sequence[OutboxEntry], now: datetime) -> None:
    """Note the credits with their settlements, and close the orders that wait for no more."""
    credited = [entry.intent for entry in done if isinstance(entry.intent, CreditInstruction)]
    settlements = _mark(tx, [(each, CreditState.CREDITED) for each in credited])
    facts = [
        Fact(
            FactKind.CREDITED,
            now,
            each.partner_id,
            each.order_id,
            data={
                "key": each.key,
                "beneficiary": each.beneficiary,
                "amount": str(each.amount),
                "currency": each.amount.currency,
            },
        )
        for each in credited
    ]
    just_now = {each.key for each in credited}
    finished = [
        settlement.order_id
        for settlement in settlements
        if all(
            settlement.credit_key(share) in just_now
            for share in settlement.shares
            if share.state in {CreditState.DUE, CreditState.SET_ASIDE}
        )
    ]
    orders = tx.orders.get(finished) if finished else {}
    changes: list[tuple[PurchaseOrder, PurchaseOrder]] = [
        (orders[id_], orders[id_].closed(now))
        for id_ in sorted(orders)
        if orders[id_].state is OrderState.SETTLED
    ]
    store_changes(tx, changes, facts=[*facts, *(closed_fact(after, now) for _, after in changes)])


def _mark(
    tx: Transaction, states: Sequence[tuple[CreditInstruction, CreditState]]
) -> list[Settlement]:
    """Note what became of credits; give the settlements concerned, as they were before."""
    if not states:
        return []
    of_orders = tx.settlements.of_orders({each.order_id for each, _ in states})
    by_id = {
        settlement.settlement_id: settlement
        for settlements in of_orders.values()
        for settlement in settlements
    }
    marks = []
    for instruction, state in states:
        settlement = by_id[instruction.settlement_id]
        beneficiary = next(
            share.beneficiary
            for share in settlement.shares
            if settlement.credit_key(share) == instruction.key
        )
        marks.append((settlement, beneficiary, state))
    tx.settlements.mark(marks)
    return sorted(
        {settlement.settlement_id: settlement for settlement, _, _ in marks}.values(),
        key=lambda settlement: settlement.settlement_id,
    )


def _fact(kind: FactKind, entry: OutboxEntry, now: datetime, actor: str | None) -> Fact:
    data = {
        "entry_id": entry.entry_id,
        "attempts": entry.attempts,
        "last_error": entry.last_error,
    }
    return Fact(kind, now, entry.partner_id, entry.intent.order_id, actor, data)
