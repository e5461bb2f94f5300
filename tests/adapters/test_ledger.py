"""The ledger: both sides of each credit, once per key, and books that agree."""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consignment.adapters.sqlalchemy import Discrepancy, Ledger, SqlStorage, upgrade
from consignment.domain.errors import StorageBusy, StorageError, StorageUnusable
from consignment.domain.message import CreditInstruction
from consignment.domain.money import Money
from consignment.ports.account_crediting import CreditOutcome, Posting
from consignment.testing.builders import NOW, a_credit, an_account

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PARTNERS = ("green-farm", "other-farm")
_ACCOUNTS = ("partner:green-farm", "partner:other-farm", "sales_partner:sp-li", "bank")


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A ledger in memory."""
    with closing(Ledger.open("sqlite://")) as opened:
        yield opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with its schema."""
    upgrade(f"sqlite:///{tmp_path / 'desk.db'}")
    return tmp_path / "desk.db"


def _instruction(
    key: str, partner_id: str, payer: str, beneficiary: str, amount: Money
) -> CreditInstruction:
    return CreditInstruction(
        key=key,
        partner_id=partner_id,
        order_id=f"D-1:{partner_id}",
        settlement_id=f"D-1:{partner_id}:1",
        payer=payer,
        beneficiary=beneficiary,
        amount=amount,
        payer_account=an_account(),
        account=None,
        instructed_at=NOW,
    )


# Few keys, accounts and amounts, so that repeats and conflicts come often.
_instructions = st.builds(
    _instruction,
    st.sampled_from([f"k:{i}" for i in range(8)]),
    st.sampled_from(_PARTNERS),
    st.sampled_from(_ACCOUNTS),
    st.sampled_from(_ACCOUNTS),
    st.builds(Money, st.sampled_from([-1, 0, 1, 999, 10**15]), st.sampled_from(["CNY", "JPY"])),
)
_batches = st.lists(st.lists(_instructions, max_size=12), max_size=6)


class _Model:
    """What a ledger should say: the first instruction under a key is the one that counts."""

    def __init__(self) -> None:
        self.first: dict[str, CreditInstruction] = {}

    def outcome(self, wanted: CreditInstruction) -> str:
        earlier = self.first.get(wanted.key)
        if earlier is not None:
            return "repeated" if _content(earlier) == _content(wanted) else "refused"
        if wanted.amount.minor <= 0 or wanted.payer == wanted.beneficiary:
            return "refused"
        self.first[wanted.key] = wanted
        return "credited"

    def balances(self) -> dict[str, list[Money]]:
        sums: defaultdict[tuple[str, str], int] = defaultdict(int)
        for each in self.first.values():
            sums[each.payer, each.amount.currency] -= each.amount.minor
            sums[each.beneficiary, each.amount.currency] += each.amount.minor
        return {
            account: [
                Money(minor, currency)
                for (name, currency), minor in sorted(sums.items())
                if name == account
            ]
            for account in _ACCOUNTS
        }


def _content(instruction: CreditInstruction) -> tuple[str, str, Money]:
    return instruction.payer, instruction.beneficiary, instruction.amount


@settings(deadline=None, max_examples=60)
@given(_batches)
def test_the_books_agree_whatever_comes(batches: Sequence[Sequence[CreditInstruction]]) -> None:
    """Each key counts once, a conflict is final, sums are zero, balances are their postings'."""
    model = _Model()
    with closing(Ledger.open("sqlite://")) as ledger:
        for batch in batches:
            expected = [model.outcome(wanted) for wanted in batch]
            outcomes = ledger.credit(batch)
            assert [each.credited for each in outcomes] == [each != "refused" for each in expected]
            assert all(each.final for each in outcomes if not each.credited)
            assert not any(each.final for each in outcomes if each.credited)
        assert {account: ledger.balance(account) for account in _ACCOUNTS} == model.balances()
        assert all(total.minor == 0 for total in ledger.trial_balance())
        assert ledger.check() == []
        postings = [each for account in _ACCOUNTS for each in ledger.postings(account)]
        assert len(postings) == 2 * len(model.first)
        assert sorted({each.key for each in postings}) == sorted(model.first)


def test_postings_are_given_in_parts(ledger: Ledger) -> None:
    """Postings come in the order they were made, within a batch and from one to the next."""
    for first in (0, 5, 10):
        ledger.credit([a_credit(f"k:{i}", f"{i + 1}.00") for i in range(first, first + 5)])
    whole = ledger.postings("sales_partner:sp-li")
    assert [each.key for each in whole] == [f"k:{i}" for i in range(15)]
    parts = [
        each
        for offset in range(0, 20, 4)
        for each in ledger.postings("sales_partner:sp-li", offset=offset, limit=4)
    ]
    assert parts == whole
    assert whole[2] == Posting(
        "k:2",
        "sales_partner:sp-li",
        "partner:green-farm",
        Money.of("3.00", "CNY"),
        "D-1:green-farm",
        NOW,
    )


def test_an_account_paid_by_several_partners_has_one_balance(ledger: Ledger) -> None:
    """What partners pay into one account is summed up, by currency."""
    ledger.credit(
        [
            _instruction("k:1", "green-farm", "partner:green-farm", "bank", Money(100, "CNY")),
            _instruction("k:2", "other-farm", "partner:other-farm", "bank", Money(20, "CNY")),
            _instruction("k:3", "other-farm", "partner:other-farm", "bank", Money(3, "JPY")),
        ]
    )
    assert ledger.balance("bank") == [Money(120, "CNY"), Money(3, "JPY")]
    assert ledger.balance("partner:other-farm") == [Money(-20, "CNY"), Money(-3, "JPY")]
    assert ledger.balance("nobody") == []
    assert ledger.trial_balance() == [Money(0, "CNY"), Money(0, "JPY")]


def test_a_key_is_one_credit_whoever_the_partner_is(ledger: Ledger) -> None:
    """Under a key that one partner used nothing is posted for another."""
    ledger.credit([a_credit("k:1")])
    again = ledger.credit([a_credit("k:1", partner_id="other-farm")])
    assert again == [CreditOutcome()]
    assert len(ledger.postings("sales_partner:sp-li")) == 1


def test_nothing_to_do_asks_nothing(ledger: Ledger) -> None:
    """Without instructions not even a transaction is begun."""
    ledger.close()
    assert ledger.credit([]) == []
    with pytest.raises(StorageUnusable):
        ledger.credit([a_credit()])


def test_reasons_name_what_is_wrong(ledger: Ledger) -> None:
    """A refusal says which key, amount or account it is about."""
    ledger.credit([a_credit("k:1")])
    outcomes = ledger.credit(
        [
            a_credit("k:1", "9.00"),
            a_credit("k:2", "-1.00"),
            a_credit("k:3", payer="bank", beneficiary="bank"),
        ]
    )
    assert [each.error for each in outcomes] == [
        "key k:1 was used with other content",
        "amount -1.00 is not positive",
        "bank would pay itself",
    ]


def test_a_failing_batch_leaves_nothing(ledger: Ledger) -> None:
    """When one cannot be written none is: the batch ends in one storage error."""
    good = a_credit("k:1")
    bad = _instruction("k:2", "green-farm", "partner:green-farm", "bank", Money(2**63, "CNY"))
    with pytest.raises(StorageError):
        ledger.credit([good, bad])
    assert ledger.balance("sales_partner:sp-li") == []
    assert ledger.credit([good]) == [CreditOutcome()]


def test_a_balance_beyond_64_bits_is_refused(ledger: Ledger) -> None:
    """SQLite would go on in floating point: a balance stops before, and stays exact."""
    most = Money(9 * 10**18, "CNY")
    ledger.credit([_instruction("k:1", "green-farm", "partner:green-farm", "bank", most)])
    for amount in (Money(1, "CNY"), most):
        more = _instruction("k:2", "green-farm", "partner:green-farm", "bank", amount)
        with pytest.raises(StorageError, match="balance_exact"):
            ledger.credit([more])
    assert ledger.balance("bank") == [most]
    assert ledger.check() == []


def test_a_locked_ledger_is_busy(path: Path) -> None:
    """While another process writes, the whole batch is to be tried again."""
    with (
        closing(Ledger.open(f"sqlite:///{path}", busy_timeout_s=0.05)) as ledger,
        closing(sqlite3.connect(path)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusy):
            ledger.credit([a_credit()])
        other.rollback()
        assert ledger.credit([a_credit()]) == [CreditOutcome()]


def test_what_was_tampered_with_is_found(path: Path) -> None:
    """A changed balance, a changed posting and a missing one are each told."""
    with closing(Ledger.open(f"sqlite:///{path}")) as ledger:
        ledger.credit([a_credit("k:1", "1.00"), a_credit("k:2", "2.00")])
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE ledger_balances SET balance_minor = 7 WHERE account LIKE 's%'")
            other.commit()
        assert ledger.check() == [
            Discrepancy("sales_partner:sp-li", "green-farm", Money(7, "CNY"), Money(300, "CNY"))
        ]
        with closing(sqlite3.connect(path)) as other:
            other.execute("UPDATE ledger_balances SET balance_minor = 300 WHERE account LIKE 's%'")
            other.execute("DELETE FROM ledger_balances WHERE account LIKE 'p%'")
            other.execute("DELETE FROM ledger_postings WHERE amount_minor = -200")
            other.commit()
        assert ledger.check() == [
            Discrepancy("partner:green-farm", "green-farm", Money(0, "CNY"), Money(-100, "CNY")),
            Discrepancy("k:2", "green-farm", Money(0, "CNY"), Money(200, "CNY")),
        ]
        assert ledger.trial_balance() == [Money(300, "CNY")]


def _credit_all(address: str) -> int:
    with closing(Ledger.open(address, busy_timeout_s=30)) as ledger:
        outcomes = [
            outcome
            for i in range(50)
            for outcome in ledger.credit([a_credit(f"k:{i}", "1.00"), a_credit("k:same", "5.00")])
        ]
    return sum(outcome.credited for outcome in outcomes)


def test_processes_that_credit_the_same_credit_it_once(path: Path) -> None:
    """Every process is answered as credited, and each key was posted once."""
    address = f"sqlite:///{path}"
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        assert list(pool.map(_credit_all, [address] * 3)) == [100] * 3
    with closing(Ledger.open(address)) as ledger:
        assert ledger.balance("sales_partner:sp-li") == [Money.of("55.00", "CNY")]
        assert ledger.check() == []


def test_the_ledger_shares_a_stores_connections(path: Path) -> None:
    """Beside a store the ledger has transactions of its own, one after the other."""
    with closing(SqlStorage.open(f"sqlite:///{path}")) as storage:
        ledger = Ledger(storage)
        threads = [
            threading.Thread(target=ledger.credit, args=([a_credit(f"k:{i}", "1.00")],))
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ledger.balance("sales_partner:sp-li") == [Money.of("8.00", "CNY")]
        with pytest.raises(RuntimeError):
            storage.write(lambda _: ledger.credit([a_credit()]))
