"""The memory ledger's scripts, the manual clock, known cooperations, and the machine's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from consignment.adapters.memory import KnownCooperations, ManualClock, MemoryLedger
from consignment.adapters.system import SystemClock
from consignment.domain.errors import InvalidValue
from consignment.testing.builders import NOW, a_credit, details

# The ledger.


def test_the_next_credits_fail_as_scripted() -> None:
    """`fail_next` lets instructions fail one by one; a repeat then succeeds."""
    ledger = MemoryLedger()
    ledger.fail_next(1, "down")
    ledger.fail_next(1, "closed", final=True)
    outcomes = ledger.credit([a_credit("a"), a_credit("b"), a_credit("c")])
    assert [(each.error, each.final) for each in outcomes] == [
        ("down", False),
        ("closed", True),
        (None, False),
    ]
    assert all(each.credited for each in ledger.credit([a_credit("a")]))
    assert [each.key for each in ledger.postings("sales_partner:sp-li")] == ["c", "a"]


def test_the_next_call_raises_as_scripted() -> None:
    """`fail_next` with an exception lets whole calls fail, with nothing credited."""
    ledger = MemoryLedger()
    ledger.fail_next(1, TimeoutError("no answer"))
    with pytest.raises(TimeoutError):
        ledger.credit([a_credit()])
    assert not ledger.accounts
    assert ledger.credit([a_credit()])[0].credited
    assert list(ledger.accounts) == ["partner:green-farm", "sales_partner:sp-li"]


def test_an_account_can_be_refused() -> None:
    """`refuse` fails finally what is to be credited to an account, until it is lifted."""
    ledger = MemoryLedger()
    ledger.refuse("sales_partner:sp-li")
    (outcome,) = ledger.credit([a_credit()])
    assert outcome.final
    ledger.refuse("sales_partner:sp-li", None)
    assert ledger.credit([a_credit()])[0].credited


def test_nobody_pays_itself() -> None:
    """An instruction from an account to itself is refused finally."""
    (outcome,) = MemoryLedger().credit([a_credit(payer="bank", beneficiary="bank")])
    assert (outcome.credited, outcome.final) == (False, True)


# Clocks.


def test_the_manual_clock_moves_when_it_is_told() -> None:
    """It stands still, and is set and advanced in UTC."""
    clock = ManualClock(datetime(2026, 9, 1, 10, tzinfo=timezone(timedelta(hours=8))))
    assert clock.now() == NOW
    assert clock.now().tzinfo is UTC
    assert clock.advance(days=1, hours=2, minutes=3, seconds=4.5) == clock.now()
    assert clock.now() == NOW + timedelta(days=1, hours=2, minutes=3, seconds=4.5)
    assert clock.set(NOW + timedelta(days=2)) == clock.now() == NOW + timedelta(days=2)


def test_the_manual_clock_does_not_go_back() -> None:
    """It cannot be set or advanced backwards, nor to an instant without an offset."""
    clock = ManualClock(NOW)
    with pytest.raises(ValueError, match="does not go back"):
        clock.set(NOW - timedelta(microseconds=1))
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(seconds=-1)
    with pytest.raises(InvalidValue):
        clock.set(datetime(2027, 1, 1))  # noqa: DTZ001 - that is what is refused
    assert clock.now() == NOW


def test_the_machines_clock_tells_utc() -> None:
    """It tells the machine's time, aware and in UTC."""
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is UTC


def test_the_machines_clock_does_not_go_back() -> None:
    """When the machine's clock is set back, it stands still until that has caught up."""
    told = iter([NOW, NOW + timedelta(seconds=9), NOW, NOW + timedelta(seconds=10)])
    clock = SystemClock(lambda: next(told))
    assert [clock.now() - NOW for _ in range(3)] == [
        timedelta(seconds=9),
        timedelta(seconds=9),
        timedelta(seconds=10),
    ]


# Cooperation history.


def test_known_cooperations_are_found_by_id_or_registration_number() -> None:
    """The latest not after the instant counts, under either name; without any there is none."""
    partner = details()
    history = KnownCooperations({"green-farm": [NOW - timedelta(days=9), NOW + timedelta(days=1)]})
    assert history.last_cooperation(partner, NOW) == NOW - timedelta(days=9)
    history.add(partner.registration_number, NOW)
    assert history.last_cooperation(partner, NOW) == NOW
    assert history.last_cooperation(partner, NOW - timedelta(days=10)) is None
    assert history.last_cooperation(details("other-farm"), NOW) is None
    assert KnownCooperations().last_cooperation(partner, NOW) is None
