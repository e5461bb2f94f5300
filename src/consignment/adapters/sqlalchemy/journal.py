"""The journal: facts in the order they were appended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select

from consignment.adapters.sqlalchemy import tables
from consignment.adapters.sqlalchemy.codec import (
    instant,
    json_text,
    json_value,
    micros,
    new_entry_id,
)
from consignment.adapters.sqlalchemy.statements import Session, Statement
from consignment.domain.journal import Fact, FactKind

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["JOURNAL_ENTRY", "JournalRows"]

_C = tables.journal.c
_KINDS = {each.value: each for each in FactKind}

_APPEND = Statement(insert(tables.journal))
_READ = (
    select(_C.kind, _C.at, _C.partner_id, _C.order_id, _C.actor, _C.data)
    .order_by(_C.entry_id, _C.entry_no)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_ALL = Statement(_READ, "limit", "offset")
#: Whether there is an entry of an id.
JOURNAL_ENTRY = Statement(
    select(_C.entry_no).where(_C.entry_id == bindparam("entry_id")).limit(1), "entry_id"
)
_OF_ORDER = Statement(
    _READ.where(_C.order_id == bindparam("order_id")), "order_id", "limit", "offset"
)


class JournalRows:
    """The facts, append-only."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts in their order."""
        if not facts:
            return
        entry_id = new_entry_id()
        rows = [
            (
                entry_id,
                entry_no,
                fact.partner_id,
                fact.kind.value,
                micros(fact.at),
                fact.order_id,
                fact.actor,
                json_text(fact.data),
            )
            for entry_no, fact in enumerate(facts)
        ]
        self._session.add(_APPEND, rows)
        # By it the transaction is found again when its commit is not acknowledged.
        self._session.journal_entry_id = entry_id

    def read(
        self, *, order_id: str | None = None, offset: int = 0, limit: int = 1000
    ) -> Sequence[Fact]:
        """Give facts, of an order or all, in the order they were appended."""
        if order_id is None:
            rows = self._session.rows(_ALL, limit, offset)
        else:
            rows = self._session.rows(_OF_ORDER, order_id, limit, offset)
        return [
            Fact(_KINDS[kind], instant(at), partner_id, order_id, actor, json_value(data))
            for kind, at, partner_id, order_id, actor, data in rows
        ]
