"""Demands and purchase orders."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from attrs import evolve

from consignment.domain.errors import DuplicateKey, StaleWrite
from consignment.domain.order import OrderState
from consignment.testing.builders import (
    NOW,
    a_demand_record,
    a_line,
    accepted,
    an_order,
    expense,
    procured,
    sold,
)
from consignment.testing.contracts.storage.base import StorageCase
from consignment.testing.contracts.support import raises

if TYPE_CHECKING:
    from datetime import datetime

    from consignment.domain.order import PurchaseOrder
    from consignment.ports.storage import DemandRecord

__all__ = ["OrderBooksContract"]

_LARGE = 2500
_BIG = 10**15
_TICK = timedelta(microseconds=1)


class OrderBooksContract(StorageCase):
    """Demands and purchase orders."""

    def _order(self, order_id: str = "D-1:green-farm") -> PurchaseOrder:
        return self.read(lambda t: t.orders.get([order_id]))[order_id]

    def _add_demands(self, *demands: DemandRecord) -> None:
        self.write(lambda t: t.orders.add_demands(demands))

    def _add_orders(self, *orders: PurchaseOrder) -> None:
        self.write(lambda t: t.orders.add(orders))

    def _save_orders(self, *changes: tuple[PurchaseOrder, PurchaseOrder]) -> None:
        self.write(lambda t: t.orders.save(changes))

    # Demands.

    def test_demand_is_read_back_whole(self) -> None:
        """A demand's record comes back equal, with the orders in their order."""
        records = [a_demand_record("D-1", "b", "a", "c"), a_demand_record("d-1", "a")]
        self._add_demands(*records)
        found = self.read(lambda t: t.orders.demands(["d-1", "D-1", "D-2"]))
        assert found == {each.demand_id: each for each in records}
        assert self.read(lambda t: t.orders.demands([])) == {}

    def test_a_demand_is_there_once(self) -> None:
        """A demand that is there cannot be added again, nor twice in one call."""
        self._add_demands(a_demand_record())
        other = evolve(a_demand_record(), digest="1" * 64)
        for batch in ([a_demand_record("D-2"), other], [a_demand_record("D-2")] * 2):
            with raises(DuplicateKey):
                self._add_demands(*batch)
        found = self.read(lambda t: t.orders.demands(["D-1", "D-2"]))
        assert found == {"D-1": a_demand_record()}

    # Orders.

    def test_order_is_read_back_whole(self) -> None:
        """An order comes back equal: every instant, count and amount, and lines in their order."""
        at = [NOW + i * _TICK for i in range(9)]
        line = a_line(
            "Z",
            _BIG,
            price_minor=_BIG,
            places=6,
            procured=_BIG - 1,
            sold=_BIG - 3,
            returned=1,
            sent_back=1,
            written_off=0,
            settled=5,
            delivery_final=True,
            procurement_cost_minor=_BIG,
            sent_back_credit_minor=1,
            gross_sales_minor=_BIG - 1,
            returns_minor=2,
            first_sale_at=at[0],
            last_sale_at=at[1],
        )
        order = an_order(
            "D-1",
            "green-farm",
            line,
            a_line("A", name="苹果 😀"),
            a_line("M"),
            state=OrderState.CLOSED,
            placed_at=at[2],
            dispatched_at=at[3],
            accepted_at=at[4],
            completed_at=at[5],
            settled_at=at[6],
            ended_at=at[7],
            end_reason="为什么",
            last_report_at=at[8],
            expenses=(("freight", 48015), ("仓储", _BIG)),
        )
        self.given(order, an_order("D-2", "green-farm", a_line("A")))
        assert self._order() == order
        assert self._order().lines[0].first_sale_at == at[0]
        assert self.read(lambda t: t.orders.get([])) == {}
        found = self.read(lambda t: t.orders.get(["D-1:green-farm", "D-3:green-farm"]))
        assert list(found) == ["D-1:green-farm"]

    def test_instants_come_back_in_utc(self) -> None:
        """Instants keep their microseconds, and come back aware and in UTC."""
        at = NOW.replace(microsecond=999_999)
        self.given(an_order(placed_at=at))
        placed_at = self._order().placed_at
        assert placed_at == at
        assert placed_at.utcoffset() == timedelta(0)

    def test_an_order_is_there_once(self) -> None:
        """An order that is there cannot be added again, nor twice in one call."""
        self.given(an_order())
        new = an_order("D-2")
        for batch in ([new, an_order(business_line="corporate")], [new, new]):
            with raises(DuplicateKey):
                self._add_orders(*batch)
        assert self._order() == an_order()
        assert self.read(lambda t: t.orders.get(["D-2:green-farm"])) == {}

    def test_a_saved_orders_revision_grows(self) -> None:
        """Each save stores the changed order under the next revision."""
        self.given(an_order())
        expected = an_order()
        for i, report in enumerate(
            [
                accepted(),
                procured("D-1:green-farm", ("APPLE", "6", "49.50")),
                sold("D-1:green-farm", ("APPLE", "5", "68.80")),
                expense(),
            ]
        ):
            read = self._order()
            assert read == evolve(expected, revision=i)
            changed = read.take(report, NOW + timedelta(days=1))
            self._save_orders((read, changed))
            expected = changed
        stored = self._order()
        assert stored == evolve(expected, revision=4)
        assert (stored.lines[0].procured, stored.lines[0].sold) == (6, 5)
        assert stored.expenses == (("freight", 48015),)

    def test_a_save_changes_only_the_lines_that_changed(self) -> None:
        """Lines that were not touched stay as they are, and all keep their order."""
        self.given(an_order("D-1", "green-farm", *(a_line(each) for each in "CAB")))
        read = self._order()
        taken = read.take(accepted(), NOW)
        self._save_orders((read, taken.take(procured("D-1:green-farm", ("A", "1", "2.00")), NOW)))
        assert [(line.product_number, line.procured) for line in self._order().lines] == [
            ("C", 0),
            ("A", 1),
            ("B", 0),
        ]

    def test_a_stale_order_is_not_saved(self) -> None:
        """An order that was saved since, or is not there, cannot be saved; theirs stands."""
        self.given(an_order(), an_order("D-2"))
        first, second = self._order(), self._order("D-2:green-farm")
        theirs = first.dispatched(NOW)
        self._save_orders((first, theirs))
        ours = first.cancelled("why", NOW)
        none = an_order("D-3")
        for stale in ((first, ours), (none, none.dispatched(NOW))):
            batch = [(second, second.dispatched(NOW)), stale]
            with raises(StaleWrite):
                self._save_orders(*batch)
        assert self._order() == evolve(theirs, revision=1)
        assert self._order("D-2:green-farm") == second

    def test_large_batches_of_orders(self) -> None:
        """Thousands of orders go in, change and come out in one call."""
        self.given(an_order())
        orders = [an_order(f"E-{i:05}") for i in range(_LARGE)]
        self._add_orders(*orders)
        self._save_orders(*((each, each.dispatched(NOW)) for each in orders))
        ids = [each.order_id for each in orders]
        found = self.read(lambda t: t.orders.get(ids))
        assert found == {each.order_id: evolve(each.dispatched(NOW), revision=1) for each in orders}

    def test_orders_in_a_state_come_by_rising_id_in_pages(self) -> None:
        """`in_state` goes by rising id, after an id, up to a limit."""
        states = {
            "D-10": OrderState.PLACED,
            "D-9": OrderState.COMPLETED,
            "D-2": OrderState.DISPATCHED,
            "d-1": OrderState.PLACED,
            "D-1": OrderState.PLACED,
        }
        self.given(*(an_order(each, state=state) for each, state in states.items()))

        def demands(*wanted: OrderState, after: str = "", limit: int = 100) -> list[str]:
            orders = self.rows(lambda t: t.orders.in_state(wanted, after=after, limit=limit))
            return [order.demand_id for order in orders]

        # A colon comes behind the digits: D-10:… is less than D-1:….
        assert demands(OrderState.PLACED) == ["D-10", "D-1", "d-1"]
        assert demands(OrderState.PLACED, OrderState.DISPATCHED) == ["D-10", "D-1", "D-2", "d-1"]
        assert demands(OrderState.PLACED, after="D-10:green-farm", limit=1) == ["D-1"]
        assert demands(OrderState.CLOSED) == []
        assert demands() == []

    def test_orders_placed_by_an_instant(self) -> None:
        """With `placed_until`, only orders placed by that instant, which is included."""
        self.given(
            an_order("D-1", placed_at=NOW - _TICK),
            an_order("D-2", placed_at=NOW),
            an_order("D-3", placed_at=NOW + _TICK),
        )
        placed = [OrderState.PLACED]
        orders = self.read(lambda t: t.orders.in_state(placed, placed_until=NOW, limit=9))
        assert [order.demand_id for order in orders] == ["D-1", "D-2"]

    def test_a_saved_order_changes_its_state(self) -> None:
        """After a save an order is found in its new state only."""
        self.given(an_order())
        read = self._order()
        self._save_orders((read, read.dispatched(NOW)))
        assert not self.read(lambda t: t.orders.in_state([OrderState.PLACED], limit=9))
        found = self.read(lambda t: t.orders.in_state([OrderState.DISPATCHED], limit=9))
        assert [order.order_id for order in found] == [read.order_id]

    def test_orders_of_a_sales_partner(self) -> None:
        """`of_sales_partner` gives the orders that goods can move in, of all partners."""
        for i, state in enumerate(OrderState):
            self.given(an_order(f"D-{i}", state=state))
        self.given(
            an_order("X", "other-farm", a_line("PEAR"), state=OrderState.ON_SALE),
            an_order("Y", state=OrderState.ON_SALE, sales_partner_id="sp-wang"),
        )
        found = self.read(lambda t: t.orders.of_sales_partner("sp-li"))
        assert sorted(order.state for order in found) == [
            "accepted",
            "on_sale",
            "on_sale",
            "procuring",
        ]
        found = self.read(lambda t: t.orders.of_sales_partner("sp-wang"))
        assert [order.demand_id for order in found] == ["Y"]
        assert found[0].lines == an_order().lines
        assert not self.read(lambda t: t.orders.of_sales_partner("none"))

    def test_last_acceptance_of_a_partner(self) -> None:
        """`last_accepted_at` gives the latest acceptance not after an instant, included."""
        self.given(
            an_order("D-0"),
            an_order("D-1", accepted_at=NOW - 2 * _TICK, state=OrderState.ACCEPTED),
            an_order("D-2", accepted_at=NOW, state=OrderState.CANCELLED),
            an_order("D-3", accepted_at=NOW + _TICK, state=OrderState.CLOSED),
            an_order("D-4", "other-farm", a_line("PEAR"), accepted_at=NOW - _TICK),
        )

        def last(until: datetime) -> datetime | None:
            return self.read(lambda t: t.orders.last_accepted_at("green-farm", until))

        assert last(NOW - _TICK) == NOW - 2 * _TICK
        assert last(NOW) == NOW
        assert last(NOW + timedelta(days=1)) == NOW + _TICK
        assert last(NOW - 3 * _TICK) is None
        assert self.read(lambda t: t.orders.last_accepted_at("nobody", NOW)) is None
