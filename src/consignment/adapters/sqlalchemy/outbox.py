"""The outbox: intents to be carried out, claimed with a lease, in order within each stream.

A claim reads what is due and free, and then changes it where it is still as it was read. A stream
belongs to one partner (its messages are about that partner's order), or to the bank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve
from sqlalchemy import and_, bindparam, exists, insert, or_, select, update

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    instant,
    json_text,
    json_value,
    micros,
    optional_instant,
    optional_micros,
    storable_text,
)
from consignment.adapters.sqlalchemy.statements import KEYS, Session, Statement
from consignment.domain.message import (
    CreditInstruction,
    IntentState,
    Message,
    OutboxEntry,
    Recipient,
    RecipientKind,
)
from consignment.domain.money import Money
from consignment.domain.partner import Account

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from consignment.adapters.sqlalchemy.statements import Row

__all__ = ["OutboxRows"]

_C = tables.outbox.c
_STATES = {each.value: each for each in IntentState}
_RECIPIENTS = {each.value: each for each in RecipientKind}
_MESSAGE = "message"
_CREDIT = "credit"
_KINDS: dict[type, str] = {Message: _MESSAGE, CreditInstruction: _CREDIT}

#: When an entry that is set aside may be claimed.
_NEVER = 2**63 - 1

_READ = (
    _C.partner_id,
    _C.kind,
    _C.position,
    _C.due_at,
    _C.state,
    _C.attempts,
    _C.last_error,
    _C.done_at,
    _C.leased,
    _C.intent,
)
_ADD = Statement(insert(tables.outbox))

_ahead = tables.outbox.alias("ahead")
_CLAIMABLE = Statement(
    select(*_READ)
    .where(
        _C.kind == bindparam("kind"),
        _C.claim_at <= bindparam("now"),
        ~exists().where(
            _ahead.c.partner_id == _C.partner_id,
            _ahead.c.stream == _C.stream,
            _ahead.c.holds_at <= _C.position,
            or_(
                _ahead.c.holds_at < _C.position,
                _ahead.c.entry_id < _C.entry_id,
            ),
            _ahead.c.kind == _C.kind,
        ),
    )
    .order_by(_C.claim_at, _C.position, _C.entry_id)
    .limit(bindparam("limit")),
    "kind",
    "now",
    "limit",
)


def _as_read(prefix: str = "") -> tuple[Any, ...]:
    return (
        _C.entry_id == bindparam("entry_id_"),
        _C.partner_id == bindparam("partner_id_"),
        _C.state == bindparam("was_state_"),
        _C.attempts == bindparam("was_attempts_"),
        _C.leased == bindparam("was_leased_"),
        _C.due_at == bindparam("was_due_at_"),
    )


_AS_READ_NAMES = (
    "entry_id_",
    "partner_id_",
    "was_state_",
    "was_attempts_",
    "was_leased_",
    "was_due_at_",
)
_CLAIM = Statement(
    update(tables.outbox)
    .values(
        due_at=bindparam("due_at_"), leased=bindparam("leased_"), claim_at=bindparam("claim_at_")
    )
    .where(*_as_read()),
    "due_at_",
    "leased_",
    "claim_at_",
    *_AS_READ_NAMES,
)
_SAVED = ("state", "due_at", "leased", "attempts", "last_error", "done_at", "claim_at", "holds_at")
_SAVE = Statement(
    update(tables.outbox).values({name: bindparam(f"{name}_") for name in _SAVED}).where(*_as_read()),
    *(f"{name}_" for name in _SAVED),
    *_AS_READ_NAMES,
)
_PROGRESS = Statement(
    select(_C.entry_id, _C.state, _C.attempts, _C.leased, _C.due_at).where(
        _C.entry_id.in_(bindparam(KEYS, expanding=True))
    )
)
_RELEASE = Statement(
    update(tables.outbox)
    .values(due_at=bindparam("due_at_"), claim_at=bindparam("claim_at_"), leased=bindparam("free_"))
    .where(_C.claim_at < _NEVER, _C.leased == bindparam("leased_")),
    "due_at_",
    "claim_at_",
    "free_",
    "leased_",
)
_GET = Statement(select(*_READ).where(_C.entry_id.in_(bindparam(KEYS, expanding=True))))


def _listed(*condition: Any) -> Statement:  # noqa: ANN401 - conditions
    return Statement(
        select(*_READ)
        .where(*condition, _C.entry_id > bindparam("after"))
        .order_by(_C.entry_id)
        .limit(bindparam("limit")),
        "after",
        "limit",
    )


# What is not done is found by the index that claims use.
_LIST = {
    IntentState.WAITING: _listed(_C.kind.in_, ),
} if False else {}
