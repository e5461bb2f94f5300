"""Copies of values, so that nobody can change from outside what is stored.

The domain's values are frozen, but some carry plain JSON: that is copied on the way in and out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve

from consignment.domain.errors import Reason
from consignment.domain.message import CreditInstruction, Message, OutboxEntry

if TYPE_CHECKING:
    from consignment.domain.admission import AdmissionDecision
    from consignment.domain.journal import Fact
    from consignment.domain.report import ReportRecord

__all__ = [
    "copied_decision",
    "copied_entry",
    "copied_fact",
    "copied_message",
    "copied_report",
]


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _reasons(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
    return tuple(Reason(each.code, _plain(each.details)) for each in reasons)


def copied_decision(decision: AdmissionDecision) -> AdmissionDecision:
    """Copy a decision whose reasons carry figures."""
    return evolve(decision, reasons=_reasons(decision.reasons)) if decision.reasons else decision


def copied_fact(fact: Fact) -> Fact:
    """Copy a fact with its figures."""
    return evolve(fact, data=_plain(fact.data))


def copied_message(message: Message) -> Message:
    """Copy a message with its content."""
    return evolve(message, data=_plain(message.data))


def copied_entry(entry: OutboxEntry) -> OutboxEntry:
    """Copy an outbox entry with its message's content."""
    if isinstance(entry.intent, CreditInstruction):
        return entry
    return evolve(entry, intent=copied_message(entry.intent))


def copied_report(record: ReportRecord) -> ReportRecord:
    """Copy a report's record with its content and the reasons for its refusal."""
    return evolve(record, details=_plain(record.details), reasons=_reasons(record.reasons))
