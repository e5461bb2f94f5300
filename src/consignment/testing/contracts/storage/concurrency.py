"""Several threads at once: two writing transactions have the effect of one after the other."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey, StaleWrite
from consignment.domain.message import Message
from consignment.domain.progress import Tally
from consignment.domain.quota import Quota
from consignment.testing.builders import (
    NOW,
    a_demand_record,
    a_fact,
    a_message,
    a_product,
    a_tally_change,
    an_entry,
    an_order,
)
from consignment.testing.contracts.storage.base import StorageCapability, StorageCase
from consignment.testing.contracts.support import at_once, skip_without

if TYPE_CHECKING:
    from consignment.domain.order import PurchaseOrder
    from consignment.ports.storage import Transaction

__all__ = ["ConcurrencyContract"]

_THREADS = 8
_TIMES = 10
_ORDER = "D-1:green-farm"


class ConcurrencyContract(StorageCase):
    """Several threads at once."""

    def test_no_increment_is_lost(self) -> None:
        """Tallies and quotas that many threads add to have the sum of all that was added."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.given(a_product())
        self.write(lambda t: t.quotas.put(Quota("total", "CNY", 10**6), None))

        def work(t: Transaction) -> None:
            t.products.tally([a_tally_change(Tally(ordered=1, gross_sales_minor=3))])
            t.quotas.change({"green-farm": {("total", "CNY"): 5}})
            t.journal.append([a_fact()])

        def often() -> None:
            for _ in range(_TIMES):
                self.write(work)

        at_once(*[often] * _THREADS)
        times = _THREADS * _TIMES
        _, tally = self.read(lambda t: t.products.get("green-farm", ["APPLE"]))["APPLE"]
        assert (tally.ordered, tally.gross_sales_minor) == (times, 3 * times)
        assert self.rows(lambda t: t.quotas.list()) == [Quota("total", "CNY", 10**6, 5 * times)]
        assert len(self.read(lambda t: t.journal.read())) == times

    def test_exactly_as_many_pass_a_quota_as_fit(self) -> None:
        """Of more increases than a quota has room for, exactly as many succeed as fit."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.write(lambda t: t.quotas.put(Quota("total", "CNY", 1000), None))

        def attempt() -> bool:
            try:
                self.write(lambda t: t.quotas.change({"green-farm": {("total", "CNY"): 190}}))
            except StaleWrite:
                return False
            return True

        assert sum(at_once(*[attempt] * 12)) == 5
        assert self.rows(lambda t: t.quotas.list()) == [Quota("total", "CNY", 1000, 950)]

    def test_no_change_of_an_order_is_lost(self) -> None:
        """Orders that many threads read and save are changed by each of them in turn."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.given(an_order())

        def work(t: Transaction) -> None:
            order = t.orders.get([_ORDER])[_ORDER]
            spent = dict(order.expenses).get("freight", 0)
            t.orders.save([(order, _with_freight(order, spent + 1))])

        def often() -> int:
            saved = 0
            for _ in range(_TIMES):
                try:
                    self.write(work)
                except StaleWrite:
                    continue
                saved += 1
            return saved

        saved = sum(at_once(*[often] * 4))
        order = self.read(lambda t: t.orders.get([_ORDER]))[_ORDER]
        assert saved > 0
        assert order.expenses == (("freight", saved),)
        assert order.revision == saved

    def test_an_order_read_before_is_saved_by_one(self) -> None:
        """Of many that save what they all had read before, one succeeds."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.given(an_order())
        order = self.read(lambda t: t.orders.get([_ORDER]))[_ORDER]

        def attempt(spent: int) -> int:
            pair = order, _with_freight(order, spent)
            try:
                self.write(lambda t: t.orders.save([pair]))
            except StaleWrite:
                return 0
            return spent

        won = [each for each in at_once(*(partial(attempt, i) for i in range(1, 9))) if each]
        assert len(won) == 1
        stored = self.read(lambda t: t.orders.get([_ORDER]))[_ORDER]
        assert stored.expenses == (("freight", won[0]),)

    def test_a_key_is_added_by_one(self) -> None:
        """Of many that add the same demand, one succeeds, and the others get `DuplicateKey`."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        storage = self.storage

        def attempt(number: int) -> int:
            def work(t: Transaction) -> None:
                t.journal.append([a_fact(data={"n": number})])
                t.orders.add_demands([a_demand_record("D-1", f"farm-{number}")])

            try:
                storage.write(work)
            except (DuplicateKey, StaleWrite):
                return -1
            return number

        won = [each for each in at_once(*(partial(attempt, i) for i in range(8))) if each >= 0]
        assert len(won) == 1
        stored = self.read(lambda t: t.orders.demands(["D-1"]))["D-1"]
        assert stored.order_ids == (f"D-1:farm-{won[0]}",)
        assert [fact.data for fact in self.read(lambda t: t.journal.read())] == [{"n": won[0]}]

    def test_numbers_that_many_claim_are_taken_by_one(self) -> None:
        """Of many that claim and add the same products each gets what is free, and no error."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.given(a_product("FIRST"), a_product("SECOND", "other-farm"))
        storage = self.storage

        def attempt(me: int) -> int:
            partner_id = ("green-farm", "other-farm")[me % 2]
            numbers = [f"P-{(me * 5 + i * 7) % 40:02}" for i in range(30)]

            def work(t: Transaction) -> int:
                taken = t.products.claim(partner_id, numbers)
                free = [each for each in numbers if each not in taken]
                t.products.add([a_product(each, partner_id) for each in free])
                return len(free)

            return storage.write(work)

        added = at_once(*(partial(attempt, me) for me in range(8)))
        assert sum(added) == 40
        assert len(self.read(lambda t: t.products.owners([f"P-{i:02}" for i in range(40)]))) == 40

    def test_an_intent_is_claimed_by_one(self) -> None:
        """Many workers claim everything between them, and nothing twice."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        ids = [f"M-{i:03}" for i in range(100)]
        self.given(an_order())
        entries = [an_entry(a_message(each, order_id=f"{each}:green-farm")) for each in ids]
        self.write(lambda t: t.outbox.add(entries))
        lease_until = NOW + timedelta(minutes=5)

        def worker() -> list[str]:
            claimed: list[str] = []
            empty = 0
            # A claim may come back empty because others took the same ones first.
            while empty < 5:
                batch = self.write(
                    lambda t: t.outbox.claim(Message, now=NOW, lease_until=lease_until, limit=7)
                )
                claimed += [entry.entry_id for entry in batch]
                empty = 0 if batch else empty + 1
            return claimed

        claimed = Counter(each for mine in at_once(*[worker] * 4) for each in mine)
        assert claimed == Counter(ids)


def _with_freight(order: PurchaseOrder, spent: int) -> PurchaseOrder:
    return evolve(order, expenses=(("freight", spent),))
