"""What a writing transaction relies on holds until it ends, whatever others do meanwhile."""

from __future__ import annotations

from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import StaleWrite
from consignment.domain.journal import FactKind
from consignment.domain.order import OrderState
from consignment.domain.progress import Tally
from consignment.domain.quota import Quota
from consignment.domain.settlement import CreditState
from consignment.testing.builders import (
    NOW,
    a_fact,
    a_line,
    a_partner,
    a_product,
    a_settlement,
    a_tally_change,
    an_order,
)
from consignment.testing.contracts.storage.base import StorageCapability, StorageCase
from consignment.testing.contracts.support import at_once, skip_without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consignment.domain.order import PurchaseOrder
    from consignment.domain.quota import QuotaKey
    from consignment.ports.storage import Storage, Transaction

    Work = Callable[[Transaction], object]

__all__ = ["LocksContract"]

_ORDER = "D-1:green-farm"
#: How long a transaction watches whether another gets past it; one that does takes far less.
_WATCH_S = 0.25
_PATIENCE_S = 30
_TIMES = 8


class LocksContract(StorageCase):
    """What a writing transaction relies on."""

    def _waits(self, first: Work, second: Work) -> None:
        """Assert that what `second` does waits for a transaction that has done `first`."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        begun, done = Event(), Event()
        failures: list[BaseException] = []
        overtaken: list[bool] = []
        storage = self.storage

        def holding(t: Transaction) -> None:
            first(t)
            begun.set()
            overtaken.append(done.wait(_WATCH_S))
            t.journal.append([a_fact()])

        def follow() -> None:
            try:
                assert begun.wait(_PATIENCE_S)
                storage.write(second)
                done.set()
            except BaseException as error:  # noqa: BLE001 - told by the thread that asserts
                failures.append(error)

        follower = Thread(target=follow)
        follower.start()
        storage.write(holding)
        follower.join(_PATIENCE_S)
        assert not failures
        assert overtaken == [False]
        assert done.is_set()

    def _order(self) -> PurchaseOrder:
        return self.read(lambda t: t.orders.get([_ORDER]))[_ORDER]

    def test_an_order_that_was_read_stays_as_it_is(self) -> None:
        """Who read an order in a writing transaction is not overtaken by who changes it."""
        self.given(an_order())
        order = self._order()
        self._waits(
            lambda t: t.orders.get([_ORDER]),
            lambda t: t.orders.save([(order, order.cancelled("why", NOW))]),
        )

    def test_a_locked_order_stays_as_it_is(self) -> None:
        """Who locked an order is not overtaken by who changes it, or reads it to change it."""
        self.given(an_order())
        order = self._order()
        self._waits(
            lambda t: t.orders.lock([_ORDER, "none:green-farm"]),
            lambda t: t.orders.save([(order, order.cancelled("why", NOW))]),
        )
        self._waits(lambda t: t.orders.lock([_ORDER]), lambda t: t.orders.get([_ORDER]))
        self._waits(lambda t: t.orders.lock([_ORDER]), lambda t: t.orders.lock([_ORDER]))

    def test_orders_of_a_sales_partner_stay_as_they_are(self) -> None:
        """Who read a sales partner's orders is not overtaken either."""
        self.given(an_order(state=OrderState.ACCEPTED))
        order = self._order()
        self._waits(
            lambda t: t.orders.of_sales_partner("sp-li"),
            lambda t: t.orders.save([(order, evolve(order, state=OrderState.PROCURING))]),
        )

    def test_orders_in_a_state_stay_in_it(self) -> None:
        """Who read orders by state is not overtaken by who moves one on."""
        self.given(an_order())
        order = self._order()
        self._waits(
            lambda t: t.orders.in_state([OrderState.PLACED], limit=10),
            lambda t: t.orders.save([(order, order.dispatched(NOW))]),
        )

    def test_a_partner_that_was_read_stays_as_it_is(self) -> None:
        """A suspension waits for who orders from the partner, and the other way round."""
        self.given(a_partner())

        def suspend(t: Transaction) -> None:
            partner = t.partners.get(["green-farm"], to_change=True)["green-farm"]
            t.partners.save(partner.suspended())

        def reinstate(t: Transaction) -> None:
            partner = t.partners.get(["green-farm"], to_change=True)["green-farm"]
            t.partners.save(partner.reinstated())

        self._waits(lambda t: t.partners.get(["green-farm"]), suspend)
        self._waits(reinstate, lambda t: t.partners.get(["green-farm"]))
        self._waits(suspend, reinstate)

    def test_no_order_is_placed_with_a_suspended_partner(self) -> None:
        """Of orders placed beside a suspension, none comes after it."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.given(a_partner())

        def place(number: int) -> bool:
            def work(t: Transaction) -> bool:
                partner = t.partners.get(["green-farm"])["green-farm"]
                if partner.status.value != "admitted":
                    return False
                t.orders.add([an_order(f"D-{number}")])
                # As of now: what a suspension that has committed meanwhile would have changed.
                t.journal.append([a_fact(data={"revision": partner.revision})])
                return True

            return self.storage.write(work)

        def suspend() -> bool:
            def work(t: Transaction) -> int:
                partner = t.partners.get(["green-farm"], to_change=True)["green-farm"]
                t.partners.save(partner.suspended())
                t.journal.append([a_fact(FactKind.PARTNER_SUSPENDED, order_id=None)])
                return len(t.orders.in_state([OrderState.PLACED], limit=100))

            seen = self.storage.write(work)
            placed = self.rows(lambda t: t.orders.in_state([OrderState.PLACED], limit=100))
            return seen == len(placed)

        works = [partial(place, i) for i in range(1, 7)]
        assert at_once(*works[:3], suspend, *works[3:])[3]

    def test_the_last_credit_sees_all_others(self) -> None:
        """Of workers that note an order's credits at once, exactly one finds that it was the last.

        Each locks the order before it reads what the others have noted.
        """
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        orders = [f"D-{i}:green-farm" for i in range(_TIMES)]
        self.given(*(a_settlement(order_id) for order_id in orders))

        def credit(order_id: str, beneficiary: str) -> bool:
            def work(t: Transaction) -> bool:
                t.orders.lock([order_id])
                (settlement,) = t.settlements.of_orders([order_id])[order_id]
                t.settlements.mark([(settlement, beneficiary, CreditState.CREDITED)])
                return all(
                    share.beneficiary == beneficiary or share.state is not CreditState.DUE
                    for share in settlement.shares
                )

            return self.storage.write(work)

        for order_id in orders:
            last = at_once(*(partial(credit, order_id, b) for b in ("sales_partner", "bank")))
            assert sorted(last) == [False, True], order_id

    def test_a_quota_set_beside_orders_counts_each_once(self) -> None:
        """What is used of a quota is what orders reserve, although both change meanwhile."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        self.given(an_order("D-0"))
        keys = [("total", "CNY"), ("business_line:retail", "CNY"), ("partner:green-farm", "CNY")]

        def place(number: int) -> None:
            order = an_order(f"D-{number}", "green-farm", a_line(ordered=number, price_minor=100))

            def add(t: Transaction) -> None:
                t.orders.add([order])
                t.quotas.change({"green-farm": order.reservations()})

            def cancel(t: Transaction) -> None:
                stored = t.orders.get([order.order_id])[order.order_id]
                cancelled = stored.cancelled("why", NOW)
                t.orders.save([(stored, cancelled)])
                t.quotas.change({"green-farm": cancelled.reservation_changes(stored)})

            self.storage.write(add)
            if number % 2:
                self.storage.write(cancel)

        numbers = iter(range(1, 1000))
        for limit in (10**9, 2 * 10**9):
            works: list[Callable[[], None]] = [
                partial(place, next(numbers)) for _ in range(2 * _TIMES)
            ]
            at_once(
                *works[:_TIMES], partial(_set_quotas, self.storage, keys, limit), *works[_TIMES:]
            )

            def check(t: Transaction, limit: int = limit) -> None:
                used = {quota.key: quota.used_minor for quota in t.quotas.list()}
                assert used == {key: t.quotas.reserved(*key) for key in keys}
                assert {quota.limit_minor for quota in t.quotas.list()} == {limit}

            self.read(check)

    def test_a_unit_changed_beside_the_first_order(self) -> None:
        """Either the order is counted in the new unit, or the unit stays: never a mixture."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        numbers = [f"P-{i}" for i in range(_TIMES)]
        self.given(*map(a_product, numbers))

        def order(number: str) -> int:
            def work(t: Transaction) -> int:
                product, _ = t.products.by_numbers([number])[number]
                places = product.unit_places
                line = a_line(number, 5 * 10**places, places=places)
                t.orders.add([an_order(f"D-{number}", "green-farm", line)])
                tally = Tally(ordered=line.ordered)
                t.products.tally([a_tally_change(tally, number, unit_places=places)])
                return places

            return self.storage.write(work)

        def change(number: str) -> int:
            def work(t: Transaction) -> int:
                product, tally = t.products.get("green-farm", [number])[number]
                if tally.ordered:
                    return product.unit_places
                t.products.save([evolve(product, unit="KG", unit_places=3)])
                return 3

            try:
                return self.storage.write(work)
            except StaleWrite:
                return -1

        for number in numbers:
            at_once(partial(order, number), partial(change, number))
            product, tally = self.read(lambda t, n=number: t.products.by_numbers([n]))[number]  # type: ignore[misc] # bound now, used now
            assert tally.ordered == 5 * 10**product.unit_places
            stored = self.read(lambda t, n=number: t.orders.get([f"D-{n}:green-farm"]))  # type: ignore[misc] # likewise
            (line,) = stored[f"D-{number}:green-farm"].lines
            assert line.unit_places == product.unit_places

    def test_transactions_over_the_same_rows_do_not_wait_in_a_circle(self) -> None:
        """Those that touch many rows in whatever order they were given succeed at once."""
        skip_without(self.lacks, StorageCapability.CONCURRENT)
        numbers = [f"P-{i}" for i in range(6)]
        self.given(*map(a_product, numbers))
        self.write(lambda t: t.quotas.put(Quota("total", "CNY", 10**9), None))
        self.write(lambda t: t.quotas.put(Quota("product:P-3", "CNY", 10**9), "green-farm"))
        runs: list[int] = []

        def work(place: int) -> None:
            turned = [*numbers[place:], *numbers[:place]]

            def add(t: Transaction) -> None:
                runs.append(place)
                t.products.tally([a_tally_change(Tally(ordered=1), each) for each in turned])
                keys = [("total", "CNY"), ("product:P-3", "CNY")]
                t.quotas.change({"green-farm": dict.fromkeys(keys[:: 1 - 2 * (place % 2)], 1)})

            for _ in range(_TIMES):
                self.storage.write(add)

        at_once(*(partial(work, i) for i in range(6)))
        products = self.read(lambda t: t.products.get("green-farm", numbers))
        assert {tally.ordered for _, tally in products.values()} == {6 * _TIMES}
        assert {quota.used_minor for quota in self.rows(lambda t: t.quotas.list())} == {6 * _TIMES}
        assert len(runs) == 6 * _TIMES


def _set_quotas(storage: Storage, keys: Sequence[QuotaKey], limit: int) -> None:
    """Set quotas as `QuotaBook.hold` says; the partner's is the farm's."""

    def owner_of(scope: str) -> str | None:
        return "green-farm" if scope.startswith("partner:") else None

    # The bank's own first, then by rising key, as everybody takes them.
    keys = sorted(keys, key=lambda key: (owner_of(key[0]) or "", *key))

    def begin(t: Transaction) -> bool:
        there = {quota.key for quota in t.quotas.list()}
        new = [key for key in keys if key not in there]
        for scope, currency in new:
            t.quotas.put(Quota(scope, currency, 2 * 10**18, 10**18), owner_of(scope))
        return bool(new)

    begun = storage.write(begin)

    def work(t: Transaction) -> None:
        if begun:
            t.quotas.hold()
        for scope, currency in keys:
            quota = Quota(scope, currency, limit)
            t.quotas.put(quota, owner_of(scope))
            used = t.quotas.reserved(scope, currency)
            t.quotas.put(evolve(quota, used_minor=used), owner_of(scope))

    storage.write(work)
