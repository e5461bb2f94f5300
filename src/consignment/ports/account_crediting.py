"""Account crediting: pay a beneficiary's account, once per key."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from consignment.domain.money import Money

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.message import CreditInstruction

__all__ = ["AccountBook", "AccountCrediting", "CreditOutcome", "Posting"]


@frozen
class CreditOutcome:
    """What became of one instruction.

    `error` is None when the account is credited, by this call or by an earlier one with the same
    key. `final` says that trying again is useless, so it is set aside at once.
    """

    error: str | None = None
    final: bool = False

    @property
    def credited(self) -> bool:
        """Tell whether the account has been credited."""
        return self.error is None


@frozen
class Posting:
    """One side of an entry in a ledger: what it added to an account (negative for the payer).

    `key` is the credit's. `posted_at` is when it was instructed, in UTC.
    """

    key: str
    account: str
    counter_account: str
    amount: Money
    order_id: str
    posted_at: datetime


class AccountBook(Protocol):
    """What a crediting adapter that keeps accounts itself can tell of them (a ledger).

    Accounts are `partner:ID`, `sales_partner:ID` and `bank`.
    """

    def balance(self, account: str) -> Sequence[Money]:
        """Give an account's balance in each currency, by currency; empty without any posting."""
        ...

    def postings(self, account: str, *, offset: int = 0, limit: int = 1000) -> Sequence[Posting]:
        """Give an account's postings in the order they were made."""
        ...


class AccountCrediting(Protocol):
    """The bank's way to credit an account.

    Promises: at most one credit per key, whatever is repeated, by however many processes at once;
    the same key with other content (payer, beneficiary, amount, currency) is never credited but
    answered with a final error.
    """

    def credit(self, instructions: Sequence[CreditInstruction]) -> Sequence[CreditOutcome]:
        """Carry out instructions; give the outcome of each, in their order.

        A failure of one does not keep the others back. It is never called inside a transaction of
        the desk. What it raises counts as a failure of all of them, to be tried again: so after a
        crash or a time-out the same instructions come again, with the same keys.
        """
        ...
