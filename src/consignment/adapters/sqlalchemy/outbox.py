"""The outbox: intents to be carried out, claimed with a lease, in order within each stream.

A claim reads what is due and free, passing over what others are changing, and then changes it where
it is still as it was read. A stream belongs to one partner (its messages are about that partner's
order), or to the bank. Rows are written by rising id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve
from sqlalchemy import bindparam, exists, insert, or_, select, update

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
from consignment.adapters.sqlalchemy.statements import KEYS, Lock, Session, Statement, one_of
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


def _as_read() -> tuple[Any, ...]:
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
    update(tables.outbox)
    .values({name: bindparam(f"{name}_") for name in _SAVED})
    .where(*_as_read()),
    *(f"{name}_" for name in _SAVED),
    *_AS_READ_NAMES,
)
_PROGRESS = Statement(
    select(_C.entry_id, _C.state, _C.attempts, _C.leased, _C.due_at).where(
        _C.entry_id.in_(bindparam(KEYS, expanding=True))
    )
)
_OF_ANY_KIND = one_of(_C.kind, (_MESSAGE, _CREDIT))
_RELEASE = Statement(
    update(tables.outbox)
    .values(due_at=bindparam("due_at_"), claim_at=bindparam("claim_at_"), leased=bindparam("free_"))
    .where(_OF_ANY_KIND, _C.claim_at < _NEVER, _C.leased == bindparam("leased_")),
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
    IntentState.WAITING: _listed(_OF_ANY_KIND, _C.claim_at < _NEVER),
    IntentState.SET_ASIDE: _listed(_OF_ANY_KIND, _C.claim_at == _NEVER),
    IntentState.DONE: _listed(_C.claim_at.is_(None)),
}


class OutboxRows:
    """Intents that are to be carried out after the commit."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, entries: Sequence[OutboxEntry]) -> None:
        """Keep intents."""
        self._session.add(_ADD, sorted((_row(entry) for entry in entries), key=_by_id))

    def claim(
        self, kind: type, *, now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        """Take up to `limit` due intents of a kind, the longest due first."""
        rows = self._session.rows(_CLAIMABLE, _KINDS[kind], micros(now), limit, lock=Lock.FREE)
        until = micros(lease_until)
        read = [_entry(row) for row in rows]
        taken = sorted(map(_progress, read), key=_by_id)
        # One that somebody else takes between (where rows cannot be locked so) makes the whole
        # claim begin anew.
        self._session.change(_CLAIM, [(until, True, until, *each) for each in taken], "claimed")
        return [evolve(entry, due_at=lease_until, leased=True) for entry in read]

    def release(self, now: datetime) -> int:
        """Make every leased entry due at `now`; give how many there were."""
        at = micros(now)
        return self._session.run(_RELEASE, [(at, at, False, True)])

    def save(self, changes: Sequence[tuple[OutboxEntry, OutboxEntry]]) -> Sequence[bool]:
        """Store changed entries; give for each whether it was still as it was read."""
        wanted = {read.entry_id for read, _ in changes}
        stored = {
            entry_id: (state, attempts, bool(leased), due_at)
            for entry_id, state, attempts, leased, due_at in self._session.rows_by(
                _PROGRESS, wanted
            )
        }
        rows = []
        answers = []
        for read, now in changes:
            entry_id, partner_id, *was = _progress(read)
            as_read = stored.get(entry_id) == tuple(was)
            answers.append(as_read)
            if as_read:
                state, due_at, claim_at, holds_at = _place(now)
                stored[entry_id] = state, now.attempts, now.leased, due_at
                rows.append(
                    (
                        state,
                        due_at,
                        now.leased,
                        now.attempts,
                        None if now.last_error is None else storable_text(now.last_error),
                        optional_micros(now.done_at),
                        claim_at,
                        holds_at,
                        entry_id,
                        partner_id,
                        *was,
                    )
                )
        # The id stands behind what is set.
        rows.sort(key=lambda row: row[len(_SAVED)])
        self._session.change(_SAVE, rows, "intents")
        return answers

    def get(self, entry_ids: Collection[str]) -> dict[str, OutboxEntry]:
        """Give those that exist, by id."""
        entries = [_entry(row) for row in self._session.rows_by(_GET, entry_ids)]
        return {entry.entry_id: entry for entry in entries}

    def list(self, state: IntentState, *, after: str = "", limit: int) -> Sequence[OutboxEntry]:
        """Give entries in a state by rising id, after an id."""
        return [_entry(row) for row in self._session.rows(_LIST[state], after, limit)]


def _by_id(row: Row) -> str:
    entry_id: str = row[0]
    return entry_id


def _progress(entry: OutboxEntry) -> Row:
    return (
        entry.entry_id,
        entry.partner_id,
        entry.state.value,
        entry.attempts,
        entry.leased,
        micros(entry.due_at),
    )


def _place(entry: OutboxEntry) -> tuple[str, int, int | None, int | None]:
    """Give the state, when it is due, when it may be claimed, and from where it holds back."""
    due_at = micros(entry.due_at)
    if entry.state is IntentState.DONE:
        return entry.state.value, due_at, None, None
    claim_at = due_at if entry.state is IntentState.WAITING else _NEVER
    return entry.state.value, due_at, claim_at, entry.position


def _row(entry: OutboxEntry) -> Row:
    state, due_at, claim_at, holds_at = _place(entry)
    intent = entry.intent
    if isinstance(intent, Message):
        kind, content = _MESSAGE, _message_content(intent)
    else:
        kind, content = _CREDIT, _credit_content(intent)
    return (
        entry.entry_id,
        entry.partner_id,
        kind,
        intent.stream,
        entry.position,
        state,
        due_at,
        entry.leased,
        entry.attempts,
        None if entry.last_error is None else storable_text(entry.last_error),
        optional_micros(entry.done_at),
        json_text(content),
        claim_at,
        holds_at,
    )


def _entry(row: Row) -> OutboxEntry:
    content = json_value(row[9])
    return OutboxEntry(
        row[0],
        _message(content) if row[1] == _MESSAGE else _credit(content),
        row[2],
        instant(row[3]),
        _STATES[row[4]],
        row[5],
        row[6],
        optional_instant(row[7]),
        bool(row[8]),
    )


def _message_content(message: Message) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "recipient": [message.recipient.kind.value, message.recipient.recipient_id],
        "type": message.type,
        "time": micros(message.time),
        "data": message.data,
        "order_id": message.order_id,
    }


def _message(content: dict[str, Any]) -> Message:
    kind, recipient_id = content["recipient"]
    return Message(
        content["message_id"],
        Recipient(_RECIPIENTS[kind], recipient_id),
        content["type"],
        instant(content["time"]),
        content["data"],
        content["order_id"],
    )


def _credit_content(credit: CreditInstruction) -> dict[str, Any]:
    return {
        "key": credit.key,
        "partner_id": credit.partner_id,
        "order_id": credit.order_id,
        "settlement_id": credit.settlement_id,
        "payer": credit.payer,
        "beneficiary": credit.beneficiary,
        "minor": credit.amount.minor,
        "currency": credit.amount.currency,
        "payer_account": _account_content(credit.payer_account),
        "account": None if credit.account is None else _account_content(credit.account),
        "instructed_at": micros(credit.instructed_at),
    }


def _account_content(account: Account) -> list[str]:
    return [account.holder, account.number, account.bank, account.currency]


def _credit(content: dict[str, Any]) -> CreditInstruction:
    account = content["account"]
    return CreditInstruction(
        content["key"],
        content["partner_id"],
        content["order_id"],
        content["settlement_id"],
        content["payer"],
        content["beneficiary"],
        Money(content["minor"], content["currency"]),
        Account(*content["payer_account"]),
        None if account is None else Account(*account),
        instant(content["instructed_at"]),
    )
