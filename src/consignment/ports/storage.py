"""Storage: one transaction over everything the desk knows.

A use case runs as one function in one transaction: it reads what it needs in few batched calls,
decides, and writes once. Every call takes or gives batches. What is read are the domain's own
frozen values; what is written is visible to later reads of the same transaction.

Ids are those of the domain. `order_id` ends in its partner's id, so every row of a partner can be
found by partner (see `domain.order.partner_id_of`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from attrs import frozen

from consignment.domain.product import ConsignedProduct
from consignment.domain.progress import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import date

    from consignment.domain.admission import AdmissionDecision, AdmissionPolicy
    from consignment.domain.journal import Fact
    from consignment.domain.message import IntentState, OutboxEntry
    from consignment.domain.order import OrderState, PurchaseOrder
    from consignment.domain.partner import Partner
    from consignment.domain.quota import Quota, QuotaKey
    from consignment.domain.report import ReportRecord
    from consignment.domain.rule import SettlementRule
    from consignment.domain.sales_partner import SalesPartner
    from consignment.domain.settlement import CreditState, Settlement

__all__ = [
    "DemandRecord",
    "Journal",
    "NameHit",
    "OrderBook",
    "Outbox",
    "PartnerBook",
    "PolicyBook",
    "ProductBook",
    "QuotaBook",
    "ReportBook",
    "RuleBook",
    "SalesPartnerBook",
    "SettlementBook",
    "Storage",
    "Transaction",
]

T = TypeVar("T")


@frozen
class DemandRecord:
    """A demand that was placed: its content's digest, and the orders that it yielded."""

    demand_id: str
    digest: str
    order_ids: tuple[str, ...]
    placed_at: datetime


@frozen
class NameHit:
    """A product found by name. `rank`: 0 the whole name, 1 its beginning, 2 somewhere in it."""

    rank: int
    product: ConsignedProduct
    tally: Tally


class PolicyBook(Protocol):
    """Admission policies: immutable versions; the one added last is in force."""

    def get(self, version: str | None = None) -> AdmissionPolicy | None:
        """Give a version, or the one in force."""
        ...

    def add(self, policy: AdmissionPolicy, at: datetime) -> None:
        """Add a version and put it in force. `DuplicateKey` when the version is there."""
        ...


class PartnerBook(Protocol):
    """Partners and the decisions on their admission."""

    def get(self, partner_ids: Collection[str]) -> dict[str, Partner]:
        """Give those that exist, by id."""
        ...

    def registered_as(self, registration_number: str) -> str | None:
        """Give the id of the partner with a registration number (bank-wide unique)."""
        ...

    def list(
        self, *, review_until: date | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Partner]:
        """Give partners by rising id, after an id.

        With `review_until`, only admitted and suspended ones whose admission ends by that day.
        """
        ...

    def add(self, partner: Partner) -> None:
        """Add a partner. `DuplicateKey` when the id or the registration number is there."""
        ...

    def save(self, partner: Partner) -> None:
        """Store a changed partner; its revision grows. `StaleWrite` when it is not the stored one.

        The registration number does not change.
        """
        ...

    def decisions(self, request_id: str) -> Sequence[AdmissionDecision]:
        """Give the decisions on a request (ids are bank-wide), oldest first."""
        ...

    def add_decision(self, decision: AdmissionDecision) -> None:
        """Keep a decision. `DuplicateKey` when the request has one with that sequence."""
        ...


class ProductBook(Protocol):
    """Consigned products and their tallies."""

    def owners(self, numbers: Collection[str]) -> dict[str, str]:
        """Give the partner id of each product number that exists."""
        ...

    def get(
        self, partner_id: str, numbers: Collection[str]
    ) -> dict[str, tuple[ConsignedProduct, Tally]]:
        """Give a partner's products that exist, with their tallies, by number."""
        ...

    def add(self, products: Sequence[ConsignedProduct]) -> None:
        """Add products. `DuplicateKey` when a number is there, with whatever partner."""
        ...

    def save(self, products: Sequence[ConsignedProduct]) -> None:
        """Store changed products; their revisions grow, their tallies stay. `StaleWrite`."""
        ...

    def tally(self, partner_id: str, changes: Mapping[str, Tally]) -> None:
        """Add to the tallies of a partner's products, atomically (see `Tally.plus`)."""
        ...

    def find(
        self, key: str, *, after: tuple[int, str] | None = None, limit: int
    ) -> Sequence[NameHit]:
        """Find products whose name has `key` in it, both in the form of `domain.text.name_key`.

        Ordered by rank, then number; `after` is the (rank, number) to go on behind.
        """
        ...


class SalesPartnerBook(Protocol):
    """Sales partners."""

    def get(self, sales_partner_ids: Collection[str]) -> dict[str, SalesPartner]:
        """Give those that exist, by id."""
        ...

    def add(self, sales_partner: SalesPartner) -> None:
        """Add one. `DuplicateKey` when the id is there."""
        ...

    def save(self, sales_partner: SalesPartner) -> None:
        """Store a changed one; its revision grows. `StaleWrite` when it is not the stored one."""
        ...

    def push_due(self, now: datetime, limit: int) -> Sequence[SalesPartner]:
        """Give those whose next push is due at `now`, the longest due first."""
        ...


class RuleBook(Protocol):
    """Settlement rules: immutable versions."""

    def get(self, rule_id: str, version: int) -> SettlementRule | None:
        """Give a version of a rule."""
        ...

    def of_scopes(self, scopes: Collection[str]) -> Sequence[SettlementRule]:
        """Give every version of every rule with one of these scopes."""
        ...

    def add(self, rule: SettlementRule, at: datetime) -> None:
        """Add a version. `DuplicateKey` when it is there."""
        ...


class QuotaBook(Protocol):
    """Quotas, and how much of each is used."""

    def applicable(self, business_lines: Collection[str], partner_id: str) -> Sequence[Quota]:
        """Give the quotas that orders with a partner in these lines can count for.

        That is `total`, those of the lines, that of the partner, and those of the partner's
        products (see `put`).
        """
        ...

    def list(self) -> Sequence[Quota]:
        """Give all quotas, ordered by scope and currency."""
        ...

    def put(self, quota: Quota, partner_id: str | None) -> None:
        """Set a quota's limit and what is used of it, whether it is there or not.

        `partner_id` is the partner of a `partner:` or `product:` scope, None for the others.
        """
        ...

    def change(self, changes: Mapping[QuotaKey, int], partner_id: str) -> None:
        """Add to what is used, in minor units, atomically; keys without a quota are passed over.

        `StaleWrite` when an increase no longer fits the limit: read again and decide again.
        """
        ...

    def reserved(self, scope: str, currency: str) -> int:
        """Sum what open orders reserve in a scope, in minor units, from the orders themselves."""
        ...


class OrderBook(Protocol):
    """Demands and purchase orders."""

    def demands(self, demand_ids: Collection[str]) -> dict[str, DemandRecord]:
        """Give those that were placed, by id."""
        ...

    def add_demands(self, demands: Sequence[DemandRecord]) -> None:
        """Keep demands. `DuplicateKey` when one is there."""
        ...

    def get(self, order_ids: Collection[str]) -> dict[str, PurchaseOrder]:
        """Give those that exist, by id, with their lines in the order they were placed in."""
        ...

    def add(self, orders: Sequence[PurchaseOrder]) -> None:
        """Add orders. `DuplicateKey` when one is there."""
        ...

    def save(self, changes: Sequence[tuple[PurchaseOrder, PurchaseOrder]]) -> None:
        """Store changed orders, each as (as it was read, as it is now); revisions grow.

        `StaleWrite` when the stored revision is not that which was read.
        """
        ...

    def in_state(
        self,
        states: Collection[OrderState],
        *,
        placed_until: datetime | None = None,
        after: str = "",
        limit: int,
    ) -> Sequence[PurchaseOrder]:
        """Give orders in some states by rising id, after an id; placed by an instant if given."""
        ...

    def of_sales_partner(self, sales_partner_id: str) -> Sequence[PurchaseOrder]:
        """Give a sales partner's orders that goods can move in: accepted, procuring, on sale."""
        ...

    def tallies(
        self,
        *,
        partner_id: str | None = None,
        sales_partner_id: str | None = None,
        business_line: str | None = None,
    ) -> dict[tuple[str, str], Tally]:
        """Sum what happened in the orders that meet every given condition.

        Per (partner id, product number), by rising key. An order that was rejected, cancelled or
        expired counts as nothing ordered; the last report is the last one on any of the orders.
        """
        ...

    def last_accepted_at(self, partner_id: str, until: datetime) -> datetime | None:
        """Give when a partner last accepted an order, not after `until`."""
        ...


class ReportBook(Protocol):
    """Partner reports, taken and refused."""

    def get(self, partner_id: str, report_ids: Collection[str]) -> dict[str, ReportRecord]:
        """Give a partner's reports that were received, by id."""
        ...

    def add(self, records: Sequence[ReportRecord]) -> None:
        """Keep reports. `DuplicateKey` when the partner has one with that id."""
        ...

    def of_order(self, order_id: str) -> Sequence[ReportRecord]:
        """Give an order's reports, in the order they were received."""
        ...

    def unpushed(self, sales_partner_id: str) -> Sequence[ReportRecord]:
        """Give a sales partner's taken reports of sales, returns and completions not yet pushed.

        In the order they were received.
        """
        ...

    def mark_pushed(self, records: Sequence[ReportRecord], slot: datetime) -> None:
        """Note with which slot reports were pushed. `StaleWrite` when one already was."""
        ...


class SettlementBook(Protocol):
    """Settlements and their shares."""

    def of_orders(self, order_ids: Collection[str]) -> dict[str, tuple[Settlement, ...]]:
        """Give each order's settlements, by sequence; orders without any are left out."""
        ...

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Keep settlements. `DuplicateKey` when one is there."""
        ...

    def mark(self, states: Sequence[tuple[Settlement, str, CreditState]]) -> None:
        """Note what became of shares' credits, each as (settlement, beneficiary, state)."""
        ...


class Journal(Protocol):
    """The facts, append-only."""

    def append(self, facts: Sequence[Fact]) -> None:
        """Append facts in their order."""
        ...

    def read(
        self, *, order_id: str | None = None, offset: int = 0, limit: int = 1000
    ) -> Sequence[Fact]:
        """Give facts, of an order or all, in the order they were appended."""
        ...


class Outbox(Protocol):
    """Intents that are to be carried out after the commit, and how far they have come."""

    def add(self, entries: Sequence[OutboxEntry]) -> None:
        """Keep intents. `DuplicateKey` when one with that id is there."""
        ...

    def claim(
        self, kind: type, *, now: datetime, lease_until: datetime, limit: int
    ) -> Sequence[OutboxEntry]:
        """Take up to `limit` due intents of a kind (`Message`, `CreditInstruction`).

        The longest due first, and only waiting ones. Of a stream, only the first that is not done;
        so one that is set aside holds back those behind it. A claimed entry is due again
        at `lease_until`; two transactions never claim the same one before. Each entry is given
        `leased`, with `due_at` = `lease_until`: that is the claim, which `save` checks.
        """
        ...

    def release(self, now: datetime) -> int:
        """Make every leased entry due at `now`, its lease ended; give how many there were.

        For when it is known that nobody is working on them: after a crash, before work begins.
        """
        ...

    def save(self, changes: Sequence[tuple[OutboxEntry, OutboxEntry]]) -> Sequence[bool]:
        """Store changed entries, each as (as claimed or read, as it is now).

        Give for each whether it was stored: False when `state`, `attempts`, `leased` or `due_at`
        are no longer as read (the lease ended, and somebody else took it up).
        """
        ...

    def get(self, entry_ids: Collection[str]) -> dict[str, OutboxEntry]:
        """Give those that exist, by id."""
        ...

    def list(self, state: IntentState, *, after: str = "", limit: int) -> Sequence[OutboxEntry]:
        """Give entries in a state by rising id, after an id."""
        ...


class Transaction(Protocol):
    """Everything the desk knows, as of one transaction."""

    @property
    def policies(self) -> PolicyBook:
        """Admission policies."""
        ...

    @property
    def partners(self) -> PartnerBook:
        """Partners and decisions."""
        ...

    @property
    def products(self) -> ProductBook:
        """Consigned products."""
        ...

    @property
    def sales_partners(self) -> SalesPartnerBook:
        """Sales partners."""
        ...

    @property
    def rules(self) -> RuleBook:
        """Settlement rules."""
        ...

    @property
    def quotas(self) -> QuotaBook:
        """Quotas."""
        ...

    @property
    def orders(self) -> OrderBook:
        """Demands and orders."""
        ...

    @property
    def reports(self) -> ReportBook:
        """Partner reports."""
        ...

    @property
    def settlements(self) -> SettlementBook:
        """Settlements."""
        ...

    @property
    def journal(self) -> Journal:
        """The journal."""
        ...

    @property
    def outbox(self) -> Outbox:
        """The outbox."""
        ...


class Storage(Protocol):
    """A store with transactions.

    Promises: what `write` has returned from is durable and visible to every later transaction,
    whole; when it raises, nothing of it stands. Two writing transactions have the effect of one
    after the other, or one of them raises `StaleWrite` or `DuplicateKey`.
    """

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction, commit, and give its result.

        `work` may be run again from the start when the store had to give up for a passing reason
        (`StaleWrite`, a serialization failure, a lock), a bounded number of times; so it has no
        effect but through the transaction. What it raises, or the last of those errors, is raised
        after everything was rolled back. Not to be called from within itself.

        Raises `StorageBusy` (may be tried again), `StorageReadOnly`, `StorageFull`,
        `StorageUnusable`.
        """
        ...

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, which only reads, as of one instant, and give its result.

        A write in it raises `StorageReadOnly`.
        """
        ...

    def close(self) -> None:
        """Let go of connections and files. Closing twice is allowed."""
        ...
