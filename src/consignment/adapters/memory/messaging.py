"""Partner messaging in memory: an inbox for each recipient, and a drop for what partners send."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from consignment.adapters.memory.plain import copied_message
from consignment.domain.errors import Reason, UnusableInput
from consignment.ports.partner_messaging import Answer, Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consignment.domain.message import Message, Recipient
    from consignment.ports.partner_messaging import Inbound, PartnerMessaging

__all__ = ["MemoryInbound", "MemoryMessaging"]


class MemoryInbound:
    """One delivery from a partner; it keeps how it was answered."""

    def __init__(
        self, partner_id: str, name: str, content: Sequence[bytes], unusable: Sequence[Reason] = ()
    ) -> None:
        self._partner_id = partner_id
        self._name = name
        self._content = tuple(content)
        self._unusable = tuple(unusable)
        self.answers: tuple[Answer, ...] | None = None
        self.reasons: tuple[Reason, ...] | None = None

    @property
    def partner_id(self) -> str:
        """Who sent it."""
        return self._partner_id

    @property
    def name(self) -> str:
        """What the channel calls it, for people."""
        return self._name

    @property
    def pending(self) -> bool:
        """Tell whether it is still to be finished or refused."""
        return self.answers is None and self.reasons is None

    def messages(self) -> Iterator[bytes]:
        """Give each message as it came, in order; `UnusableInput` when it was put as unusable."""
        if self._unusable:
            raise UnusableInput(self._unusable)
        return iter(self._content)

    def finish(self, answers: Sequence[Answer]) -> None:
        """Take it out of the channel, with what the desk made of each message."""
        self.answers = tuple(answers)

    def refuse(self, reasons: Sequence[Reason]) -> None:
        """Take it out of the channel as unusable, for these reasons."""
        self.reasons = tuple(reasons)


class MemoryMessaging:
    """A channel whose recipients are in this process.

    `inbox` tells what a recipient has, `put` drops what a partner sends. Failures can be scripted
    with `fail_next` and `refuse`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inboxes: dict[Recipient, dict[str, Message]] = {}
        self._drop: list[MemoryInbound] = []
        self._dropped = 0
        self._failing_calls: list[Exception] = []
        self._failures: list[Delivery] = []
        self._refused: dict[Recipient, str] = {}
        self._handed_over: list[str] = []

    # The port.

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Hand over messages; what a recipient already has under the same id changes nothing."""
        with self._lock:
            if self._failing_calls:
                raise self._failing_calls.pop(0)
            return [self._deliver(each) for each in messages]

    def _deliver(self, message: Message) -> Delivery:
        self._handed_over.append(message.message_id)
        if self._failures:
            return self._failures.pop(0)
        if why := self._refused.get(message.recipient):
            return Delivery(why, final=True)
        inbox = self._inboxes.setdefault(message.recipient, {})
        inbox.setdefault(message.message_id, copied_message(message))
        return Delivery()

    def inbound(self) -> Iterator[Inbound]:
        """Give what was put and is neither finished nor refused, oldest first."""
        with self._lock:
            self._drop = [each for each in self._drop if each.pending]
            waiting = list(self._drop)
        return (each for each in waiting if each.pending)

    # The other side.

    def inbox(self, recipient: Recipient) -> tuple[Message, ...]:
        """Give what a recipient has, in the order of arrival."""
        with self._lock:
            return tuple(map(copied_message, self._inboxes.get(recipient, {}).values()))

    @property
    def handed_over(self) -> tuple[str, ...]:
        """The ids of all messages that were handed over, repeats and failures too, in order."""
        with self._lock:
            return tuple(self._handed_over)

    def put(self, partner_id: str, *messages: bytes, name: str | None = None) -> MemoryInbound:
        """Drop one delivery of a partner; give it, so that its answers can be read."""
        return self._put(partner_id, name, messages, ())

    def put_unusable(
        self, partner_id: str, *reasons: Reason, name: str | None = None
    ) -> MemoryInbound:
        """Drop one delivery in which no messages can be made out."""
        return self._put(partner_id, name, (), reasons or (Reason("unreadable"),))

    def _put(
        self,
        partner_id: str,
        name: str | None,
        messages: Sequence[bytes],
        unusable: Sequence[Reason],
    ) -> MemoryInbound:
        with self._lock:
            self._dropped += 1
            called = name or f"{partner_id}-{self._dropped}"
            inbound = MemoryInbound(partner_id, called, messages, unusable)
            self._drop.append(inbound)
            return inbound

    # Scripted failures.

    def fail_next(
        self,
        times: int = 1,
        error: str | Exception = "nobody answers",
        *,
        final: bool = False,
    ) -> None:
        """Let the next deliveries fail: with text, one message each; an exception, one call."""
        with self._lock:
            if isinstance(error, Exception):
                self._failing_calls += [error] * times
            else:
                self._failures += [Delivery(error, final)] * times

    def refuse(self, recipient: Recipient, error: str | None = "unknown recipient") -> None:
        """Refuse finally whatever goes to a recipient; None lets it receive again."""
        with self._lock:
            if error is None:
                self._refused.pop(recipient, None)
            else:
                self._refused[recipient] = error


if TYPE_CHECKING:
    _: type[PartnerMessaging] = MemoryMessaging
