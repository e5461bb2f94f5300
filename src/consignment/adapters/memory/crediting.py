"""A ledger in memory: both sides of each credit, once per key."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from consignment.domain.money import Money
from consignment.domain.settings import in_utc
from consignment.ports.account_crediting import CreditOutcome, Posting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.message import CreditInstruction
    from consignment.ports.account_crediting import AccountBook, AccountCrediting

__all__ = ["MemoryLedger"]


class MemoryLedger:
    """Account crediting by double entry: what a beneficiary gains, the payer loses.

    Accounts are the instructions' `payer` and `beneficiary`. All postings of a currency sum to
    zero. Failures can be scripted with `fail_next` and `refuse`.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._carried_out: dict[str, CreditInstruction] = {}
        self._postings: dict[str, list[Posting]] = {}
        self._failing_calls: list[Exception] = []
        self._failures: list[CreditOutcome] = []
        self._refused: dict[str, str] = {}

    # The port.

    def credit(self, instructions: Sequence[CreditInstruction]) -> Sequence[CreditOutcome]:
        """Carry out instructions, each at most once per key; outcomes in their order."""
        with self._lock:
            if self._failing_calls:
                raise self._failing_calls.pop(0)
            return [self._credit(each) for each in instructions]

    def _credit(self, wanted: CreditInstruction) -> CreditOutcome:
        if self._failures:
            return self._failures.pop(0)
        earlier = self._carried_out.get(wanted.key)
        if earlier is not None:
            if _content(earlier) == _content(wanted):
                return CreditOutcome()
            return CreditOutcome(f"key {wanted.key} was used with other content", final=True)
        if why := self._fault(wanted):
            return CreditOutcome(why, final=True)
        self._carried_out[wanted.key] = wanted
        self._post(wanted, wanted.payer, wanted.beneficiary, -wanted.amount)
        self._post(wanted, wanted.beneficiary, wanted.payer, wanted.amount)
        return CreditOutcome()

    def _fault(self, wanted: CreditInstruction) -> str | None:
        if wanted.amount.minor <= 0:
            return f"amount {wanted.amount} is not positive"
        if wanted.payer == wanted.beneficiary:
            return f"{wanted.payer} would pay itself"
        return self._refused.get(wanted.beneficiary)

    def _post(
        self, instruction: CreditInstruction, account: str, counter: str, amount: Money
    ) -> None:
        posting = Posting(
            instruction.key,
            account,
            counter,
            amount,
            instruction.order_id,
            in_utc(instruction.instructed_at),
        )
        self._postings.setdefault(account, []).append(posting)

    # What the books say.

    def balance(self, account: str) -> Sequence[Money]:
        """Give an account's balance in each currency, by currency; empty without any posting."""
        balances: dict[str, int] = {}
        with self._lock:
            for each in self._postings.get(account, ()):
                amount = each.amount
                balances[amount.currency] = balances.get(amount.currency, 0) + amount.minor
        return [Money(minor, currency) for currency, minor in sorted(balances.items())]

    def postings(self, account: str, *, offset: int = 0, limit: int = 1000) -> Sequence[Posting]:
        """Give an account's postings in the order they were made."""
        with self._lock:
            return self._postings.get(account, [])[offset : offset + limit]

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts that something was posted to, by rising name."""
        with self._lock:
            return tuple(sorted(self._postings))

    # Scripted failures.

    def fail_next(
        self,
        times: int = 1,
        error: str | Exception = "the account system is down",
        *,
        final: bool = False,
    ) -> None:
        """Let the next credits fail: with text, one instruction each; an exception, one call."""
        with self._lock:
            if isinstance(error, Exception):
                self._failing_calls += [error] * times
            else:
                self._failures += [CreditOutcome(error, final)] * times

    def refuse(self, account: str, error: str | None = "the account is closed") -> None:
        """Refuse finally whatever is to be credited to an account; None accepts it again."""
        with self._lock:
            if error is None:
                self._refused.pop(account, None)
            else:
                self._refused[account] = error


def _content(instruction: CreditInstruction) -> tuple[str, str, Money]:
    return instruction.payer, instruction.beneficiary, instruction.amount


if TYPE_CHECKING:
    _: type[AccountCrediting] = MemoryLedger
    __: type[AccountBook] = MemoryLedger
