"""What the desk wants done outside the store, and how far that has come.

An intent, a message to send or an account to credit, is committed beside the state that it
follows from. It is carried out after the commit, again and again under the same id, until it is
done or visibly set aside.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from consignment.domain.money import Money
from consignment.domain.partner import Account

if TYPE_CHECKING:
    from consignment.domain.settings import BackOff

__all__ = [
    "BANK",
    "CreditInstruction",
    "IntentState",
    "Message",
    "OutboxEntry",
    "Recipient",
    "RecipientKind",
    "message_id_of",
]

#: Stands in the place of a partner's id for what belongs to no partner; no id has an `@`.
BANK = "@bank"


class RecipientKind(StrEnum):
    """To whom messages go."""

    PARTNER = "partner"
    SALES_PARTNER = "sales_partner"


@frozen
class Recipient:
    """A partner or a sales partner, by id."""

    kind: RecipientKind
    recipient_id: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.recipient_id}"

    @classmethod
    def partner(cls, partner_id: str) -> Recipient:
        """Address a partner."""
        return cls(RecipientKind.PARTNER, partner_id)

    @classmethod
    def sales_partner(cls, sales_partner_id: str) -> Recipient:
        """Address a sales partner."""
        return cls(RecipientKind.SALES_PARTNER, sales_partner_id)


def message_id_of(*parts: str) -> str:
    """Give the id of a message from what it is about.

    Joined by `~`, which no id contains, with `:` (inside order ids) also written `~`: so the id
    is unique, says what it is, and can be a file name anywhere.
    """
    return "~".join(parts).replace(":", "~")


@frozen
class Message:
    """A message to a partner or sales partner; `type` is without the `consignment.` in front.

    `data` is plain JSON: text, whole numbers, booleans, None, lists and maps; amounts and
    quantities are decimal text. `time` is when it became true (UTC).
    """

    message_id: str
    recipient: Recipient
    type: str
    time: datetime
    data: dict[str, Any] = field(hash=False)
    order_id: str | None = None

    @property
    def stream(self) -> str:
        """What keeps order: messages of one stream reach the recipient one after the other."""
        return f"{self.recipient}/{self.order_id or ''}"


@frozen
class CreditInstruction:
    """A partner pays an amount to a beneficiary; `key` is the idempotency key, and never changes.

    `payer` and `beneficiary` are ledger accounts: `partner:ID`, `sales_partner:ID`, `bank`.
    `payer_account` is the bank account to debit, `account` the one to credit, None for the bank's
    own; both as they were when the instruction was given.
    """

    key: str
    partner_id: str
    order_id: str
    settlement_id: str
    payer: str
    beneficiary: str
    amount: Money
    payer_account: Account
    account: Account | None
    instructed_at: datetime

    @property
    def stream(self) -> str:
        """A credit waits for no other."""
        return self.key


class IntentState(StrEnum):
    """How far an intent has come."""

    WAITING = "waiting"
    DONE = "done"
    SET_ASIDE = "set_aside"


@frozen
class OutboxEntry:
    """An intent in the outbox, with how far it has come.

    `partner_id` is the partner whose data it belongs to, or `BANK`. Within a stream, entries are
    carried out by rising `position`; one that is not done holds back those behind it. `due_at` is
    when it is next to be tried or, while it is `leased`, when the lease of whoever is trying it
    ends.
    """

    partner_id: str
    intent: Message | CreditInstruction
    position: int
    due_at: datetime
    state: IntentState = IntentState.WAITING
    attempts: int = 0
    last_error: str | None = None
    done_at: datetime | None = None
    leased: bool = False

    @property
    def entry_id(self) -> str:
        """The message id or the credit's key."""
        if isinstance(self.intent, Message):
            return self.intent.message_id
        return self.intent.key

    def done(self, at: datetime) -> OutboxEntry:
        """Return it carried out."""
        return evolve(
            self,
            state=IntentState.DONE,
            attempts=self.attempts + 1,
            last_error=None,
            done_at=at,
            leased=False,
        )

    def failed(self, why: str, at: datetime, back_off: BackOff, *, final: bool) -> OutboxEntry:
        """Return it after a failure: due again later, or set aside."""
        attempts = self.attempts + 1
        wait = None if final else back_off.wait_after(attempts)
        if wait is None:
            return evolve(
                self,
                state=IntentState.SET_ASIDE,
                attempts=attempts,
                last_error=why[:500],
                leased=False,
            )
        return evolve(self, attempts=attempts, last_error=why[:500], due_at=at + wait, leased=False)

    def retried(self, at: datetime) -> OutboxEntry:
        """Return it due again at once, with its tries counted anew."""
        return evolve(self, state=IntentState.WAITING, attempts=0, due_at=at, leased=False)
