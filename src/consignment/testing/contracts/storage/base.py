"""What the tests of a store have in common."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from consignment.domain.order import PurchaseOrder
from consignment.domain.partner import Partner
from consignment.domain.product import ConsignedProduct
from consignment.domain.report import ReportRecord
from consignment.domain.sales_partner import SalesPartner
from consignment.domain.settlement import Settlement
from consignment.testing.builders import a_line, a_partner, a_product, a_sales_partner, an_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from consignment.ports.storage import Storage, Transaction

    Kept = Partner | ConsignedProduct | SalesPartner | PurchaseOrder | ReportRecord | Settlement

__all__ = ["StorageCapability", "StorageCase"]

T = TypeVar("T")


class StorageCapability(StrEnum):
    """What a store may declare that it lacks."""

    #: What was committed is there when the store is opened again.
    DURABLE = "durable"
    #: Several threads can use it at once.
    CONCURRENT = "concurrent"


class StorageCase:
    """A test of a store."""

    #: What the store cannot do.
    lacks: frozenset[StorageCapability] = frozenset()

    _storage: Storage | None = None

    def make_storage(self) -> Storage:
        """Make a new store that is empty and has its schema."""
        raise NotImplementedError

    def reopen_storage(self) -> Storage:
        """Open the store that `make_storage` made in this test a second time."""
        raise NotImplementedError

    @property
    def storage(self) -> Storage:
        """The store of this test, made when it is first asked for."""
        if self._storage is None:
            self._storage = self.make_storage()
        return self._storage

    def teardown_method(self) -> None:
        """Close the store."""
        if self._storage is not None:
            self._storage.close()
            self._storage = None

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run work in a writing transaction."""
        return self.storage.write(work)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run work in a reading transaction."""
        return self.storage.read(work)

    def rows(self, work: Callable[[Transaction], Sequence[T]]) -> list[T]:
        """Run work in a reading transaction, and give the rows it finds as a list."""
        return list(self.storage.read(work))

    def given(self, *values: Kept) -> None:
        """Add values, and what they belong to where that is missing."""

        def work(t: Transaction) -> None:
            for value in values:
                _add(t, value)

        self.write(work)


def _add(t: Transaction, value: Kept) -> None:
    match value:
        case Partner():
            t.partners.add(value)
        case SalesPartner():
            t.sales_partners.add(value)
        case ConsignedProduct():
            _partner(t, value.partner_id)
            t.products.add([value])
        case PurchaseOrder():
            _belongings(t, value)
            t.orders.add([value])
        case ReportRecord():
            if value.order_id is not None:
                _order(t, value.order_id, value.sales_partner_id)
            t.reports.add([value])
        case Settlement():
            _order(t, value.order_id, value.sales_partner_id)
            t.settlements.add([value])


def _partner(t: Transaction, partner_id: str) -> None:
    if not t.partners.get([partner_id]):
        t.partners.add(a_partner(partner_id))


def _belongings(t: Transaction, order: PurchaseOrder) -> None:
    _partner(t, order.partner_id)
    if not t.sales_partners.get([order.sales_partner_id]):
        t.sales_partners.add(a_sales_partner(order.sales_partner_id))
    numbers = [line.product_number for line in order.lines]
    there = t.products.owners(numbers)
    t.products.add([a_product(each, order.partner_id) for each in numbers if each not in there])


def _order(t: Transaction, order_id: str, sales_partner_id: str | None) -> None:
    if not t.orders.get([order_id]):
        demand_id, _, partner_id = order_id.partition(":")
        line = a_line(f"GOODS-{partner_id}")
        order = an_order(demand_id, partner_id, line)
        _add(t, evolve(order, sales_partner_id=sales_partner_id or order.sales_partner_id))
