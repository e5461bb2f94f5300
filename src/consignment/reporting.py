"""Reporting (代采购、代销操作): what partners say they did.

A report is taken whole or refused whole; either way it is kept, and has one effect. Who reports
is told by the channel, never by the report.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from consignment._orders import store_changes
from consignment.domain.digest import content_digest
from consignment.domain.errors import (
    DeliveryFailed,
    NotFound,
    Reason,
    Refused,
    UnusableInput,
    reason,
)
from consignment.domain.journal import Fact, FactKind
from consignment.domain.message import Message, OutboxEntry, Recipient, message_id_of
from consignment.domain.money import decimal_text, minor_places
from consignment.domain.order import PurchaseOrder, partner_id_of
from consignment.domain.report import (
    PartnerReport,
    Procured,
    ReportKind,
    ReportOutcome,
    ReportRecord,
    Returned,
    Sold,
)
from consignment.domain.settings import in_utc
from consignment.ports.clock import Clock
from consignment.ports.partner_messaging import Answer, Inbound, PartnerMessaging
from consignment.ports.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from consignment.ports.storage import Transaction

__all__ = ["Received", "ReportAnswer", "Reporting"]

#: Reports in a transaction.
_BATCH = 200


@frozen
class ReportAnswer:
    """What became of a report: the record of its first and only effect, and whether that was now.

    `reasons` are the record's, or `report_conflict` when the id was used with other content.
    """

    record: ReportRecord
    repeated: bool
    reasons: tuple[Reason, ...]

    @property
    def taken(self) -> bool:
        """Tell whether the report stands as taken."""
        return not self.reasons


@define
class Received:
    """How many messages were taken, came again, and were refused; with the refusals' reasons."""

    taken: int = 0
    repeated: int = 0
    refusals: list[Answer] = field(factory=list)
    #: What kept the channel from giving everything that came in; it is tried again next time.
    trouble: str | None = None

    @property
    def refused(self) -> int:
        """How many messages were refused."""
        return len(self.refusals)

    def count(self, answer: Answer) -> None:
        """Count one answer."""
        if answer.reasons:
            self.refusals.append(answer)
        elif answer.repeated:
            self.repeated += 1
        else:
            self.taken += 1


@frozen
class _Unreadable:
    """A message that is no report: what can be said of it."""

    report_id: str | None
    digest: str
    reasons: tuple[Reason, ...]


@define
class _Batch:
    """What the reports of one transaction come to, before it is written."""

    partner_id: str
    now: datetime
    known: dict[str, ReportRecord]
    read: dict[str, PurchaseOrder]
    orders: dict[str, PurchaseOrder]
    new: list[ReportRecord] = field(factory=list)
    facts: list[Fact] = field(factory=list)
    entries: dict[str, OutboxEntry] = field(factory=dict)

    def send(self, message: Message) -> None:
        """Put a message behind those that the same order's reports already gave rise to."""
        order = self.read.get(message.order_id or "")
        nth = len(self.entries)
        position = nth if order is None else order.message_position(nth)
        entry = OutboxEntry(self.partner_id, message, position, self.now)
        self.entries.setdefault(message.message_id, entry)


@frozen
class Reporting:
    """The use cases of reporting.

    `_read` makes a report of a message as it came, and raises `UnusableInput` or `Refused` when it
    is none; `_peek_id` finds the id of a message that is none, if there is one.
    """

    _storage: Storage
    _clock: Clock
    _messaging: PartnerMessaging
    _read: Callable[[bytes], PartnerReport]
    _peek_id: Callable[[bytes], str | None]

    def take(self, partner_id: str, report: PartnerReport) -> ReportAnswer:
        """Take a report from a partner, or refuse it.

        A refusal is kept, answered to the partner, and given back: nothing is raised for it. The
        same report again gives the first answer. Codes are those of `PurchaseOrder.take`, and
        `order_not_of_partner`, `order_unknown`, `report_conflict`.
        """
        return self.take_many(partner_id, [report])[0]

    def take_many(self, partner_id: str, reports: Sequence[PartnerReport]) -> list[ReportAnswer]:
        """Take reports from one partner in one transaction, each for itself, in their order."""
        now = self._clock.now()
        return self._storage.write(
            lambda tx: self._take(tx, partner_id, reports, now), partner_id=partner_id
        )

    def receive(
        self,
        partner_id: str,
        messages: Iterable[bytes],
        *,
        progress: Callable[[int], None] | None = None,
    ) -> list[Answer]:
        """Take messages as they came from a partner's channel; give an answer to each.

        A message that cannot be read as a report is refused with every place named; it is kept
        under its id when it has one, and in the journal in any case. Some hundred messages are one
        transaction; `progress` is called with the number done after each.
        """
        answers: list[Answer] = []
        incoming = iter(messages)
        while chunk := list(islice(incoming, _BATCH)):
            parsed = [self._parse(raw) for raw in chunk]
            now = self._clock.now()
            taken = self._storage.write(
                lambda tx, parsed=parsed, now=now: self._take(tx, partner_id, parsed, now),  # type: ignore[misc] # bound now, used now
                partner_id=partner_id,
            )
            answers += [
                Answer(_id_of(message), answer.repeated, answer.reasons)
                for message, answer in zip(parsed, taken, strict=True)
            ]
            if progress is not None:
                progress(len(answers))
        return answers

    def receive_inbound(self) -> Received:
        """Take everything that has come in by the messaging port; finish each delivery.

        Trouble with the channel (`DeliveryFailed`) ends the round, is told, and keeps no other
        work back.
        """
        received = Received()
        try:
            for inbound in self._messaging.inbound():
                self._receive_one(inbound, received)
        except DeliveryFailed as error:
            received.trouble = str(error)
        return received

    def _receive_one(self, inbound: Inbound, received: Received) -> None:
        try:
            answers = self.receive(inbound.partner_id, inbound.messages())
        except UnusableInput as error:
            inbound.refuse(error.reasons)
            received.refusals.append(Answer(None, reasons=error.reasons))
            return
        inbound.finish(answers)
        for answer in answers:
            received.count(answer)

    def of_order(self, order_id: str) -> Sequence[ReportRecord]:
        """Give what was reported of an order, taken and refused, in the order it came."""
        return self._storage.read(lambda tx: tx.reports.of_order(order_id))

    def report(self, partner_id: str, report_id: str) -> ReportRecord:
        """Give a partner's report, else raise `NotFound` (`report_unknown`)."""
        found = self._storage.read(lambda tx: tx.reports.get(partner_id, [report_id]))
        if report_id not in found:
            raise NotFound(
                reason("report_unknown", partner_id=partner_id[:80], report_id=report_id[:128])
            )
        return found[report_id]

    def _parse(self, raw: bytes) -> PartnerReport | _Unreadable:
        try:
            return self._read(raw)
        except (UnusableInput, Refused) as error:
            digest = content_digest(raw.hex())
            return _Unreadable(self._peek_id(raw), digest, error.reasons)

    def _take(
        self,
        tx: Transaction,
        partner_id: str,
        reports: Sequence[PartnerReport | _Unreadable],
        now: datetime,
    ) -> list[ReportAnswer]:
        ids = {each.report_id for each in reports if each.report_id is not None}
        known = tx.reports.get(partner_id, ids) if ids else {}
        wanted = {
            each.order_id
            for each in reports
            if isinstance(each, PartnerReport)
            and each.report_id not in known
            and partner_id_of(each.order_id) == partner_id
        }
        orders = tx.orders.get(wanted) if wanted else {}
        batch = _Batch(partner_id, now, known, orders, dict(orders))
        answers = [_take_one(batch, each) for each in reports]
        if batch.new:
            tx.reports.add(batch.new)
        there = tx.outbox.get(batch.entries) if _may_be_there(batch) else {}
        store_changes(
            tx,
            [
                (before, batch.orders[order_id])
                for order_id, before in sorted(batch.read.items())
                if batch.orders[order_id] is not before
            ],
            entries=[entry for id_, entry in batch.entries.items() if id_ not in there],
            facts=batch.facts,
        )
        return answers


def _may_be_there(batch: _Batch) -> bool:
    """Tell whether a message of the batch may have been sent before: only answers to conflicts."""
    return any(
        isinstance(entry.intent, Message) and entry.intent.type == "report.refused"
        for entry in batch.entries.values()
    )


def _id_of(message: PartnerReport | _Unreadable) -> str | None:
    return message.report_id


def _take_one(batch: _Batch, report: PartnerReport | _Unreadable) -> ReportAnswer:
    digest = report.digest if isinstance(report, _Unreadable) else report.digest()
    earlier = batch.known.get(report.report_id) if report.report_id is not None else None
    if earlier is not None:
        if earlier.digest == digest:
            return ReportAnswer(earlier, repeated=True, reasons=earlier.reasons)
        fault = reason("report_conflict", report_id=report.report_id, kind=earlier.kind.value)
        _refuse(batch, report.report_id, digest, earlier.order_id, (fault,))
        return ReportAnswer(earlier, repeated=False, reasons=(fault,))
    if isinstance(report, _Unreadable):
        record = _unreadable(batch, report)
    else:
        record = _report(batch, report, digest)
    if report.report_id is not None:
        batch.known[report.report_id] = record
        batch.new.append(record)
    if record.reasons:
        _refuse(batch, report.report_id, digest, record.order_id, record.reasons)
    return ReportAnswer(record, repeated=False, reasons=record.reasons)


def _unreadable(batch: _Batch, message: _Unreadable) -> ReportRecord:
    return ReportRecord(
        batch.partner_id,
        message.report_id or "",
        ReportKind.UNREADABLE,
        message.digest,
        None,
        None,
        batch.now,
        ReportOutcome.REFUSED,
        message.reasons,
    )


def _report(batch: _Batch, report: PartnerReport, digest: str) -> ReportRecord:
    """Decide on a report; when it is taken, the batch's order is the changed one."""
    record = ReportRecord(
        batch.partner_id,
        report.report_id,
        report.kind,
        digest,
        report.order_id,
        in_utc(report.occurred_at),
        batch.now,
        ReportOutcome.TAKEN,
        (),
        report.details(),
    )
    order = batch.orders.get(report.order_id)
    if order is None:
        own = partner_id_of(report.order_id) == batch.partner_id
        code = "order_unknown" if own else "order_not_of_partner"
        fault = reason(code, order_id=report.order_id, partner_id=batch.partner_id)
        # An order id that is not the partner's own is content, not a link: it stays in the reason.
        return evolve(record, order_id=None, outcome=ReportOutcome.REFUSED, reasons=(fault,))
    try:
        taken = order.take(report, batch.now)
    except Refused as refusal:
        return evolve(record, outcome=ReportOutcome.REFUSED, reasons=refusal.reasons)
    batch.orders[order.order_id] = taken
    batch.facts.append(
        Fact(
            FactKind.REPORT_TAKEN,
            batch.now,
            batch.partner_id,
            order.order_id,
            data={
                "report_id": report.report_id,
                "report": report.kind.value,
                "state": taken.state.value,
            },
        )
    )
    if isinstance(report, Procured):
        batch.send(_procured(order, taken, report, batch.now))
    return evolve(
        record,
        sales_partner_id=order.sales_partner_id,
        effect=_effect(order, taken) if isinstance(report, (Sold, Returned)) else (),
    )


def _effect(before: PurchaseOrder, after: PurchaseOrder) -> tuple[tuple[str, int, int], ...]:
    """Tell what was sold or returned, per line that changed: number, count, value."""
    return tuple(
        (
            new.product_number,
            new.sold - old.sold + new.returned - old.returned,
            new.gross_sales_minor - old.gross_sales_minor + new.returns_minor - old.returns_minor,
        )
        for old, new in zip(before.lines, after.lines, strict=True)
        if new is not old
    )


def _procured(
    before: PurchaseOrder, after: PurchaseOrder, report: Procured, now: datetime
) -> Message:
    """Tell the sales partner of the goods that were procured: the products' information."""
    places = minor_places(after.currency)
    reported = {line.product_number for line in report.lines}
    lines = [
        {
            "product_number": new.product_number,
            "name": new.name,
            "quantity": decimal_text(new.procured - old.procured, new.unit_places),
            "procured": decimal_text(new.procured, new.unit_places),
            "ordered": decimal_text(new.ordered, new.unit_places),
            "agreed_price": decimal_text(new.agreed_price_minor, places),
        }
        for old, new in zip(before.lines, after.lines, strict=True)
        if new.product_number in reported
    ]
    return Message(
        message_id_of(after.order_id, "procured", _short(report.report_id)),
        Recipient.sales_partner(after.sales_partner_id),
        "products.procured",
        now,
        {
            "order_id": after.order_id,
            "partner_id": after.partner_id,
            "currency": after.currency,
            "final": report.final,
            "lines": lines,
        },
        after.order_id,
    )


def _refuse(
    batch: _Batch,
    report_id: str | None,
    digest: str,
    order_id: str | None,
    reasons: tuple[Reason, ...],
) -> None:
    """Tell the partner and the journal of a refusal."""
    data = {
        "report_id": report_id,
        "order_id": order_id,
        "reasons": [each.as_dict() for each in reasons],
    }
    parts = ("refused", _short(report_id or ""), digest[:16])
    batch.send(
        Message(
            message_id_of(batch.partner_id, *parts),
            Recipient.partner(batch.partner_id),
            "report.refused",
            batch.now,
            data,
            order_id if order_id in batch.read else None,
        )
    )
    batch.facts.append(
        Fact(
            FactKind.REPORT_REFUSED,
            batch.now,
            batch.partner_id,
            order_id,
            data={**data, "digest": digest},
        )
    )


def _short(report_id: str) -> str:
    """Give a report id, which may be any text, a form that fits in a message id."""
    return content_digest(report_id)[:24]
