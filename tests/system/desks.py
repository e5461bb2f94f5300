"""Desks to test with: the same library over memory and over each engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from consignment.adapters.memory import ManualClock, MemoryLedger, MemoryMessaging, MemoryStorage
from consignment.adapters.sqlalchemy import Ledger, SqlStorage
from consignment.desk import Consignment
from tests import engines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from consignment.domain.message import Message, OutboxEntry
    from consignment.domain.settings import Settings
    from consignment.ports.account_crediting import AccountBook

__all__ = [
    "ROOT",
    "Desk",
    "balance",
    "every_entry",
    "memory_desk",
    "messages_of",
    "sql_desk",
    "used",
]

ROOT = Path(__file__).resolve().parents[2]


@frozen
class Desk:
    """A desk, its clock that stands still until it is moved, and its ledger."""

    desk: Consignment
    clock: ManualClock
    ledger: MemoryLedger | Ledger
    messaging: MemoryMessaging


def memory_desk(start: datetime, settings: Settings | None = None) -> Desk:
    """Make a desk that keeps everything in memory."""
    clock, ledger, messaging = ManualClock(start), MemoryLedger(), MemoryMessaging()
    desk = Consignment(
        storage=MemoryStorage(),
        messaging=messaging,
        crediting=ledger,
        clock=clock,
        settings=settings,
    )
    return Desk(desk, clock, ledger, messaging)


def sql_desk(start: datetime, engine: str, folder: Path, settings: Settings | None = None) -> Desk:
    """Make a desk over an engine's empty database and its ledger; its channel is in memory."""
    url = engines.empty(engine, folder)
    clock, messaging = ManualClock(start), MemoryMessaging()
    storage = SqlStorage.open(url)
    ledger = Ledger(storage)
    desk = Consignment(
        storage=storage, messaging=messaging, crediting=ledger, clock=clock, settings=settings
    )
    return Desk(desk, clock, ledger, messaging)


def balance(books: AccountBook, account: str) -> str:
    """Give an account's only balance as text, "0" without any posting."""
    amounts = books.balance(account)
    assert len(amounts) <= 1
    return str(amounts[0]) if amounts else "0"


def used(desk: Consignment, currency: str = "CNY") -> dict[str, str]:
    """Give what is used of each quota, by scope."""
    return {each.scope: str(each.used) for each in desk.quotas.show() if each.currency == currency}


def every_entry(desk: Consignment) -> list[OutboxEntry]:
    """Give every entry of the outbox, whatever its state."""
    from consignment.domain.message import IntentState  # noqa: PLC0415 - only here

    return [
        entry
        for state in IntentState
        for entry in desk.storage.read(
            lambda tx, state=state: list(tx.outbox.list(state, limit=100_000))  # type: ignore[misc] # bound now
        )
    ]


def messages_of(messages: Iterable[Message], kind: str) -> list[Message]:
    """Give the messages of a type."""
    return [each for each in messages if each.type == kind]


def document(path: str) -> Any:  # noqa: ANN401 - JSON
    """Read a JSON document below the project's root."""
    return json.loads((ROOT / path).read_text("utf-8"))
