"""Partner messaging: bring messages to partners and sales partners, and fetch theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from consignment.domain.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from consignment.domain.message import Message

__all__ = ["Answer", "Delivery", "Inbound", "PartnerMessaging"]


@frozen
class Delivery:
    """What became of handing over one message.

    `error` is None when the recipient has it. `final` says that trying again is useless, so the
    message is set aside at once.
    """

    error: str | None = None
    final: bool = False

    @property
    def delivered(self) -> bool:
        """Tell whether the recipient has the message."""
        return self.error is None


@frozen
class Answer:
    """What the desk made of one inbound message: taken (perhaps before), or the reasons why not."""

    report_id: str | None
    repeated: bool = False
    reasons: tuple[Reason, ...] = ()


class Inbound(Protocol):
    """One delivery from a partner: some messages, to be settled together.

    `partner_id` comes from the channel's credential (the folder, the secret, the queue), never
    from what the messages say.
    """

    @property
    def partner_id(self) -> str:
        """Who sent it."""
        ...

    @property
    def name(self) -> str:
        """What the channel calls it, for people."""
        ...

    def messages(self) -> Iterator[bytes]:
        """Give each message as it came, undecoded, in order; a second call gives the same again.

        Raises `UnusableInput` when no messages can be made out.
        """
        ...

    def finish(self, answers: Sequence[Answer]) -> None:
        """Take it out of the channel after the desk has committed what it made of each message.

        When the process dies before, it is offered again. `answers` may be empty when
        `messages` raised; `refuse` is called then instead.
        """
        ...

    def refuse(self, reasons: Sequence[Reason]) -> None:
        """Take it out of the channel as unusable, for these reasons."""
        ...


class PartnerMessaging(Protocol):
    """A channel, or several, to partners and sales partners.

    Promises: a message handed over again under the same id changes nothing for the recipient;
    messages given in one call to the same recipient arrive in their order. An adapter keeps no
    state that has to be committed with the desk's.
    """

    def deliver(self, messages: Sequence[Message]) -> Sequence[Delivery]:
        """Hand over messages; give the outcome of each, in their order.

        A failure of one does not keep the others back. It is never called inside a transaction.
        What it raises counts as a failure of all of them, to be tried again.
        """
        ...

    def inbound(self) -> Iterator[Inbound]:
        """Give what has come in, each until it is finished or refused.

        Of one partner in the order of arrival where the channel knows it, else in that of names.

        Raises `DeliveryFailed`, best after everything else was given, when something of the
        channel could not be read.
        """
        ...
