"""A channel and a ledger that fail as they are told to, and keep account of what came."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import TYPE_CHECKING

from consignment.adapters.memory import MemoryMessaging
from consignment.ports.account_crediting import CreditOutcome
from consignment.ports.partner_messaging import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consignment.domain.message import CreditInstruction, Message
    from consignment.ports.account_crediting import AccountCrediting
    from consignment.ports.partner_messaging import Inbound

__all__ = ["Died", "Fate", "FlakyLedger", "FlakyMessaging"]


class Fate(StrEnum):
    """What becomes of something handed over."""

    DONE = "done"
    #: It did not arrive.
    FAILED = "failed"
    #: It cannot ever arrive.
    FINAL = "final"
    #: It arrived, but nobody heard of it.
    LOST = "lost"
    #: The whole call raises, before anything was done.
    RAISED = "raised"
    #: The worker dies after everything was done.
    DIED = "died"


class Died(BaseException):
    """The worker is gone."""


class _Fates:
    def __init__(self) -> None:
        self._coming: deque[Fate] = deque()

    def tell(self, fates: Sequence[Fate]) -> None:
        """Set what becomes of the next things handed over; all is well behind them."""
        self._coming = deque(fates)

    def next(self, count: int) -> list[Fate]:
        """Give the fates of some things handed over in one call."""
        fates = [self._coming.popleft() if self._coming else Fate.DONE for _ in range(count)]
        if Fate.RAISED in fates:
            raise OSError("the line is down")
        return fates


class FlakyMessaging(MemoryMessaging):
    """A channel in memory with fates; it asserts that what was told as delivered never comes again.

    Each message comes with the same content each time, and within a stream by rising id only after
    what came before it has been told as delivered.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fates = _Fates()
        self.told: dict[str, Message] = {}
        self._content: dict[str, Message] = {}

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        fates = self.fates.next(len(messages))
        assert len({each.stream for each in messages}) == len(messages), "one of a stream at a time"
        for message in messages:
            assert message.message_id not in self.told, "told as delivered, and comes again"
            assert self._content.setdefault(message.message_id, message) == message
        arrived = [
            message
            for message, fate in zip(messages, fates, strict=True)
            if fate in {Fate.DONE, Fate.LOST, Fate.DIED}
        ]
        super().deliver(arrived)
        if Fate.DIED in fates:
            raise Died
        outcomes = []
        for message, fate in zip(messages, fates, strict=True):
            if fate is Fate.DONE:
                self.told[message.message_id] = message
            outcomes.append(
                Delivery()
                if fate is Fate.DONE
                else Delivery("it did not arrive", final=fate is Fate.FINAL)
            )
        return outcomes

    def inbound(self) -> Iterator[Inbound]:
        return super().inbound()


class FlakyLedger:
    """A ledger with fates in front of another."""

    def __init__(self, ledger: AccountCrediting) -> None:
        self.fates = _Fates()
        self._ledger = ledger

    def credit(self, instructions: Sequence[CreditInstruction]) -> Sequence[CreditOutcome]:
        fates = self.fates.next(len(instructions))
        arrived = [
            each
            for each, fate in zip(instructions, fates, strict=True)
            if fate in {Fate.DONE, Fate.LOST, Fate.DIED}
        ]
        done = iter(self._ledger.credit(arrived))
        if Fate.DIED in fates:
            raise Died
        outcomes = []
        for fate in fates:
            outcome = next(done) if fate in {Fate.DONE, Fate.LOST} else None
            if fate is Fate.DONE and outcome is not None:
                outcomes.append(outcome)
            else:
                outcomes.append(CreditOutcome("no answer", final=fate is Fate.FINAL))
        return outcomes
