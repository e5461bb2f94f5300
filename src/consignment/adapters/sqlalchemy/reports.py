"""Partner reports as they were received, and which of them a sales partner has still to hear of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, null, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    instant,
    json_text,
    json_value,
    micros,
    new_entry_id,
    optional_instant,
    optional_micros,
    reasons_content,
    reasons_of,
)
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.order import partner_id_of
from consignment.domain.report import ReportKind, ReportOutcome, ReportRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["ReportRows"]

_C = tables.reports.c
_KINDS = {each.value: each for each in ReportKind}
_OUTCOMES = {each.value: each for each in ReportOutcome}
#: What a sales partner is told.
_PUSHED_KINDS = frozenset({ReportKind.SOLD, ReportKind.RETURNED, ReportKind.COMPLETED})

_READ = select(
    _C.partner_id,
    _C.report_id,
    _C.kind,
    _C.digest,
    _C.order_id,
    _C.occurred_at,
    _C.received_at,
    _C.outcome,
    _C.reasons,
    _C.details,
    _C.sales_partner_id,
    _C.effect,
    _C.pushed_slot,
)
_ADD = Statement(insert(tables.reports))
_GET = Statement(
    _READ.where(
        _C.report_id.in_(bindparam(KEYS, expanding=True)), _C.partner_id == bindparam("partner_id")
    ),
    "partner_id",
)
_OF_ORDER = Statement(
    _READ.where(
        _C.partner_id == bindparam("partner_id"), _C.order_id == bindparam("order_id")
    ).order_by(_C.entry_id, _C.entry_no),
    "partner_id",
    "order_id",
)
_UNPUSHED = Statement(
    _READ.where(_C.push_to == bindparam("sales_partner_id")).order_by(_C.entry_id, _C.entry_no),
    "sales_partner_id",
)
_MARK = Statement(
    update(tables.reports)
    .values(pushed_slot=bindparam("slot_"), push_to=null())
    .where(
        _C.partner_id == bindparam("partner_id_"),
        _C.report_id == bindparam("report_id_"),
        _C.pushed_slot.is_(None),
    ),
    "slot_",
    "partner_id_",
    "report_id_",
)


class ReportRows:
    """Partner reports."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, partner_id: str, report_ids: Collection[str]) -> dict[str, ReportRecord]:
        """Give a partner's reports that were received, by id."""
        rows = self._session.rows_by(_GET, report_ids, partner_id)
        return {row[1]: _record(row) for row in rows}

    def add(self, records: Sequence[ReportRecord]) -> None:
        """Keep reports."""
        entry_id = new_entry_id()
        rows = [_row(record, entry_id, entry_no) for entry_no, record in enumerate(records)]
        # By rising key: two that take the same reports in another order do not wait in a circle.
        self._session.add(_ADD, sorted(rows, key=lambda row: row[:2]))

    def of_order(self, order_id: str) -> Sequence[ReportRecord]:
        """Give an order's reports, in the order they were received."""
        rows = self._session.rows(_OF_ORDER, partner_id_of(order_id), order_id)
        return [_record(row) for row in rows]

    def unpushed(self, sales_partner_id: str) -> Sequence[ReportRecord]:
        """Give a sales partner's reports that are not yet pushed, in the order received."""
        return [_record(row) for row in self._session.rows(_UNPUSHED, sales_partner_id)]

    def mark_pushed(self, records: Sequence[ReportRecord], slot: datetime) -> None:
        """Note with which slot reports were pushed."""
        at = micros(slot)
        rows = sorted((at, record.partner_id, record.report_id) for record in records)
        self._session.change(_MARK, rows, "reports pushed")


def _row(record: ReportRecord, entry_id: str, entry_no: int) -> Row:
    to_push = (
        record.pushed_slot is None
        and record.outcome is ReportOutcome.TAKEN
        and record.kind in _PUSHED_KINDS
    )
    return (
        record.partner_id,
        record.report_id,
        entry_id,
        entry_no,
        record.kind.value,
        record.digest,
        record.order_id,
        optional_micros(record.occurred_at),
        micros(record.received_at),
        record.outcome.value,
        json_text(reasons_content(record.reasons)) if record.reasons else None,
        json_text(record.details) if record.details else None,
        record.sales_partner_id,
        json_text(record.effect) if record.effect else None,
        optional_micros(record.pushed_slot),
        record.sales_partner_id if to_push else None,
    )


def _record(row: Row) -> ReportRecord:
    reasons, details, effect = row[8], row[9], row[11]
    return ReportRecord(
        row[0],
        row[1],
        _KINDS[row[2]],
        row[3],
        row[4],
        optional_instant(row[5]),
        instant(row[6]),
        _OUTCOMES[row[7]],
        () if reasons is None else reasons_of(json_value(reasons)),
        {} if details is None else json_value(details),
        row[10],
        ()
        if effect is None
        else tuple((number, count, value) for number, count, value in json_value(effect)),
        optional_instant(row[12]),
    )
