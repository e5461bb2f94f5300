"""What every way to credit accounts promises (`ports.account_crediting`)."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.money import Money
from consignment.ports.account_crediting import Posting
from consignment.testing.builders import a_credit
from consignment.testing.contracts.support import at_once, skip_without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from consignment.domain.message import CreditInstruction
    from consignment.ports.account_crediting import AccountBook, AccountCrediting, CreditOutcome

__all__ = ["AccountBookContract", "CreditingCapability", "CreditingContract"]

_LARGE = 500


class CreditingCapability(StrEnum):
    """What a crediting adapter may declare that it lacks."""

    #: Several threads can use it at once.
    CONCURRENT = "concurrent"
    #: What was credited is known when the adapter is opened again.
    DURABLE = "durable"


class CreditingContract:
    """Everything that a way to credit accounts promises.

    class TestOurCrediting(CreditingContract):
        def make_crediting(self) -> AccountCrediting:
            return OurCrediting(…)  # in front of accounts to which nothing was credited

        def balance(self, account: str, currency: str) -> Money:
            return …  # what the account system says, not what the adapter remembers
    """

    #: What the adapter cannot do.
    lacks: frozenset[CreditingCapability] = frozenset()

    _crediting: AccountCrediting | None = None

    def make_crediting(self) -> AccountCrediting:
        """Make the adapter, in front of accounts to which nothing was credited yet."""
        raise NotImplementedError

    def reopen_crediting(self) -> AccountCrediting:
        """Make the adapter a second time, in front of the same accounts."""
        raise NotImplementedError

    def balance(self, account: str, currency: str) -> Money:
        """Give what the accounts say was credited to one of them (a payer's is negative)."""
        raise NotImplementedError

    def close_crediting(self) -> None:
        """Let go of what `make_crediting` opened."""

    @property
    def crediting(self) -> AccountCrediting:
        """The adapter of this test, made when it is first asked for."""
        if self._crediting is None:
            self._crediting = self.make_crediting()
        return self._crediting

    def teardown_method(self) -> None:
        """Close the adapter."""
        if self._crediting is not None:
            self.close_crediting()
            self._crediting = None

    def _credit(self, *instructions: CreditInstruction) -> Sequence[CreditOutcome]:
        outcomes = self.crediting.credit(instructions)
        assert len(outcomes) == len(instructions)
        return outcomes

    def _cents(self, account: str = "sales_partner:sp-li", currency: str = "CNY") -> int:
        balance = self.balance(account, currency)
        assert balance.currency == currency
        return balance.minor

    def test_an_account_is_credited(self) -> None:
        """An instruction credits the beneficiary with the amount, to the cent."""
        (outcome,) = self._credit(a_credit(amount="45.01"))
        assert outcome.credited
        assert outcome.error is None
        assert self._cents() == 4501

    def test_a_repeat_credits_nothing_more(self) -> None:
        """The same instruction again is answered as credited, and credits nothing."""
        for _ in range(3):
            (outcome,) = self._credit(a_credit())
            assert outcome.credited
        assert self._cents() == 4500

    def test_a_repeat_within_one_call_credits_nothing_more(self) -> None:
        """The same instruction twice in one call credits once."""
        outcomes = self._credit(a_credit(), a_credit("k:2", "1.00"), a_credit())
        assert all(outcome.credited for outcome in outcomes)
        assert self._cents() == 4600

    def test_a_repeat_may_come_with_another_instant(self) -> None:
        """What counts as the same is key, payer, beneficiary, amount and currency."""
        first = a_credit()
        later = evolve(first, instructed_at=first.instructed_at.replace(year=2027))
        assert all(outcome.credited for outcome in [*self._credit(first), *self._credit(later)])
        assert self._cents() == 4500

    def test_a_key_with_other_content_is_refused_finally(self) -> None:
        """The same key with other content is not credited but answered with a final error."""
        self._credit(a_credit())
        others = [
            a_credit(amount="45.01"),
            a_credit(beneficiary="bank", account=None),
            a_credit(payer="partner:other-farm"),
            a_credit(payer="partner:other-farm", partner_id="other-farm"),
            a_credit(amount="4500", currency="JPY"),
        ]
        for other in others:
            (outcome,) = self._credit(other)
            assert not outcome.credited
            assert outcome.final
        assert (self._cents(), self._cents("bank")) == (4500, 0)
        assert self._cents(currency="JPY") == 0
        (outcome,) = self._credit(a_credit())
        assert outcome.credited

    def test_a_conflict_within_one_call_is_refused_finally(self) -> None:
        """Of two instructions under one key in one call, the first is carried out."""
        good, bad, other = self._credit(
            a_credit("k:1"), a_credit("k:1", "9.00"), a_credit("k:2", "1.00")
        )
        assert (good.credited, bad.credited, bad.final, other.credited) == (True, False, True, True)
        assert self._cents() == 4600

    def test_outcomes_come_in_the_order_of_the_instructions(self) -> None:
        """Each outcome stands where its instruction stood; a failure keeps no other back."""
        self._credit(a_credit("k:2", "2.00"))
        outcomes = self._credit(
            a_credit("k:3", "4.00"), a_credit("k:2", "99.00"), a_credit("k:1", "8.00")
        )
        assert [outcome.credited for outcome in outcomes] == [True, False, True]
        assert self._cents() == 1400

    def test_no_instructions_have_no_outcomes(self) -> None:
        """An empty call is answered with nothing."""
        assert not self._credit()

    def test_keys_are_compared_character_by_character(self) -> None:
        """Keys that differ in case, or go on, are different keys."""
        keys = ["D-1:farm:1:bank", "d-1:farm:1:bank", "D-1:farm:1:bank2", "D-1:farm:11:bank"]
        outcomes = self._credit(*(a_credit(each, "1.00") for each in keys))
        assert all(outcome.credited for outcome in outcomes)
        assert self._cents() == 100 * len(keys)

    def test_currencies_are_kept_apart(self) -> None:
        """Amounts in another currency are other amounts, with its own minor unit."""
        outcomes = self._credit(
            a_credit("k:1", "10.00"),
            a_credit("k:2", "10", currency="JPY"),
            a_credit("k:3", "10.001", currency="KWD"),
        )
        assert all(outcome.credited for outcome in outcomes)
        assert self._cents() == 1000
        assert self._cents(currency="JPY") == 10
        assert self._cents(currency="KWD") == 10_001

    def test_the_bank_and_other_sales_partners_are_credited(self) -> None:
        """Each beneficiary is credited on its own account, the bank without one of its own."""
        outcomes = self._credit(
            a_credit("k:1", "1.00", beneficiary="bank", account=None),
            a_credit("k:2", "2.00", beneficiary="sales_partner:sp-wang"),
            a_credit("k:3", "4.00"),
        )
        assert all(outcome.credited for outcome in outcomes)
        accounts = ("bank", "sales_partner:sp-wang", "sales_partner:sp-li")
        assert [self._cents(each) for each in accounts] == [100, 200, 400]

    def test_big_amounts_are_exact(self) -> None:
        """Ten to the fifteenth minor units and one are credited to the unit, twice."""
        amount = Money(10**15 + 1, "CNY")
        self._credit(*(evolve(a_credit(key), amount=amount) for key in ("k:1", "k:2")))
        assert self._cents() == 2 * (10**15 + 1)

    def test_large_batches_are_credited(self) -> None:
        """Hundreds of instructions in one call are all carried out, and not again."""
        batch = [a_credit(f"k:{i}", "0.01") for i in range(_LARGE)]
        for _ in range(2):
            assert all(outcome.credited for outcome in self._credit(*batch))
        assert self._cents() == _LARGE

    def test_nobody_is_credited_less_than_a_minor_unit(self) -> None:
        """An instruction over nothing, or less, credits nothing and is refused finally."""
        for i, minor in enumerate((0, -1)):
            (outcome,) = self._credit(evolve(a_credit(f"k:{i}"), amount=Money(minor, "CNY")))
            assert not outcome.credited
            assert outcome.final
        assert self._cents() == 0

    def test_a_key_is_credited_once_by_many_at_once(self) -> None:
        """However many carry out the same instructions at once, each credits once."""
        skip_without(self.lacks, CreditingCapability.CONCURRENT)
        batch = [a_credit(f"k:{i}", "1.00") for i in range(10)]
        crediting = self.crediting

        def attempt() -> bool:
            # Whoever fails tries again, as the relay does.
            for _ in range(20):
                try:
                    outcomes = crediting.credit(batch)
                except Exception:  # noqa: BLE001, S112 - whatever it raises, it is tried again
                    continue
                if all(outcome.credited for outcome in outcomes):
                    return True
            return False

        assert Counter(at_once(*[attempt] * 6)) == Counter({True: 6})
        assert self._cents() == 1000

    def test_keys_are_known_after_a_restart(self) -> None:
        """An instruction that comes again after a restart credits nothing more."""
        skip_without(self.lacks, CreditingCapability.DURABLE)
        self._credit(a_credit())
        self.close_crediting()
        self._crediting = self.reopen_crediting()
        same, other = self._credit(a_credit(), a_credit(amount="99.00"))
        assert same.credited
        assert other.final
        assert self._cents() == 4500


class AccountBookContract(CreditingContract):
    """What a ledger promises beside: a crediting adapter that keeps accounts itself.

    class TestOurLedger(AccountBookContract):
        def make_crediting(self) -> AccountCrediting:
            return OurLedger(…)

        def book(self) -> AccountBook:
            return …  # the ledger that `make_crediting` made
    """

    def book(self) -> AccountBook:
        """Give the accounts in front of which `make_crediting` made the adapter."""
        raise NotImplementedError

    def balance(self, account: str, currency: str) -> Money:
        """Give an account's balance in a currency, from the book."""
        found = [each for each in self.book().balance(account) if each.currency == currency]
        assert len(found) <= 1
        return found[0] if found else Money(0, currency)

    def test_an_account_without_postings_has_no_balance(self) -> None:
        """Where nothing was posted, there is neither a balance nor a posting."""
        self._credit(a_credit())
        assert not self.book().balance("bank")
        assert not self.book().postings("bank")

    def test_what_one_gains_the_other_loses(self) -> None:
        """Each credit is posted on both sides, so that a currency's balances sum to zero."""
        self._credit(
            a_credit("k:1", "1.00"),
            a_credit("k:2", "2.00", beneficiary="bank", account=None),
            a_credit("k:3", "3", currency="JPY"),
            a_credit("k:1", "9.00"),
        )
        balances = {
            account: list(self.book().balance(account))
            for account in ("partner:green-farm", "bank", "sales_partner:sp-li")
        }
        assert balances == {
            "partner:green-farm": [Money(-300, "CNY"), Money(-3, "JPY")],
            "bank": [Money(200, "CNY")],
            "sales_partner:sp-li": [Money(100, "CNY"), Money(3, "JPY")],
        }

    def test_postings_tell_both_sides(self) -> None:
        """A posting has the key, both accounts, the signed amount, the order and the instant."""
        instruction = a_credit("k:1", "1.00")
        for _ in range(2):
            self._credit(instruction)
        (gained,) = self.book().postings("sales_partner:sp-li")
        (lost,) = self.book().postings("partner:green-farm")
        at = instruction.instructed_at
        order_id = instruction.order_id
        assert gained == Posting(
            "k:1", "sales_partner:sp-li", "partner:green-farm", Money(100, "CNY"), order_id, at
        )
        assert lost == Posting(
            "k:1", "partner:green-farm", "sales_partner:sp-li", Money(-100, "CNY"), order_id, at
        )
        assert gained.posted_at.utcoffset() == timedelta(0)

    def test_postings_come_in_order_in_pages(self) -> None:
        """Postings come in the order they were made, also of one call; `offset` and `limit` cut."""
        keys = ["k:c", "k:a", "k:b", "k:e", "k:d"]
        self._credit(*(a_credit(each, "1.00") for each in keys[:3]))
        for each in keys[3:]:
            self._credit(a_credit(each, "1.00"))

        def page(offset: int, limit: int) -> list[str]:
            postings = self.book().postings("partner:green-farm", offset=offset, limit=limit)
            return [posting.key for posting in postings]

        assert page(0, 10) == keys
        assert page(1, 3) == keys[1:4]
        assert page(4, 3) == keys[4:]
        assert page(5, 3) == []
