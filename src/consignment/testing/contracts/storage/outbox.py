"""The outbox: claims, leases, streams."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey
from consignment.domain.message import (
    CreditInstruction,
    IntentState,
    Message,
    OutboxEntry,
    Recipient,
)
from consignment.domain.settings import BackOff
from consignment.testing.builders import NOW, a_credit, a_message, an_entry
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["OutboxContract"]

_LARGE = 2500
_TICK = timedelta(microseconds=1)
_LEASE = timedelta(minutes=5)


def _own(message_id: str, position: int = 0, *, due_at: datetime = NOW) -> OutboxEntry:
    """Make an entry with a stream of its own."""
    message = a_message(message_id, order_id=f"{message_id}:green-farm")
    return an_entry(message, position, due_at=due_at)


def _ids(entries: list[OutboxEntry]) -> list[str]:
    return [entry.entry_id for entry in entries]


class OutboxContract(StorageCase):
    """The outbox."""

    def _add_entries(self, *entries: OutboxEntry) -> None:
        self.write(lambda t: t.outbox.add(entries))

    def _claim(
        self, kind: type = Message, *, now: datetime = NOW, limit: int = 100
    ) -> list[OutboxEntry]:
        return list(
            self.write(
                lambda t: t.outbox.claim(kind, now=now, lease_until=now + _LEASE, limit=limit)
            )
        )

    def _save_entries(self, *changes: tuple[OutboxEntry, OutboxEntry]) -> list[bool]:
        return list(self.write(lambda t: t.outbox.save(changes)))

    def _entry(self, entry_id: str) -> OutboxEntry:
        return self.read(lambda t: t.outbox.get([entry_id]))[entry_id]

    def test_entry_is_read_back_whole(self) -> None:
        """Messages and credits come back equal, wherever they stand."""
        data = {"列": [1, None, True, {"amount": "1.00", "none": []}], "count": 10**15}
        entries = [
            an_entry(a_message("M-1", data=data, time=NOW + _TICK), 2**31, due_at=NOW - _TICK),
            an_entry(
                a_message("M-2", recipient=Recipient.sales_partner("sp-li"), order_id=None),
                state=IntentState.SET_ASIDE,
                attempts=10,
                last_error="没人 😀" * 100,
            ),
            an_entry(a_credit("k:1"), state=IntentState.DONE, attempts=1, done_at=NOW + _TICK),
            an_entry(a_credit("k:2", "10000000000000.00", beneficiary="bank", account=None)),
            an_entry(a_credit("k:3", "5", currency="JPY"), leased=True),
        ]
        self._add_entries(*entries)
        ids = _ids(entries)
        found = self.read(lambda t: t.outbox.get([*ids, "none"]))
        assert found == {entry.entry_id: entry for entry in entries}
        assert self.read(lambda t: t.outbox.get([])) == {}

    def test_an_intent_is_there_once(self) -> None:
        """An id that is there cannot be added again, nor twice in one call."""
        self._add_entries(an_entry("M-1"))
        for batch in ([an_entry("M-2"), an_entry("M-1")], [an_entry("M-2"), an_entry("M-2")]):
            with raises(DuplicateKey):
                self._add_entries(*batch)
        assert list(self.read(lambda t: t.outbox.get(["M-1", "M-2"]))) == ["M-1"]

    def test_entries_are_listed_by_state_in_pages(self) -> None:
        """`list` gives entries in a state by rising id, after an id, up to a limit."""
        done = an_entry("M-3", state=IntentState.DONE, done_at=NOW)
        self._add_entries(*(_own(each) for each in ("M-2", "m-1", "M-10", "M-1")), done)

        def listed(state: IntentState, after: str = "", limit: int = 9) -> list[str]:
            return _ids(self.rows(lambda t: t.outbox.list(state, after=after, limit=limit)))

        assert listed(IntentState.WAITING) == ["M-1", "M-10", "M-2", "m-1"]
        assert listed(IntentState.WAITING, "M-1", 2) == ["M-10", "M-2"]
        assert listed(IntentState.DONE) == ["M-3"]
        assert listed(IntentState.SET_ASIDE) == []

    # Claims.

    def test_a_claimed_entry_is_given_with_its_lease(self) -> None:
        """A claim gives and stores the entry as leased, due again when the lease ends."""
        self._add_entries(_own("M-1"))
        leased = evolve(_own("M-1"), leased=True, due_at=NOW + _LEASE)
        assert self._claim() == [leased]
        assert self._entry("M-1") == leased

    def test_a_claimed_entry_is_not_claimed_again_before_its_lease_ends(self) -> None:
        """Until the lease ends nobody else gets it; then it is given again."""
        self._add_entries(_own("M-1"))
        assert _ids(self._claim()) == ["M-1"]
        assert self._claim() == []
        assert self._claim(now=NOW + _LEASE - _TICK) == []
        again = self._claim(now=NOW + _LEASE)
        assert [entry.due_at for entry in again] == [NOW + 2 * _LEASE]

    def test_the_longest_due_come_first(self) -> None:
        """Only what is due is claimed, the longest due first, up to the limit."""
        due = {"a": 1, "b": -2, "c": 0, "d": -3, "e": -1}
        self._add_entries(*(_own(each, due_at=NOW + due[each] * _TICK) for each in due))
        assert _ids(self._claim(limit=2)) == ["d", "b"]
        assert _ids(self._claim(limit=2)) == ["e", "c"]
        assert self._claim(limit=2) == []
        assert _ids(self._claim(now=NOW + _TICK)) == ["a"]

    def test_only_entries_of_the_kind_are_claimed(self) -> None:
        """Messages and credits are claimed apart."""
        self._add_entries(_own("M-1"), an_entry(a_credit("k:1")), an_entry(a_credit("k:2")))
        assert _ids(self._claim(Message)) == ["M-1"]
        assert sorted(_ids(self._claim(CreditInstruction))) == ["k:1", "k:2"]

    def test_only_waiting_entries_are_claimed(self) -> None:
        """What is done or set aside is not claimed."""
        self._add_entries(
            evolve(_own("M-1"), state=IntentState.DONE, done_at=NOW),
            evolve(_own("M-2"), state=IntentState.SET_ASIDE),
            _own("M-3"),
        )
        assert _ids(self._claim()) == ["M-3"]

    def test_a_stream_is_claimed_one_by_one(self) -> None:
        """Of a stream only the first that is not done, by position, can be claimed."""
        # The ids and instants run against the positions.
        self._add_entries(
            an_entry("M-1", 3, due_at=NOW - 3 * _TICK),
            an_entry("M-2", 2, due_at=NOW - 2 * _TICK),
            an_entry("M-3", 1),
        )
        for expected in ("M-3", "M-2", "M-1"):
            claimed = self._claim()
            assert _ids(claimed) == [expected]
            assert self._claim() == []
            assert self._save_entries(*((entry, entry.done(NOW)) for entry in claimed)) == [True]
        assert self._claim() == []

    def test_one_that_waits_for_its_next_try_holds_back_its_stream(self) -> None:
        """While the first of a stream is not due, those behind it are not claimed."""
        self._add_entries(an_entry("M-1", 1), an_entry("M-2", 2))
        (claimed,) = self._claim()
        failed = claimed.failed("nobody answers", NOW, BackOff(), final=False)
        assert self._save_entries((claimed, failed)) == [True]
        assert self._claim(now=failed.due_at - _TICK) == []
        assert _ids(self._claim(now=failed.due_at)) == ["M-1"]

    def test_one_that_is_set_aside_holds_back_its_stream(self) -> None:
        """Behind one that is set aside nothing is claimed, until it is retried and done."""
        self._add_entries(an_entry("M-1", 1), an_entry("M-2", 2), _own("other"))
        claimed = self._claim(limit=1)
        assert _ids(claimed) == ["M-1"] or _ids(claimed) == ["other"]
        entry = self._entry("M-1")
        assert self._save_entries((entry, entry.failed("no", NOW, BackOff(), final=True))) == [True]
        later = NOW + timedelta(days=400)
        assert "M-2" not in _ids(self._claim(now=later))
        entry = self._entry("M-1")
        assert entry.state is IntentState.SET_ASIDE
        assert self._save_entries((entry, entry.retried(later))) == [True]
        (retried,) = self._claim(now=later)
        assert retried.entry_id == "M-1"
        assert self._save_entries((retried, retried.done(later))) == [True]
        assert _ids(self._claim(now=later)) == ["M-2"]

    def test_streams_do_not_hold_back_each_other(self) -> None:
        """Recipients, orders and credits are streams of their own."""
        to_sales_partner = Recipient.sales_partner("green-farm")
        self._add_entries(
            an_entry("M-1", 1, state=IntentState.SET_ASIDE),
            an_entry("M-2", 2),
            an_entry(a_message("M-3", recipient=to_sales_partner), 3),
            an_entry(a_message("M-4", order_id="D-2:green-farm"), 4),
            an_entry(a_message("M-5", order_id=None), 5),
        )
        assert sorted(_ids(self._claim())) == ["M-3", "M-4", "M-5"]

    def test_the_limit_counts_what_can_be_claimed(self) -> None:
        """Entries that are held back do not use up the limit."""
        behind = [an_entry(f"M-{i:03}", i, due_at=NOW - _TICK) for i in range(1, 200)]
        self._add_entries(
            an_entry("M-000", 0, due_at=NOW + _TICK), *behind, _own("Z-1"), _own("Z-2")
        )
        assert sorted(_ids(self._claim(limit=2))) == ["Z-1", "Z-2"]

    def test_a_claim_that_is_rolled_back_was_none(self) -> None:
        """When the claiming transaction fails, the entry is still due."""
        self._add_entries(_own("M-1"))

        def work(t: object) -> None:
            assert t is not None
            raise LookupError

        with raises(LookupError):
            self.write(
                lambda t: work(t.outbox.claim(Message, now=NOW, lease_until=NOW + _LEASE, limit=9))
            )
        assert _ids(self._claim()) == ["M-1"]

    def test_released_entries_are_due_at_once(self) -> None:
        """`release` ends every lease, and says how many there were; what is not leased stays."""
        self._add_entries(*(_own(each) for each in "abc"), an_entry(a_credit("k:1")))
        waiting = _own("w", due_at=NOW + timedelta(hours=1))
        self._add_entries(waiting)
        a, b, *_ = self._claim()
        self._claim(CreditInstruction)
        failed = b.failed("no", NOW, BackOff(), final=False)
        assert self._save_entries((a, a.done(NOW)), (b, failed)) == [True, True]
        later = NOW + _TICK
        assert self.write(lambda t: t.outbox.release(later)) == 2
        assert self.write(lambda t: t.outbox.release(later)) == 0
        assert self._entry("c") == evolve(_own("c"), due_at=later)
        assert [self._entry(each) for each in "abw"] == [a.done(NOW), failed, waiting]
        assert _ids(self._claim(now=later)) == ["c"]
        assert _ids(self._claim(CreditInstruction, now=later)) == ["k:1"]

    # Saving.

    def test_a_saved_entry_is_stored_as_it_is_now(self) -> None:
        """`save` stores state, attempts, error, instants and lease."""
        self._add_entries(_own("M-1"))
        for _ in range(2):
            entry = self._claim(now=self._entry("M-1").due_at)[0]
            failed = entry.failed("没人", entry.due_at, BackOff(), final=False)
            assert self._save_entries((entry, failed)) == [True]
            assert self._entry("M-1") == failed
        entry = self._claim(now=failed.due_at)[0]
        done = entry.done(entry.due_at)
        assert self._save_entries((entry, done)) == [True]
        assert self._entry("M-1") == done
        assert done.attempts == 3

    def test_saving_tells_what_somebody_else_took_up(self) -> None:
        """An entry that is no longer as claimed is not stored, and `save` says so; others are."""
        self._add_entries(_own("M-1"), _own("M-2"))
        slow = {entry.entry_id: entry for entry in self._claim()}
        taken_up = self._claim(now=NOW + _LEASE, limit=1)[0]
        other = "M-2" if taken_up.entry_id == "M-1" else "M-1"
        late = slow[taken_up.entry_id]
        assert self._save_entries((late, late.done(NOW)), (slow[other], slow[other].done(NOW))) == [
            False,
            True,
        ]
        assert self._entry(taken_up.entry_id) == taken_up
        assert self._entry(other) == slow[other].done(NOW)

    def test_every_part_of_the_claim_is_checked(self) -> None:
        """`save` compares state, attempts, lease and due instant with what is stored."""
        self._add_entries(_own("M-1"))
        (claimed,) = self._claim()
        for stale in (
            evolve(claimed, state=IntentState.SET_ASIDE),
            evolve(claimed, attempts=1),
            evolve(claimed, leased=False),
            evolve(claimed, due_at=claimed.due_at + _TICK),
        ):
            assert self._save_entries((stale, stale.done(NOW))) == [False]
        assert self._entry("M-1") == claimed

    def test_an_outcome_is_saved_once(self) -> None:
        """Saving the same outcome again finds the claim gone."""
        self._add_entries(_own("M-1"))
        (claimed,) = self._claim()
        assert self._save_entries((claimed, claimed.done(NOW))) == [True]
        assert self._save_entries((claimed, claimed.done(NOW + _TICK))) == [False]
        assert self._entry("M-1").done_at == NOW
        none = _own("M-2")
        assert self._save_entries((none, none.done(NOW))) == [False]
        assert self._save_entries() == []

    def test_large_batches_of_intents(self) -> None:
        """Thousands of intents are added, claimed, saved and read in one call."""
        entries = [_own(f"M-{i:05}") for i in range(_LARGE)]
        self._add_entries(*entries)
        claimed = self._claim(limit=_LARGE)
        assert sorted(_ids(claimed)) == _ids(entries)
        assert all(self._save_entries(*((entry, entry.done(NOW)) for entry in claimed)))
        found = self.read(lambda t: t.outbox.get(_ids(entries)))
        assert {entry.state for entry in found.values()} == {IntentState.DONE}
        assert len(found) == _LARGE
