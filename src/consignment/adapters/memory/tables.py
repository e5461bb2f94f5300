"""The data of a memory store, and the log by which a transaction is undone."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final, TypeVar

from attrs import define, field, frozen

from consignment.domain.admission import AdmissionDecision, AdmissionPolicy
from consignment.domain.errors import StorageReadOnly
from consignment.domain.journal import Fact
from consignment.domain.message import OutboxEntry
from consignment.domain.order import PurchaseOrder
from consignment.domain.partner import Partner
from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally
from consignment.domain.quota import Quota, QuotaKey
from consignment.domain.report import ReportRecord
from consignment.domain.rule import SettlementRule
from consignment.domain.sales_partner import SalesPartner
from consignment.domain.settlement import Settlement
from consignment.ports.storage import DemandRecord

__all__ = ["Changes", "Data", "ProductRow", "QuotaRow"]

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Final = object()


@frozen
class ProductRow:
    """A product with its tally, and its name in the forms in which it is found."""

    product: ConsignedProduct
    tally: Tally
    name_key: str
    name_forms: tuple[str, ...]


@frozen
class QuotaRow:
    """A quota, and the partner that it belongs to, None for the bank's own."""

    quota: Quota
    partner_id: str | None


@define
class Data:
    """All tables. Keys keep the order in which they were first put in."""

    policies: dict[str, tuple[AdmissionPolicy, datetime]] = field(factory=dict)
    partners: dict[str, Partner] = field(factory=dict)
    registration_numbers: dict[str, str] = field(factory=dict)
    decisions: dict[str, tuple[AdmissionDecision, ...]] = field(factory=dict)
    products: dict[str, ProductRow] = field(factory=dict)
    #: By partner, product number, sales partner and business line.
    tallies: dict[tuple[str, str, str, str], Tally] = field(factory=dict)
    sales_partners: dict[str, SalesPartner] = field(factory=dict)
    rules: dict[tuple[str, int], SettlementRule] = field(factory=dict)
    rule_dates: dict[tuple[str, date], str] = field(factory=dict)
    quotas: dict[QuotaKey, QuotaRow] = field(factory=dict)
    demands: dict[str, DemandRecord] = field(factory=dict)
    orders: dict[str, PurchaseOrder] = field(factory=dict)
    reports: dict[tuple[str, str], ReportRecord] = field(factory=dict)
    settlements: dict[str, tuple[Settlement, ...]] = field(factory=dict)
    facts: dict[int, Fact] = field(factory=dict)
    outbox: dict[str, OutboxEntry] = field(factory=dict)
    # The keys of the rows above, by what they are also looked up by.
    orders_of_sales_partner: dict[str, dict[str, None]] = field(factory=dict)
    orders_of_partner: dict[str, dict[str, None]] = field(factory=dict)
    reports_of_order: dict[str, dict[str, None]] = field(factory=dict)
    reports_of_sales_partner: dict[str, dict[tuple[str, str], None]] = field(factory=dict)
    facts_of_order: dict[str, dict[int, None]] = field(factory=dict)
    outbox_not_done: dict[str, None] = field(factory=dict)


class Changes:
    """What one transaction has changed, so that it can be undone.

    In a transaction that only reads, a change raises `StorageReadOnly`.
    """

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._log: list[tuple[dict[Any, Any], Any, Any]] = []

    def check(self) -> None:
        """Raise `StorageReadOnly` unless changes are allowed."""
        if not self._allowed:
            raise StorageReadOnly("this transaction only reads")

    def put(self, table: dict[K, V], key: K, value: V) -> None:
        """Put a row into a table."""
        self.check()
        self._log.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, table: dict[K, V], key: K) -> None:
        """Take a row out of a table, if it is there."""
        self.check()
        if key in table:
            self._log.append((table, key, table.pop(key)))

    def undo(self) -> None:
        """Bring back what was there before, last change first, and allow no more."""
        self._allowed = False
        while self._log:
            table, key, before = self._log.pop()
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before

    def keep(self) -> None:
        """Let the changes stand, and allow no more."""
        self._allowed = False
        self._log.clear()
