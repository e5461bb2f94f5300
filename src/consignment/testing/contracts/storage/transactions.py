"""Transactions: atomicity, rollback, retries, reading."""

from __future__ import annotations

from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey, StaleWrite, StorageReadOnly
from consignment.domain.message import IntentState, Message
from consignment.domain.progress import Tally, tally_changes
from consignment.domain.settlement import CreditState
from consignment.testing.builders import (
    NOW,
    a_decision,
    a_demand_record,
    a_fact,
    a_message,
    a_partner,
    a_policy,
    a_product,
    a_quota,
    a_record,
    a_rule,
    a_sales_partner,
    a_settlement,
    a_tally_change,
    an_entry,
    an_order,
)
from consignment.testing.contracts.storage.base import StorageCapability, StorageCase
from consignment.testing.contracts.support import raises, skip_without

if TYPE_CHECKING:
    from collections.abc import Callable

    from consignment.ports.storage import Transaction

    Work = Callable[[Transaction], object]

__all__ = ["TransactionContract"]

#: More runs of one piece of work than any store should make.
_MANY = 1000


class _OnPurposeError(Exception):
    pass


class _Interrupt(BaseException):
    pass


_LEASE = NOW + timedelta(minutes=5)


def _add_everything(t: Transaction) -> None:
    order = an_order()
    t.policies.add(a_policy(), NOW)
    t.partners.add(a_partner())
    t.partners.add_decision(a_decision())
    t.sales_partners.add(a_sales_partner())
    t.products.add([a_product()])
    t.rules.add(a_rule(), NOW)
    t.quotas.put(a_quota(), None)
    t.orders.add_demands([a_demand_record()])
    t.orders.add([order])
    t.products.tally(tally_changes(None, order))
    t.reports.add([a_record()])
    t.settlements.add([a_settlement()])
    t.journal.append([a_fact()])
    t.outbox.add([an_entry("M-1")])


def _change_everything(t: Transaction) -> None:
    order = t.orders.get(["D-1:green-farm"])["D-1:green-farm"]
    product, _ = t.products.get("green-farm", ["APPLE"])["APPLE"]
    t.policies.add(a_policy("2026-2"), NOW)
    t.partners.save(t.partners.get(["green-farm"])["green-farm"].suspended())
    t.partners.add_decision(a_decision(sequence=2))
    t.sales_partners.save(evolve(t.sales_partners.get(["sp-li"])["sp-li"], name="李明明"))
    t.products.save([evolve(product, name="other")])
    t.products.tally([a_tally_change(Tally(ordered=10))])
    t.rules.add(a_rule(version=2), NOW)
    t.quotas.put(a_quota(limit="5.00"), None)
    t.quotas.change({"green-farm": {("total", "CNY"): 300}})
    t.orders.save([(order, order.cancelled("why", NOW))])
    t.reports.mark_pushed([a_record()], NOW)
    t.settlements.mark([(a_settlement(), "bank", CreditState.CREDITED)])
    t.journal.append([a_fact()])
    for entry in t.outbox.claim(Message, now=NOW, lease_until=_LEASE, limit=10):
        t.outbox.save([(entry, entry.done(NOW))])


def _everything(t: Transaction) -> list[object]:
    order_id = "D-1:green-farm"
    return [
        t.policies.get(),
        t.policies.get("2026-1"),
        t.partners.get(["green-farm"]),
        t.partners.registered_as(a_partner().details.registration_number),
        t.partners.decisions("ADM-1"),
        t.sales_partners.get(["sp-li"]),
        t.products.owners(["APPLE"]),
        t.products.get("green-farm", ["APPLE"]),
        t.products.tallies(),
        t.products.find("苹果", limit=10),
        t.rules.of_scopes(["all"]),
        t.quotas.list(),
        t.orders.demands(["D-1"]),
        t.orders.get([order_id]),
        t.reports.of_order(order_id),
        t.reports.unpushed("sp-li"),
        t.settlements.of_orders([order_id]),
        t.journal.read(),
        t.outbox.get(["M-1"]),
        t.outbox.list(IntentState.WAITING, limit=10),
    ]


class TransactionContract(StorageCase):
    """Transactions."""

    def test_write_and_read_give_the_works_result(self) -> None:
        """`write` and `read` give what the work gives."""
        assert self.write(lambda _: 42) == 42
        assert self.read(lambda _: "answer") == "answer"

    def test_the_place_of_a_write_changes_nothing_of_it(self) -> None:
        """A write may be told whose rows it mainly changes; whatever it is told, it does all."""
        for partner_id in (None, "green-farm", "other-farm", "nobody", "\ud83c"):
            self.storage.write(lambda t: t.journal.append([a_fact()]), partner_id=partner_id)
        self.storage.write(_add_everything, partner_id="other-farm")
        assert all(self.read(_everything))
        assert len(self.read(lambda t: t.journal.read())) == 6

    def test_a_new_store_is_empty(self) -> None:
        """A new store holds nothing, and says so without raising."""
        assert not any(self.read(_everything))

    def test_writes_are_visible_within_their_transaction(self) -> None:
        """What a transaction has written, it reads."""

        def work(t: Transaction) -> list[object]:
            _add_everything(t)
            return _everything(t)

        assert all(self.write(work))

    def test_changes_are_visible_within_their_transaction(self) -> None:
        """What a transaction has changed, it reads changed."""
        self.write(_add_everything)
        before = self.read(_everything)

        def work(t: Transaction) -> list[object]:
            _change_everything(t)
            return _everything(t)

        changed = self.write(work)
        same = [
            i for i, (one, other) in enumerate(zip(before, changed, strict=True)) if one == other
        ]
        # The policy's first version, the registration, the owner, and the demand stay.
        assert same == [1, 3, 6, 12]

    def test_what_was_committed_stays(self) -> None:
        """What `write` has returned from is seen by every later transaction."""
        self.write(_add_everything)
        inside = self.write(_everything)
        assert all(inside)
        assert self.read(_everything) == inside

    def test_additions_are_rolled_back_whole(self) -> None:
        """When the work raises, nothing that it added stands."""

        def work(t: Transaction) -> None:
            _add_everything(t)
            raise _OnPurposeError

        with raises(_OnPurposeError):
            self.write(work)
        assert not any(self.read(_everything))

    def test_changes_are_rolled_back_whole(self) -> None:
        """When the work raises, everything that it changed is as before."""
        self.write(_add_everything)
        before = self.read(_everything)

        def work(t: Transaction) -> None:
            _change_everything(t)
            raise _OnPurposeError

        with raises(_OnPurposeError):
            self.write(work)
        assert self.read(_everything) == before

    def test_an_interrupt_rolls_back_too(self) -> None:
        """Also what is no `Exception` (an interrupt) leaves nothing, and is raised."""

        def work(t: Transaction) -> None:
            _add_everything(t)
            raise _Interrupt

        with raises(_Interrupt):
            self.write(work)
        assert not any(self.read(_everything))
        self.write(_add_everything)
        assert all(self.read(_everything))

    def test_a_storage_error_rolls_back_what_came_before_it(self) -> None:
        """A duplicate at the end leaves nothing of the beginning."""
        self.given(a_partner())

        def work(t: Transaction) -> None:
            t.journal.append([a_fact()])
            t.partners.add(a_partner("other-farm"))
            t.partners.add(a_partner())

        with raises(DuplicateKey):
            self.write(work)
        assert self.rows(lambda t: t.journal.read()) == []
        assert list(self.read(lambda t: t.partners.get(["green-farm", "other-farm"]))) == [
            "green-farm"
        ]

    def test_a_refused_batch_can_be_tried_again(self) -> None:
        """After a rollback the same work, corrected, succeeds."""
        for _ in range(2):
            with raises(_OnPurposeError):
                self.write(_failing(_add_everything))
        self.write(_add_everything)
        assert all(self.read(_everything))

    def test_a_stale_write_runs_the_work_again(self) -> None:
        """On `StaleWrite` the work is run again from the start, without what it wrote before."""
        seen: list[int] = []

        def work(t: Transaction) -> str:
            seen.append(len(t.journal.read()))
            t.journal.append([a_fact()])
            if len(seen) < 3:
                raise StaleWrite("somebody else changed it")
            return "done"

        assert self.write(work) == "done"
        assert seen == [0, 0, 0]
        assert len(self.read(lambda t: t.journal.read())) == 1

    def test_the_work_is_not_run_again_for_ever(self) -> None:
        """A `StaleWrite` that comes each time is raised after a bounded number of runs."""
        runs: list[None] = []

        def work(_: Transaction) -> None:
            runs.append(None)
            if len(runs) > _MANY:
                raise AssertionError("the work is run again for ever")
            raise StaleWrite("somebody else changed it")

        with raises(StaleWrite):
            self.write(work)
        assert len(runs) > 1

    def test_other_errors_do_not_run_the_work_again(self) -> None:
        """What is not a passing reason is raised at once; a `DuplicateKey` after more looks."""
        for error, most in ((_OnPurposeError, 1), (DuplicateKey, 4)):
            runs: list[None] = []
            with raises(error):
                self.write(_counting(runs, error))
            assert 1 <= len(runs) <= most

    def test_transactions_do_not_nest(self) -> None:
        """A transaction cannot be begun within another; the store works on after the attempt."""
        for outer, inner in (
            (self.storage.write, self.storage.write),
            (self.storage.write, self.storage.read),
            (self.storage.read, self.storage.write),
        ):

            def work(_: Transaction, inner: Callable[[Work], object] = inner) -> object:
                return inner(lambda t: t.partners.list())

            with raises(Exception):
                outer(work)
        self.write(_add_everything)
        assert all(self.read(_everything))

    def test_reading_refuses_to_write(self) -> None:
        """Each write in `read` raises `StorageReadOnly`, and nothing of it stands."""
        self.write(_add_everything)
        before = self.read(_everything)
        for work in _WRITES:
            with raises(StorageReadOnly):
                self.read(work)
        assert self.read(_everything) == before
        self.write(_change_everything)

    def test_reading_is_as_of_one_instant(self) -> None:
        """What others commit meanwhile is not seen by a read that has begun."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.write(_add_everything)
        writers: list[Thread] = []

        def work(t: Transaction) -> tuple[object, object]:
            first = _everything(t)
            writer = Thread(target=self.write, args=(_change_everything,))
            writer.start()
            writers.append(writer)
            # It either commits beside this read or waits for it to end.
            writer.join(timeout=0.3)
            return first, _everything(t)

        first, second = self.read(work)
        assert first == second
        for writer in writers:
            writer.join()
        assert self.read(_everything) != first

    def test_values_can_be_changed_by_nobody(self) -> None:
        """Changing what was given to the store, or what it gave, changes nothing in it."""
        message, fact, record = a_message(), a_fact(), a_record()
        self.given(an_order())

        def add(t: Transaction) -> None:
            t.outbox.add([an_entry(message)])
            t.journal.append([fact])
            t.reports.add([record])

        self.write(add)

        def payloads(t: Transaction) -> list[dict[str, object]]:
            intent = t.outbox.get(["M-1"])["M-1"].intent
            assert isinstance(intent, Message)
            return [intent.data, t.journal.read()[0].data, t.reports.unpushed("sp-li")[0].details]

        good = [{**a_message().data}, {**a_fact().data}, {**a_record().details}]
        for each in (message.data, fact.data, record.details, *self.read(payloads)):
            each["lines"][0] = "changed"
            each["more"] = "added"
        assert self.read(payloads) == good

    def test_what_was_committed_outlives_the_store(self) -> None:
        """What was committed is there when the store is opened again."""
        skip_without(self.lacks, StorageCapability.DURABLE)
        self.write(_add_everything)
        before = self.read(_everything)
        self.storage.close()
        self._storage = self.reopen_storage()
        assert self.read(_everything) == before

    def test_closing_twice_is_allowed(self) -> None:
        """Closing a store that is closed does nothing."""
        self.write(_add_everything)
        self.storage.close()
        self.storage.close()

    def test_an_unused_store_can_be_closed(self) -> None:
        """Closing a store that was never used does nothing."""
        self.storage.close()


def _failing(work: Work) -> Work:
    def failing(t: Transaction) -> None:
        work(t)
        raise _OnPurposeError

    return failing


def _counting(runs: list[None], error: type[Exception]) -> Work:
    def work(_: Transaction) -> None:
        runs.append(None)
        raise error

    return work


def _save_order(t: Transaction) -> None:
    order = t.orders.get(["D-1:green-farm"])["D-1:green-farm"]
    t.orders.save([(order, order.dispatched(NOW))])


def _save_entry(t: Transaction) -> None:
    entry = t.outbox.get(["M-1"])["M-1"]
    t.outbox.save([(entry, entry.done(NOW))])


_WRITES: tuple[Work, ...] = (
    lambda t: t.policies.add(a_policy("2026-2"), NOW),
    lambda t: t.partners.add(a_partner("other-farm")),
    lambda t: t.partners.save(t.partners.get(["green-farm"])["green-farm"]),
    lambda t: t.partners.add_decision(a_decision(sequence=2)),
    lambda t: t.sales_partners.add(a_sales_partner("sp-wang")),
    lambda t: t.sales_partners.save(t.sales_partners.get(["sp-li"])["sp-li"]),
    lambda t: t.products.add([a_product("PEAR")]),
    lambda t: t.products.save([t.products.get("green-farm", ["APPLE"])["APPLE"][0]]),
    lambda t: t.products.tally([a_tally_change(Tally(ordered=1))]),
    lambda t: t.rules.add(a_rule(version=2), NOW),
    lambda t: t.quotas.put(a_quota(), None),
    lambda t: t.quotas.change({"green-farm": {("total", "CNY"): 1}}),
    lambda t: t.quotas.hold(),
    lambda t: t.orders.add_demands([a_demand_record("D-2")]),
    lambda t: t.orders.add([an_order("D-2")]),
    _save_order,
    lambda t: t.reports.add([a_record(report_id="SR-2")]),
    lambda t: t.reports.mark_pushed([a_record()], NOW),
    lambda t: t.settlements.add([a_settlement(sequence=2)]),
    lambda t: t.settlements.mark([(a_settlement(), "bank", CreditState.CREDITED)]),
    lambda t: t.journal.append([a_fact()]),
    lambda t: t.outbox.add([an_entry("M-2")]),
    lambda t: t.outbox.claim(Message, now=NOW, lease_until=_LEASE, limit=1),
    lambda t: t.outbox.release(NOW),
    _save_entry,
)
