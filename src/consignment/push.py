"""Push (定时发送): sales data to sales partners, on schedule; each slot once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from attrs import define, frozen

from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import BANK, Message, OutboxEntry, Recipient, message_id_of
from consignment.domain.money import decimal_text, minor_places
from consignment.domain.report import ReportKind, ReportRecord
from consignment.domain.sales_partner import SalesPartner
from consignment.ports.clock import Clock
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from consignment.domain.order import OrderLine, PurchaseOrder
    from consignment.ports.storage import Transaction

__all__ = ["Push"]

#: Sales partners in a transaction, and slots of each.
_SALES_PARTNERS = 20
_SLOTS = 100

#: Rounds in which others were faster each time, after which the rest is left to them.
_VAIN_ROUNDS = 5


@frozen
class Push:
    """The use case of pushing sales data."""

    _storage: Storage
    _clock: Clock

    def push_due(self) -> int:
        """Make the push of every slot that is due, missed ones too; give how many.

        A push has what was taken up to its slot and was in no push before, and the running totals
        as of the slot. It is committed together with the slot's mark, so two workers never send a
        slot twice; the message leaves by the outbox.
        """
        now = self._clock.now()
        pushed = 0
        vain = 0
        while vain < _VAIN_ROUNDS:
            # Everything is read as of one instant and nothing is locked: a sales partner may have
            # any number of running orders, and reports on them go on.
            rounds = self._storage.read(lambda tx: _due_rounds(tx, now))
            if not rounds:
                break
            count = self._storage.write(lambda tx, rounds=rounds: _store(tx, rounds))  # type: ignore[misc] # bound now, used now
            pushed += count
            # Another worker, who was faster, is at it: look what is left.
            vain = 0 if count else vain + 1
        return pushed


@frozen
class _Round:
    """What a sales partner is to be told in some slots, as of the instant it was read."""

    before: SalesPartner
    after: SalesPartner
    told: list[tuple[list[ReportRecord], datetime]]
    entries: list[OutboxEntry]
    facts: list[Fact]


def _due_rounds(tx: Transaction, now: datetime) -> list[_Round]:
    """Make what is due for some sales partners, by rising id."""
    due = tx.sales_partners.push_due(now, _SALES_PARTNERS)
    return [_round(tx, each, now) for each in sorted(due, key=lambda each: each.sales_partner_id)]


def _store(tx: Transaction, rounds: Sequence[_Round]) -> int:
    """Store what nobody else has pushed since it was read; give how many slots that were.

    A slot's mark, the sales partner's revision, decides who was first: `StaleWrite` when somebody
    is between this look at it and the save; the next look tells.
    """
    stored = tx.sales_partners.get([each.before.sales_partner_id for each in rounds])
    ours = [
        each
        for each in rounds
        if each.before.sales_partner_id in stored
        and stored[each.before.sales_partner_id].revision == each.before.revision
    ]
    for each in ours:
        tx.sales_partners.save(each.after)
    for each in ours:
        for told, slot in each.told:
            tx.reports.mark_pushed(told, slot)
    entries = [entry for each in ours for entry in each.entries]
    if entries:
        tx.outbox.add(entries)
        tx.journal.append([fact for each in ours for fact in each.facts])
    return len(entries)


def _round(tx: Transaction, sales_partner: SalesPartner, now: datetime) -> _Round:
    """Make the due slots of one sales partner, some at a time."""
    waiting = list(tx.reports.unpushed(sales_partner.sales_partner_id))
    orders = {
        order.order_id: order
        for order in tx.orders.of_sales_partner(sales_partner.sales_partner_id)
    }
    running = frozenset(orders)
    ended = _orders_of(waiting) - running
    if ended:
        orders.update(tx.orders.get(ended))
    all_told: list[tuple[list[ReportRecord], datetime]] = []
    entries: list[OutboxEntry] = []
    facts: list[Fact] = []
    current = sales_partner
    slot = current.next_push_at
    while slot is not None and slot <= now and len(entries) < _SLOTS:
        told = [each for each in waiting if each.received_at <= slot]
        # An order that has ended is told of up to its last report, however late that is.
        concerned = running | _orders_of(waiting)
        waiting = [each for each in waiting if each.received_at > slot]
        of_slot = {order_id: orders[order_id] for order_id in concerned}
        message = _message(current, slot, now, of_slot, told=told, later=waiting)
        if told:
            all_told.append((told, slot))
        entries.append(OutboxEntry(BANK, message, int(slot.timestamp()), now))
        facts.append(_fact(current, slot, now, message))
        current = current.pushed(slot)
        slot = current.next_push_at
    return _Round(sales_partner, current, all_told, entries, facts)


def _orders_of(records: Sequence[ReportRecord]) -> set[str]:
    return {each.order_id for each in records if each.order_id is not None}


@define
class _Moved:
    """What happened to one line of an order, in counts and minor units."""

    sold: int = 0
    returned: int = 0
    gross_minor: int = 0
    returns_minor: int = 0


def _moves(records: Sequence[ReportRecord]) -> dict[tuple[str, str], _Moved]:
    moves: dict[tuple[str, str], _Moved] = {}
    for record in records:
        for number, count, value in record.effect:
            moved = moves.setdefault((record.order_id or "", number), _Moved())
            if record.kind is ReportKind.SOLD:
                moved.sold += count
                moved.gross_minor += value
            else:
                moved.returned += count
                moved.returns_minor += value
    return moves


def _message(
    sales_partner: SalesPartner,
    slot: datetime,
    now: datetime,
    orders: dict[str, PurchaseOrder],
    *,
    told: Sequence[ReportRecord],
    later: Sequence[ReportRecord],
) -> Message:
    period, after = _moves(told), _moves(later)
    lines = []
    for order_id in sorted(orders):
        order = orders[order_id]
        for line in order.lines:
            key = (order_id, line.product_number)
            known = _line(order, line, period.get(key, _Moved()), after.get(key, _Moved()))
            if known is not None:
                lines.append(known)
    completed = sorted(
        {
            record.order_id
            for record in told
            if record.kind is ReportKind.COMPLETED and record.order_id is not None
        }
    )
    since = sales_partner.pushed_until
    data = {
        "sales_partner_id": sales_partner.sales_partner_id,
        "slot": _instant(slot),
        "since": None if since is None else _instant(since),
        "empty": not told,
        "lines": lines,
        "completed_orders": completed,
    }
    return Message(
        message_id_of(sales_partner.sales_partner_id, "sales", slot.strftime("%Y%m%dT%H%M%SZ")),
        Recipient.sales_partner(sales_partner.sales_partner_id),
        "sales.data",
        now,
        data,
    )


def _line(
    order: PurchaseOrder, line: OrderLine, moved: _Moved, after: _Moved
) -> dict[str, Any] | None:
    """Tell what moved in the period and the totals as of its end; None when nothing ever did."""
    places = minor_places(order.currency)
    sold = line.sold - after.sold
    returned = line.returned - after.returned
    gross = line.gross_sales_minor - after.gross_minor
    returns = line.returns_minor - after.returns_minor
    if not sold and not returned:
        return None

    def count(units: int) -> str:
        return decimal_text(units, line.unit_places)

    def amount(minor: int) -> str:
        return decimal_text(minor, places)

    return {
        "order_id": order.order_id,
        "product_number": line.product_number,
        "name": line.name,
        "currency": order.currency,
        "sold": count(moved.sold),
        "returned": count(moved.returned),
        "net_sales": amount(moved.gross_minor - moved.returns_minor),
        "total_sold": count(sold),
        "total_returned": count(returned),
        "total_gross_sales": amount(gross),
        "total_net_sales": amount(gross - returns),
    }


def _fact(sales_partner: SalesPartner, slot: datetime, now: datetime, message: Message) -> Fact:
    data = {
        "sales_partner_id": sales_partner.sales_partner_id,
        "slot": _instant(slot),
        "message_id": message.message_id,
        "empty": message.data["empty"],
    }
    return Fact(FactKind.SALES_DATA_PUSHED, now, BANK, data=data)


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
